"""How each platform is answered: the call that is made, and what its answer becomes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, get
from connectors.http.streams import HttpConnector
from connectors.registry import PLATFORMS
from sync.base.errors import Permanent

API: Any = SimpleNamespace(facts={"user_id": "77", "business_id": "biz"})


def replies(platform: str) -> Replies:
    connector = PLATFORMS[platform]
    assert isinstance(connector, HttpConnector) and connector.replies is not None
    return connector.replies


def outgoing(target: str, thread: str, *, kind: Any = "comment", text: str = "Hello", **more: Any) -> Outgoing:
    return Outgoing(kind=kind, text=text, token="0123456789abcdef" * 2, target_id=target, thread_id=thread, **more)


async def asked(platform: str, what: Outgoing) -> Request:
    return await replies(platform).request(API, what)


def answered(platform: str, what: Outgoing, body: Any, **headers: str) -> Sent:
    return replies(platform).sent(Reply(get("/"), 200, headers, msgspec.json.encode(body)), what)


async def test_slack_answers_in_the_thread_and_escapes_what_its_markup_would_read() -> None:
    what = outgoing("C1:17.000200", "C1:17.000100", text="a < b & c", place="C1")
    request = await asked("slack", what)
    assert request.form == {"channel": "C1", "thread_ts": "17.000100", "text": "a &lt; b &amp; c"}
    made = answered("slack", what, {"ok": True, "channel": "C1", "ts": "18.000300"})
    assert (made.kind, made.vendor_id) == ("comment", "C1:18.000300")


@pytest.mark.parametrize(
    ("target", "thread", "more"),
    [
        ("5:9", "5", {}),
        ("-100:9", "-100:7", {"message_thread_id": 7}),
        ("bc:5:9", "bc:5", {"business_connection_id": "bc"}),
    ],
)
async def test_telegram_answers_in_chat_topic_and_business_chat(target: str, thread: str, more: dict[str, Any]) -> None:
    request = await asked("telegram", outgoing(target, thread, kind="message"))
    chat = -100 if "-100" in target else 5
    reply = {"message_id": 9, "allow_sending_without_reply": True}
    assert request.json == {"chat_id": chat, "text": "Hello", "reply_parameters": reply, **more}
    result = {"message_id": 10, "chat": {"id": chat}, "date": 1_700_000_000, **more}
    made = answered("telegram", outgoing(target, thread, kind="message"), {"ok": True, "result": result})
    assert made.vendor_id == f"{target.rpartition(':')[0]}:10"


async def test_discord_pings_nobody_and_carries_a_nonce() -> None:
    request = await asked("discord", outgoing("11:22", "11:20"))
    assert request.path.endswith("/channels/11/messages") and request.json["allowed_mentions"] == {"parse": []}
    assert request.json["enforce_nonce"] and len(request.json["nonce"]) == 25


async def test_reddit_answers_comments_messages_and_modmail() -> None:
    comment, talk = outgoing("t1_a", "t3_p"), outgoing("m:1", "modmail:m", kind="message")
    assert (await asked("reddit", comment)).form == {"api_type": "json", "thing_id": "t1_a", "text": "Hello"}
    assert (await asked("reddit", talk)).path == "/api/mod/conversations/m"
    made = {"json": {"errors": [], "data": {"things": [{"data": {"name": "t1_b", "created_utc": 1_700_000_000}}]}}}
    assert answered("reddit", comment, made).vendor_id == "t1_b"
    assert answered("reddit", talk, {"conversation": {}}).vendor_id is None


async def test_twitch_answers_in_chat_and_tells_what_was_dropped() -> None:
    what = outgoing("m1", "m1", kind="message", place="77")
    assert (await asked("twitch", what)).json["reply_parent_message_id"] == "m1"
    assert answered("twitch", what, {"data": [{"message_id": "m2", "is_sent": True}]}) == Sent("message", "m2")
    dropped = {"data": [{"message_id": "", "is_sent": False, "drop_reason": {"code": "x", "message": "Slow mode."}}]}
    with pytest.raises(Permanent, match="Slow mode"):
        answered("twitch", what, dropped)
    assert "phone number" in str(replies("twitch").refuses(outgoing("w", "whisper:1", place="whispers")))


async def test_x_answers_posts_and_conversations() -> None:
    post, talk = outgoing("12", "10"), outgoing("e1", "1-2", kind="message")
    assert (await asked("twitter", post)).json == {"text": "Hello", "reply": {"in_reply_to_tweet_id": "12"}}
    assert (await asked("twitter", talk)).path == "/2/dm_conversations/1-2/messages"
    assert replies("twitter").refuses(outgoing("1", "1", text="a" * 280)) is None
    assert replies("twitter").refuses(outgoing("1", "1", text="a" * 281)) is not None


@pytest.mark.parametrize("parent", ["urn:li:activity:1", "urn:li:comment:(urn:li:activity:1,4)"])
async def test_linkedin_answers_below_the_first_comment(parent: str) -> None:
    target = "urn:li:comment:(urn:li:activity:1,5)"
    what = outgoing(target, "urn:li:share:9", parent_id=parent, place="urn:li:organization:3")
    top = parent if "comment" in parent else target
    request = await asked("linkedin", what)
    assert request.json["parentComment"] == top and request.json["object"] == "urn:li:activity:1"
    assert ":" not in request.path and request.path.endswith("/comments")
    made = answered("linkedin", what, {"id": "6"}, **{"x-restli-id": "6"})
    assert made.vendor_id == "urn:li:comment:(urn:li:activity:1,6)"


async def test_tiktok_answers_comments_and_messages_and_no_ads() -> None:
    nested = outgoing("c2", "v1", parent_id="c1")
    assert (await asked("tiktok", nested)).json["comment_id"] == "c1"
    assert (await asked("tiktok", outgoing("c1", "v1", parent_id="v1"))).json["comment_id"] == "c1"
    talk = outgoing("m", "t", kind="message")
    assert (await asked("tiktok", talk)).json["recipient"] == "t"
    assert answered("tiktok", talk, {"code": 0, "data": {"message": {"message_id": "m2"}}}).vendor_id == "m2"
    assert replies("tiktok").refuses(outgoing("c", "v", data={"ad": "1"})) is not None
    assert replies("tiktok").refuses(outgoing("c", "v", text="x" * 151)) is not None


def test_who_can_be_answered() -> None:
    able = {name for name, connector in PLATFORMS.items() if getattr(connector, "replies", None) is not None}
    assert able == {
        *("discord", "facebook", "linkedin", "reddit", "slack", "telegram", "tiktok", "twitch", "twitter"),
    }
