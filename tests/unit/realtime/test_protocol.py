"""What clients may say, and what they are told."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sync.events import LoggedEvent
from sync.realtime.protocol import Auth, Ping, Subscribe, event_message, message, parse
from sync.realtime.topics import Filter


def test_messages_of_clients() -> None:
    assert parse('{"op": "auth", "token": "x"}') == Auth("x")
    assert parse(b'{"op": "ping"}') == Ping()
    request = parse('{"op": "subscribe", "topics": {"runs": {"platform": "slack"}, "alerts": {}}, "cursor": "17"}')
    assert isinstance(request, Subscribe) and request.cursor == "17"
    assert request.filters == {"runs": Filter(platform="slack"), "alerts": Filter()}


def test_a_list_of_topics_is_topics_without_filters() -> None:
    request = parse('{"op": "subscribe", "topics": ["runs", "alerts"]}')
    assert isinstance(request, Subscribe) and request.filters == {"runs": Filter(), "alerts": Filter()}


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"op": "shout"}',
        '{"op": "auth"}',
        '{"op": "auth", "token": 1}',
        '{"op": "ping", "more": 1}',
        '{"op": "subscribe"}',
        '{"op": "subscribe", "topics": "runs"}',
        '{"op": "subscribe", "topics": {"runs": {"colour": "red"}}}',
        '{"op": "subscribe", "topics": [], "cursor": 17}',
        '{"op": "subscribe", "topics": [], "cursor": "' + "1" * 100 + '"}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(wrong: str | bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        parse(wrong)


def test_an_event_as_it_is_sent() -> None:
    at = datetime(2027, 5, 1, 9, tzinfo=UTC)
    event = LoggedEvent(42, "acme", "sync.failed", "integration:7", {"run_id": 3}, 1, 41, "r-1", at)
    frame = event_message("runs", event)
    assert json.loads(frame.text) == {
        "type": "event",
        "topic": "runs",
        "event": {
            "id": 42,
            "type": "sync.failed",
            "version": 1,
            "subject": "integration:7",
            "at": "2027-05-01T09:00:00Z",
            "payload": {"run_id": 3},
        },
        "cursor": "42",
    }


def test_the_same_as_a_server_sent_event() -> None:
    frame = message("reset", cursor="42", reason="cursor-expired")
    assert frame.as_sse() == f"id: 42\nevent: reset\ndata: {frame.text}\n\n".encode()
    assert message("pong").as_sse().startswith(b"event: pong\n")


def test_a_heartbeat_moves_the_cursor_and_calls_nobody() -> None:
    assert message("ping", cursor="42").as_sse() == b"id: 42\n: ping\n\n"
    assert message("ping").as_sse() == b": ping\n\n"


def test_no_text_can_end_a_server_sent_event_early() -> None:
    body = message("event", text="a\n\nid: 99\r\u2028").as_sse()
    assert body.count(b"\n\n") == 1 and b"\r" not in body
