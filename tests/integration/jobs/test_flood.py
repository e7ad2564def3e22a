"""Fairness on a real queue: one flooding org, weights, claims counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from sync.jobs.catalogue import JobKind
from sync.jobs.claim import Claimer
from sync.jobs.context import JobContext
from sync.jobs.model import NewJob
from sync.store.engine import Database
from tests.fakes.jobs import Script, eventually, job_runtime, member


@pytest.mark.parametrize("handler_s", [0.0, 0.005], ids=["no-op", "5 ms"])
async def test_one_orgs_flood_delays_another_orgs_job_by_ten_claims_at_most(
    db: Database, monkeypatch: pytest.MonkeyPatch, handler_s: float
) -> None:
    """Promise 7: 100,000 jobs of one org, one of another."""
    claims, started_after = 0, -1
    claim = Claimer.claim

    async def counted(self: Claimer, limit: int) -> Any:
        nonlocal claims
        claims += 1
        return await claim(self, limit)

    async def handler(script: Script, ctx: JobContext) -> None:
        nonlocal started_after
        if ctx.job.org_id == "quiet":
            started_after = claims - enqueued_at
        elif handler_s:
            await asyncio.sleep(handler_s)

    monkeypatch.setattr(Claimer, "claim", counted)
    async with job_runtime(db, [JobKind("test.flood", Script, handler)]) as runtime:
        await runtime.queue.enqueue_many(NewJob("test.flood", Script(), org_id="flood") for _ in range(100_000))
        async with member(runtime, concurrency=64):
            await eventually(lambda: claims >= 5)
            enqueued_at = claims
            await runtime.queue.enqueue(NewJob("test.flood", Script(), org_id="quiet"))
            await eventually(lambda: started_after >= 0)
            assert started_after <= 10
            assert await db.fetch_value("SELECT EXISTS (SELECT FROM job WHERE org_id = 'flood')"), "the flood was over"


async def test_weights_hold_where_jobs_are_slow_and_claims_small(db: Database) -> None:
    ran: Counter[str] = Counter()
    enough = asyncio.Event()

    async def handler(script: Script, ctx: JobContext) -> None:
        ran[ctx.job.org_id] += 1
        if ran.total() >= 600:
            enough.set()
            await asyncio.sleep(3600)
        await asyncio.sleep(0.002)

    await db.execute("INSERT INTO org_share (org_id, weight) VALUES ('heavy', 3)")
    async with job_runtime(db, [JobKind("test.slow", Script, handler)]) as runtime:
        for org in ("heavy", "light"):
            await runtime.queue.enqueue_many(NewJob("test.slow", Script(), org_id=org) for _ in range(700))
        async with member(runtime, concurrency=2) as one:
            await asyncio.wait_for(enough.wait(), 30)
            assert ran["heavy"] / ran["light"] == pytest.approx(3, rel=0.1)
            await one.drain(0.1)
