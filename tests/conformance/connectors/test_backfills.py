"""A backfill has a cursor of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connectors.base import find_sync_type
from tests.conformance.connectors.conftest import Outcome
from tests.conformance.connectors.desk import Desk, assert_same, stopped_clock


async def test_a_backfill_never_moves_the_live_cursor(desk: Desk, whole: Outcome) -> None:
    await desk.connect(desk.slug)
    untouched = await desk.live_cursors()
    await _backfill(desk)
    assert await desk.live_cursors() == untouched
    await desk.pull_all()
    live = await desk.live_cursors()
    await _backfill(desk)
    assert await desk.live_cursors() == live
    assert await desk.value("SELECT count(*) FROM sync_partition WHERE run_id <> 0") == 0
    assert_same(await desk.outcome(), whole)


async def _backfill(desk: Desk) -> None:
    today = stopped_clock().date()
    days: dict[str, Any] = {"startDate": str(today - timedelta(days=2)), "endDate": str(today)}
    for name in desk.sync_types:
        if find_sync_type(desk.connector, name).backfills:
            assert (await desk.pull(name, **days)).trigger == "backfill"
