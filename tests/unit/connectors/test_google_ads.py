"""Google Ads: its verdict table, its queries, its records."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.google_ads import parse, queries
from connectors.google_ads.answers import delay
from connectors.google_ads.connector import GOOGLE_ADS, PAGER, entities, headers, search
from connectors.http import Context, Partition
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from simulator.vendors.google_ads import gaql
from sync.base.errors import IntegrationRevoked, RateLimited, ScopeMissing
from tests.fakes.vendor import NOW, Script, Shelf, account, collect


def failure(kind: str, code: str, message: str = "", **details: Any) -> dict[str, Any]:
    found = {"errorCode": {kind: code}, "message": message, **({"details": details} if details else {})}
    failures = {"@type": "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure", "errors": [found]}
    return {"error": {"code": 400, "message": "m", "status": "X", "details": [{**failures, "requestId": "r"}]}}


def info(reason: str) -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    return {"error": {"code": 403, "message": "m", "status": "PERMISSION_DENIED", "details": details}}


def reply(status: int, body: Any) -> Reply:
    content = {"text": body} if isinstance(body, str) else {"json": body}
    answer = httpx.Response(status, **content)
    return Reply(Request("POST", "/v26/customers/1/googleAds:search"), status, answer.headers, answer.content)


AUTHENTICATION, AUTHORIZATION, REQUEST = "authenticationError", "authorizationError", "requestError"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        *[
            (401, failure(AUTHENTICATION, code), "refresh")
            for code in ("OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID", "OAUTH_TOKEN_HEADER_INVALID")
        ],
        (401, {"error": {"code": 401, "message": "m", "status": "UNAUTHENTICATED"}}, "refresh"),
        *[
            (401, failure(AUTHENTICATION, code), "auth_dead")
            for code in (
                "OAUTH_TOKEN_REVOKED",
                "OAUTH_TOKEN_DISABLED",
                "GOOGLE_ACCOUNT_DELETED",
                "GOOGLE_ACCOUNT_AUTHENTICATION_FAILED",
                "NOT_ADS_USER",
            )
        ],
        (401, failure(AUTHENTICATION, "TWO_STEP_VERIFICATION_NOT_ENROLLED"), "scope_missing"),
        (401, failure(AUTHENTICATION, "ADVANCED_PROTECTION_NOT_ENROLLED"), "scope_missing"),
        (401, failure(AUTHENTICATION, "CUSTOMER_NOT_FOUND"), "gone"),
        (401, failure(AUTHENTICATION, "CLIENT_CUSTOMER_ID_INVALID"), "gone"),
        (401, failure(AUTHENTICATION, "DEVELOPER_TOKEN_INVALID"), "config"),
        (401, failure(AUTHENTICATION, "ORGANIZATION_NOT_APPROVED"), "config"),
        *[
            (403, failure(AUTHORIZATION, code), "gone")
            for code in (
                "USER_PERMISSION_DENIED",
                "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION",
                "CUSTOMER_NOT_ENABLED",
                "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT",
                "INCOMPLETE_SIGNUP",
                "ACCESS_DENIED_FOR_ACCOUNT_TYPE",
            )
        ],
        *[
            (403, failure(AUTHORIZATION, code), "scope_missing")
            for code in ("METRIC_ACCESS_DENIED", "ACTION_NOT_PERMITTED", "AUTHORIZATION_ERROR")
        ],
        *[
            (403, failure(AUTHORIZATION, code), "config")
            for code in (
                "PROJECT_DISABLED",
                "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
                "DEVELOPER_TOKEN_NOT_APPROVED",
                "DEVELOPER_TOKEN_PROHIBITED",
                "SERVICE_ACCESS_DENIED",
                "MISSING_TOS",
            )
        ],
        (403, info("SERVICE_DISABLED"), "config"),
        (403, info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "scope_missing"),
        *[
            (429, failure("quotaError", code), "throttled")
            for code in (
                "RESOURCE_EXHAUSTED",
                "RESOURCE_TEMPORARILY_EXHAUSTED",
                "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION",
                "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION",
            )
        ],
        (429, {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}, "throttled"),
        (429, "", "throttled"),
        (429, "<html>Too Many Requests</html>", "throttled"),
        (403, failure("quotaError", "ACCESS_PROHIBITED"), "scope_missing"),
        (500, failure("internalError", "TRANSIENT_ERROR"), "retry"),
        (500, failure("internalError", "INTERNAL_ERROR"), "retry"),
        (504, failure("internalError", "DEADLINE_EXCEEDED"), "retry"),
        (400, failure(REQUEST, "RPC_DEADLINE_TOO_SHORT"), "retry"),
        (503, {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, "retry"),
        (502, "<html>Bad Gateway</html>", "retry"),
        (409, {"error": {"code": 409, "message": "m", "status": "ABORTED"}}, "retry"),
        (400, failure("databaseError", "CONCURRENT_MODIFICATION"), "retry"),
        (400, failure(REQUEST, "EXPIRED_PAGE_TOKEN"), "reset_cursor"),
        (400, failure(REQUEST, "INVALID_PAGE_TOKEN"), "reset_cursor"),
        (400, failure(REQUEST, "UNSUPPORTED_VERSION"), "config"),
        (404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", "config"),
        (400, failure(REQUEST, "CANNOT_BE_EXECUTED_BY_MANAGER_ACCOUNT"), "gone"),
        (400, failure("queryError", "REQUESTED_METRICS_FOR_MANAGER"), "gone"),
        (400, failure("queryError", "UNRECOGNIZED_FIELD"), "bug"),
        (400, failure("queryError", "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE"), "bug"),
        (400, failure("dateRangeError", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED"), "bug"),
        (400, failure("changeStatusError", "START_DATE_TOO_OLD"), "bug"),
        (403, [failure(AUTHORIZATION, "CUSTOMER_NOT_ENABLED")], "gone"),
        (200, [{"results": []}, failure("internalError", "INTERNAL_ERROR")], "retry"),
        (200, {"results": [], "fieldMask": "campaign.id"}, "ok"),
        (200, {"fieldMask": "campaign.id"}, "ok"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, body: Any, expected: str) -> None:
    found = judge(reply(status, body), GOOGLE_ADS.problem, GOOGLE_ADS.verdicts)
    assert found.verdict.value == expected


@pytest.mark.parametrize(
    ("code", "quota", "seconds", "budget"),
    [
        ("RESOURCE_TEMPORARILY_EXHAUSTED", {"rateScope": "ACCOUNT", "retryDelay": "30s"}, 30.0, "customer"),
        ("RESOURCE_EXHAUSTED", {"rateScope": "DEVELOPER", "retryDelay": "40591s"}, 40_591.0, "project"),
        ("RESOURCE_TEMPORARILY_EXHAUSTED", {"rateScope": "DEVELOPER", "retryDelay": "1.5s"}, 1.5, "project"),
        ("RESOURCE_EXHAUSTED", {}, 3_600.0, "project"),
        ("EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", {}, 900.0, "customer"),
        ("RESOURCE_TEMPORARILY_EXHAUSTED", {}, None, "customer"),
    ],
)
def test_who_waits_and_how_long(code: str, quota: dict[str, str], seconds: float | None, budget: str) -> None:
    details: Any = {"quotaErrorDetails": quota} if quota else {}
    got = reply(429, failure("quotaError", code, **details))
    found = judge(got, GOOGLE_ADS.problem, GOOGLE_ADS.verdicts)
    assert (found.after_s, found.budget) == (seconds, budget)


def test_the_wait_may_be_in_the_sentence_only() -> None:
    body = failure("quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", "Too many requests. Retry in 12 seconds.")
    assert delay(reply(429, body)) == 12.0


def context(zone: str = "Europe/Berlin", **values: Any) -> Context:
    found = {"id": "1234567890", "login": "1112223333", "currency": "EUR", "name": "Shop", **values}
    return Context(Account("acme", "1", {}, Credentials({})), {}, NOW, Partition("1234567890", found, zone=zone))


CAMPAIGN = {"resourceName": "customers/1234567890/campaigns/17141250425", "id": "17141250425", "name": "Brand DE"}
ROW = {
    "customer": {"resourceName": "customers/1234567890", "currencyCode": "EUR", "timeZone": "Europe/Berlin"},
    "campaign": {**CAMPAIGN, "status": "ENABLED"},
    "segments": {"date": "2026-04-01"},
    "metrics": {
        "impressions": "3217",
        "clicks": "41",
        "costMicros": "20000000",
        "ctr": 0.012744793,
        "averageCpc": 487804.8780487805,
        "conversions": 2.5,
        "conversionsValue": 180.0,
        "allConversions": 3.0,
        "viewThroughConversions": "0",
    },
}


def test_a_row_of_the_documentation() -> None:
    found = {record.metric: record for record in parse.daily(ROW, context())}
    assert {name: record.value for name, record in found.items()} == {
        "impressions": 3217,
        "clicks": 41,
        "view_through_conversions": 0,
        "conversions": Decimal("2.5"),
        "all_conversions": Decimal("3.0"),
        "spend": Decimal(20),
        "conversions_value": Decimal(180),
    }
    spend = found["spend"]
    assert (spend.entity, spend.entity_kind, spend.parent) == ("17141250425", "campaign", "1234567890")
    assert (spend.currency, found["clicks"].currency) == ("EUR", None)
    assert spend.start == datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert spend.end == datetime(2026, 4, 1, 22, tzinfo=UTC)


def test_micros_are_exact_and_absent_figures_are_not_zero() -> None:
    row = {**ROW, "metrics": {"costMicros": "310001"}}
    (spend,) = parse.daily(row, context())
    assert spend.value == Decimal("0.310001")


def test_ads_are_known_by_group_and_ad_and_actions_by_number() -> None:
    ad = {"adGroup": {"id": "15555"}, "adGroupAd": {"ad": {"id": "77"}}}
    record = next(iter(parse.daily({**ROW, **ad}, context())))
    assert (record.entity, record.entity_kind, record.parent) == ("15555~77", "ad", "17141250425")
    segments = {"date": "2026-04-01", "conversionAction": "customers/1234567890/conversionActions/900"}
    record = next(iter(parse.daily({**ROW, "segments": segments}, context())))
    assert record.dimensions == {"conversion_action": "900"}


def test_a_day_of_the_clock_change_has_23_hours() -> None:
    row = {**ROW, "segments": {"date": "2026-03-29"}}
    record = next(iter(parse.daily(row, context())))
    assert (record.end - record.start).total_seconds() == 23 * 3600


def test_campaigns_of_the_documentation() -> None:
    item = {
        "campaign": {
            **CAMPAIGN,
            "status": "ENABLED",
            "advertisingChannelType": "SEARCH",
            "startDateTime": "2026-01-01 00:00:00",
        },
        "campaignBudget": {
            "resourceName": "customers/1234567890/campaignBudgets/9988776655",
            "amountMicros": "50000000",
        },
    }
    record = parse.entity(item, context(kind="campaign"))
    assert (record.vendor_id, record.title, record.deleted) == (CAMPAIGN["resourceName"], "Brand DE", False)
    assert record.data is not None
    assert Decimal(record.data["daily_budget"]) == 50
    removed = {"campaign": {**CAMPAIGN, "status": "REMOVED"}}
    assert parse.entity(removed, context(kind="campaign")).deleted


def test_ads_groups_and_accounts() -> None:
    ad = {
        "adGroupAd": {
            "resourceName": "customers/1/adGroupAds/2~3",
            "status": "PAUSED",
            "ad": {"resourceName": "customers/1/ads/3", "id": "3", "name": "Ad", "finalUrls": ["https://x"]},
            "policySummary": {"approvalStatus": "APPROVED"},
        },
        "adGroup": {"resourceName": "customers/1/adGroups/2", "id": "2", "name": "Group", "status": "ENABLED"},
        "campaign": {"resourceName": "customers/1/campaigns/4", "id": "4"},
        "customer": {"resourceName": "customers/1", "id": "1", "descriptiveName": "Shop", "timeZone": "UTC"},
    }
    found = [parse.entity(ad, context(kind=kind)) for kind in ("ad", "ad_group", "account")]
    assert [(record.vendor_id, record.parent_id, record.title) for record in found] == [
        ("customers/1/adGroupAds/2~3", "customers/1/adGroups/2", "Ad"),
        ("customers/1/adGroups/2", "customers/1/campaigns/4", "Group"),
        ("customers/1", None, "Shop"),
    ]
    assert found[0].data is not None
    assert (found[0].data["approval"], found[0].data["urls"]) == ("APPROVED", ["https://x"])


def test_every_query_is_one() -> None:
    day = date(2026, 11, 1)
    asked = [*queries.ENTITIES.values(), queries.CLIENTS, queries.newest_change(day)]
    asked += [queries.daily(kind, day, day) for kind in queries.DAILY]
    for query in asked:
        assert gaql.parse(query).fields


def test_headers_and_versions_come_from_the_installation() -> None:
    ctx = context(kind="campaign")
    assert headers(ctx) == {"login-customer-id": "1112223333"}
    assert entities(ctx).path == "/v26/customers/1234567890/googleAds:search"
    secrets = {"api_version": "v27", "developer_token": "dev"}
    ctx.account = Account("acme", "1", {}, Credentials({}), installation=Installation("app", "s", secrets))
    assert headers(ctx)["developer-token"] == "dev"
    assert search(ctx, "1", "q").path == "/v27/customers/1/googleAds:search"


def test_following_pages_cost_nothing() -> None:
    first = search(context(), "1", "SELECT campaign.id FROM campaign")
    following = PAGER.apply(first, "token")
    assert (first.cost, following.cost) == (1, 0)
    assert following.json == {"query": "SELECT campaign.id FROM campaign", "pageToken": "token"}


# --- with a scripted vendor

CLIENT = {"id": "1234567890", "descriptiveName": "Shop", "currencyCode": "EUR", "timeZone": "Europe/Berlin"}


def vendor(request: httpx.Request) -> Any:
    if request.url.path.endswith("listAccessibleCustomers"):
        return {"resourceNames": ["customers/9998887777", "customers/1234567890"]}
    query = request.read().decode()
    if "FROM customer_client" in query and "/9998887777/" in request.url.path:
        return httpx.Response(403, json=failure(AUTHORIZATION, "CUSTOMER_NOT_ENABLED"))
    if "FROM customer_client" in query:
        return {"results": [{"customerClient": CLIENT}]}
    return {"results": [ROW]} if "FROM campaign" in query and "conversion_action" not in query else {}


async def test_closed_accounts_are_left_out_and_facts_save_operations() -> None:
    script, shelf = Script(handler=vendor), Shelf()
    records = await collect(GOOGLE_ADS, "ads-metrics", script, shelf)
    assert {record.place for record in records} == {"1234567890"}
    assert {request.headers.get("login-customer-id") for request in script.requests[3:]} == {"1234567890"}
    # The list, two looks for clients, and 91 days in steps of 30 days for three kinds.
    assert len(script.requests) == 3 + 3 * 4


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(429, json=failure("quotaError", "RESOURCE_EXHAUSTED")), RateLimited),
        (httpx.Response(401, json=failure(AUTHENTICATION, "NOT_ADS_USER")), IntegrationRevoked),
        ({"resourceNames": []}, ScopeMissing),
        ({}, ScopeMissing),
    ],
)
async def test_logins_that_give_nothing(answer: Any, error: type[Exception]) -> None:
    script = Script(answer)
    with pytest.raises(error):
        await collect(GOOGLE_ADS, "profile", script, owner=account(script))


async def test_a_stop_after_any_page_loses_nothing() -> None:
    """A query that was stopped in the middle is asked again; figures already stored are the same ones."""

    def paged(request: httpx.Request) -> Any:
        if request.url.path.endswith("listAccessibleCustomers"):
            return {"resourceNames": ["customers/1234567890"]}
        body = request.read().decode()
        if "FROM customer_client" in body:
            return {"results": [{"customerClient": CLIENT}]}
        place = {"": 1, "p2": 2, "p3": 3}[next((t for t in ("p3", "p2") if f'"{t}"' in body), "")]
        row = {**ROW, "campaign": {**CAMPAIGN, "id": str(place)}}
        return {"results": [row], **({"nextPageToken": f"p{place + 1}"} if place < 3 else {})}

    whole = {(r.entity, r.metric, r.start) for r in await collect(GOOGLE_ADS, "ads-metrics", Script(handler=paged))}
    for stop in range(1, 6):
        script, shelf = Script(handler=paged), Shelf()
        found = await collect(GOOGLE_ADS, "ads-metrics", script, shelf, stop_after=stop, run=1)
        found += await collect(GOOGLE_ADS, "ads-metrics", script, shelf, run=1)
        assert {(r.entity, r.metric, r.start) for r in found} == whole
