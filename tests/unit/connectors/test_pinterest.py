"""Pinterest: its verdict table, its headers, its records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http import CodeGrant, Context, Partition
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from connectors.pinterest import parse
from connectors.pinterest.answers import BUDGETS, LOOKED_UP, trial_usage
from connectors.pinterest.connector import BASIC, PINTEREST, create_report, exchange, pins, report_ready, report_rows
from connectors.records import ActivityRecord
from tests.fakes.vendor import NOW


def reply(status: int, body: Any, headers: dict[str, str] | None = None, endpoint: str = "org_read") -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.Response(status, content=content, headers=headers)
    return Reply(Request("GET", "/v5/x", endpoint=endpoint), status, answer.headers, answer.content)


def error(code: int, message: str = "x", **more: str) -> dict[str, Any]:
    return {"code": code, "message": message, **more}


SOON, TOMORROW = {"x-ratelimit-reset": "41"}, {"x-ratelimit-reset": "40000"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"items": [], "bookmark": None}, "ok"),
        (200, [{"CAMPAIGN_ID": "1"}], "ok"),
        (401, error(2, "Authentication failed.", status="failure"), "refresh"),
        (401, error(3, "Your application does not have access to this restricted feature."), "scope_missing"),
        (403, error(3), "scope_missing"),
        (401, error(29, "You are not permitted to access that resource."), "scope_missing"),
        (403, error(29), "scope_missing"),
        (401, error(7, "Not authorized to access board or Pin."), "gone"),
        (403, error(7), "gone"),
        (403, error(99, "Not authorized to access the user account analytics."), "scope_missing"),
        (400, error(1, "Parameter 'page_size' was not numeric (was 3e)"), "bug"),
        (400, error(4196, "The request was invalid."), "bug"),
        (400, error(12), "retry"),
        (400, error(99, "Something went wrong on our end."), "retry"),
        (400, error(1, "You have exceeded your rate limit. Retry after 47 seconds"), "throttled"),
        (400, error(1, "Invalid request: bookmark is not valid"), "reset_cursor"),
        (400, error(1104, "The token you provided is not valid or has expired."), "refresh"),
        (403, error(654, "You must have a business account"), "scope_missing"),
        (403, error(2626, "We are reviewing your account"), "scope_missing"),
        *[(404, error(code), "gone") for code in (50, 40, 30, 2)],
        (409, error(4182), "retry"),
        *[(429, error(code, "rate limit"), "throttled") for code in (8, 30, 7)],
        (503, error(4197, "The endpoint has been ramped down"), "retry"),
        *[(status, b"<html>", "retry") for status in (500, 502, 503, 504)],
        (200, b"<html>", "retry"),
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, body: Any, expected: str) -> None:
    assert judge(reply(status, body), PINTEREST.problem, PINTEREST.verdicts).verdict.value == expected


def test_how_long_limits_last() -> None:
    def wait(status: int, body: Any, headers: dict[str, str] | None = None) -> tuple[float | None, str]:
        found = judge(reply(status, body, headers), PINTEREST.problem, PINTEREST.verdicts)
        return found.after_s, found.budget

    assert wait(429, error(8), SOON) == (41, "")
    assert wait(429, error(8), TOMORROW) == (40_000, "trial")
    assert wait(429, error(8)) == (3600, "")
    assert wait(429, error(30)) == (60, "")
    assert wait(400, error(1, "Retry after 47 seconds")) == (47, "")


def test_structured_limit_headers() -> None:
    headers = {
        "x-ratelimit-limit": '60, 100;w=1;name="safety_net", 60;w=60;name="org_analytics_app_id_user_id"',
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "41",
    }
    budget = next(budget for budget in BUDGETS if budget.name == "org_analytics")
    assert budget.read is not None
    (usage,) = budget.read(reply(200, {}, headers))
    assert (usage.used, usage.reset_s) == (1.0, 41.0)
    assert trial_usage(reply(200, {}, headers)) == ()
    (trial,) = trial_usage(reply(200, {}, headers | {"x-ratelimit-limit": '1000, 1000;w=86400;name="trial"'}))
    assert trial.used == 1.0


def test_a_missing_pin_is_an_answer_and_a_dead_link_is_asked_for_again() -> None:
    missing = judge(reply(404, error(50, "Pin not found.")), PINTEREST.problem, (*LOOKED_UP, *PINTEREST.verdicts))
    assert missing.verdict.value == "ok"
    expired = judge(reply(403, b"<Error/>", endpoint="report_file"), PINTEREST.problem, PINTEREST.verdicts)
    assert expired.verdict.value == "retry"


def test_renewals() -> None:
    for status, dead in ((400, True), (401, True), (429, False), (503, False)):
        assert BASIC.is_dead(reply(status, error(2))) is dead
    request = exchange(CodeGrant("c", "https://us/cb"), Installation("app", "s"))
    assert request.form is not None
    assert request.form["continuous_refresh"] == "true"
    assert "client_id" not in request.form
    renewal = BASIC.refresh_request(Credentials({"refresh_token": "pinr_"}), Installation("app", "s"))
    assert renewal.form == {"grant_type": "refresh_token", "refresh_token": "pinr_"}


# --- records


def context(config: dict[str, Any] | None = None, **vars: Any) -> Context:
    facts = {"user_id": "383791336903426391", "username": "mybrand"}
    account = Account("acme", "1", config or {}, Credentials({}))
    return Context(account, facts, NOW, Partition("666743919837294988", vars))


IMAGE = {
    "id": "666743919837294988",
    "created_at": "2026-06-08T09:37:30",
    "link": "https://shop.example.com/spring",
    "title": "Spring drop",
    "description": "New in 🌷",
    "creative_type": "REGULAR",
    "board_id": "666743988523388559",
    "board_owner": {"username": "mybrand"},
    "is_owner": True,
    "has_been_promoted": False,
    "parent_pin_id": None,
    "media": {
        "media_type": "image",
        "images": {
            "150x150": {"width": 150, "height": 150, "url": "https://i.pinimg.com/150x150/c6.jpg"},
            "1200x": {"width": 1200, "height": 718, "url": "https://i.pinimg.com/1200x/c6.jpg"},
        },
    },
    "pin_metrics": {
        "90d": {"impression": 2140, "pin_click": 61, "clickthrough": 17},
        "lifetime_metrics": {"impression": 5210, "pin_click": 133, "clickthrough": 40, "reaction": 10, "comment": 2},
    },
}
VIDEO = {
    "id": "666743919837290001",
    "created_at": "2026-06-05T11:02:00",
    "link": None,
    "title": None,
    "description": None,
    "creative_type": "VIDEO",
    "board_id": "666743988523388559",
    "board_owner": {"username": "mybrand"},
    "is_owner": True,
    "has_been_promoted": True,
    "parent_pin_id": None,
    "media": {"media_type": "video", "cover_image_url": "https://i.pinimg.com/videos/thumbnails/x.jpg", "images": {}},
    "pin_metrics": None,
}


def test_pins_of_the_documentation() -> None:
    record = parse.pin(IMAGE, context())
    assert record.occurred_at == datetime(2026, 6, 8, 9, 37, 30, tzinfo=UTC)
    assert record.counters == {"views": 5210, "clicks": 133, "link_clicks": 40, "likes": 10, "comments": 2}
    assert [(file.kind, file.url) for file in record.attachments] == [
        ("image", "https://i.pinimg.com/1200x/c6.jpg"),
        ("link", "https://shop.example.com/spring"),
    ]
    assert (record.direction, record.title, record.text) == ("out", "Spring drop", "New in 🌷")
    video = parse.pin(VIDEO, context())
    assert (video.title, video.text, video.counters) == (None, None, None)
    assert [file.kind for file in video.attachments] == ["video"]


def test_totals_of_a_pin() -> None:
    found = list(parse.measured_pin(IMAGE, context()))
    assert isinstance(found[0], ActivityRecord)
    values = {record.metric: record.value for record in found[1:] if not isinstance(record, ActivityRecord)}
    assert values["lifetime_impression"] == 5210
    assert values["lifetime_comment"] == 2
    assert len(list(parse.measured_pin(VIDEO, context()))) == 1


def test_figures_of_the_documentation() -> None:
    rows = [
        {"date": "2026-11-19", "data_status": "READY", "metrics": {"IMPRESSION": 240, "SAVE_RATE": 0.0833}},
        {"date": "2026-11-20", "data_status": "ESTIMATE", "metrics": {"IMPRESSION": 198}},
        {"date": "2026-11-21", "data_status": "PROCESSING", "metrics": {}},
        {"date": "2023-03-01", "data_status": "BEFORE_PIN_CREATED", "metrics": {"IMPRESSION": 0}},
    ]
    found = [record for row in rows for record in parse.days(row, context(pin="666743919837294988"))]
    assert [(r.metric, r.value, r.is_final) for r in found] == [
        ("impression", 240, True),
        ("save_rate", Decimal("0.0833"), True),
        ("impression", 198, False),
    ]
    assert found[0].start == datetime(2026, 11, 19, tzinfo=UTC)
    (account,) = parse.days(rows[1], context())
    assert (account.entity, account.entity_kind) == ("383791336903426391", "account")


def test_ads_of_the_documentation() -> None:
    row = {
        "CAMPAIGN_ID": "626735565838",
        "DATE": "2026-11-19",
        "SPEND_IN_MICRO_DOLLAR": 30_000_001,
        "PAID_IMPRESSION": 12030,
        "TOTAL_CLICKTHROUGH": 216,
        "TOTAL_CONVERSIONS": 4,
    }
    ctx = context(account="549761668032", kind="campaign", currency="EUR")
    found = {record.metric: record for record in parse.ads_row(row, ctx)}
    assert (found["spend"].value, found["spend"].currency) == (Decimal("30.000001"), "EUR")
    assert (found["paid_impression"].value, found["paid_impression"].dimensions) == (12030, None)
    assert found["total_conversions"].dimensions == {"windows": "30/30/1"}
    assert found["spend"].entity == "626735565838"


def test_a_report_of_the_documentation() -> None:
    for status, ready in (
        ("IN_PROGRESS", None),
        ("FINISHED", True),
        ("EXPIRED", False),
        ("DOES_NOT_EXIST", False),
        ("FAILED", False),
        ("CANCELLED", False),
    ):
        assert report_ready(reply(200, {"report_status": status})) is ready
    file = {
        "626735565838": [
            {
                "AD_ID": 687,
                "AD_GROUP_ID": 268,
                "CAMPAIGN_ID": 626735565838,
                "CAMPAIGN_NAME": "Spring",
                "DATE": "2026-11-19",
                "SPEND_IN_MICRO_DOLLAR": 30000000,
                "IMPRESSION_1": 12030,
                "CLICKTHROUGH_1": 216,
            }
        ]
    }
    (row,) = report_rows(reply(200, file))
    found = list(parse.ads_row(row, context(account="549761668032", kind="ad", currency="JPY")))
    assert [(r.entity, r.parent, r.metric, r.value) for r in found] == [
        ("687", "268", "spend", Decimal(30)),
        ("687", "268", "impression_1", 12030),
        ("687", "268", "clickthrough_1", 216),
    ]
    body = create_report(context(account="549761668032")).json
    assert len(body["campaign_statuses"]) <= 6


def test_agencies_read_the_pins_of_their_client() -> None:
    assert pins(context()).params["ad_account_id"] is None
    assert pins(context({"ad_account_id": "549"})).params["ad_account_id"] == "549"


def test_what_a_look_up_says() -> None:
    (found,) = parse.looked_up(reply(404, error(50)))
    record = parse.gone(found, context())
    assert record is not None
    assert (record.vendor_id, record.deleted, record.text) == ("666743919837294988", True, None)
    (found,) = parse.looked_up(reply(200, IMAGE))
    assert parse.gone(found, context()) is None
