"""Throughput while another connection holds an idle snapshot, which keeps vacuum from removing anything.

Two databases of one server take turns, chunk by chunk: in one a snapshot is held, in the other not. A snapshot holds
vacuum back in its own database only, so the second one shows what the same machine does without it, minute by minute.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import uvloop

from bench.common import log, read_records
from bench.kinds import new_job
from bench.queue.stage import Options, Stage, enqueue_bulk, open_stage, wait_jobs
from sync.wiring import Runtime

_CHUNK = 100_000
_COMPARED = 10
"""The last chunks decide: at two million jobs, the second half."""
_SINGLES = 30


def snapshot(options: Options) -> dict[str, Any]:
    chunks = options.scaled(20, 6)
    with open_stage(options) as held, open_stage(options) as free:
        for stage in (held, free):
            stage.members.start(options.shape)
        with_it, without = uvloop.run(_measure(held, free, chunks))
        held.wait_written()
        free.wait_written()
        ratios = [a / b for a, b in zip(with_it.rates, without.rates, strict=True)]
        return {
            "snapshot_share": statistics.median(ratios[-_COMPARED:]),
            "snapshot_detail": {
                "shares": ratios,
                "per_s_held": statistics.median(with_it.rates[-_COMPARED:]),
                "per_s_free": statistics.median(without.rates[-_COMPARED:]),
                "jobs_held": with_it.jobs,
                "pickup_held_ms": with_it.pickup_ms,
                "pickup_free_ms": without.pickup_ms,
                "settings": str(options.shape),
                **held.delivery(with_it.jobs),
            },
        }


@dataclass
class _Flow:
    """Jobs that pass through one database."""

    name: str
    runtime: Runtime
    stage: Stage
    jobs: int = 0
    rates: list[float] = field(default_factory=list)
    pickup_ms: float = 0.0

    async def chunk(self) -> None:
        """Enqueue in bulk while the members drain; from the first enqueue to the last execution."""
        started = time.monotonic()
        await enqueue_bulk(self.runtime, "noop", range(_CHUNK))
        self.jobs += _CHUNK
        await wait_jobs(self.stage, self.jobs)
        self.rates.append(_CHUNK / (time.monotonic() - started))
        log("snapshot", self.name, f"{self.jobs} jobs, {self.rates[-1]:.0f}/s")

    async def singles(self) -> None:
        """Median pick-up of jobs sent to idle members."""
        for number in range(_SINGLES):
            await self.runtime.queue.enqueue(new_job("latency", number, sent_at=time.monotonic_ns()))
            await asyncio.sleep(0.02)
        self.jobs += _SINGLES
        await wait_jobs(self.stage, self.jobs)
        self.pickup_ms = statistics.median(read_records(self.stage.folder, details=True).marks) / 1e6


async def _measure(held: Stage, free: Stage, chunks: int) -> tuple[_Flow, _Flow]:
    async with held.runtime() as first, free.runtime() as second:
        flows = _Flow("held", first, held), _Flow("free", second, free)
        for flow in flows:  # members warm, tables analysed
            await flow.chunk()
            flow.rates.clear()
        async with _idle_snapshot(held.url):
            for _ in range(chunks):
                for flow in flows:
                    await flow.chunk()
            for flow in flows:
                await flow.singles()
    return flows


@asynccontextmanager
async def _idle_snapshot(url: str) -> AsyncIterator[None]:
    async with await psycopg.AsyncConnection.connect(url) as holder:
        await holder.execute("SET idle_in_transaction_session_timeout = 0")  # the server would end it after a minute
        await holder.commit()
        await holder.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await holder.execute("SELECT count(*) FROM job")
        yield
