"""LinkedIn: its query language, its verdict table, its records, its pages, its signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http import Context, Hook, Partition, Request
from connectors.http.request import Reply
from connectors.http.verdicts import judge
from connectors.linkedin import answers, calls, parse
from connectors.linkedin.connector import LINKEDIN
from connectors.linkedin.restli import StartPager, address, encode
from connectors.linkedin.webhook import events, handshake, verify
from connectors.records import ActivityRecord
from sync.base.errors import Permanent
from tests.fakes.vendor import NOW, Script, Shelf, collect
from tests.fakes.vendor import account as owner

ORG = "urn:li:organization:2414183"
POST = "urn:li:share:7264785523593134080"
COMMENT = "urn:li:comment:(urn:li:activity:7264785524000000001,7264900000000000002)"


def context(key: str = ORG, **values: Any) -> Context:
    account = Account("acme", "A1b2C3d4E5", {}, Credentials({}))
    return Context(account, {}, NOW, Partition(key, {"urn": ORG, "id": "2414183", "role": "ADMINISTRATOR", **values}))


# --- addresses


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ORG, "urn%3Ali%3Aorganization%3A2414183"),
        ([POST, "a,b"], "List(urn%3Ali%3Ashare%3A7264785523593134080,a%2Cb)"),
        ([COMMENT], "List(urn%3Ali%3Acomment%3A%28urn%3Ali%3Aactivity%3A7264785524000000001%2C7264900000000000002%29)"),
        ({"timeRange": {"start": 1, "end": 2}, "x": ["y"]}, "(timeRange:(start:1,end:2),x:List(y))"),
        (("impressions", "clicks"), "impressions,clicks"),
        ([], "List()"),
    ],
)
def test_punctuation_stays_bare_and_urns_are_encoded(value: Any, expected: str) -> None:
    assert encode(value) == expected


async def test_the_documented_addresses() -> None:
    ctx = context()
    ctx.size = 2
    asked = await address(calls.posts(ctx), ctx)
    assert (asked.path, asked.params) == (
        "/rest/posts?q=author&author=urn%3Ali%3Aorganization%3A2414183&sortBy=LAST_MODIFIED&count=2",
        {},
    )
    nothing = await address(calls.rest("organizations", "/1", ids=None), ctx)
    assert nothing.path == "/rest/organizations/1"


async def test_a_request_goes_out_as_it_was_written() -> None:
    script = Script({"elements": [{"organization": ORG, "role": "ADMINISTRATOR", "roleAssignee": "urn:li:person:A1"}]})
    script.answers += [{"sub": "A1"}, script.answers[0], {"elements": [], "paging": {"links": []}}]
    await collect(LINKEDIN, "posts", script)
    asked = script.requests[3]
    author = b"author=urn%3Ali%3Aorganization%3A2414183"
    assert asked.url.raw_path == b"/rest/posts?q=author&" + author + b"&sortBy=LAST_MODIFIED&count=100"
    assert asked.headers["linkedin-version"] == "202607"
    assert asked.headers["x-restli-protocol-version"] == "2.0.0"


def test_an_installation_may_ask_for_another_version() -> None:
    ctx = context()
    ctx.account = Account("a", "b", {}, Credentials({}), installation=Installation(secrets={"api_version": "202701"}))
    assert calls.headers(ctx)["LinkedIn-Version"] == "202701"


# --- answers


def verdict(status: int, body: Any, headers: dict[str, str] | None = None, kind: str = "posts") -> Any:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    reply = Reply(Request("GET", "/rest/x", endpoint=kind), status, httpx.Headers(headers), content)
    return judge(reply, LINKEDIN.problem, LINKEDIN.verdicts)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"serviceErrorCode": 65600, "code": "INVALID_ACCESS_TOKEN"}, "refresh"),
        (401, {"serviceErrorCode": 65601, "code": "REVOKED_ACCESS_TOKEN"}, "auth_dead"),
        (401, {"serviceErrorCode": 65602, "code": "EXPIRED_ACCESS_TOKEN"}, "refresh"),
        (401, {"serviceErrorCode": 65604, "code": "EMPTY_ACCESS_TOKEN"}, "bug"),
        (403, {"serviceErrorCode": 100, "code": "ACCESS_DENIED", "message": "Not enough permissions"}, "scope_missing"),
        (403, {"message": "Unpermitted fields present in QUERY_PARAM"}, "bug"),
        (400, {"code": "VERSION_MISSING", "message": "A version must be present."}, "config"),
        (426, {"code": "NONEXISTENT_VERSION", "message": "Requested version 20250701 is not active"}, "config"),
        (400, {"code": "ILLEGAL_ARGUMENT"}, "bug"),
        (400, {"code": "PARAM_INVALID"}, "bug"),
        (404, {"code": "NOT_FOUND", "message": "Could not find entity"}, "gone"),
        (409, {"message": "conflict"}, "retry"),
        (414, b"<html>URI Too Long</html>", "shrink"),
        (429, {"serviceErrorCode": 101, "message": "throttle APPLICATION DAY limit for calls"}, "throttled"),
        (429, {"code": "TOO_MANY_REQUESTS"}, "throttled"),
        (500, {"code": "INTERNAL_SERVER_ERROR"}, "retry"),
        (503, b"<html>Bad Gateway</html>", "retry"),
        (200, b"<html>Bad Gateway</html>", "retry"),
        (200, b'{"elements":[{"id":', "retry"),
        (400, {"code": "PARAM_INVALID", "message": "pageToken is invalid"}, "reset_cursor"),
        (200, {"elements": []}, "ok"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, body: Any, expected: str) -> None:
    assert verdict(status, body).verdict == expected


def test_a_used_up_day_ends_at_midnight_and_other_limits_in_minutes() -> None:
    text = "Resource level throttle {} DAY limit for calls to this resource is reached."
    for who, budget in (("APPLICATION", "application_day"), ("MEMBER", "member_day")):
        found = verdict(429, {"serviceErrorCode": 101, "message": text.format(who), "status": 429})
        now = datetime.now(UTC)
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        assert found.budget == budget
        assert abs(found.after_s - (midnight - now).total_seconds()) < 5
    assert verdict(429, {"code": "TOO_MANY_REQUESTS"}).after_s == answers.PAUSE_S
    assert verdict(429, {"code": "TOO_MANY_REQUESTS"}, {"retry-after": "40"}).after_s == 40


def test_a_full_report_is_asked_for_in_parts() -> None:
    rows: dict[str, Any] = {"elements": [{}] * answers.MOST_ELEMENTS}
    assert verdict(200, rows, kind="adAnalytics").verdict == "shrink"
    assert verdict(200, rows, kind="posts").verdict == "ok"


# --- records


def test_a_post_of_the_documentation() -> None:
    raw = {
        **{"id": POST, "author": ORG, "visibility": "PUBLIC", "lifecycleState": "PUBLISHED"},
        "commentary": "We are hiring \\#backend people with {hashtag|\\#|python} \U0001f680",
        **{"lifecycleStateInfo": {"isEditedByAuthor": False}, "createdAt": 1764000000123},
        **{"publishedAt": 1764000000456, "lastModifiedAt": 1764003600789, "isReshareDisabledByAuthor": False},
        "distribution": {"feedDistribution": "MAIN_FEED", "thirdPartyDistributionChannels": []},
        "content": {"media": {"id": "urn:li:image:C4E10AQFoyyAjHPMQuQ", "altText": "team photo"}},
    }
    record = parse.post(raw, context())
    assert (record.vendor_id, record.place, record.direction) == (POST, ORG, "out")
    assert record.text == "We are hiring #backend people with #python \U0001f680"
    assert record.occurred_at == datetime(2025, 11, 24, 16, 0, 0, 456_000, tzinfo=UTC)
    assert (record.version, record.edited_at) == (1764003600789, None)
    assert (record.attachments[0].kind, record.attachments[0].alt) == ("image", "team photo")
    assert parse.changed_at(raw) == datetime(2025, 11, 24, 17, 0, 0, 789_000, tzinfo=UTC)
    edited = parse.post({**raw, "lifecycleStateInfo": {"isEditedByAuthor": True}}, context())
    assert edited.edited_at == parse.changed_at(raw)
    video = parse.post(
        {
            **{"id": "urn:li:ugcPost:7263111111111111111", "author": ORG, "commentary": "Webinar recording"},
            **{"createdAt": 1763900000000, "publishedAt": 1763900000000, "lastModifiedAt": 1763900000000},
            "content": {"media": {"id": "urn:li:video:C5F10AQGKQg_6y2a4sQ", "title": "Webinar"}},
        },
        context(),
    )
    assert (video.title, video.attachments[0].kind) == ("Webinar", "video")


@pytest.mark.parametrize(
    ("little", "expected"),
    [
        ("Thanks @[Blue Door \\[Coffee\\]](urn:li:organization:1)!", "Thanks @Blue Door [Coffee]!"),
        ("\\<3 \\(really\\) \\\\o/ {hashtag|#|a\\_b}", "<3 (really) \\o/ #a_b"),
        ("nothing", "nothing"),
        ("", ""),
        (None, None),
    ],
)
def test_little_text_as_people_read_it(little: str | None, expected: str | None) -> None:
    assert parse.plain(little) == expected


def test_a_comment_of_the_documentation_and_a_reply() -> None:
    stamp = {"actor": "urn:li:person:7DVbc3bn1C", "time": 1764000123456}
    raw = {
        **{"$URN": COMMENT, "id": "7264900000000000002", "commentUrn": COMMENT, "actor": "urn:li:person:7DVbc3bn1C"},
        **{"object": "urn:li:activity:7264785524000000001", "created": stamp, "lastModified": stamp},
        "message": {"attributes": [], "text": "Congrats, great team!"},
        "likesSummary": {"totalLikes": 2, "aggregatedTotalLikes": 2},
        "commentsSummary": {"totalFirstLevelComments": 1, "aggregatedTotalComments": 1},
    }
    record = parse.comment(raw, context(POST, post=POST))
    assert (record.vendor_id, record.parent_id, record.thread_id, record.place) == (COMMENT, POST, POST, ORG)
    assert (record.text, record.direction, record.counters) == (
        "Congrats, great team!",
        "in",
        {"likes": 2, "replies": 1},
    )
    assert (record.version, record.edited_at) == (1764000123456, None)
    later = {**raw, "actor": ORG, "parentComment": COMMENT, "lastModified": {"actor": ORG, "time": 1764000199999}}
    reply = parse.comment(later, context(POST, post=POST))
    assert (reply.parent_id, reply.direction) == (COMMENT, "out")
    assert reply.edited_at is not None


def test_statistics_of_the_documentation() -> None:
    totals = {"uniqueImpressionsCount": 3103, "shareCount": 2, "engagement": 0.0364, "clickCount": 88, "likeCount": 21}
    totals |= {"impressionCount": 3214, "commentCount": 6, "shareMentionsCount": 0, "commentMentionsCount": 0}
    day = {"organizationalEntity": ORG, "timeRange": {"start": 1763856000000, "end": 1763942400000}}
    found = {m.metric: m for m in parse.page_day({**day, "totalShareStatistics": totals}, context())}
    assert (found["impressions"].value, found["engagement"].value) == (3214, Decimal("0.0364"))
    assert (found["clicks"].start, found["clicks"].end) == (
        datetime(2025, 11, 23, tzinfo=UTC),
        datetime(2025, 11, 24, tzinfo=UTC),
    )
    post = {m.metric: m for m in parse.post_totals({"share": POST, "totalShareStatistics": totals}, context())}
    assert (post["likes"].entity, post["likes"].value, post["likes"].place) == (POST, 21, ORG)
    gains = {**day, "followerGains": {"organicFollowerGain": 12, "paidFollowerGain": 0}}
    assert [m.value for m in parse.follower_day(gains, context())] == [12, 0]
    views = {"views": {"allPageViews": {"pageViews": 9, "uniquePageViews": 7}}}
    assert [m.value for m in parse.view_day({**day, "totalPageStatistics": views}, context())] == [9, 7]


def test_an_ads_row_of_the_documentation() -> None:
    raw = {
        "dateRange": {
            "start": {"year": 2026, "month": 11, "day": 1},
            "end": {"year": 2026, "month": 11, "day": 1},
        },
        **{"pivotValues": ["urn:li:sponsoredCampaign:612345001"], "impressions": 12500, "clicks": 185},
        **{"costInLocalCurrency": "2312.50", "costInUsd": "2312.50", "externalWebsiteConversions": 3},
        **{"oneClickLeads": 12, "likes": 42, "comments": 8, "shares": 15, "follows": 5},
    }
    account = "urn:li:sponsoredAccount:512345678"
    found = {m.metric: m for m in parse.ads_row(raw, context(account, currency="EUR"))}
    spend = found["spend"]
    assert (spend.value, spend.currency) == (Decimal("2312.50"), "EUR")
    assert (found["spend_usd"].currency, found["conversions"].value, found["leads"].value) == ("USD", 3, 12)
    assert (spend.entity, spend.parent) == ("urn:li:sponsoredCampaign:612345001", account)
    assert (spend.start, spend.end) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    assert len(calls.ADS_FIELDS) <= 20


# --- pages


def reply(body: Any) -> Reply:
    return Reply(Request("GET", "/x"), 200, httpx.Headers(), msgspec.json.encode(body))


def test_the_next_link_decides_and_without_links_the_total() -> None:
    ctx, pager = context(), StartPager()
    ctx.size = 2
    href = "/rest/posts?author=urn%3Ali%3Aorganization%3A2414183&count=2&q=author&sortBy=LAST_MODIFIED&start=2"
    linked = {"paging": {"start": 0, "count": 2, "total": 37, "links": [{"rel": "next", "href": href}]}}
    assert pager.next(reply(linked), [1], ctx, None) == 2
    assert pager.next(reply({"paging": {"total": 37, "links": []}}), [1], ctx, 2) == 4
    assert pager.next(reply({"paging": {"total": 4, "links": []}}), [1, 2], ctx, 2) is None
    assert pager.next(reply({"paging": {}}), [1, 2], ctx, 2) == 4
    assert pager.next(reply({"paging": {}}), [1], ctx, 2) is None


def comment(number: int, replies: int = 0, parent: str | None = None) -> dict[str, Any]:
    stamp = {"time": 1764000000000 + number}
    made: dict[str, Any] = {"commentUrn": f"urn:li:comment:(urn:li:activity:7,{number})", "actor": "urn:li:person:x"}
    made |= {"created": stamp, "lastModified": stamp, "message": {"text": str(number)}}
    return made | {"parentComment": parent, "commentsSummary": {"totalFirstLevelComments": replies}}


def thread(request: httpx.Request) -> Any:
    """A post with three comments on two pages; the first two have replies."""
    path, start = request.url.path, int(request.url.params.get("start", 0))
    roles = {"organization": ORG, "role": "CONTENT_ADMIN", "roleAssignee": "urn:li:person:A1"}
    if path == "/rest/organizationAcls":
        return {"elements": [roles], "paging": {"links": []}}
    if path == "/rest/posts":
        return {"elements": [{"id": POST, "createdAt": int(NOW.timestamp() * 1000)}], "paging": {"links": []}}
    if path == "/rest/socialMetadata":
        return {"results": {POST: {"commentSummary": {"count": 6, "topLevelCount": 3}}}}
    if path.endswith(f"{POST}/comments"):
        listed = [comment(1, 2), comment(2, 1), comment(3)][start : start + 2]
        following = [{"rel": "next", "href": "/x?start=2"}] if start == 0 else []
        return {"elements": listed, "paging": {"links": following, "total": 3}}
    if ",1)/comments" in path:
        parent = comment(1)["commentUrn"]
        following = [{"rel": "next", "href": "/x?start=1"}] if start == 0 else []
        return {"elements": [comment(10 + start, parent=parent)], "paging": {"links": following, "total": 2}}
    if ",2)/comments" in path:
        return {"elements": [comment(20, parent=comment(2)["commentUrn"])], "paging": {"links": [], "total": 1}}
    return {"sub": "A1", "elements": [], "paging": {"links": []}}


async def test_replies_follow_their_comments() -> None:
    records = await collect(LINKEDIN, "comments", Script(handler=thread))
    texts = [record.text for record in records if isinstance(record, ActivityRecord)]
    assert texts == ["1", "2", "3", "10", "11", "20"]


@pytest.mark.parametrize("page", [1, 2, 3, 4])
async def test_a_stop_inside_a_thread_goes_on_there(page: int) -> None:
    shelf = Shelf()
    first = await collect(LINKEDIN, "comments", Script(handler=thread), shelf, stop_after=page, run=1)
    rest = await collect(LINKEDIN, "comments", Script(handler=thread), shelf, run=1)
    texts = [record.text for record in first + rest]
    assert sorted(set(texts), key=int) == ["1", "2", "3", "10", "11", "20"]
    again = Script(handler=thread)
    assert await collect(LINKEDIN, "comments", again, shelf, run=2) == [], "nothing has changed"
    assert not [asked for asked in again.requests if asked.url.path.endswith("/comments")]


async def test_a_page_of_comments_that_leads_to_itself_is_an_error() -> None:
    def stuck(request: httpx.Request) -> Any:
        if request.url.path.endswith(f"{POST}/comments"):
            links = [{"rel": "next", "href": "/x?start=0"}]
            return {"elements": [comment(1, 2)], "paging": {"links": links, "total": 3}}
        return thread(request)

    with pytest.raises(Permanent, match="twice"):
        await collect(LINKEDIN, "comments", Script(handler=stuck))


async def test_posts_that_vanish_all_at_once_are_out_of_sight_not_deleted() -> None:
    failed = {f"urn:li:share:{number}": {"status": 404} for number in range(5)}
    assert calls.outcomes(reply({"results": {}, "errors": failed})) == []
    one = calls.outcomes(reply({"results": {POST: {}}, "errors": {"urn:li:share:1": {"status": 404}}}))
    record = parse.vanished(one[0], context())
    assert record is not None
    assert (record.vendor_id, record.deleted, record.text) == ("urn:li:share:1", True, None)
    assert parse.vanished({"urn": POST, "status": 403}, context()) is None


async def test_without_the_scopes_of_sign_in_the_roles_say_who_it_is() -> None:
    def answer(request: httpx.Request) -> Any:
        if request.url.path == "/v2/userinfo":
            return httpx.Response(403, json={"code": "ACCESS_DENIED", "message": "Not enough permissions"})
        role = {"organization": ORG, "role": "ADMINISTRATOR", "roleAssignee": "urn:li:person:A1b2C3d4E5"}
        return {"elements": [role], "paging": {"links": []}}

    from connectors.http.session import open_session

    script = Script(handler=answer)
    async with open_session(LINKEDIN, owner(script), transport=httpx.MockTransport(script)) as session:
        assert LINKEDIN.identify is not None
        found = await LINKEDIN.identify(session.api)
    assert (found.account, found.facts["places"]) == ("A1b2C3d4E5", [ORG])


# --- webhooks

SECRET = "test_client_secret"
NOTICES: dict[str, Any] = {
    "type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS",
    "notifications": [
        {
            **{"notificationId": 352353241, "organizationalEntity": ORG, "action": "COMMENT"},
            "sourcePost": "urn:li:share:6844785523593134080",
            "generatedActivity": "urn:li:comment:(urn:li:activity:6844785524000000001,6845000000000000002)",
            "decoratedGeneratedActivity": {"comment": {"owner": "urn:li:person:7DVbc3bn1C", "text": "Great news!"}},
            **{"lastModifiedAt": 1764000123456, "subscriber": "urn:li:person:A1b2C3d4E5"},
        },
        {
            **{"notificationId": 352353242, "organizationalEntity": ORG, "action": "SHARE_MENTION"},
            "sourcePost": "urn:li:share:6845111111111111111",
            "generatedActivity": "urn:li:share:6845111111111111111",
            **{"lastModifiedAt": 1764000125000, "subscriber": "urn:li:person:A1b2C3d4E5"},
        },
    ],
}


def hook(body: bytes = b"", signature: str = "", method: str = "POST", **query: str) -> Hook:
    return Hook(method, {"x-li-signature": signature}, query, body, 1764000000.0, {"client_secret": SECRET})


def test_signatures_as_documented() -> None:
    body = b'{"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"}'
    signature = "4539db4185c5d2e23cc7fe6b5334de283e2688d808c1bbf82fb94860f0595ba7"
    assert verify(hook(body, signature))
    assert not verify(hook(body + b" ", signature))
    assert not verify(hook(body, f"hmacsha256={signature}"))
    challenge = "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    answer = handshake(hook(method="GET", challengeCode=challenge))
    assert answer is not None
    assert msgspec.json.decode(answer.body) == {
        "challengeCode": challenge,
        "challengeResponse": "2f02d4233a0396d6b4632fc7be62fd3ab68183421f688efcda0c1fcb2615273e",
    }
    assert answer.content_type == "application/json"
    assert handshake(hook(b"{}")) is None


def test_notifications_of_the_documentation() -> None:
    comment, mention = events(hook(msgspec.json.encode(NOTICES)))
    assert (comment.account, comment.key, comment.dirty) == (ORG, "352353241", ("comments",))
    (record,) = mention.records
    assert isinstance(record, ActivityRecord)
    assert (mention.key, record.vendor_id) == ("352353242", "urn:li:share:6845111111111111111")
    gone = {**NOTICES["notifications"][0], "action": "COMMENT_DELETE"}
    (deleted,) = events(hook(msgspec.json.encode({**NOTICES, "notifications": [gone]})))
    (mark,) = deleted.records
    assert isinstance(mark, ActivityRecord)
    assert (mark.kind, mark.deleted, mark.version) == ("comment", True, 1764000123456)
    like = {**NOTICES["notifications"][0], "action": "LIKE"}
    assert not [*events(hook(msgspec.json.encode({**NOTICES, "notifications": [like]})))]
    assert not [*events(hook(b"not json"))]
