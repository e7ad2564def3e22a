"""Discord: its verdict table, its records, its signatures, how it walks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.discord import parse
from connectors.discord.connector import DISCORD
from connectors.discord.webhook import events, handshake, verify
from connectors.http import Context, Hook, Partition
from connectors.http.budgets import LocalBudgets
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from connectors.records import ActivityRecord, MetricRecord
from sync.base.errors import RateLimited
from tests.fakes.vendor import NOW, Script, Shelf, collect

EXAMPLES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "simulator" / "examples" / "discord.json").read_text("utf-8")
)
GUILD, CHANNEL = "290926798626357999", "290926798999357250"
FACTS = {"bot_id": "53908099506183680", "private_threads": False, "asked_at": int(NOW.timestamp())}


def context(key: str = CHANNEL, **details: Any) -> Context:
    return Context(Account("acme", GUILD, {}, Credentials({})), FACTS, NOW, Partition(key, details))


def verdict(
    status: int, body: Any, headers: dict[str, str] | None = None, endpoint: str = "messages"
) -> tuple[str, float | None, str]:
    answer = httpx.Response(
        status, headers=headers, **({"json": body} if not isinstance(body, str) else {"text": body})
    )
    reply = Reply(Request("GET", "/x", endpoint=endpoint), status, answer.headers, answer.content)
    found = judge(reply, DISCORD.problem, DISCORD.verdicts)
    return found.verdict.value, found.after_s, found.budget


def coded(status: int, code: int, endpoint: str = "messages") -> str:
    return verdict(status, {"message": "x", "code": code}, endpoint=endpoint)[0]


@pytest.mark.parametrize(
    ("status", "code", "endpoint", "expected"),
    [
        *[(400, code, "messages", "throttled") for code in (40062, 20028, 20029, 20016, 40003)],
        *[(status, 0, "messages", "retry") for status in (500, 502, 503, 504)],
        *[(503, 130000, "messages", "retry"), (403, 40006, "messages", "retry")],
        *[(202, code, "search", "retry") for code in (110000, 110001)],
        (401, 0, "messages", "auth_dead"),
        *[(status, code, "me", "auth_dead") for status, code in ((401, 40001), (401, 50014), (403, 50025))],
        *[(400, 40012, "me", "auth_dead"), (403, 50001, "guild", "auth_dead"), (404, 10004, "guild", "auth_dead")],
        (403, 40007, "guild", "auth_dead"),
        *[(403, code, "messages", "gone") for code in (50001, 50013)],
        *[(403, code, "search", "scope_missing") for code in (50001, 50013, 50026, 40002, 20001, 20002)],
        *[(403, 40333, "me", "config"), (400, 50041, "me", "config")],
        (403, 50004, "widget", "gone"),
        *[(404, code, "messages", "gone") for code in (10003, 10008, 10007, 10013, 10014, 10062)],
        (400, 50024, "messages", "gone"),
        *[(400, code, "messages", "bug") for code in (50035, 50083, 50085, 30001, 160005, 0)],
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, code: int, endpoint: str, expected: str) -> None:
    assert coded(status, code, endpoint) == expected


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("missing_access", 403, "gone"),
        ("invalid_form", 400, "bug"),
        ("unauthorized", 401, "auth_dead"),
        ("not_indexed", 202, "retry"),
    ],
)
def test_error_envelopes_of_the_documentation(name: str, status: int, expected: str) -> None:
    assert verdict(status, EXAMPLES[name])[0] == expected


def test_limits_tell_their_scope_and_seconds_with_a_fraction() -> None:
    user, everywhere = {"x-ratelimit-scope": "user"}, {"x-ratelimit-scope": "global", "x-ratelimit-global": "true"}
    assert verdict(429, EXAMPLES["limited"], {**user, "retry-after": "65"}) == ("throttled", 64.57, "route")
    assert verdict(429, EXAMPLES["limited"], everywhere) == ("throttled", 64.57, "global")
    shared = {"message": "The resource is being rate limited.", "retry_after": 1336.57, "global": False}
    assert verdict(429, shared, {"x-ratelimit-scope": "shared"}) == ("throttled", 1336.57, "route")
    assert verdict(429, "<html>", {"retry-after": "900"}) == ("throttled", 900.0, "global")
    assert verdict(429, "<html>") == ("throttled", 600.0, "global")
    assert verdict(502, "<html>Bad Gateway") == ("retry", None, "")


def test_a_reply_of_the_documentation() -> None:
    record, mention = parse.message(EXAMPLES["messages"][0], context())
    assert record.vendor_id == f"{CHANNEL}:334385207017553920"
    assert record.parent_id == record.thread_id == f"{CHANNEL}:334385199974967042"
    assert record.text == "<@53908099506183680> thanks! 🔥"
    assert record.occurred_at == datetime(2017, 7, 11, 17, 27, 8, 978000, tzinfo=UTC)
    assert record.edited_at == datetime(2017, 7, 11, 17, 30, 0, 100000, tzinfo=UTC)
    assert record.version == 1_499_794_200_100_000
    assert record.author is not None and (record.author.id, record.author.name) == ("82198898841029460", "Test")
    assert [(file.kind, file.id, file.name, file.size) for file in record.attachments] == [
        ("image", "334385207017553921", "cat.png", 20312)
    ]
    assert record.permalink == f"https://discord.com/channels/{GUILD}/{CHANNEL}/334385207017553920"
    assert (mention.kind, mention.vendor_id, mention.counters) == ("mention", record.vendor_id, None)


def test_reactions_are_counted_and_a_lost_original_is_told() -> None:
    (record,) = parse.message(EXAMPLES["messages"][1], context())
    assert (record.counters, record.direction, record.parent_id) == ({"reactions": 1}, "out", None)
    answered = {**EXAMPLES["messages"][0], "referenced_message": None}
    assert next(parse.message(answered, context())).data == {"reply_to_deleted": True}


def test_system_messages_are_nobodys_words_and_forwards_are_read() -> None:
    plain = EXAMPLES["messages"][1]
    for kind in (6, 7, 8, 18, 21, 46):
        assert not [*parse.message({**plain, "type": kind}, context())]
    forward = {**plain, "content": "", "message_snapshots": [{"message": {"content": "the news", "attachments": []}}]}
    assert next(parse.message(forward, context())).text == "the news"
    crosspost = next(parse.message({**plain, "flags": 2, "webhook_id": "9"}, context()))
    assert crosspost.data == {"copied": True, "webhook_id": "9"}


THREAD = {"id": "1050000000000000001", "name": "don't buy dota-2", "parent_id": "1040000000000000000"}


def test_a_forum_thread_is_a_post_with_comments() -> None:
    first = {**EXAMPLES["messages"][1], "id": THREAD["id"], "channel_id": THREAD["id"]}
    ctx = context(THREAD["id"], thread={**THREAD, "forum": True})
    post = parse.forum_post(first, ctx)
    assert (post.kind, post.title, post.place, post.parent_id) == (
        "post",
        "don't buy dota-2",
        THREAD["parent_id"],
        None,
    )
    assert not [*parse.comment(first, ctx)]
    (reply,) = parse.comment({**first, "id": "1050000000000000009"}, ctx)
    assert reply.parent_id == reply.thread_id == post.vendor_id == post.thread_id


def test_a_thread_of_a_text_channel_hangs_on_its_message() -> None:
    ctx = context(THREAD["id"], thread={**THREAD, "forum": False})
    said = {**EXAMPLES["messages"][1], "id": "1050000000000000009", "channel_id": THREAD["id"]}
    (reply,) = parse.comment(said, ctx)
    root = f"{THREAD['parent_id']}:{THREAD['id']}"
    assert (reply.parent_id, reply.thread_id, reply.place) == (root, root, THREAD["parent_id"])


def test_polls_and_reactions_become_points() -> None:
    poll = {
        "question": {"text": "Tea?"},
        "answers": [{"answer_id": 1, "poll_media": {"text": "Yes"}}],
        "results": {"is_finalized": False, "answer_counts": [{"id": 1, "count": 4, "me_voted": False}]},
    }
    item = {**EXAMPLES["messages"][1], "poll": poll}
    ctx = context(kind="message")
    found = [*parse.recent(item, ctx)]
    points = [(p.metric, p.value, p.dimensions) for p in found if isinstance(p, MetricRecord)]
    assert points == [("reactions", 1, {"emoji": "🔥"}), ("votes", 4, {"answer": "Yes"})]
    (record,) = [r for r in found if isinstance(r, ActivityRecord)]
    assert record.data == {"poll": "Tea?"} and record.counters == {"reactions": 1, "votes": 4}


def _gone(page: list[int], known: list[int], size: int = 100) -> list[str]:
    ctx = context(kind="message", known=dict.fromkeys(known, "message"))
    ctx.body, ctx.size = [{"id": str(n)} for n in page], size
    return [record.vendor_id.partition(":")[2] for record in parse.missing(ctx) if record.kind == "message"]


def test_what_a_page_lacks_within_its_range_is_gone() -> None:
    assert _gone([9, 8, 6], [9, 8, 7, 6, 5]) == ["7", "5"]
    assert _gone([9, 8, 6], [9, 8, 7, 6, 5], size=3) == ["7"]  # 5 may be on the next page
    assert _gone([], [1, 2, 3]) == []  # a permission that was lost
    assert _gone([99], list(range(1, 30))) == []  # too much to believe


def test_members_guild_and_events_of_the_documentation() -> None:
    who = parse.member(EXAMPLES["members"][0], context(GUILD))
    assert who.vendor_id == "53908099506183680" and who.title == "NOT API SUPPORT"
    assert who.occurred_at == datetime(2015, 4, 26, 6, 26, 56, 936000, tzinfo=UTC)
    server = parse.guild(EXAMPLES["guild"], context(GUILD))
    assert (server.title, server.counters) == ("Test Server", {"members": 341})
    assert [(p.metric, p.value) for p in parse.guild_figures(EXAMPLES["guild"], context(GUILD))] == [
        ("members", 341),
        ("online", 57),
    ]
    now = parse.presence(EXAMPLES["guild"], context(GUILD))
    assert (now.data, now.counters) == ({"present": True}, {"online": 57, "members": 341})
    assert [(p.metric, p.value) for p in parse.thread_figures(EXAMPLES["active_threads"]["threads"][0], context())] == [
        ("message_count", 1),
        ("member_count", 3),
        ("total_message_sent", 2),
    ]
    event = parse.event_figures({"id": "1", "user_count": 7}, context(GUILD))
    assert event is not None and event.value == 7
    assert parse.event_figures({"id": "1"}, context(GUILD)) is None


def test_ids_and_instants() -> None:
    at = datetime(2026, 11, 20, 9, 12, 11, tzinfo=UTC)
    assert parse.floor(at) + 1 == (int(at.timestamp() * 1000) - 1_420_070_400_000) << 22
    assert parse.floor(at) < parse.floor(at + timedelta(milliseconds=1))


# --- walks


def owner(script: Script, **facts: Any) -> Account:
    return Account(
        "acme",
        GUILD,
        {},
        Credentials({}),
        installation=Installation("app", secrets={"bot_token": "b0t"}),
        budgets=LocalBudgets(lambda: script.time.timestamp()),
        facts={**FACTS, "asked_at": int(script.time.timestamp()), **facts},
    )


def said(number: int) -> dict[str, Any]:
    return {**EXAMPLES["messages"][1], "id": str(number), "channel_id": "7", "reactions": []}


async def test_history_is_walked_forward_by_the_highest_id() -> None:
    base = parse.floor(NOW - timedelta(days=1)) + 1
    script, shelf = Script(), Shelf()
    channel = {"id": "7", "type": 0, "last_message_id": str(base + 120)}
    script.answers = [
        [channel, {"id": "8", "type": 4}],
        [said(base + n) for n in range(100, 0, -1)],
        [said(base + n) for n in range(120, 100, -1)],
        [channel],
        [{**channel, "last_message_id": str(base + 121)}],
        [said(base + 121)],
    ]
    found = await collect(DISCORD, "messages", script, shelf, owner=owner(script), run=1)
    assert len(found) == 120
    after = [params.get("after") for params in script.params]
    assert after == [None, str(parse.floor(NOW - timedelta(days=90))), str(base + 100)]
    assert script.requests[0].headers["authorization"] == "Bot b0t"
    assert script.requests[0].headers["user-agent"].startswith("DiscordBot (https://")
    assert await collect(DISCORD, "messages", script, shelf, owner=owner(script), run=2) == []
    (newest,) = await collect(DISCORD, "messages", script, shelf, owner=owner(script), run=3)
    assert newest.vendor_id == f"7:{base + 121}" and script.params[-1]["after"] == str(base + 120)


async def test_a_used_up_bucket_is_waited_for_and_a_long_one_parks() -> None:
    script = Script()
    used_up = {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.5"}
    channel = {"id": "7", "type": 0, "last_message_id": "1"}
    base = parse.floor(NOW - timedelta(days=1)) + 1
    script.answers = [
        [channel],
        httpx.Response(200, json=[said(base + n) for n in range(100, 0, -1)], headers=used_up),
        httpx.Response(429, json=EXAMPLES["limited"], headers={"x-ratelimit-scope": "user"}),
    ]
    with pytest.raises(RateLimited) as parked:
        await collect(DISCORD, "messages", script, owner=owner(script), run=1)
    assert script.slept == [1.5]
    assert parked.value.retry_after_s == 64.57


async def test_private_archives_are_asked_for_only_with_the_permission() -> None:
    script = Script()
    script.handler = lambda request: (
        [{"id": "7", "type": 0}] if request.url.path.endswith("/channels") else {"threads": [], "has_more": False}
    )
    await collect(DISCORD, "comments", script, owner=owner(script))
    assert not [r for r in script.requests if r.url.path.endswith("/private")]
    await collect(DISCORD, "comments", script, owner=owner(script, private_threads=True))
    assert len([r for r in script.requests if r.url.path.endswith("/private")]) == 1


async def test_a_search_whose_index_is_not_ready_is_asked_again() -> None:
    number = str(parse.floor(NOW - timedelta(days=1)))
    found = {**EXAMPLES["search"], "messages": [[{**EXAMPLES["search"]["messages"][0][0], "id": number}]]}
    script = Script(httpx.Response(202, json=EXAMPLES["not_indexed"]), found, {"messages": [], "total_results": 0})
    (hit,) = await collect(DISCORD, "mentions", script, owner=owner(script))
    assert (hit.kind, hit.vendor_id) == ("mention", f"{CHANNEL}:{number}")
    assert script.slept == [2.0]
    assert script.params[-1]["max_id"] == number  # a page that is not full is not the end


# --- webhooks

KEY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
PING = '{"version":1,"application_id":"1234560123453231555","type":0}'
PING_SIGNED = (
    "9dc11955f3be524c72e1db44731aef9039f471355e1e22818ebd3aa29c310d42"
    "2f8aa034e3237bf5bf5377783f92855859327347d03e46bf93f349ebcbbe0604"
)
DEAUTHORIZED = (
    '{"version":1,"application_id":"1234560123453231555","type":1,"event":{"type":"APPLICATION_DEAUTHORIZED",'
    '"timestamp":"2026-11-20T08:19:01.064834","data":{"user":{"id":"80351110224678912","username":"nelly",'
    '"discriminator":"0","global_name":"Nelly","avatar":null}}}}'
)
DEAUTHORIZED_SIGNED = (
    "5f9c80bd1a75c9d6cbaf3baea871e2e0a3318c7afdd3b1f3d1351a464bbfba5e"
    "a4a32eeb71f8e0b787eb48d6db491e51ffe0b16c6c15ba6cb55f1040f522b802"
)


def hook(body: str, signature: str = "", *, late: float = 0, key: str = KEY) -> Hook:
    headers = {"x-signature-ed25519": signature, "x-signature-timestamp": "1764000000"}
    return Hook("POST", headers, {}, body.encode(), 1_764_000_000 + late, {"public_key": key})


def test_signatures_as_documented() -> None:
    assert verify(hook(PING, PING_SIGNED))
    assert verify(hook(DEAUTHORIZED, DEAUTHORIZED_SIGNED))
    assert not verify(hook(PING + " ", PING_SIGNED))
    assert not verify(hook(PING, PING_SIGNED, late=301))
    assert not verify(hook(PING, "00" * 64))
    assert not verify(hook(PING, "zz"))
    assert not verify(hook(PING, PING_SIGNED, key=""))


def test_both_kinds_of_ping_have_their_answer() -> None:
    answer = handshake(hook(PING))
    assert answer is not None and (answer.status, answer.body, bool(answer.content_type)) == (204, "", True)
    answer = handshake(hook('{"type":1}'))
    assert answer is not None and (answer.status, answer.body) == (200, '{"type":1}')
    assert handshake(hook(DEAUTHORIZED)) is None
    assert handshake(hook("nonsense")) is None


def test_events_name_the_server_they_are_about() -> None:
    assert [*events(hook(DEAUTHORIZED))] == []  # a person left the app; our bot stays
    added = {
        "type": 1,
        "event": {"type": "APPLICATION_AUTHORIZED", "data": {"integration_type": 0, "guild": {"id": GUILD}}},
    }
    (event,) = events(hook(json.dumps(added)))
    assert (event.account, event.dirty) == (GUILD, ("profile",))
    (command,) = events(hook(json.dumps(EXAMPLES["interaction"])))
    assert (command.account, command.key, command.dirty) == ("290926798626357999", "786008729715212338", ("messages",))
