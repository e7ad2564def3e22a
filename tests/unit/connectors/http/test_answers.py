"""What answers lead to: tries, renewals, refusals, budgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.http import (
    AUTH_DEAD,
    QUARANTINE,
    THROTTLED,
    Budget,
    Context,
    Single,
    get,
    on,
    problem_at,
)
from connectors.records import Rejected
from sync.base.errors import (
    IntegrationRevoked,
    Permanent,
    RateLimited,
    ScopeMissing,
    Transient,
)
from tests.fakes.vendor import Script, collect
from tests.unit.connectors.http.feeds import ROOMS, STREAM, connector, ids, item, page


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401, json={}), IntegrationRevoked),
        (httpx.Response(403, json={}), ScopeMissing),
        (httpx.Response(400, json={}), Permanent),
        (httpx.Response(301, headers={"location": "https://evil.example"}), Permanent),
        (httpx.Response(429, json={}), RateLimited),
    ],
)
async def test_an_answer_without_a_rule_is_judged_by_its_status(answer: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        await collect(connector(), "posts", Script(answer))


@pytest.mark.parametrize(
    "trouble", [httpx.Response(503), httpx.ReadTimeout("slow"), httpx.ConnectError("no"), b'{"data": [', b"<html>"]
)
async def test_trouble_is_tried_again_shortly_and_then_left_to_the_runtime(trouble: Any) -> None:
    script = Script(trouble, page(1))
    assert ids(await collect(connector(), "posts", script)) == [1]
    assert 0 < script.slept[0] <= 1.0
    with pytest.raises(Transient):
        await collect(connector(), "posts", Script(trouble, trouble, trouble))


async def test_an_unreadable_item_is_set_aside_with_its_raw_form() -> None:
    answer = {"data": [item(1), {"id": "2"}, None, item(3)]}
    found = await collect(connector(), "posts", Script(answer))
    assert [type(one).__name__ for one in found] == ["ActivityRecord", "Rejected", "Rejected", "ActivityRecord"]
    assert found[1].raw == {"id": "2"}
    assert found[0].raw["id"] == "1"


async def test_an_unreadable_answer_is_set_aside_with_its_partition() -> None:
    made = connector(ROOMS, problem=problem_at("odd"), verdicts=(on(code="odd", then=QUARANTINE),))
    script = Script([{"id": "a"}, {"id": "b"}], {"odd": "odd"}, page(2))
    rejected, kept = await collect(made, "posts", script)
    assert isinstance(rejected, Rejected)
    assert kept.vendor_id == "2"


async def test_half_a_surrogate_pair_is_replaced() -> None:
    at = b'"at":"2026-11-20T00:00:00Z"'
    body = b'{"data":[{"id":"1",%b,"t":"cut \\ud83d"},{"id":"2",%b,"t":"\\ud83d\\ude00"}]}' % (at, at)
    found = await collect(connector(), "posts", Script(body))
    assert [one.raw["t"] for one in found] == ["cut \ufffd", "😀"]


async def test_a_file_need_not_be_json_and_a_written_query_stays() -> None:
    from connectors.http import Request

    def download(_ctx: Context) -> Request:
        return Request("GET", "/files?ids=List(urn%3Ax,2)", {"page": 1}, raw=True, signed=False)

    def lines(reply: Any) -> list[dict[str, Any]]:
        return [item(int(line)) for line in reply.text.splitlines()]

    made = connector(replace(STREAM, request=download, items=lines, pager=Single()), problem=problem_at("error"))
    script = Script(b"1\n2")
    assert ids(await collect(made, "posts", script)) == [1, 2]
    assert str(script.requests[0].url).endswith("/files?ids=List(urn%3Ax,2)&page=1")
    assert "authorization" not in script.requests[0].headers


async def test_a_token_goes_only_where_it_belongs() -> None:
    made = connector(replace(STREAM, request=lambda _ctx: get("https://elsewhere.example/x")))
    with pytest.raises(Permanent):
        await collect(made, "posts", Script())
    script = Script(page())
    await collect(connector(), "posts", script)
    assert script.requests[0].headers["authorization"] == "Bearer t0k3n"


async def test_a_budget_paces_briefly_and_parks_for_longer() -> None:
    made = connector(ROOMS, budgets=(Budget("calls", limit=2, window=timedelta(seconds=1)),))
    script = Script([{"id": str(n)} for n in range(3)], page(1), page(2), page(3))
    assert ids(await collect(made, "posts", script)) == [1, 2, 3]
    assert script.slept == [1.0]
    made = connector(ROOMS, budgets=(Budget("calls", limit=2, window=timedelta(minutes=1)),))
    script = Script([{"id": str(n)} for n in range(3)], page(1), page(2), page(3))
    with pytest.raises(RateLimited) as parked:
        await collect(made, "posts", script)
    assert parked.value.retry_after_s == 60
    assert len(script.requests) == 2


async def test_headers_stop_us_before_the_vendor_does() -> None:
    from connectors.http import remaining

    budget = Budget("calls", read=remaining("x-left", "x-reset", reset_is="seconds"))
    made = connector(ROOMS, budgets=(budget,))
    last = httpx.Response(200, json=page(1), headers={"x-left": "0", "x-reset": "77"})
    script = Script([{"id": "a"}, {"id": "b"}], last)
    with pytest.raises(RateLimited) as parked:
        await collect(made, "posts", script)
    assert parked.value.retry_after_s == 77


async def test_reasons_are_for_people() -> None:
    rule = on(code="gone", then=AUTH_DEAD, reason="The owner removed us.")
    made = connector(problem=problem_at("error"), verdicts=(rule, on(code="slow", then=THROTTLED, after=5.0)))
    with pytest.raises(IntegrationRevoked, match=r"The owner removed us\."):
        await collect(made, "posts", Script({"error": "gone"}))
    with pytest.raises(RateLimited) as parked:
        await collect(made, "posts", Script({"error": "slow"}))
    assert parked.value.retry_after_s == 5
