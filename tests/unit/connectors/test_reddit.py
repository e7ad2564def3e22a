"""Reddit: its verdict table, its records, the ends of its trees."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http import CodeGrant, Context, Partition
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from connectors.records import ActivityRecord, MetricRecord
from connectors.reddit import parse
from connectors.reddit.answers import BUDGETS, wait_s
from connectors.reddit.connector import BASIC, REDDIT, TreePager, agent, exchange, refresh
from tests.fakes.vendor import NOW, Script, Shelf, collect


def reply(
    status: int, body: Any, headers: dict[str, str] | None = None, endpoint: str = "listing", **params: str
) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.Response(status, content=content, headers=headers)
    return Reply(Request("GET", "/x", params, endpoint=endpoint), status, answer.headers, answer.content)


PAGE = {"content-type": "text/html; charset=UTF-8"}
LOST = {"www-authenticate": 'Bearer realm="reddit", error="invalid_token"'}
NARROW = {"www-authenticate": 'Bearer realm="reddit", error="insufficient_scope"'}


def in_json(code: str, text: str = "x") -> dict[str, Any]:
    return {"json": {"errors": [[code, text, "field"]]}}


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (200, {"kind": "Listing", "data": {"children": []}}, None, "ok"),
        (200, [{}, {}], None, "ok"),
        (200, in_json("RATELIMIT"), None, "throttled"),
        (200, in_json("QUOTA_FILLED"), None, "throttled"),
        (200, in_json("USER_REQUIRED"), None, "refresh"),
        *[
            (200, in_json(code), None, "gone")
            for code in ("SUBREDDIT_NOEXIST", "SUBREDDIT_NOTALLOWED", "THREAD_LOCKED", "TOO_OLD", "DELETED_COMMENT")
        ],
        *[(200, in_json(code), None, "bug") for code in ("NO_TEXT", "TOO_LONG", "BAD_SR_NAME")],
        (429, b"<html>", PAGE, "throttled"),
        (429, {"message": "Too Many Requests", "error": 429}, None, "throttled"),
        (429, b"", None, "throttled"),
        *[(status, b"<html>", PAGE, "retry") for status in (500, 502, 503, 504, 520, 524)],
        (408, b"", None, "retry"),
        (200, b"<html>", PAGE, "retry"),
        (401, {"message": "Unauthorized", "error": 401}, LOST, "refresh"),
        (403, {"message": "Forbidden", "error": 403}, NARROW, "scope_missing"),
        (403, {"reason": "private", "message": "Forbidden", "error": 403}, None, "gone"),
        (403, {"message": "Forbidden", "error": 403}, None, "gone"),
        (403, b"<html>blocked due to a network policy", PAGE, "config"),
        (404, {"reason": "banned", "message": "Not Found", "error": 404}, None, "gone"),
        (302, b"", {"location": "/subreddits/search?q=x"}, "gone"),
        (451, {"message": "Unavailable", "error": 451}, None, "gone"),
        (400, {"fields": ["note"], "explanation": "gold", "message": "Bad", "reason": "GOLD_REQUIRED"}, None, "bug"),
        *[(status, {"message": "x", "error": status}, None, "bug") for status in (400, 409, 413, 414, 415)],
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(
    status: int, body: Any, headers: dict[str, str] | None, expected: str
) -> None:
    assert judge(reply(status, body, headers), REDDIT.problem, REDDIT.verdicts).verdict.value == expected


def test_a_suspended_account_is_dead() -> None:
    me = {"name": "my_brand", "id": "x", "is_suspended": True}
    for endpoint, expected in (("me", "auth_dead"), ("listing", "ok")):
        assert judge(reply(200, me, endpoint=endpoint), REDDIT.problem, REDDIT.verdicts).verdict.value == expected


def test_a_later_page_that_is_refused_starts_anew() -> None:
    refused = reply(400, {"message": "Bad Request", "error": 400}, after="t3_x")
    assert judge(refused, REDDIT.problem, REDDIT.verdicts).verdict.value == "reset_cursor"


def test_how_long_limits_last() -> None:
    assert wait_s(reply(429, b"", {"retry-after": "4", "x-ratelimit-reset": "100"})) == 4
    assert wait_s(reply(429, b"", {"x-ratelimit-reset": "100"})) == 101
    assert wait_s(reply(429, b"")) == 60
    (budget,) = BUDGETS
    assert (budget.scope, budget.limit, budget.window) == ("app", 1000, timedelta(minutes=10))
    assert budget.read is not None
    (usage,) = budget.read(reply(200, {}, {"x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "12"}))
    assert (usage.used, usage.reset_s) == (1.0, 12.0)


@pytest.mark.parametrize(
    ("status", "body", "dead"),
    [
        (400, {"error": 400}, True),
        (400, {"message": "Bad Request", "error": 400}, True),
        (200, {"error": "invalid_grant"}, True),
        (401, {"message": "Unauthorized", "error": 401}, False),
        (200, {"error": "unauthorized_client"}, False),
    ],
)
def test_a_refused_renewal(status: int, body: Any, dead: bool) -> None:
    assert BASIC.is_dead(reply(status, body)) is dead


def test_everybody_says_who_they_are() -> None:
    installation = Installation("app", "s", {"username": "my_brand"})
    expected = "web:app:v1 (by /u/my_brand)"
    assert agent(installation) == expected
    credentials = Credentials({"refresh_token": "r"})
    for request in (refresh(credentials, installation), exchange(CodeGrant("c", "https://us/cb"), installation)):
        assert request.headers["User-Agent"] == expected
        assert request.headers["Authorization"].startswith("Basic ")
    assert callable(REDDIT.headers)
    ctx = Context(Account("acme", "1", {}, credentials, installation), {}, NOW)
    assert REDDIT.headers(ctx) == {"User-Agent": expected}
    assert BASIC.authorize_params == {"duration": "permanent"}


# --- records


def context(key: str = "p", **facts: Any) -> Context:
    known = {"name": "my_brand", "moderates": ["shopfans"], **facts}
    return Context(Account("acme", "1", {}, Credentials({})), known, NOW, Partition(key, {"name": "shopfans"}))


POST = {
    "kind": "t3",
    "data": {
        "id": "1p2abc9",
        "name": "t3_1p2abc9",
        "subreddit": "shopfans",
        "title": "Is the blue one in stock? 😍",
        "selftext": "Asking *for a friend* & me",
        "author": "ada_l",
        "author_fullname": "t2_14g6bq9",
        "score": 134,
        "upvote_ratio": 0.97,
        "num_comments": 12,
        "num_crossposts": 1,
        "created": 1763598011.0,
        "created_utc": 1763626811.0,
        "edited": 1763627900.0,
        "is_self": True,
        "url": "https://www.reddit.com/r/shopfans/comments/1p2abc9/is_the_blue_one_in_stock/",
        "permalink": "/r/shopfans/comments/1p2abc9/is_the_blue_one_in_stock/",
        "link_flair_text": "Question",
        "removed_by_category": None,
        "post_hint": "self",
    },
}
GONE_POST = {
    "kind": "t3",
    "data": {
        "id": "1p2aaa1",
        "name": "t3_1p2aaa1",
        "subreddit": "shopfans",
        "title": "Unboxing",
        "selftext": "",
        "author": "[deleted]",
        "score": 3,
        "num_comments": 0,
        "created_utc": 1763620000.0,
        "edited": False,
        "is_self": False,
        "url": "https://i.redd.it/abc.jpeg",
        "permalink": "/r/shopfans/comments/1p2aaa1/unboxing/",
        "removed_by_category": "deleted",
    },
}


def test_posts_of_the_documentation() -> None:
    record = parse.thing(POST, context())
    assert record is not None
    assert (record.vendor_id, record.thread_id, record.place) == ("t3_1p2abc9", "t3_1p2abc9", "shopfans")
    assert record.occurred_at == datetime(2025, 11, 20, 8, 20, 11, tzinfo=UTC)
    assert (record.edited_at, record.version) == (datetime(2025, 11, 20, 8, 38, 20, tzinfo=UTC), 1763627900000)
    assert (record.direction, record.deleted, record.attachments) == ("in", False, ())
    assert record.counters == {"score": 134, "comments": 12}
    gone = parse.thing(GONE_POST, context())
    assert gone is not None
    assert (gone.deleted, gone.title, gone.text, gone.attachments) == (True, None, None, ())
    assert gone.author is not None
    assert (gone.author.id, gone.author.handle) == (None, "[deleted]")


def test_our_own_posts_in_any_case() -> None:
    ours = {"kind": "t3", "data": {**POST["data"], "author": "My_Brand"}}  # type: ignore[dict-item]
    record = parse.thing(ours, context())
    assert record is not None
    assert record.direction == "out"


COMMENT = {
    "kind": "t1",
    "data": {
        "id": "nq1x2y3",
        "name": "t1_nq1x2y3",
        "link_id": "t3_1p2abc9",
        "parent_id": "t3_1p2abc9",
        "subreddit": "shopfans",
        "author": "ben_k",
        "author_fullname": "t2_75u2lqkb",
        "body": "Yes, [here](https://example.com)",
        "score": 5,
        "score_hidden": False,
        "created_utc": 1763627000.0,
        "edited": False,
        "permalink": "/r/shopfans/comments/1p2abc9/is_the_blue_one_in_stock/nq1x2y3/",
        "replies": {
            "kind": "Listing",
            "data": {
                "children": [
                    {
                        "kind": "t1",
                        "data": {
                            "id": "nq1x4z4",
                            "name": "t1_nq1x4z4",
                            "link_id": "t3_1p2abc9",
                            "parent_id": "t1_nq1x2y3",
                            "author": "[deleted]",
                            "body": "[removed]",
                            "score": 1,
                            "created_utc": 1763627200.0,
                            "edited": False,
                            "replies": "",
                        },
                    },
                    {"kind": "more", "data": {"id": "_", "count": 0, "children": [], "parent_id": "t1_nq1x4z4"}},
                ]
            },
        },
    },
}
MORE = {
    "kind": "more",
    "data": {"count": 10, "name": "t1_nq1x9a9", "id": "nq1x9a9", "parent_id": "t3_1p2abc9", "children": ["a", "b"]},
}


def listing(*children: Any) -> dict[str, Any]:
    return {"kind": "Listing", "data": {"after": None, "dist": None, "children": list(children), "before": None}}


TREE = [listing({"kind": "t3", "data": {"id": "1p2abc9"}}), listing(COMMENT, MORE)]


def test_a_tree_of_the_documentation() -> None:
    found = [parse.thing(item, context()) for item in parse.tree(reply(200, TREE))]
    assert [(r.vendor_id, r.parent_id, r.thread_id, r.deleted) for r in found if r] == [
        ("t1_nq1x2y3", "t3_1p2abc9", "t3_1p2abc9", False),
        ("t1_nq1x4z4", "t1_nq1x2y3", "t3_1p2abc9", True),
    ]
    assert found[0] is not None
    assert "replies" not in found[0].raw
    things = {"json": {"errors": [], "data": {"things": [COMMENT]}}}
    assert [item["data"]["name"] for item in parse.tree(reply(200, things))] == ["t1_nq1x2y3", "t1_nq1x4z4"]


def test_the_pager_goes_to_every_end_of_a_tree() -> None:
    pager, ctx = TreePager(), context()
    request = Request("GET", "/comments/1p2abc9", {"sort": "new"})
    first = pager.next(reply(200, TREE), (), ctx, None)
    assert first == {"more": ["a", "b"], "deep": ["nq1x4z4"], "done": 0}
    more = pager.apply(request, first)
    assert (more.path, more.form and more.form["children"], more.form and more.form["link_id"]) == (
        "/api/morechildren",
        "a,b",
        "t3_1p2abc9",
    )
    again = {"json": {"errors": [], "data": {"things": [{"kind": "more", "data": {"children": ["c"], "id": "c"}}]}}}
    second = pager.next(reply(200, again), (), ctx, first)
    assert second == {"more": ["c"], "deep": ["nq1x4z4"], "done": 1}
    third = pager.next(reply(200, {"json": {"data": {"things": []}}}), (), ctx, second)
    assert third is not None
    assert pager.apply(request, third).params == {"sort": "new", "comment": "nq1x4z4"}
    assert pager.next(reply(200, [listing(), listing()]), (), ctx, third) is None


MENTION = {
    "kind": "t1",
    "data": {
        "subreddit": "shopfans",
        "author_fullname": "t2_3efd9zdo",
        "id": "ekftbox",
        "subject": "username mention",
        "author": "helpful_bot",
        "parent_id": "t3_bb24k7",
        "type": "username_mention",
        "body": "Hello u/my_brand, please look",
        "was_comment": True,
        "name": "t1_ekftbox",
        "created_utc": 1554774308.0,
        "context": "/r/shopfans/comments/bb24k7/late_order/ekftbox/?context=3",
    },
}
MESSAGE = {
    "kind": "t4",
    "data": {
        "first_message_name": None,
        "subreddit": None,
        "replies": "",
        "author_fullname": "t2_75u2lqkb",
        "name": "t4_2r17c8r",
        "subject": "Order 1042",
        "author": "ben_k",
        "parent_id": None,
        "body": "Where is it?",
        "dest": "my_brand",
        "was_comment": False,
        "created_utc": 1747841818.0,
        "context": "",
    },
}


def test_the_inbox_of_the_documentation() -> None:
    record = parse.mention(MENTION, context())
    assert record is not None
    assert (record.kind, record.thread_id, record.parent_id) == ("mention", "t3_bb24k7", "t3_bb24k7")
    assert record.permalink == "https://www.reddit.com/r/shopfans/comments/bb24k7/late_order/ekftbox/"
    assert parse.mention(MESSAGE, context()) is None
    assert parse.reply_elsewhere(MENTION, context()) is None
    elsewhere = parse.reply_elsewhere(MENTION, context(moderates=[]))
    assert elsewhere is not None
    assert elsewhere.kind == "comment"
    (message,) = parse.messages(MESSAGE, context())
    assert (message.thread_id, message.title, message.direction) == ("t4_2r17c8r", "Order 1042", "in")
    answer = {**MESSAGE["data"], "name": "t4_b", "first_message_name": "t4_2r17c8r", "author": "my_brand"}  # type: ignore[dict-item]
    whole = {"kind": "t4", "data": {**MESSAGE["data"], "replies": listing({"kind": "t4", "data": answer})}}  # type: ignore[dict-item]
    both = list(parse.messages(whole, context()))
    assert [(m.vendor_id, m.thread_id, m.direction) for m in both] == [
        ("t4_2r17c8r", "t4_2r17c8r", "in"),
        ("t4_b", "t4_2r17c8r", "out"),
    ]


def test_modmail_of_the_documentation() -> None:
    raw = {
        "body": "<p>How dare you</p>",
        "bodyMarkdown": "How dare you",
        "author": {"isMod": False, "name": "ben_k", "id": 56922862},
        "isInternal": False,
        "date": "2026-11-20T08:28:19.342937+00:00",
        "id": "uui4",
    }
    ctx = context("ik72")
    ctx.body = {"conversation": {"subject": "This is an outrage!", "owner": {"displayName": "shopfans"}}}
    record = parse.modmail(raw, ctx)
    assert (record.vendor_id, record.thread_id, record.place) == ("ik72:uui4", "modmail:ik72", "shopfans")
    assert record.occurred_at == datetime(2026, 11, 20, 8, 28, 19, 342937, tzinfo=UTC)
    assert (record.direction, record.title, record.text) == ("in", "This is an outrage!", "How dare you")
    assert record.author is not None
    assert int(str(record.author.id).removeprefix("t2_"), 36) == 56922862


def test_hidden_scores_are_no_scores() -> None:
    data: dict[str, Any] = {**COMMENT["data"], "score": 1, "score_hidden": True}  # type: ignore[dict-item]
    assert parse.comment(data, context()).counters is None


def test_things_looked_up_again() -> None:
    found = list(parse.measured(POST, context()))
    assert isinstance(found[0], ActivityRecord)
    values = {record.metric: record.value for record in found if isinstance(record, MetricRecord)}
    assert values == {"score": 134, "comments": 12, "crossposts": 1, "upvote_percent": 97}
    assert len(list(parse.measured(GONE_POST, context()))) == 1


def test_traffic_by_day() -> None:
    rows = [1763596800, 40, 90, 3]
    found = list(parse.traffic_day(rows, context("t5_3nwlq")))
    assert [(r.metric, r.value, r.is_final) for r in found] == [
        ("uniques", 40, True),
        ("pageviews", 90, True),
        ("subscriptions", 3, True),
    ]
    assert (found[0].start, found[0].entity) == (datetime(2025, 11, 20, tzinfo=UTC), "t5_3nwlq")


async def test_a_post_that_is_approved_late_is_found_in_its_old_place() -> None:
    """It lies pages below the newest one that is known, among others that are known, too."""

    def aged(minutes: int) -> Any:
        at = (NOW - timedelta(minutes=minutes)).timestamp()
        return {"kind": "t3", "data": {**POST["data"], "name": f"t3_{minutes}", "created_utc": at}}  # type: ignore[dict-item]

    def answer(request: httpx.Request) -> Any:
        path, after = request.url.path, request.url.params.get("after", "")
        if path.endswith("/me"):
            return {"id": "1", "name": "my_brand"}
        if "mine" in path:
            return listing({"kind": "t5", "data": {"name": "t5_1", "display_name": "shopfans"}})
        if not path.endswith("/new"):
            return listing()
        found = listing(*(aged(minutes) for minutes in pages[after]))
        found["data"]["after"] = {"": "b", "b": "c"}.get(after)
        return found

    shelf = Shelf()
    pages = {"": (10, 20), "b": (30, 40), "c": (60,)}
    first = await collect(REDDIT, "posts", Script(handler=answer), shelf)
    pages["c"] = (50, 60)
    second = await collect(REDDIT, "posts", Script(handler=answer), shelf)
    assert {record.vendor_id for record in second} - {record.vendor_id for record in first} == {"t3_50"}


async def test_an_anchor_is_never_asked_for() -> None:
    """`before` beside a deleted thing would find nothing for ever: walks begin at the newest instead."""
    subs = listing({"kind": "t5", "data": {"name": "t5_1", "display_name": "shopfans"}})
    me = {"id": "1", "name": "my_brand"}

    def answer(request: httpx.Request) -> Any:
        path = request.url.path
        if path.endswith("/me"):
            return me
        return subs if "mine" in path else listing(POST) if path.endswith("/new") else listing()

    script = Script(handler=answer)
    records = await collect(REDDIT, "posts", script)
    assert [record.vendor_id for record in records] == ["t3_1p2abc9"]
    assert all("before" not in params for params in script.params)
    assert all(request.url.params.get("raw_json") == "1" for request in script.requests)
