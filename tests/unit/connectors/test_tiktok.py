"""TikTok: its verdict table, its requests, its records, its threads, its signatures."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http import CodeGrant, Context, DateWindow, Hook, Partition, Request
from connectors.http.request import Reply, Span
from connectors.http.session import open_session
from connectors.http.verdicts import judge
from connectors.records import ActivityRecord, MetricRecord
from connectors.tiktok import calls, parse
from connectors.tiktok.answers import ADS_VERDICTS, PAUSE_S
from connectors.tiktok.connector import TIKTOK
from connectors.tiktok.webhook import events, verify
from tests.fakes.vendor import NOW, Script, Shelf, collect
from tests.fakes.vendor import account as owner

ME = "000ABC"
DAYS = Span(first_day=date(2026, 4, 1), last_day=date(2026, 4, 30))


def context(key: str = "", zone: str = "UTC", **values: Any) -> Context:
    account = Account("acme", ME, {}, Credentials({"ads_token": "adv"}))
    facts = {"business_id": ME, "username": "my_brand"}
    return Context(account, facts, NOW, Partition(key, values, zone=zone), DAYS)


# --- answers


def verdict(code: int | None, status: int = 200, text: str = "", rules: Any = ()) -> Any:
    content = msgspec.json.encode({"code": code, "message": text, "data": {}}) if code is not None else text.encode()
    reply = Reply(Request("GET", "/x", endpoint="videos"), status, httpx.Headers(), content)
    return judge(reply, TIKTOK.problem, (*rules, *TIKTOK.verdicts))


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 20001), "ok"),
        ((40000, 40002, 40006, 40008, 40010, 40011, 40051, 41001, 41002), "bug"),
        ((40007,), "gone"),
        ((40001, 40118, 40119, 40125, 41000), "scope_missing"),
        ((40016, 40100, 40132, 40133), "throttled"),
        ((40102, 40105), "refresh"),
        ((40103, 40106, 40107, 40113), "auth_dead"),
        ((40104, 40110, 40115, 40101, 40064), "bug"),
        ((40200, 40201, 40202), "retry"),
        ((40300, 40301), "gone"),
        ((40700, 50000, 50002, 51065, 51305, 60001), "retry"),
    ],
)
def test_every_code_of_the_sheet_has_its_verdict(codes: tuple[int, ...], expected: str) -> None:
    assert {code: verdict(code).verdict for code in codes} == dict.fromkeys(codes, expected)


def test_limits_pause_for_five_minutes_and_http_errors_are_not_the_api() -> None:
    found = verdict(40100, text="Too many requests. Please retry in some time.")
    assert (found.after_s, found.budget) == (PAUSE_S, "qpm")
    assert verdict(40133).budget == "advertiser"
    assert verdict(None, 404, "404 page not found").verdict == "bug"
    assert verdict(None, 502, "<html>").verdict == "retry"
    assert verdict(40002, text="Param conversation_id is invalid.").verdict == "gone"


def test_an_advertisers_dead_token_blocks_ads_instead_of_the_account() -> None:
    for code in (40102, 40105):
        assert verdict(code, rules=ADS_VERDICTS).verdict == "scope_missing"


# --- requests


def test_arrays_are_json_texts_and_paths_end_with_a_slash() -> None:
    asked = calls.report(context("7001234567890123456"))
    assert asked.path == "/open_api/v1.3/report/integrated/get/"
    assert json.loads(asked.params["dimensions"]) == ["ad_id", "stat_time_day"]
    assert (asked.params["start_date"], asked.params["end_date"]) == ("2026-04-01", "2026-04-30")
    assert (asked.signed, asked.headers) == (False, {"Access-Token": "adv"})
    assert json.loads(asked.params["filtering"])[0]["filter_value"] == '["STATUS_ALL"]'
    ctx = context()
    ctx.size, ctx.span = 20, Span(until=datetime(2025, 11, 24, 16, tzinfo=UTC))
    videos = calls.posts(ctx)
    assert "item_id" in json.loads(videos.params["fields"])
    assert (videos.params["max_count"], videos.params["cursor"], videos.params["business_id"]) == (
        20,
        1764000000000,
        ME,
    )


def test_reports_stay_within_what_one_request_may_span() -> None:
    ads = TIKTOK.streams_of("ads-metrics")[0].cursor
    assert isinstance(ads, DateWindow)
    assert ads.step <= 30
    days = next(stream for stream in TIKTOK.streams_of("engagement-metrics") if stream.part == "days").cursor
    assert isinstance(days, DateWindow)
    assert days.reach <= 60


def test_token_calls_as_documented() -> None:
    app = Installation("app", "s3cret")
    code = calls.exchange(CodeGrant("c0de", "https://us/cb"), app)
    assert (code.path, code.json) == (
        "/open_api/v1.3/tt_user/oauth2/token/",
        {
            **{"client_id": "app", "client_secret": "s3cret", "grant_type": "authorization_code"},
            **{"auth_code": "c0de", "redirect_uri": "https://us/cb"},
        },
    )
    again = calls.refresh(Credentials({"refresh_token": "rft.def"}), app)
    assert again.path == "/open_api/v1.3/tt_user/oauth2/refresh_token/"
    assert again.json["refresh_token"] == "rft.def"
    answer = {
        "code": 0,
        "data": {
            **{"access_token": "act.abc", "token_type": "Bearer", "scope": "user.info.basic,video.list"},
            **{"expires_in": 86400, "refresh_token": "rft.def", "open_id": "000ABC..."},
        },
    }
    reply = Reply(again, 200, httpx.Headers(), msgspec.json.encode(answer))
    auth: Any = TIKTOK.auth
    assert auth.read(reply, 1000.0) == {
        **{"access_token": "act.abc", "refresh_token": "rft.def"},
        **{"scope": "user.info.basic video.list", "expires_at": "87400"},
    }
    for code_number, expected in ((40103, True), (40107, True), (50000, False)):
        refused = Reply(again, 200, httpx.Headers(), msgspec.json.encode({"code": code_number, "data": {}}))
        assert auth.is_dead(refused) is expected


async def test_who_it_is_is_asked_with_the_token_in_the_body() -> None:
    script = Script(
        {"code": 0, "data": {"creator_id": ME, "scope": "video.list"}},
        {"code": 0, "data": {"display_name": "My Brand", "username": "my_brand"}},
    )
    async with open_session(TIKTOK, owner(script), transport=httpx.MockTransport(script), now=script.now) as session:
        assert TIKTOK.identify is not None
        found = await TIKTOK.identify(session.api)
    assert (found.account, found.label, found.facts["username"]) == (ME, "My Brand", "my_brand")
    told = json.loads(script.requests[0].content)
    assert told == {"app_id": "app", "access_token": "t0k3n"}
    assert script.requests[0].headers["access-token"] == "t0k3n"


# --- records


def test_a_video() -> None:
    raw = {
        **{"item_id": "7080123456789012345", "create_time": "1764000000", "caption": "Spring drop 🌷 #newin"},
        **{"share_url": "https://www.tiktok.com/@my_brand/video/7080123456789012345", "media_type": "VIDEO"},
        "thumbnail_url": "https://p16-sign.tiktokcdn-us.com/obj/x.jpeg?x-expires=1764021600",
    }
    record = parse.post(raw, context())
    assert (record.vendor_id, record.place, record.direction) == ("7080123456789012345", ME, "out")
    assert record.occurred_at == parse.created_at(raw) == datetime(2025, 11, 24, 16, tzinfo=UTC)
    assert (record.text, record.permalink) == (raw["caption"], raw["share_url"])
    assert parse.created_at({"create_time": 1764000000}) == record.occurred_at


COMMENT = {
    **{"comment_id": "7247303576418566913", "video_id": "7203946942097902849", "create_time": "1763990000"},
    **{"text": "Where can I buy this? 😍", "likes": 3, "replies": 1, "liked": False, "pinned": False, "owner": False},
    **{"status": "PUBLIC", "username": "ada_l", "display_name": "Ada", "user_id": "ce9b7be629b0447af777a0ad945783f6"},
    "unique_identifier": "+ABc1D2/E0fGhijklMNOrD34v",
    "reply_list": [
        {
            **{"comment_id": "7247303999999999999", "parent_comment_id": "7247303576418566913"},
            **{"video_id": "7203946942097902849", "create_time": "1763991000", "text": "Link in bio", "likes": 0},
            **{"replies": 0, "owner": True, "status": "PUBLIC", "username": "my_brand", "display_name": "My Brand"},
            "unique_identifier": "+ZZc1D2/E0",
        }
    ],
}


def test_a_comment_of_the_documentation_with_its_reply() -> None:
    comment, reply = parse.comment(COMMENT, context(video="7203946942097902849"))
    assert (comment.parent_id, comment.thread_id, comment.direction) == ("7203946942097902849",) * 2 + ("in",)
    assert comment.author is not None
    assert (comment.author.id, comment.author.handle) == ("+ABc1D2/E0fGhijklMNOrD34v", "ada_l")
    assert comment.counters == {"likes": 3, "replies": 1}
    assert "reply_list" not in comment.raw
    assert (reply.parent_id, reply.direction, reply.text) == ("7247303576418566913", "out", "Link in bio")
    assert parse.commented_at(COMMENT) == datetime(2025, 11, 24, 13, 13, 20, tzinfo=UTC)
    assert parse.commented_at({"parent_comment_id": "1", "create_time": "1763990000"}) is None


def test_report_rows_of_the_documentation() -> None:
    raw = {
        "dimensions": {"ad_id": "1714125042508817", "stat_time_day": "2026-04-01 00:00:00"},
        "metrics": {
            **{"spend": "20.00", "impressions": "3217", "clicks": "41", "conversion": "2"},
            **{"reach": "-", "campaign_id": "17"},
        },
    }
    found = {m.metric: m for m in parse.ads_row(raw, context("70", "Europe/Berlin", currency="EUR"))}
    assert "reach" not in found
    spend = found["spend"]
    assert (spend.value, spend.currency, spend.parent, spend.place) == (Decimal("20.00"), "EUR", "17", "70")
    assert (spend.start, spend.end) == (
        datetime(2026, 3, 31, 22, tzinfo=UTC),
        datetime(2026, 4, 1, 22, tzinfo=UTC),
    )
    assert found["impressions"].currency is None


def test_numbers_of_videos_and_days_are_exact() -> None:
    raw = {
        **{"item_id": "7", "video_views": 603, "average_time_watched": 3.862, "full_video_watched_rate": 0.0395},
        "impression_sources": [{"impression_source": "For You", "percentage": 0.7554}],
    }
    found = list(parse.video_totals(raw, context()))
    values = {(m.metric, str(m.dimensions)): m.value for m in found}
    assert values[("average_time_watched", "None")] == Decimal("3.862")
    assert values[("impression_sources", "{'impression_source': 'For You'}")] == Decimal("0.7554")
    (views,) = parse.account_day({"date": "2021-08-12", "video_views": 123}, context())
    assert (views.start, views.value) == (datetime(2021, 8, 12, tzinfo=UTC), 123)
    told = list(parse.profile({"username": "my_brand", "display_name": "B", "followers_count": 9}, context()))
    assert isinstance(told[0], ActivityRecord)
    assert isinstance(told[1], MetricRecord)
    assert (told[0].vendor_id, told[1].metric, told[1].value) == (ME, "followers", 9)


def test_mentions_of_both_kinds() -> None:
    video = parse.mention(
        {**{"item_id": "7", "create_time": "1764000000", "caption": "@my_brand!", "views": None}, "likes": 4}, context()
    )
    assert (video.kind, video.counters, video.direction) == ("mention", {"likes": 4}, "in")
    raw = {"comment_id": "8", "item_id": "7", "comment_text": "@my_brand?", "comment_create_time": "1764000000"}
    said = parse.comment_mention(raw, context())
    assert (said.vendor_id, said.parent_id, said.text) == ("8", "7", "@my_brand?")


# --- threads


def page(*items: Any, cursor: int = 0, more: bool = False) -> dict[str, Any]:
    return {"code": 0, "data": {"comments": list(items), "cursor": cursor, "has_more": more}}


def remark(number: int, replies: int = 0, parent: int | None = None) -> dict[str, Any]:
    """Older by a day for each number."""
    at = int((NOW - timedelta(days=number)).timestamp())
    made: dict[str, Any] = {"comment_id": str(number), "create_time": str(at), "text": str(number), "replies": replies}
    above: dict[str, Any] = {"parent_comment_id": str(parent)} if parent else {"reply_list": []}
    return made | above


def vendor(request: httpx.Request) -> Any:
    """One video; comments 1 to 3 and 5 to 6 on two pages, a reply to 3, replies to 2 on two pages."""
    path, query = request.url.path, request.url.params
    if path.endswith("token_info/get/"):
        return {"code": 0, "data": {"open_id": ME}}
    if path.endswith("/video/list/"):
        video = {"item_id": "70", "create_time": str(int(NOW.timestamp()) - 60)}
        return {"code": 0, "data": {"videos": [video], "has_more": False}}
    if path.endswith("/reply/list/"):
        if query["comment_id"] == "3":
            return page(remark(50, parent=3), cursor=1)
        assert query["comment_id"] == "2"
        late = query["cursor"] != "0"
        return page(remark(40 + late, parent=2), cursor=1, more=not late)
    if path.endswith("/comment/list/"):
        assert (query["sort_field"], query["sort_order"]) == ("create_time", "desc")
        if "cursor" in query:
            return page(remark(5), remark(6))
        return page(remark(1), remark(2, replies=2), remark(3, replies=1), cursor=3, more=True)
    return {"code": 0, "data": {}}


async def test_replies_are_fetched_before_older_comments() -> None:
    records = await collect(TIKTOK, "comments", Script(handler=vendor))
    assert [record.text for record in records] == ["1", "2", "3", "40", "41", "50", "5", "6"]


@pytest.mark.parametrize("pages", [1, 2, 3, 4])
async def test_a_stop_inside_a_thread_goes_on_there(pages: int) -> None:
    shelf = Shelf()
    first = await collect(TIKTOK, "comments", Script(handler=vendor), shelf, stop_after=pages, run=1)
    rest = await collect(TIKTOK, "comments", Script(handler=vendor), shelf, run=1)
    assert {record.text for record in first + rest} == {"1", "2", "3", "40", "41", "50", "5", "6"}


async def test_a_later_pull_stops_at_what_is_known() -> None:
    shelf, script = Shelf(), Script(handler=vendor)
    await collect(TIKTOK, "comments", script, shelf, run=1)
    script = Script(handler=vendor)
    records = await collect(TIKTOK, "comments", script, shelf, run=2)
    assert {record.text for record in records} >= {"1", "2", "40", "41"}
    asked = [request for request in script.requests if request.url.path.endswith("/business/comment/list/")]
    assert len(asked) == 2, "the second page is older than the overlap, and ends the walk"


async def test_videos_that_do_not_come_back() -> None:
    asked = Request("GET", "/x", {"filters": '{"video_ids":["1","2","3","4","5"]}'})

    def missing(*found: str) -> list[str]:
        body = {"code": 0, "data": {"videos": [{"item_id": item} for item in found]}}
        return calls.missing(Reply(asked, 200, httpx.Headers(), msgspec.json.encode(body)))

    assert missing("1", "2", "4") == ["3", "5"]
    assert missing() == [], "an account that shows nothing has not lost everything"
    mark = parse.vanished("3")
    assert (mark.vendor_id, mark.deleted, mark.version) == ("3", True, 0)


# --- webhooks

SECRET = "test_client_secret"
BODY = b'{"client_key":"bwo2m45353a6k85","event":"comment.update"}'
DIGEST = "ea394e65a2a17fb25c06b53d180bf527e1584d7d0eb7f908304a021717e84b25"


def hook(body: bytes, *, at: int = 1633174587, digest: str = DIGEST, late: float = 0) -> Hook:
    headers = {"tiktok-signature": f"t={at},s={digest}"}
    return Hook("POST", headers, {}, body, at + late, {"client_secret": SECRET})


def test_signatures_as_documented() -> None:
    assert verify(hook(BODY))
    assert not verify(hook(BODY + b" "))
    assert not verify(hook(BODY, late=301))
    assert not verify(hook(BODY, at=1633174588))
    assert not verify(Hook("POST", {"tiktok-signature": "nonsense"}, {}, BODY, 1633174587, {"client_secret": SECRET}))


def told(event: str, content: Any) -> Any:
    text = content if isinstance(content, str) else json.dumps(content)
    envelope = {"client_key": "b", "event": event, "create_time": 1615338610, "user_openid": ME, "content": text}
    found = list(events(hook(json.dumps(envelope).encode())))
    return found[0] if found else None


def test_a_comment_event_of_the_documentation() -> None:
    content = (
        '{"comment_id":7247303576418566913,"video_id":7203946942097902849,"parent_comment_id":7235861947622916866,'
        '"comment_type":"reply","comment_action":"%s","unique_identifier":"+ABc","timestamp":1687394416109}'
    )
    new = told("comment.update", content % "insert")
    assert (new.account, new.dirty) == (ME, ("comments",))
    assert "7247303576418566913" in new.key, "numbers beyond 2^53 keep their digits"
    gone = told("comment.update", content % "delete")
    assert (gone.records[0].vendor_id, gone.records[0].deleted) == ("7247303576418566913", True)
    assert gone.key != new.key
    assert told("comment.update", content % "set_to_hidden").dirty == ("comments",)


def test_a_message_event_of_the_documentation_is_the_message_itself() -> None:
    content = {
        **{"from": "ada_shop", "to": "my_brand", "from_user": {"id": "u1", "role": "personal_account"}},
        **{"to_user": {"id": ME, "role": "business_account"}, "unique_identifier": "u1", "conversation_id": "c+1="},
        **{"message_id": "m1", "timestamp": 1701090879815, "type": "text", "is_follower": True},
        **{"text": {"body": "Is the blue one in stock? 😀"}, "message_tag": {"source": "APP"}},
    }
    (record,) = told("im_receive_msg", content).records
    assert (record.vendor_id, record.thread_id, record.place, record.direction) == ("m1", "c+1=", ME, "in")
    assert record.text == "Is the blue one in stock? 😀"
    listed = {
        **{"sender": "ada_shop", "recipient": "my_brand", "conversation_id": "c+1=", "message_id": "m1"},
        **{"timestamp": 1701090879815, "message_type": "TEXT", "text": {"body": "Is the blue one in stock? 😀"}},
        "from_user": {"id": "u1", "role": "PERSONAL_ACCOUNT"},
        "to_user": {"id": ME, "role": "BUSINESS_ACCOUNT"},
        "message_tag": {"source": "APP"},
    }
    polled = parse.message(listed, context())
    for record_of in (record, polled):
        record_of.raw = None
    assert polled == record, "so the list brings nothing new"
    sent = {**content, "from_user": {"id": ME, "role": "business_account"}, "to_user": {"id": "u1"}}
    assert told("im_send_msg", sent).records[0].direction == "out"
    assert told("im_receive_msg_eu", {"to": "my_brand", "to_user": {"id": ME}, "timestamp": 1}).dirty == ("messages",)
    assert told("im_mark_read_msg", {"read": {"last_read_timestamp": 1}}) is None


def test_the_other_events() -> None:
    mention = {"type_of_event": "CREATE", "mention_type": "VIDEO MENTION", "video_id": "7", "comment_id": "0"}
    assert told("brand.mention.event", mention).dirty == ("mentions",)
    assert told("post.publish.publicly_available", {"publish_id": "p", "post_id": 7}).dirty == ("posts",)
    gone = told("post.publish.no_longer_publicly_available", {"publish_id": "p", "post_id": 7})
    assert (gone.records[0].vendor_id, gone.records[0].deleted) == ("7", True)
    for reason, words in ((1, "took our access back"), (2, "deleted"), (4, "banned"), (0, "does not say why")):
        assert words in told("authorization.removed", {"reason": reason}).revoked
    assert told("something.new", {}) is None
    assert not list(events(hook(b"not json")))
    assert told("comment.update", "not json") is None
