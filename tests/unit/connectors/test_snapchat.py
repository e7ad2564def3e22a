"""Snapchat: its verdict table, its requests, its records."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials
from connectors.http import Context, Partition
from connectors.http.request import Reply, Request, Span
from connectors.http.times import day_start
from connectors.http.verdicts import judge
from connectors.snapchat import parse
from connectors.snapchat.connector import SNAPCHAT, ads_stats, entities
from sync.base.errors import ScopeMissing
from tests.fakes.vendor import NOW, Script, Shelf, collect

ZONE = "America/Los_Angeles"


def envelope(code: str, debug: str) -> dict[str, Any]:
    return {
        "request_status": "ERROR",
        "request_id": "5ebc40d1000f0c8a3c21a0d9",
        "debug_message": debug,
        "display_message": "We're sorry, but the requested resource is not available at this time",
        "error_code": code,
    }


def reply(status: int, body: Any, endpoint: str = "stats", headers: dict[str, str] | None = None) -> Reply:
    if isinstance(body, str):
        answer = httpx.Response(status, text=body, headers=headers)
    else:
        answer = httpx.Response(status, json=body, headers=headers)
    return Reply(Request("GET", "/v1/x", endpoint=endpoint), status, answer.headers, answer.content)


MISSING = envelope("E3003", "Resource can not be found")


@pytest.mark.parametrize(
    ("status", "body", "endpoint", "expected"),
    [
        (401, "", "stats", "refresh"),
        (401, envelope("E1001", "expired"), "me", "refresh"),
        (403, "", "stats", "gone"),
        (403, envelope("E1002", "no role"), "entities", "gone"),
        (403, "", "organizations", "scope_missing"),
        (403, "", "profiles", "scope_missing"),
        (401, envelope("E1", "unauthorized"), "profiles", "scope_missing"),
        (400, "Unauthorized client", "profiles", "scope_missing"),
        (400, envelope("E1008", "Unsupported Stats Query: start of day"), "stats", "bug"),
        (400, envelope("E1004", "unsupported breakdown"), "stats", "bug"),
        (400, envelope("E2023", "immutable"), "entities", "bug"),
        (400, envelope("E0001", "x"), "entities", "gone"),
        (400, envelope("E9", "This is not supported for the account"), "entities", "gone"),
        (404, MISSING, "stats", "gone"),
        (404, "", "entities", "gone"),
        *[(status, "", "stats", "bug") for status in (405, 406, 418)],
        (410, "", "stats", "gone"),
        (415, "", "profiles", "bug"),
        (429, "", "stats", "throttled"),
        (429, "<html>slow down</html>", "profiles", "throttled"),
        *[(status, envelope("E9999", "x"), "stats", "retry") for status in (500, 502, 503, 504)],
        (503, "", "stats", "retry"),
        (200, envelope("E3003", "x") | {"request_status": "ERROR"}, "stats", "bug"),
        (200, {"request_status": "PARTIAL", "campaigns": []}, "entities", "ok"),
        (200, {"request_status": "success", "timeseries_stats": []}, "stats", "ok"),
        (200, "<html>", "stats", "retry"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, body: Any, endpoint: str, expected: str) -> None:
    found = judge(reply(status, body, endpoint), SNAPCHAT.problem, SNAPCHAT.verdicts)
    assert found.verdict.value == expected


def test_how_long_a_limit_lasts() -> None:
    def waits(headers: dict[str, str]) -> float | None:
        return judge(reply(429, "", headers=headers), SNAPCHAT.problem, SNAPCHAT.verdicts).after_s

    assert waits({}) == 5.0
    assert waits({"retry-after": "17"}) == 17.0
    soon = str(int(datetime.now(UTC).timestamp()) + 100)
    assert 90 < (waits({"x-rate-limit-reset": soon}) or 0) <= 100


def test_a_refused_renewal_is_final_only_when_snap_says_so() -> None:
    auth = SNAPCHAT.auth
    assert auth.is_dead(reply(400, {"error": "invalid_grant"}))  # type: ignore[union-attr]
    assert not auth.is_dead(reply(401, {"error": "invalid_client"}))  # type: ignore[union-attr]
    assert not auth.is_dead(reply(503, ""))  # type: ignore[union-attr]


def context(now: datetime = NOW, **values: Any) -> Context:
    found = {"id": "8adc3db7", "currency": "USD", "name": "My Brand US", **values}
    return Context(Account("acme", "1", {}, Credentials({})), {}, now, Partition("8adc3db7", found, zone=ZONE))


STAT = {
    "id": "92e1c28a",
    "type": "CAMPAIGN",
    "granularity": "DAY",
    "swipe_up_attribution_window": "28_DAY",
    "view_attribution_window": "1_DAY",
    "start_time": "2026-11-19T00:00:00.000-08:00",
    "end_time": "2026-11-21T00:00:00.000-08:00",
    "finalized_data_end_time": "2026-11-20T16:00:00.000-08:00",
    "conversion_data_processed_end_time": "2026-11-20T14:25:00.000-08:00",
}
DAYS = [
    {
        "start_time": "2026-11-19T00:00:00.000-08:00",
        "end_time": "2026-11-20T00:00:00.000-08:00",
        "stats": {
            **{"impressions": 12030, "swipes": 216, "spend": 30000000},
            **{"conversion_purchases": 4, "conversion_purchases_value": 199960000},
        },
    },
    {
        "start_time": "2026-11-20T00:00:00.000-08:00",
        "end_time": "2026-11-21T00:00:00.000-08:00",
        "stats": {"impressions": 9120, "swipes": 140, "spend": 21450001},
    },
]


def broken_down() -> Reply:
    stat = {**STAT, "type": "AD_ACCOUNT", "breakdown_stats": {"campaign": [{"id": "92e1c28a", "timeseries": DAYS}]}}
    elements = [{"sub_request_status": "SUCCESS", "timeseries_stat": stat}]
    return reply(200, {"request_status": "SUCCESS", "timeseries_stats": elements})


def test_days_of_the_documentation() -> None:
    first, second = parse.stat_rows(broken_down())
    found = {record.metric: record for record in parse.ads_day(first, context())}
    assert {name: record.value for name, record in found.items()} == {
        "impressions": 12030,
        "clicks": 216,
        "spend": Decimal(30),
        "conversion_purchases": 4,
        "conversion_purchases_value": Decimal("199.96"),
    }
    spend, bought = found["spend"], found["conversion_purchases"]
    assert (spend.entity, spend.entity_kind, spend.currency, spend.dimensions) == ("92e1c28a", "campaign", "USD", None)
    assert spend.start == datetime(2026, 11, 19, 8, tzinfo=UTC)
    assert bought.dimensions == {"attribution": "swipe 28_DAY, view 1_DAY"}
    assert (spend.is_final, bought.is_final) == (True, False), "conversions move for 28 days"
    later = {record.metric: record for record in parse.ads_day(first, context(NOW + timedelta(days=40)))}
    assert later["conversion_purchases"].is_final
    after = {record.metric: record for record in parse.ads_day(second, context())}
    assert (after["spend"].value, after["spend"].is_final) == (Decimal("21.450001"), False)


def test_one_entity_without_a_breakdown() -> None:
    body = {"timeseries_stats": [{"sub_request_status": "SUCCESS", "timeseries_stat": {**STAT, "timeseries": DAYS}}]}
    rows = parse.stat_rows(reply(200, body))
    assert [row["start_time"][:10] for row in rows] == ["2026-11-19", "2026-11-20"]
    assert rows[0]["id"] == "92e1c28a"


def test_an_element_that_failed_is_put_aside() -> None:
    failed = {"sub_request_status": "ERROR", "sub_request_error_reason": "No such thing", "campaign": {"id": "x"}}
    with pytest.raises(ValueError, match="No such thing"):
        parse.entity(failed, context(kind="campaign"))
    (row,) = parse.stat_rows(reply(200, {"timeseries_stats": [failed]}))
    with pytest.raises(ValueError, match="No such thing"):
        list(parse.ads_day(row, context()))


CAMPAIGN = {
    "id": "92e1c28a-a331-45b4-8c26-fd3e0eea8c39",
    "updated_at": "2026-11-12T20:28:58.738Z",
    "created_at": "2026-10-01T09:00:00.000Z",
    "name": "Cool Campaign",
    "ad_account_id": "8adc3db7",
    "status": "ACTIVE",
    "objective": "WEB_CONVERSION",
    "daily_budget_micro": 50000000,
    "delivery_status": ["VALID"],
}


def test_entities_of_the_documentation() -> None:
    wrapped = {"sub_request_status": "success", "campaign": CAMPAIGN}
    ctx = context(kind="campaign")
    record = parse.entity(wrapped, ctx)
    assert record is not None
    assert (record.title, record.parent_id, record.deleted) == ("Cool Campaign", "8adc3db7", False)
    assert record.version == 1794515338738
    assert record.data is not None
    assert Decimal(record.data["daily_budget"]) == 50
    assert parse.changed_at(wrapped) == record.edited_at
    gone = parse.entity({"campaign": {**CAMPAIGN, "deleted": True}}, ctx)
    assert gone is not None
    assert gone.deleted
    ctx.span = Span(since=datetime(2026, 11, 13, tzinfo=UTC))
    assert parse.entity(wrapped, ctx) is None, "not changed since"
    ad = {"ad": {"id": "a", "ad_squad_id": "s", "updated_at": "2026-11-20T00:00:00.000Z", "name": "Ad"}}
    shown = parse.entity(ad, context(kind="ad"))
    assert shown is not None
    assert shown.parent_id == "s"


def test_public_profiles_of_the_documentation() -> None:
    wrapped = {
        "sub_request_status": "SUCCESS",
        "public_profile": {
            "id": "b1a2c3d4",
            "display_name": "My Brand",
            "snap_user_name": "mybrand",
            "profile_type": "BUSINESS",
            "subscriber_count": "15234",
            "logo_urls": {"original_logo_url": "https://cf-st.sc-cdn.net/x.jpg"},
        },
    }
    record, subscribers = parse.public_profile(wrapped, context())
    assert (record.permalink, record.title) == ("https://www.snapchat.com/add/mybrand", "My Brand")  # type: ignore[union-attr]
    assert (subscribers.value, subscribers.metric) == (15234, "subscribers")  # type: ignore[union-attr]


def test_content_is_read_leniently() -> None:
    spotlight = {"spotlight": {"id": "1", "description": "Look", "status": "LIVE", "media_id": "m"}}
    record = parse.content(spotlight, context(kind="spotlight"))
    assert (record.text, record.direction, record.occurred_at) == ("Look", "out", None)
    assert record.data == {"kind": "spotlight", "status": "LIVE"}
    bare = parse.content({"id": "2", "created_at": "2026-11-20T00:00:00Z"}, context(kind="story"))
    assert (bare.vendor_id, bare.text) == ("2", None)


def test_windows_are_midnights_of_the_account_with_their_offsets() -> None:
    ctx = context()
    first, last = date(2026, 10, 31), date(2026, 11, 2)
    ctx.span = Span(
        first_day=first,
        last_day=last,
        starts_at=day_start(first, ZONE),
        ends_at=day_start(last + timedelta(days=1), ZONE),
    )
    params = ads_stats("campaign")(ctx).params
    assert params["start_time"] == "2026-10-31T00:00:00.000-07:00"
    assert params["end_time"] == "2026-11-03T00:00:00.000-08:00"
    assert not {"uniques", "frequency"} & set(params["fields"].split(","))


def test_lists_ask_for_deleted_entities_in_pages_that_snap_allows() -> None:
    stream = next(s for s in SNAPCHAT.streams if (s.name, s.part) == ("profile", "ads"))
    assert (stream.min_page_size, stream.page_size) == (50, 1000)
    ctx = context(kind="adsquad")
    ctx.size = stream.page_size
    request = entities(ctx)
    assert (request.path, request.params["limit"]) == ("/v1/adaccounts/8adc3db7/adsquads", 1000)
    assert request.params["read_deleted_entities"] == "true"


async def test_offsets_are_encoded_and_next_links_never_leave_the_host() -> None:
    asked: list[httpx.Request] = []

    def vendor(request: httpx.Request) -> Any:
        asked.append(request)
        if request.url.path == "/v1/me":
            return {"request_status": "SUCCESS", "me": {"id": "p", "display_name": "Ada"}}
        if request.url.path == "/v1/me/organizations":
            account = {"id": "8adc3db7", "name": "Shop", "currency": "EUR", "timezone": "Europe/Berlin"}
            return {"request_status": "SUCCESS", "organizations": [{"organization": {"ad_accounts": [account]}}]}
        following = (
            {} if "cursor" in request.url.params else {"next_link": "https://evil.example/v1/x?cursor=c&limit=50"}
        )
        return {"request_status": "SUCCESS", "paging": following, "timeseries_stats": []}

    await collect(SNAPCHAT, "ads-metrics", Script(handler=vendor))
    stats = [request for request in asked if request.url.path.endswith("/stats")]
    assert all(b"%2B0" in request.url.query for request in stats if "cursor" not in request.url.params)
    assert {request.url.host for request in asked} == {"adsapi.snapchat.com"}
    assert any(request.url.params.get("cursor") == "c" for request in stats)


async def test_a_person_without_roles_blocks_instead_of_bringing_nothing() -> None:
    me = {"request_status": "SUCCESS", "me": {"id": "p"}}
    with pytest.raises(ScopeMissing):
        await collect(SNAPCHAT, "ads-metrics", Script(me, {"request_status": "SUCCESS", "organizations": []}))


async def test_a_stop_after_any_page_loses_nothing() -> None:
    def vendor(request: httpx.Request) -> Any:
        if request.url.path == "/v1/me":
            return {"request_status": "SUCCESS", "me": {"id": "p"}}
        if request.url.path == "/v1/me/organizations":
            return {"request_status": "SUCCESS", "organizations": [{"organization": {"ad_accounts": [{"id": "a"}]}}]}
        if not request.url.path.endswith("/campaigns"):
            return {"request_status": "SUCCESS"}
        place = int(request.url.params.get("cursor", 0))
        element = {"campaign": {"id": f"c{place}", "updated_at": "2026-11-20T00:00:00.000Z"}}
        following = {"next_link": f"https://adsapi.snapchat.com/x?limit=1000&cursor={place + 1}"} if place < 3 else {}
        return {"request_status": "SUCCESS", "campaigns": [element], "paging": following}

    for stop in range(1, 6):
        script, shelf = Script(handler=vendor), Shelf()
        found = await collect(SNAPCHAT, "profile", script, shelf, stop_after=stop, run=1)
        found += await collect(SNAPCHAT, "profile", script, shelf, run=1)
        assert {record.vendor_id for record in found} == {"c0", "c1", "c2", "c3"}
