"""Telegram: its verdict table, its records, its webhook's secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials
from connectors.http import Context, Hook, Partition
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from connectors.records import ActivityRecord, MetricRecord
from connectors.telegram import parse
from connectors.telegram.connector import TELEGRAM
from connectors.telegram.webhook import events, secret_of, verify
from sync.base.errors import IntegrationRevoked
from tests.fakes.vendor import NOW, Script, Shelf, account, collect

EXAMPLES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "simulator" / "examples" / "telegram.json").read_text("utf-8")
)
BOT, NAME = "123456789", "shop_bot"
CHANNEL, GROUP = "-1001234567890", "-1009876543210"


def context(key: str = "", **facts: Any) -> Context:
    known = {"user_id": int(BOT), "username": NAME, **facts}
    return Context(Account("acme", BOT, {}, Credentials({})), known, NOW, Partition(key))


def read(name: str) -> list[Any]:
    return [*parse.update(EXAMPLES[name], context())]


def verdict(status: int, body: Any, headers: dict[str, str] | None = None) -> tuple[str, float | None]:
    answer = httpx.Response(status, headers=headers, **({"json": body} if isinstance(body, dict) else {"text": body}))
    reply = Reply(Request("GET", "/getUpdates"), status, answer.headers, answer.content)
    found = judge(reply, TELEGRAM.problem, TELEGRAM.verdicts)
    return found.verdict.value, found.after_s


def said(status: int, description: str, **parameters: Any) -> str:
    body = {"ok": False, "error_code": status, "description": description}
    return verdict(status, body | ({"parameters": parameters} if parameters else {}))[0]


CHATS = ("group chat", "supergroup chat", "channel chat")


@pytest.mark.parametrize(
    ("status", "description", "expected"),
    [
        (500, "Internal Server Error: restart", "retry"),
        (
            409,
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            "retry",
        ),
        (
            409,
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it first",
            "config",
        ),
        (409, "Conflict: terminated by setWebhook request", "retry"),
        (401, "Unauthorized", "auth_dead"),
        (401, "Unauthorized: invalid token specified", "auth_dead"),
        (404, "Not Found", "auth_dead"),
        (404, "Not Found: method not found", "bug"),
        (421, "Misdirected Request: unallowed token specified", "config"),
        (400, "Logged out", "auth_dead"),
        *[(403, f"Forbidden: bot was kicked from the {kind}", "gone") for kind in CHATS],
        *[(403, f"Forbidden: bot is not a member of the {kind}", "gone") for kind in CHATS],
        (403, "Forbidden: the group chat was deleted", "gone"),
        (403, "Forbidden: bot was blocked by the user", "gone"),
        (403, "Forbidden: user is deactivated", "gone"),
        (403, "Forbidden: bot can't initiate conversation with a user", "gone"),
        (400, "Bad Request: need administrator rights in the channel chat", "gone"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "gone"),
        (400, "Bad Request: CHAT_ADMIN_REQUIRED", "gone"),
        (400, "Bad Request: have no rights to send a message", "gone"),
        (400, "Bad Request: group chat was upgraded to a supergroup chat", "gone"),
        (400, "Bad Request: chat not found", "gone"),
        (400, "Bad Request: message to be replied not found", "bug"),
        (400, "Bad Request: message thread not found", "bug"),
        (400, "Bad Request: file is too big", "bug"),
        (400, "Bad Request: secret token contains unallowed characters", "bug"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, description: str, expected: str) -> None:
    assert said(status, description) == expected


def test_limits_and_outages() -> None:
    assert verdict(429, EXAMPLES["limited"], {"retry-after": "35"}) == ("throttled", 35.0)
    assert verdict(502, "<html>")[0] == "retry"
    assert verdict(200, "<html>")[0] == "retry"
    assert verdict(403, EXAMPLES["kicked"])[0] == "gone"
    assert verdict(400, EXAMPLES["upgraded"])[0] == "gone"


def test_a_post_of_the_documentation() -> None:
    (record,) = read("channel_post")
    assert (record.kind, record.vendor_id, record.place) == ("post", f"{CHANNEL}:512", CHANNEL)
    assert record.text == "Spring drop 🌷 https://example.com"
    assert record.occurred_at == datetime(2025, 11, 20, 8, 20, 11, tzinfo=UTC)
    assert record.author is not None and (record.author.id, record.author.name) == (CHANNEL, "Ada")
    assert record.permalink == "https://t.me/shopnews/512"
    assert (record.direction, record.version) == ("out", 0)


def test_comments_answer_the_post_in_the_thread_of_its_copy() -> None:
    (post,) = read("channel_post")
    assert read("automatic_forward") == []
    (comment,) = read("comment")
    assert (comment.kind, comment.thread_id, comment.text) == ("comment", f"{GROUP}:9001", "Where can I buy it? 😍")
    assert comment.parent_id == f"{GROUP}:9001"  # the example leaves the origin out
    whole = json.loads(json.dumps(EXAMPLES["comment"]))
    origin = EXAMPLES["automatic_forward"]["message"]["forward_origin"]
    whole["message"]["reply_to_message"]["forward_origin"] = origin
    (comment,) = parse.update(whole, context())
    assert comment.parent_id == post.vendor_id
    assert comment.permalink == "https://t.me/c/9876543210/9002"


def test_direct_messages_photos_and_captions() -> None:
    (record,) = parse.update(EXAMPLES["updates"]["result"][1], context())
    assert (record.kind, record.thread_id, record.text) == ("message", "5123456789", "/order 1042")
    assert record.author is not None and (record.author.name, record.author.handle) == ("Ben", "ben_k")
    assert [(file.kind, file.id, file.size) for file in record.attachments] == [("image", "AgACAgIAAxkBAAJ", 98765)]
    assert record.permalink is None


def test_reactions_are_totals_or_what_one_person_thinks() -> None:
    points = read("reaction_count")
    assert [(p.value, p.dimensions) for p in points if isinstance(p, MetricRecord)] == [
        (17, None),
        (14, {"reaction": "❤"}),
        (2, {"reaction": "5368324170671202286"}),
        (1, {"reaction": "paid"}),
    ]
    assert points[0].entity == f"{CHANNEL}:512"
    (one,) = read("reaction")
    assert (one.vendor_id, one.text, one.deleted) == (f"{GROUP}:9002:5123456789", "👍", False)
    back = json.loads(json.dumps(EXAMPLES["reaction"]))
    back["message_reaction"]["new_reaction"] = []
    (one,) = parse.update(back, context())
    assert one.deleted and one.parent_id == f"{GROUP}:9002"


def test_membership_deletions_and_polls() -> None:
    (left,) = read("my_chat_member")
    assert (left.kind, left.vendor_id, left.deleted) == ("profile", CHANNEL, True)
    gone = read("deleted")
    assert {(r.kind, r.vendor_id) for r in gone} == {
        (kind, f"bc1:5123456789:{n}") for kind in ("message", "mention") for n in (31, 32)
    }
    assert all(isinstance(r, ActivityRecord) and r.deleted and r.text is None for r in gone)
    options = [{"text": "Yes", "voter_count": 3}]
    (vote,) = parse.update({"update_id": 1, "poll": {"id": "p", "options": options, "is_closed": True}}, context())
    assert (vote.value, vote.dimensions, vote.is_final) == (3, {"option": "Yes"}, True)


def _message(text: str, **more: Any) -> dict[str, Any]:
    chat = {"id": int(GROUP), "type": "supergroup", "title": "Shop"}
    who = {"id": 5, "is_bot": False, "first_name": "Ben"}
    return {"update_id": 1, "message": {"message_id": 3, "date": 1, "chat": chat, "from": who, "text": text, **more}}


def test_mentions_by_name_by_id_and_by_answer() -> None:
    def kinds(update: Any) -> list[str]:
        return [record.kind for record in parse.update(update, context())]

    mark = {"type": "mention", "offset": 3, "length": 9}
    assert kinds(_message("🌷 @shop_bot, hello", entities=[mark])) == ["message", "mention"]
    assert kinds(_message("🌷 @shop_bots hello", entities=[{**mark, "length": 10}])) == ["message"]
    assert kinds(
        _message("Bot!", entities=[{"type": "text_mention", "offset": 0, "length": 3, "user": {"id": 123456789}}])
    ) == [
        *("message", "mention"),
    ]
    assert kinds(_message("yes", reply_to_message={"message_id": 2, "from": {"id": 123456789}})) == [
        "message",
        "mention",
    ]
    assert kinds(_message("hi", **{"from": {"id": 123456789, "is_bot": True, "first_name": "S"}})) == ["message"]


def test_service_messages_topics_and_edits() -> None:
    joined = _message("")
    del joined["message"]["text"]
    joined["message"]["new_chat_members"] = []
    assert [*parse.update(joined, context())] == []
    (topic,) = parse.update(_message("x", message_thread_id=7, is_topic_message=True), context())
    assert (topic.kind, topic.thread_id, topic.data) == ("message", f"{GROUP}:7", {"chat": "Shop", "topic": 7})
    changed = _message("better", edit_date=1_763_626_900)
    changed["edited_message"] = changed.pop("message")
    (edited,) = parse.update(changed, context())
    assert (edited.version, edited.edited_at) == (1_763_626_900_000, datetime(2025, 11, 20, 8, 21, 40, tzinfo=UTC))


def test_what_the_owner_of_a_business_account_writes_is_an_echo() -> None:
    chat = {"id": 42, "type": "private", "first_name": "Ben"}
    item = {"message_id": 3, "date": 1, "chat": chat, "text": "hi", "business_connection_id": "bc1"}
    theirs = {**item, "from": {"id": 42, "first_name": "Ben"}}
    ours = {**item, "from": {"id": 99, "first_name": "Owner"}}
    directions = [next(parse.update({"update_id": 1, "business_message": m}, context())) for m in (theirs, ours)]
    assert [(r.direction, r.vendor_id, r.thread_id) for r in directions] == [
        ("in", "bc1:42:3", "bc1:42"),
        ("echo", "bc1:42:3", "bc1:42"),
    ]


def test_an_album_is_one_post() -> None:
    chat = EXAMPLES["channel_post"]["channel_post"]["chat"]
    photos = EXAMPLES["updates"]["result"][1]["message"]["photo"]
    parts = [
        {
            "update_id": n,
            "channel_post": {"message_id": n, "chat": chat, "date": 1, "media_group_id": "9", "photo": photos},
        }
        for n in (1, 2, 4)
    ]
    parts[1]["channel_post"]["caption"] = "Three"
    other = {**EXAMPLES["channel_post"], "update_id": 3}
    found = parse.albums([parts[0], parts[1], other, parts[2]])
    assert [one["update_id"] for one in found] == [3, 4]
    (record,) = parse.update(found[1], context())
    assert (record.vendor_id, record.text, len(record.attachments)) == (f"{CHANNEL}:1", "Three", 3)


def test_chats_and_the_bot_itself() -> None:
    chat = parse.chat(EXAMPLES["chat"]["result"], context(CHANNEL))
    assert (chat.vendor_id, chat.title, chat.data) == (CHANNEL, "Shop news", {"what": "channel", "linked": GROUP})
    me = parse.bot_profile(EXAMPLES["me"]["result"], context())
    assert (me.vendor_id, me.data) == (BOT, {"what": "bot", "sees_all_messages": False})
    count = parse.members(60814, context(CHANNEL))
    assert (count.entity, count.value) == (CHANNEL, 60814)


def test_marks_are_cut_in_utf16_units() -> None:
    post = EXAMPLES["channel_post"]["channel_post"]
    assert parse.part(post["text"], post["entities"][0]) == "https://example.com"


# --- the queue


async def test_reading_confirms_what_is_stored_and_ends_at_an_empty_page() -> None:
    updates = EXAMPLES["updates"]["result"]
    script, shelf = Script(EXAMPLES["me"], {"ok": True, "result": updates}, {"ok": True, "result": []}), Shelf()
    found = await collect(TELEGRAM, "messages", script, shelf)
    assert [record.kind for record in found] == ["post", "message"]
    asked = script.params
    assert "offset" not in asked[1] and asked[2]["offset"] == "874512303"
    assert json.loads(asked[1]["allowed_updates"]) == list(parse.UPDATES)
    assert [request.url.path for request in script.requests] == [
        *("/bott0k3n/getMe", "/bott0k3n/getUpdates", "/bott0k3n/getUpdates"),
    ]
    script.answers = [EXAMPLES["me"], {"ok": True, "result": []}]
    assert await collect(TELEGRAM, "messages", script, shelf) == []
    assert script.params[-1]["offset"] == "874512303"


async def test_errors_do_not_tell_the_token() -> None:
    script = Script({"ok": False, "error_code": 401, "description": "Unauthorized"})
    script.answers = [httpx.Response(401, json=script.answers[0])]
    with pytest.raises(IntegrationRevoked) as refused:
        await collect(TELEGRAM, "messages", script, owner=account(script))
    assert "t0k3n" not in str(refused.value) and "t0k3n" not in str(refused.value.fields)


# --- webhook


def hook(body: Any, secret: str, *, at: str = BOT) -> Hook:
    headers = {"x-telegram-bot-api-secret-token": secret}
    query = {"account": at, "username": NAME}
    return Hook("POST", headers, query, json.dumps(body).encode(), 0.0, {"webhook_secret": "ours"})


def test_each_bot_has_its_own_secret() -> None:
    right = secret_of("ours", BOT)
    assert 1 <= len(right) <= 256 and right.isalnum()
    assert verify(hook({}, right))
    assert not verify(hook({}, right, at="987"))
    assert not verify(hook({}, "ours"))
    assert not verify(Hook("POST", {}, {"account": BOT}, b"{}", 0.0, {}))


def test_a_webhook_brings_the_records_themselves() -> None:
    (event,) = events(hook(EXAMPLES["comment"], ""))
    assert (event.account, event.key) == (BOT, "874512303")
    assert [record.kind for record in event.records] == ["comment"]
    assert [*events(hook({"hello": 1}, ""))] == []
    (empty,) = events(hook({"update_id": 5, "something_new": {}}, ""))
    assert empty.records == ()
