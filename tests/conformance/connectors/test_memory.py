"""A huge account is read page by page: what a worker holds does not grow with it."""

from __future__ import annotations

import asyncio

from simulator.world import Scale
from tests.conformance.connectors.conftest import OpenDesk
from tests.conformance.connectors.processes import Job, peak_of_pull

ONLY = ("slack",)
"""What holds for one holds for all: the engine does it."""
HUGE = 100_000
WORLD = 820_000
"""An eighth of it is young enough for a first pull."""
EARLY = 10_000
GROWTH_MB = 20


async def test_memory_is_flat_over_a_hundred_thousand_records(open_desk: OpenDesk) -> None:
    desk = await open_desk(scale=Scale("huge", accounts=2, days=3, per_day=3, big=WORLD), page=1000, record=False)
    big = next(account for account in desk.vendor.accounts.values() if account.big)
    integration = await desk.connect(desk.slug, big.id)
    await desk.runs.trigger("acme", desk.slug, desk.sync_types[0])
    found = await asyncio.to_thread(peak_of_pull, Job.of(desk, integration, page=1000), (EARLY, HUGE))
    runs = await desk.rows("SELECT state, records, error_class, error_text FROM sync_run")
    assert runs[0][0] == "succeeded", runs
    assert await desk.value("SELECT count(*) FROM activity") >= HUGE
    assert (found[HUGE] - found[EARLY]) / 2**20 < GROWTH_MB
