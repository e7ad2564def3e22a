"""Putting jobs in, with no worker about: in bulk, one after the other, and from 100 callers at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.common import median_of
from bench.kinds import new_job
from bench.queue.stage import Options, enqueue_bulk, open_stage
from sync.wiring import Runtime

_CALLERS = 100


def enqueue(options: Options) -> dict[str, Any]:
    result = median_of(options.servers, "enqueue", options.runs, lambda: _once(options))
    return {
        "enqueue_bulk_per_s": result["bulk_per_s"],
        "enqueue_single_per_s": result["single_per_s"],
        "enqueue_concurrent_per_s": result["concurrent_per_s"],
        "enqueue_detail": result,
    }


def _once(options: Options) -> dict[str, Any]:
    bulk, single, each = options.scaled(200_000, 50_000), options.scaled(4000, 1000), options.scaled(200, 50)

    async def work(runtime: Runtime) -> dict[str, Any]:
        return {
            "bulk_per_s": await enqueue_bulk(runtime, "noop", range(bulk)),
            "single_per_s": await _single(runtime, single),
            "concurrent_per_s": await _concurrent(runtime, each),
        }

    with open_stage(options) as stage:
        rates = stage.produce(work)
        wanted = bulk + single + each * _CALLERS
        ((stored,),) = stage.query("SELECT count(*) FROM job")
        return {**rates, "lost": wanted - stored, "jobs": f"{bulk} bulk, {single} single, {_CALLERS} x {each}"}


async def _single(runtime: Runtime, jobs: int) -> float:
    started = time.perf_counter()
    for number in range(jobs):
        await runtime.queue.enqueue(new_job("noop", number))
    return jobs / (time.perf_counter() - started)


async def _concurrent(runtime: Runtime, each: int) -> float:
    async def caller(first: int) -> None:
        for number in range(first, first + each):
            await runtime.queue.enqueue(new_job("noop", number))

    started = time.perf_counter()
    await asyncio.gather(*(caller(number * each) for number in range(_CALLERS)))
    return _CALLERS * each / (time.perf_counter() - started)
