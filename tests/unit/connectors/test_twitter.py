"""X: its verdict table, its records, its signatures."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http import Context, Hook, Partition
from connectors.http.request import Reply, Request, Span
from connectors.http.verdicts import judge
from connectors.records import ActivityRecord
from connectors.twitter import ads, oauth1, parse
from connectors.twitter.answers import until_period_ends, until_reset
from connectors.twitter.connector import AUTH, TWITTER, answers_to_us, conversation, mentions, posts, sign_ads
from connectors.twitter.webhook import events, handshake, sign, verify
from sync.base.errors import ScopeMissing
from tests.fakes.vendor import NOW

ME = "2244994945"
TYPES = "https://api.twitter.com/2/problems/"


def reply(status: int, body: Any, headers: dict[str, str] | None = None, endpoint: str = "user_tweets") -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.Response(status, content=content, headers=headers)
    return Reply(Request("GET", "/2/x", endpoint=endpoint), status, answer.headers, answer.content)


def problem(kind: str, title: str = "x", detail: str = "x", **more: Any) -> dict[str, Any]:
    return {"title": title, "detail": detail, "type": kind if kind == "about:blank" else TYPES + kind, **more}


def ads_error(code: str, message: str = "x", **more: Any) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message, **more}], "request": {"params": {}}}


CAPPED = problem("usage-capped", "UsageCapExceeded", account_id="1", period="Monthly", scope="Product")
PARTIAL = {
    "data": [{"id": "123", "text": "Hello"}],
    "errors": [{"resource_id": "456", "title": "Not Found Error", "type": TYPES + "resource-not-found"}],
}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"data": [], "meta": {"result_count": 0}}, "ok"),
        (200, {"meta": {"result_count": 0}}, "ok"),
        (200, PARTIAL, "ok"),
        (200, {"errors": PARTIAL["errors"]}, "gone"),
        (400, problem("invalid-request", errors=[{"message": "Invalid 'start_time'", "parameters": {}}]), "bug"),
        (
            400,
            problem(
                "invalid-request", errors=[{"message": "Invalid `pagination_token`: [x] is not", "parameters": {}}]
            ),
            "reset_cursor",
        ),
        (401, problem("about:blank", "Unauthorized", "Unauthorized", status=401), "refresh"),
        (402, {"account_id": "1", "title": "CreditsDepleted", "type": TYPES + "credits"}, "config"),
        (
            402,
            {"detail": "credits depleted", "status": 402, "type": "https://api.x.com/2/problems/credits-depleted"},
            "config",
        ),
        (403, problem("client-forbidden", reason="client-not-enrolled"), "config"),
        (403, problem("client-forbidden", reason="official-client-forbidden"), "scope_missing"),
        (403, problem("unsupported-authentication"), "config"),
        (403, problem("oauth1-permissions"), "scope_missing"),
        (403, problem("not-authorized-for-resource"), "gone"),
        (403, problem("about:blank", "Forbidden", "Forbidden", status=403), "scope_missing"),
        (403, {"errors": [{"code": 64, "message": "Your account is suspended"}]}, "auth_dead"),
        (403, {"errors": [{"code": 326, "message": "temporarily locked"}]}, "auth_dead"),
        (404, problem("resource-not-found"), "gone"),
        (429, problem("about:blank", "Too Many Requests", "Too Many Requests", status=429), "throttled"),
        (429, {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}, "throttled"),
        (429, CAPPED, "throttled"),
        (503, b"<html>Over capacity</html>", "retry"),
        (500, b"", "retry"),
        (200, b"<html>", "retry"),
        (401, ads_error("UNAUTHORIZED_ACCESS"), "scope_missing"),
        (403, ads_error("CURRENT_USER_SUSPENDED"), "auth_dead"),
        (404, ads_error("ACCOUNT_NOT_FOUND"), "gone"),
        (403, ads_error("ACTION_NOT_ALLOWED"), "gone"),
        (403, ads_error("UNAUTHORIZED_CLIENT_APPLICATION"), "scope_missing"),
        (429, ads_error("TOO_MANY_REQUESTS"), "throttled"),
        (500, ads_error("INTERNAL_ERROR"), "retry"),
        (503, ads_error("OVER_CAPACITY"), "retry"),
        (503, ads_error("SERVICE_UNAVAILABLE"), "retry"),
        (408, ads_error("CANCELLED_REQUEST"), "retry"),
        (423, ads_error("LOCK_ACQUISITION_TIMEOUT"), "retry"),
        (400, ads_error("INVALID_PARAMETER", 'Expected time, got "" for start_time', parameter="start_time"), "bug"),
        (400, ads_error("INVALID_PARAMETER", "Invalid cursor"), "reset_cursor"),
        (400, ads_error("INVALID_TIME_WINDOW"), "bug"),
        (400, ads_error("MISSING_PARAMETER"), "bug"),
        (400, ads_error("REQUEST_TOO_COMPLEX"), "shrink"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, body: Any, expected: str) -> None:
    assert judge(reply(status, body), TWITTER.problem, TWITTER.verdicts).verdict.value == expected


def test_a_look_up_that_finds_nothing_is_an_answer() -> None:
    found = reply(200, {"errors": PARTIAL["errors"]}, endpoint="tweets")
    assert judge(found, TWITTER.problem, TWITTER.verdicts).verdict.value == "ok"


@pytest.mark.parametrize(
    ("status", "body", "dead"),
    [
        (400, {"error": "invalid_request", "error_description": "Value passed for the token was invalid."}, True),
        (400, {"error": "invalid_grant"}, True),
        (401, {"error": "unauthorized_client", "error_description": "Missing valid authorization header"}, False),
        (503, {}, False),
    ],
)
def test_a_refused_renewal(status: int, body: Any, dead: bool) -> None:
    assert AUTH.is_dead(reply(status, body)) is dead


def test_how_long_limits_last() -> None:
    soon = int(datetime.now(UTC).timestamp()) + 500
    wait = until_reset(reply(429, {}, {"x-rate-limit-reset": str(soon), "x-account-rate-limit-reset": str(soon - 300)}))
    assert wait is not None
    assert 195 < wait <= 200
    assert until_reset(reply(429, {})) is None
    assert until_period_ends(reply(429, CAPPED)) <= 31 * 86_400
    assert until_period_ends(reply(429, CAPPED | {"period": "Daily"})) <= 86_400


# --- records


def context(body: Any = None, **vars: Any) -> Context:
    made = Context(Account("acme", ME, {}, Credentials({})), {"user_id": ME, "username": "me"}, NOW)
    made.body = body
    made.partition = Partition("p", vars)
    return made


POST = {
    "id": "1985000000000000105",
    "text": "Launch day 🚀 &amp; more https://t.co/a1b2c3d4e5",
    "edit_history_tweet_ids": ["1985000000000000105"],
    "created_at": "2026-11-20T14:03:22.000Z",
    "author_id": ME,
    "conversation_id": "1985000000000000105",
    "attachments": {"media_keys": ["3_1985000000000000001"]},
    "public_metrics": {
        "retweet_count": 12,
        "reply_count": 4,
        "like_count": 98,
        "quote_count": 1,
        "bookmark_count": 7,
        "impression_count": 5432,
    },
}
REPLY = {
    "id": "1984800000000000042",
    "text": "@ada thanks! we fixed it in v2.3",
    "edit_history_tweet_ids": ["1984799900000000001", "1984800000000000042"],
    "created_at": "2026-11-19T09:41:00.000Z",
    "conversation_id": "1984790000000000000",
    "author_id": "9",
    "in_reply_to_user_id": ME,
    "referenced_tweets": [{"type": "replied_to", "id": "1984795000000000000"}],
    "public_metrics": {"retweet_count": 0, "reply_count": 1, "like_count": 3, "quote_count": 0, "bookmark_count": 0},
}
MEDIA = {"media_key": "3_1985000000000000001", "type": "photo", "url": "https://pbs.twimg.com/media/Gx1.jpg"}


def test_a_post_of_the_documentation() -> None:
    record = parse.post(POST, context({"includes": {"media": [MEDIA]}}))
    assert (record.vendor_id, record.thread_id, record.version) == (POST["id"], POST["id"], int(str(POST["id"])))
    assert record.text == "Launch day 🚀 & more https://t.co/a1b2c3d4e5"
    assert record.counters == {"likes": 98, "replies": 4, "reposts": 12, "quotes": 1, "bookmarks": 7, "views": 5432}
    assert [(file.kind, file.url) for file in record.attachments] == [("image", MEDIA["url"])]
    assert (record.direction, record.edited_at) == ("out", None)


def test_an_edited_reply_goes_by_its_first_id() -> None:
    parent = {"id": "1984795000000000000", "edit_history_tweet_ids": ["1984794000000000000", "1984795000000000000"]}
    users = [{"id": "9", "username": "ada", "name": "Ada"}]
    record = parse.comment(REPLY, context({"includes": {"tweets": [parent], "users": users}}))
    assert record is not None
    assert (record.vendor_id, record.parent_id) == ("1984799900000000001", "1984794000000000000")
    assert record.thread_id == "1984790000000000000"
    assert record.occurred_at == parse.time_of("1984799900000000001")
    assert record.edited_at == datetime(2026, 11, 19, 9, 41, tzinfo=UTC)
    assert (record.direction, record.author and record.author.handle) == ("in", "ada")
    assert parse.comment(POST, context()) is None


def test_the_newer_dialect_reads_the_same() -> None:
    text = json.dumps(REPLY).replace("edit_history_tweet_ids", "edit_history_post_ids")
    newer = json.loads(text.replace("referenced_tweets", "referenced_posts").replace("retweet_count", "repost_count"))
    one, two = parse.comment(REPLY, context()), parse.comment(newer, context())
    assert one is not None
    assert two is not None
    one.raw = two.raw = None
    assert one == two


def test_long_posts_and_reposts_are_whole() -> None:
    long = parse.post({**POST, "note_tweet": {"text": "all of it"}}, context())
    assert long.text == "all of it"
    original = {"id": "77", "text": "short…", "note_tweet": {"text": "said at length"}}
    referenced = [{"type": "retweeted", "id": "77"}]
    repost = {**POST, "text": "RT @ada: said at…", "referenced_tweets": referenced}
    record = parse.post(repost, context({"includes": {"tweets": [original]}}))
    assert record.text == "RT @ada: said at length"
    assert record.data is not None
    assert record.data["retweeted"] == "77"
    assert record.parent_id is None


def test_ids_and_times() -> None:
    moment = datetime(2026, 11, 20, 14, 3, 22, 125_000, tzinfo=UTC)
    assert parse.time_of(parse.floor(moment)) == moment
    assert parse.floor(datetime(2001, 1, 1, tzinfo=UTC)) == 0


def test_direct_messages_of_the_documentation() -> None:
    raw = {
        "id": "1985111222333444555",
        "event_type": "MessageCreate",
        "text": "Hi, is the blue one in stock? 😀",
        "sender_id": "944480690",
        "dm_conversation_id": "17200003-944480690",
        "created_at": "2026-11-20T20:58:00.000Z",
    }
    record = parse.message(raw, context())
    assert record is not None
    assert (record.thread_id, record.direction) == ("17200003-944480690", "in")
    assert parse.message({"id": "1", "event_type": "ParticipantsJoin", "participant_ids": ["9"]}, context()) is None


def test_only_what_cannot_be_found_is_gone() -> None:
    errors = [
        {"resource_id": "456", "type": "https://api.x.com/2/problems/resource-not-found"},
        {"resource_id": "457", "type": TYPES + "not-authorized-for-resource"},
        {"resource_id": "458", "field": "non_public_metrics", "type": TYPES + "not-authorized-for-field"},
    ]
    found = [record for error in errors if (record := parse.gone(error, context()))]
    assert [(record.vendor_id, record.deleted, record.version > 456) for record in found] == [("456", True, True)]


def test_private_and_daily_figures() -> None:
    private = {"impression_count": 5432, "url_link_clicks": 7, "user_profile_clicks": 3, "engagements": 40}
    found = list(parse.measured_post({**POST, "non_public_metrics": private}, context()))
    assert isinstance(found[0], ActivityRecord)
    values = {r.metric: r.value for r in found[1:] if not isinstance(r, ActivityRecord)}
    assert (values["like_count"], values["lifetime_url_link_clicks"], values["lifetime_engagements"]) == (98, 7, 40)
    raw = {
        "id": "1985000000000000105",
        "timestamped_metrics": [
            {"timestamp": "2026-11-20T00:00:00.000Z", "metrics": {"impressions": 4100, "likes": 80}},
            {"timestamp": "2026-11-24T00:00:00.000Z", "metrics": {"impressions": 1332}},
        ],
    }
    days = list(parse.post_days(raw, context()))
    assert [(day.metric, day.value, day.is_final) for day in days] == [
        ("impressions", 4100, True),
        ("likes", 80, True),
        ("impressions", 1332, False),
    ]
    assert days[0].end - days[0].start == timedelta(days=1)


def test_requests_ask_for_what_is_newer_and_no_more() -> None:
    ctx = context()
    ctx.span = Span(since=5, until=9)
    assert {name: posts(ctx).params[name] for name in ("since_id", "until_id")} == {"since_id": 5, "until_id": 9}
    assert {name: mentions(ctx).params[name] for name in ("since_id", "until_id")} == {"since_id": 5, "until_id": 9}
    week = parse.floor(NOW - timedelta(days=7))
    # A search of the last week must not be asked for more; a backfill may look through everything.
    ctx.span = Span(since=5)
    live = answers_to_us(ctx)
    assert (live.path, live.params["since_id"] > week) == ("/2/tweets/search/recent", True)
    ctx.span = Span(since=week + (1 << 50))
    assert answers_to_us(ctx).params["since_id"] == week + (1 << 50)
    ctx.span = Span(since=5, until=9)
    old = conversation(ctx)
    assert (old.path, old.params["since_id"], old.params["until_id"]) == ("/2/tweets/search/all", 5, 9)
    assert old.params["query"] == "conversation_id:p"


# --- ads


def ads_context(**vars: Any) -> Context:
    found = context(
        account="18ce54d4x5t", kind="LINE_ITEM", placement="SPOTLIGHT", currency="EUR", parents={"el32n": "c1"}, **vars
    )
    found.partition = Partition("p", found.vars, zone="Europe/Berlin")
    found.span = Span(first_day=date(2026, 10, 24), last_day=date(2026, 10, 26))
    return found


def test_ads_figures_are_exact_and_days_are_the_accounts() -> None:
    metrics = {
        "impressions": [3482, None, 5],
        "billed_charge_local_micro": [1_234_560_001, 0, None],
        "follows": None,
    }
    rows = list(ads.entity_days({"id": "el32n", "id_data": [{"segment": None, "metrics": metrics}]}, ads_context()))
    assert [(row.metric, row.value, row.currency) for row in rows] == [
        ("impressions", Decimal(3482), None),
        ("impressions", Decimal(5), None),
        ("spend", Decimal("1234.560001"), "EUR"),
        ("spend", Decimal(0), "EUR"),
    ]
    assert rows[3].end - rows[3].start == timedelta(hours=25)
    assert (rows[0].parent, rows[0].dimensions, rows[0].place) == ("c1", {"placement": "SPOTLIGHT"}, "18ce54d4x5t")


def test_a_job_of_the_documentation() -> None:
    job = {"id_str": "1120829647711653888", "status": "SUCCESS", "url": "https://ton.twimg.com/a/stats_job.json.gz"}
    poll = reply(200, {"data": [job]})
    assert ads.job_ready(poll) is True
    request = ads.job_file(ads_context(), "1", poll)
    assert (request.path, request.signed, request.raw) == (job["url"], False, True)
    for status, ready in (("QUEUED", None), ("PROCESSING", None), ("FAILED", False)):
        assert ads.job_ready(reply(200, {"data": [{"status": status}]})) is ready
    file = {"data_type": "stats", "data": [{"id": "el32n", "id_data": [{"metrics": {"impressions": [3482]}}]}]}
    for body in (gzip.compress(json.dumps(file).encode()), json.dumps(file).encode()):
        assert ads.file_rows(reply(200, body))[0]["id"] == "el32n"


async def test_ads_calls_are_signed_with_keys_of_their_own() -> None:
    secrets = {"consumer_key": "ck", "consumer_secret": "cs"}
    installation = Installation("app", "s", secrets, urls={"ads": "http://127.0.0.1:9/twitter"})
    keys = Credentials({"access_token": "t", "ads_token": "at", "ads_token_secret": "as"})
    ctx = Context(Account("acme", ME, {}, keys, installation), {}, NOW)
    request = Request("GET", "/12/accounts", {"count": 200, "cursor": None}, host="ads")
    header = (await sign_ads(request, ctx)).headers["Authorization"]
    fields = dict(part.strip().split("=", 1) for part in header.removeprefix("OAuth ").split(","))
    given = {name: httpx.URL(f"http://x/?v={value.strip(chr(34))}").params["v"] for name, value in fields.items()}
    signature = given.pop("oauth_signature")
    params = [*given.items(), ("count", "200")]
    assert signature == oauth1.signature("GET", "http://127.0.0.1:9/twitter/12/accounts", params, "cs", "as")
    assert given["oauth_timestamp"] == str(int(NOW.timestamp()))
    plain = Request("GET", "/2/users/me")
    assert await sign_ads(plain, ctx) is plain
    with pytest.raises(ScopeMissing):
        await sign_ads(request, Context(Account("acme", ME, {}, Credentials({}), installation), {}, NOW))


def test_signature_of_the_documented_example() -> None:
    params = {
        "status": "Hello Ladies + Gentlemen, a signed OAuth request!",
        "include_entities": "true",
        "oauth_consumer_key": "xvz1evFS4wEEPTGEFPHBog",
        "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        "oauth_version": "1.0",
    }
    secrets = ("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
    url = "https://api.twitter.com/1.1/statuses/update.json"
    assert oauth1.signature("POST", url, params.items(), *secrets) == "hCtSmYh+iHYCEqBWrE7C7hYmtUk="


# --- webhooks

SECRETS = {"consumer_secret": "test_consumer_secret"}


def test_signatures_and_handshake_as_documented() -> None:
    body = b'{"for_user_id":"2244994945"}'
    signature = "sha256=cm3R69SKb70cFabzYc+Y9gzwkVVco27A/ZMW7/wWKTg="
    headers = {"x-twitter-webhooks-signature": signature}
    assert verify(Hook("POST", headers, {}, body, 0, SECRETS))
    assert not verify(Hook("POST", headers, {}, body + b" ", 0, SECRETS))
    assert not verify(Hook("POST", {"x-twitter-webhooks-signature": sign("", body)}, {}, body, 0, {}))
    answer = handshake(Hook("GET", {}, {"crc_token": "challenge_string"}, b"", 0, SECRETS))
    assert answer is not None
    assert json.loads(answer.body) == {"response_token": "sha256=583uAmerwtjpykYEAEm+CEIRm6dOywK4QKRr0ha/Pd4="}
    assert handshake(Hook("POST", {}, {}, body, 0, SECRETS)) is None


def told(body: Any) -> list[Any]:
    return list(events(Hook("POST", {}, {}, json.dumps(body).encode(), 0, SECRETS)))


def activity(kind: str, payload: Any, user: str | None = ME) -> dict[str, Any]:
    event = {"event_uuid": "-685", "filter": {"user_id": user} if user else {}, "event_type": kind, "payload": payload}
    return {"data": event}


def test_events_of_the_activity_api() -> None:
    (reply_event,) = told(activity("post.reply.create", {"id": "2090000000000000001"}))
    assert (reply_event.account, reply_event.key, reply_event.dirty) == (ME, "-685", ("comments",))
    (gone,) = told(activity("post.delete", {"id": "20", "author_id": ME}))
    assert [(record.kind, record.vendor_id, record.deleted) for record in gone.records] == [
        ("post", "20", True),
        ("comment", "20", True),
    ]
    (revoked,) = told(activity("oauth.revoke", {"date_time": "x", "user_id": ME, "app_id": "1"}, user=None))
    assert (revoked.account, bool(revoked.revoked)) == (ME, True)
    assert told(activity("like.create", {"id": "1"})) == []
    assert list(events(Hook("POST", {}, {}, b"[1", 0, SECRETS))) == []


DM = {
    "direct_message_events": [
        {
            "type": "message_create",
            "id": "2080765901528535096",
            "created_timestamp": "1784928224372",
            "message_create": {
                "target": {"recipient_id": ME},
                "sender_id": "111",
                "message_data": {"text": "hello &amp; hi!", "entities": {}},
            },
        }
    ],
    "users": {"111": {"data": {"id": "111", "username": "OtherUser", "name": "Other"}}},
}


def test_a_message_event_brings_what_a_pull_would() -> None:
    (event,) = told(activity("dm.received", DM))
    (pushed,) = event.records
    user = {"id": "111", "username": "OtherUser", "name": "Other"}
    raw = {
        "id": "2080765901528535096",
        "event_type": "MessageCreate",
        "text": "hello &amp; hi!",
        "sender_id": "111",
        "dm_conversation_id": f"111-{ME}",
        "created_at": "2026-07-24T21:23:44.372Z",
    }
    pulled = parse.message(raw, context({"includes": {"users": [user]}}))
    assert pulled is not None
    pulled.raw = pushed.raw = None
    assert pushed == pulled
    with_file = json.loads(json.dumps(DM))
    with_file["direct_message_events"][0]["message_create"]["message_data"]["attachment"] = {"type": "media"}
    (event,) = told(activity("dm.received", with_file))
    assert (event.records, event.dirty) == ((), ("messages",))


def test_events_of_the_older_api() -> None:
    body = {
        "for_user_id": ME,
        "tweet_create_events": [
            {"id_str": "1", "user": {"id_str": ME}},
            {"id_str": "2", "user": {"id_str": "9"}, "in_reply_to_status_id_str": "1"},
        ],
        "tweet_delete_events": [{"status": {"id": "3"}}],
        "direct_message_events": [{"id": "4"}],
    }
    assert [(event.key, event.dirty) for event in told(body)] == [
        ("tweet_create_events:1", ("posts",)),
        ("tweet_create_events:2", ("mentions", "comments")),
        ("tweet_delete_events:3", ("posts",)),
        ("direct_message_events:4", ("messages",)),
    ]
    (revoked,) = told({"user_event": {"revoke": {"date_time": "x", "source": {"user_id": ME}}}})
    assert (revoked.account, bool(revoked.revoked)) == (ME, True)
