"""Facebook: its verdict table, its headers, its records, its signatures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials
from connectors.facebook import parse
from connectors.facebook.answers import app_usage, business_usage, regain_s
from connectors.facebook.connector import FACEBOOK
from connectors.facebook.webhook import events, handshake, verify
from connectors.http import Context, Hook, Partition
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from tests.fakes.vendor import NOW


def reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    answer = httpx.Response(status, json=body, headers=headers)
    return Reply(Request("GET", "/v25.0/x"), status, answer.headers, answer.content)


def error(code: int, message: str = "", subcode: int | None = None, **more: Any) -> dict[str, Any]:
    found = {"message": message, "type": "OAuthException", "code": code, **more}
    return {"error": found if subcode is None else {**found, "error_subcode": subcode}}


def verdict(status: int, body: Any) -> str:
    return judge(reply(status, body), FACEBOOK.problem, FACEBOOK.verdicts).verdict.value


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, error(1, "An unknown error occurred", 99), "retry"),
        (503, error(2, "Service temporarily unavailable"), "retry"),
        (400, error(2, "Service temporarily unavailable", is_transient=True), "retry"),
        (500, error(1, "Please reduce the amount of data you're asking for, then retry your request"), "shrink"),
        (400, error(100, "too much", 1487534), "shrink"),
        (400, error(1, "profile is not linked to delegate page", 2853001, is_transient=False), "scope_missing"),
        *[(400, error(code), "throttled") for code in (4, 17, 32, 613, *range(80000, 80010), 80014, 341, 368)],
        (400, error(4, "", 1504022), "throttled"),
        (429, {}, "throttled"),
        *[(401, error(190, "dead", subcode), "auth_dead") for subcode in (458, 459, 460, 463, 464, 467)],
        (401, error(190, "page role lost", 492), "gone"),
        (401, error(102), "auth_dead"),
        (400, error(190, "Any of the pages_read_engagement permission(s) must be granted before ..."), "scope_missing"),
        *[(403, error(code), "scope_missing") for code in (3, 10, 200, 299)],
        (400, error(100, "Missing permissions"), "scope_missing"),
        (400, error(10, "(#10) Not enough viewers for the media to show insights"), "gone"),
        (400, error(100, "Unsupported get request. Object with ID 'x' does not exist", 33), "gone"),
        (400, error(100, "media posted before", 2108006), "gone"),
        (400, error(803, "Some of the aliases you requested do not exist"), "gone"),
        (400, error(100, "(#100) The value must be a valid insights metric"), "bug"),
        (400, error(100, "Tried accessing nonexisting field (x)"), "bug"),
        *[(400, error(code), "bug") for code in (2500, 12, 2635)],
        (
            400,
            error(100, "(#100) Cannot include x in summary param because they weren't there while creating"),
            "retry",
        ),
        (200, {"data": []}, "ok"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, body: Any, expected: str) -> None:
    assert verdict(status, body) == expected


def test_usage_headers() -> None:
    usage = {
        "10153848260347724": [
            {"type": "pages", "call_count": 97, "total_cputime": 23, "estimated_time_to_regain_access": 19}
        ],
        "66782684": [
            {"type": "ads_management", "call_count": "20"},
            {"type": "ads_insights", "call_count": "100", "estimated_time_to_regain_access": "2"},
        ],
    }
    headers = {
        "x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":25}',
        "x-business-use-case-usage": json.dumps(usage),
    }
    got = reply(200, {}, headers)
    assert app_usage(got)[0].used == 0.28
    found = [(item.part, item.used, item.reset_s) for item in business_usage(got)]
    assert found[0] == ("10153848260347724", 0.97, 19 * 60)
    assert found[2] == ("66782684", 1.0, 120)
    assert regain_s(got) == 120
    assert not app_usage(reply(200, {}))


def context(zone: str = "UTC", **values: Any) -> Context:
    return Context(
        Account("acme", "1", {}, Credentials({})),
        {},
        NOW,
        Partition("p", {"id": "2121008874780932", **values}, zone=zone),
    )


def test_a_post_of_the_documentation() -> None:
    raw = {
        "id": "2121008874780932_2954961744718970",
        "message": "Happy July 4th! 🇺🇸",
        "created_time": "2026-11-20T19:50:58+0000",
        "updated_time": "2026-11-21T07:00:11+0000",
        "shares": {"count": 3},
        "comments": {"data": [], "summary": {"order": "ranked", "total_count": 12, "can_comment": True}},
        "reactions": {"data": [], "summary": {"total_count": 57}},
    }
    record = parse.post(raw, context(kind="page", name="MyLife"))
    assert record.occurred_at == datetime(2026, 11, 20, 19, 50, 58, tzinfo=UTC)
    assert record.counters == {"reactions": 57, "comments": 12, "shares": 3}
    assert (record.direction, record.author and record.author.name) == ("out", "MyLife")


def test_ads_numbers_are_exact_and_days_are_the_accounts() -> None:
    raw = {
        **{"campaign_id": "23842588888640185", "ad_id": "23842588888640187", "impressions": "9708", "clicks": "214"},
        **{"spend": "55.13", "date_start": "2026-11-01", "date_stop": "2026-11-01"},
        "actions": [{"action_type": "link_click", "value": "120", "1d_click": "110"}],
    }
    found = {record.metric: record for record in parse.ads_row(raw, context("America/Los_Angeles", currency="USD"))}
    spend = found["spend"]
    assert (spend.value, spend.currency, spend.parent) == (Decimal("55.13"), "USD", "23842588888640185")
    assert spend.start == datetime(2026, 11, 1, 7, tzinfo=UTC)
    assert spend.end == datetime(2026, 11, 2, 8, tzinfo=UTC)  # 25 hours: clocks went back
    assert found["actions"].dimensions == {"action_type": "link_click"}


def test_a_page_day_ends_at_pacific_midnight() -> None:
    raw = {"name": "page_media_view", "values": [{"value": 120, "end_time": "2026-11-21T08:00:00+0000"}, {"value": {}}]}
    (record,) = parse.page_days(raw, context("America/Los_Angeles"))
    assert record.start == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert record.end == datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (b'{"object":"page","entry":[]}', "5da47c9c7409e70d7a1851f0cfd9bc27786bd99587a9bf1dd5b51e23a2de03cf"),
        (
            rb'{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"feed","value":{"message":'
            rb'"caf\u00e9 \ud83d\ude00","link":"https:\/\/x.test\/a"}}]}]}',
            "e277997487f8308996c864a862bf2273c400675e2db54af3748ebeab1d7de162",
        ),
    ],
)
def test_signatures_as_documented(body: bytes, digest: str) -> None:
    secrets = {"client_secret": "test_app_secret"}
    signed = Hook("POST", {"x-hub-signature-256": f"sha256={digest}"}, {}, body, 0, secrets)
    assert verify(signed)
    assert not verify(Hook("POST", signed.headers, {}, body + b" ", 0, secrets))
    assert not verify(Hook("POST", {"x-hub-signature": "sha1=00"}, {}, body, 0, secrets))


def test_handshake_and_events() -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "v"}
    answer = handshake(Hook("GET", {}, query, b"", 0, {"verify_token": "v"}))
    assert answer is not None
    assert answer.body == "1158201444"
    refused = handshake(Hook("GET", {}, query, b"", 0, {"verify_token": "w"}))
    assert refused is not None
    assert refused.status == 403
    body = {
        "object": "page",
        "entry": [
            {"id": "1", "changes": [{"field": "feed", "value": {"item": "comment", "verb": "add"}}]},
            {"id": "2", "messaging": [{"message": {"mid": "m_1"}}]},
        ],
    }
    found = [*events(Hook("POST", {}, {}, json.dumps(body).encode(), 0, {}))]
    assert [(event.account, event.dirty) for event in found] == [("1", ("comments",)), ("2", ("messages",))]
