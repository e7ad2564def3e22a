"""Days, and reports about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from connectors.http import (
    SHRINK,
    Context,
    DateWindow,
    Report,
    Stream,
    get,
    on,
    problem_at,
)
from connectors.records import MetricRecord
from sync.base.errors import (
    RateLimited,
)
from tests.fakes.vendor import Script, Shelf, collect
from tests.unit.connectors.http.feeds import STREAM, connector, ids, page


def day_request(ctx: Context) -> Any:
    return get("/days", first=str(ctx.span.first_day), last=str(ctx.span.last_day))


def point(raw: dict[str, Any], ctx: Context) -> MetricRecord:
    assert ctx.span.starts_at is not None
    assert ctx.span.ends_at is not None
    return MetricRecord(
        entity="e", entity_kind="ad", metric="m", value=raw["v"], start=ctx.span.starts_at, end=ctx.span.ends_at
    )


DAYS = Stream(
    "ads-metrics",
    "Ads",
    timedelta(hours=1),
    map=point,
    request=day_request,
    cursor=DateWindow(step=2, lookback=5, recent=2, first=4, settle=timedelta(days=3)),
)


async def test_days_are_read_in_steps_and_again_while_they_may_change() -> None:
    made, shelf = connector(DAYS), Shelf()
    script = Script(*[{"data": [{"v": 1}]}] * 3)
    found = await collect(made, "ads-metrics", script, shelf)
    assert [(p["first"], p["last"]) for p in script.params] == [
        ("2026-11-20", "2026-11-21"),
        ("2026-11-22", "2026-11-23"),
        ("2026-11-24", "2026-11-24"),
    ]
    # The last day of a span decides: 21 November ends 2.5 days ago.
    assert [record.is_final for record in found] == [False, False, False]
    script = Script({"data": []})
    await collect(made, "ads-metrics", script, shelf)
    assert [p["first"] for p in script.params] == ["2026-11-23"]
    script = Script(*[{"data": []}] * 3)
    script.time += timedelta(hours=21)
    await collect(made, "ads-metrics", script, shelf)
    assert [p["first"] for p in script.params] == ["2026-11-21", "2026-11-23", "2026-11-25"]


async def test_a_stop_between_days_goes_on_there() -> None:
    made, shelf = connector(DAYS), Shelf()
    await collect(made, "ads-metrics", Script({"data": []}), shelf, stop_after=1)
    script = Script(*[{"data": []}] * 2)
    await collect(made, "ads-metrics", script, shelf)
    assert [p["first"] for p in script.params] == ["2026-11-22", "2026-11-24"]


async def test_a_backfill_of_days_ends_at_its_end() -> None:
    made, shelf = connector(DAYS), Shelf()
    script = Script(*[{"data": []}] * 2)
    await collect(made, "ads-metrics", script, shelf, start=date(2026, 1, 1), end=date(2026, 1, 3))
    assert [(p["first"], p["last"]) for p in script.params] == [
        ("2026-01-01", "2026-01-02"),
        ("2026-01-03", "2026-01-03"),
    ]


async def test_too_much_at_a_time_is_halved() -> None:
    much = httpx.Response(500, json={"error": "reduce the amount of data"})
    rule = on(message="reduce the amount", then=SHRINK)
    made = connector(replace(STREAM, page_size=8), problem=problem_at("error", "error"), verdicts=(rule,))
    script = Script(much, much, page(1))
    assert ids(await collect(made, "posts", script)) == [1]
    assert [p["limit"] for p in script.params] == ["8", "4", "2"]
    made = connector(
        replace(DAYS, page_size=1, min_page_size=1), problem=problem_at("error", "error"), verdicts=(rule,)
    )
    script = Script(much, *[{"data": []}] * 5)
    await collect(made, "ads-metrics", script)
    assert [p["last"] for p in script.params[:3]] == ["2026-11-21", "2026-11-20", "2026-11-21"]


# --- reports

REPORT = Report(
    create=lambda ctx: get("/create", first=str(ctx.span.first_day)),
    job_id="job",
    poll=lambda _ctx, job: get(f"/jobs/{job}"),
    ready=lambda reply: {"done": True, "failed": False}.get(reply.at("state")),
    download=lambda _ctx, job, _reply: get(f"/jobs/{job}/rows"),
)
REPORTS = replace(DAYS, request=None, report=REPORT, cursor=DateWindow(step=30, first=4, recent=2))


async def test_a_report_is_made_once_and_waited_for_in_parking() -> None:
    made, shelf = connector(REPORTS), Shelf()
    script = Script({"job": "j1"}, {"state": "running"})
    with pytest.raises(RateLimited) as parked:
        await collect(made, "ads-metrics", script, shelf)
    assert parked.value.retry_after_s == 10
    script = Script({"state": "running"})
    with pytest.raises(RateLimited) as parked:
        await collect(made, "ads-metrics", script, shelf)
    assert parked.value.retry_after_s == 20
    script = Script({"state": "done"}, {"data": [{"v": 3}]})
    assert [record.value for record in await collect(made, "ads-metrics", script, shelf)] == [3]
    assert [request.url.path for request in script.requests] == ["/v1/jobs/j1", "/v1/jobs/j1/rows"]
    assert "walk" not in shelf.cursors[""]


async def test_a_failed_report_is_made_again_and_then_over_fewer_days() -> None:
    made, shelf = connector(REPORTS), Shelf()
    firsts = []
    for _ in range(4):
        script = Script({"job": "j"}, {"state": "failed"})
        with pytest.raises(RateLimited):
            await collect(made, "ads-metrics", script, shelf)
        firsts.append(len(script.requests))
    assert firsts == [2, 2, 2, 2]
    assert shelf.cursors[""]["walk"]["step"] == 15
