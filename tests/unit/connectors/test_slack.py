"""Slack: its verdict table, its records, its signatures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials
from connectors.http import Context, Hook, Partition
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from connectors.slack import parse
from connectors.slack.connector import SLACK
from connectors.slack.webhook import events, handshake, verify
from tests.fakes.vendor import NOW

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def context(channel: str = "C012AB3CD", **values: Any) -> Context:
    facts = {"user_id": "U0KRQLJ9H", "bot_id": "B1", "url": "https://x.slack.com/"}
    account = Account("acme", "T1", {}, Credentials({}))
    return Context(account, facts, NOW, Partition(channel, {"channel": channel, **values}))


def verdict(status: int, body: Any, headers: dict[str, str] | None = None) -> tuple[str, float | None]:
    answer = httpx.Response(status, json=body, headers=headers)
    reply = Reply(Request("GET", "/api/x"), status, answer.headers, answer.content)
    found = judge(reply, SLACK.problem, SLACK.verdicts)
    return found.verdict.value, found.after_s


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *[(code, "throttled") for code in ("ratelimited", "rate_limited")],
        *[(code, "retry") for code in ("internal_error", "fatal_error", "service_unavailable", "request_timeout")],
        *[(code, "retry") for code in ("team_added_to_org", "org_login_required")],
        *[(code, "refresh") for code in ("token_expired", "invalid_auth", "not_authed")],
        *[(code, "auth_dead") for code in ("token_revoked", "account_inactive")],
        *[(code, "config") for code in ("bad_client_secret", "invalid_client_id")],
        *[(code, "scope_missing") for code in ("missing_scope", "no_permission", "not_allowed_token_type", "is_bot")],
        *[(code, "scope_missing") for code in ("user_removed_from_team", "team_access_not_granted", "access_denied")],
        *[(code, "scope_missing") for code in ("two_factor_setup_required", "enterprise_is_restricted")],
        *[(code, "scope_missing") for code in ("accesslimited", "ekm_access_denied")],
        *[(code, "gone") for code in ("not_in_channel", "channel_not_found", "channel_is_limited_access")],
        *[(code, "gone") for code in ("is_archived", "thread_not_found", "message_not_found", "user_not_found")],
        *[(code, "gone") for code in ("user_not_visible",)],
        ("invalid_cursor", "reset_cursor"),
        *[(code, "bug") for code in ("invalid_limit", "invalid_ts_oldest", "missing_argument", "unknown_method")],
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(error: str, expected: str) -> None:
    assert verdict(200, {"ok": False, "error": error})[0] == expected


def test_limits_and_outages() -> None:
    assert verdict(429, {"ok": False, "error": "ratelimited"}, {"retry-after": "30"}) == ("throttled", 30.0)
    assert verdict(503, "<html>")[0] == "retry"
    assert verdict(200, {"ok": True, "warning": "missing_charset"})[0] == "ok"


def test_a_thread_parent_of_the_documentation() -> None:
    raw = {
        **{"type": "message", "user": "U222BBB222", "text": "Where is my order &amp; invoice? :eyes:"},
        **{"ts": "1763626811.000300", "thread_ts": "1763626811.000300", "reply_count": 2},
        "reactions": [{"name": "thumbsup", "users": ["U123ABC456"], "count": 1}],
    }
    (record,) = parse.top_level(raw, context())
    assert record.vendor_id == record.thread_id == "C012AB3CD:1763626811.000300"
    assert record.parent_id is None
    assert record.occurred_at == datetime(2025, 11, 20, 8, 20, 11, 300, tzinfo=UTC)
    assert record.text == "Where is my order & invoice? :eyes:"
    assert record.counters == {"replies": 2, "reactions": 1}
    assert record.permalink == "https://x.slack.com/archives/C012AB3CD/p1763626811000300"
    assert parse.slack_ts(record.occurred_at) == raw["ts"]


def test_noise_copies_and_mentions() -> None:
    assert not [*parse.top_level({"subtype": "channel_join", "ts": "1.0"}, context())]
    assert not [*parse.top_level({"subtype": "thread_broadcast", "ts": "1.0", "thread_ts": "0.5"}, context())]
    raw = {"ts": "1763626811.000300", "text": "<@U0KRQLJ9H> look: <https://x.example|here>", "user": "U2"}
    assert [(found.kind, found.text) for found in parse.top_level(raw, context())] == [
        ("message", "<@U0KRQLJ9H> look: here"),
        ("mention", "<@U0KRQLJ9H> look: here"),
    ]


def test_replies_know_their_thread_and_bots_their_name() -> None:
    raw = {
        **{"subtype": "bot_message", "bot_id": "B0AAAAAAA", "username": "Shop bot", "text": "Shipped"},
        **{"thread_ts": "1763626811.000300", "ts": "1763630000.000200"},
    }
    (record,) = parse.thread_reply(raw, context())
    assert record.parent_id == record.thread_id == "C012AB3CD:1763626811.000300"
    assert record.author is not None
    assert (record.author.id, record.author.name, record.direction) == ("B0AAAAAAA", "Shop bot", "in")
    assert not [*parse.thread_reply({"ts": "1.0", "thread_ts": "1.0"}, context())]


def hook(timestamp: str, body: str, signature: str, *, late: float = 0) -> Hook:
    headers = {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}
    return Hook("POST", headers, {}, body.encode(), float(timestamp) + late, {"signing_secret": SECRET})


CHALLENGE = (
    '{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",'
    '"type":"url_verification"}'
)
SIGNED = "v0=6d340dba8fc37d0865e49b2404cba9e2138483e46e08609dbb19002d930dfe10"


def test_signatures_as_documented() -> None:
    assert verify(hook("1764000000", CHALLENGE, SIGNED))
    assert not verify(hook("1764000000", CHALLENGE + " ", SIGNED))
    assert not verify(hook("1764000000", CHALLENGE, SIGNED, late=301))
    answer = handshake(hook("1764000000", CHALLENGE, SIGNED))
    assert answer is not None
    assert answer.body.startswith("3eZbrw1a")


def test_events_name_what_to_pull() -> None:
    body = (
        '{"type":"event_callback","event_id":"Ev1","team_id":"T2","authorizations":[{"team_id":"T1"}],'
        '"event":{"type":"message","ts":"2.0","thread_ts":"1.0","channel":"C1"}}'
    )
    (event,) = events(hook("1764000000", body, ""))
    assert (event.account, event.key, event.dirty) == ("T1", "Ev1", ("comments",))
    (gone,) = events(hook("1764000000", body.replace("message", "app_uninstalled"), ""))
    assert gone.revoked
