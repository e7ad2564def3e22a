"""From the call of enqueue to the start of the handler in another, idle process: 50 jobs a second."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.common import Shape, median_of, percentile, read_records
from bench.kinds import new_job
from bench.queue.stage import CpuWindow, Options, Stage, open_stage, wait_jobs
from sync.wiring import Runtime

_INTERVAL_S = 0.02
_WARM_UP = 20
_SHAPE = Shape(2, 64)


def pickup(options: Options) -> dict[str, Any]:
    by_redis = median_of(options.servers, "pickup redis", options.runs, lambda: _once(options, redis=True))
    by_postgres = median_of(options.servers, "pickup postgres", options.runs, lambda: _once(options, redis=False))
    return {
        "pickup_p50_ms": by_redis["p50_ms"],
        "pickup_p99_ms": by_redis["p99_ms"],
        "pickup_pg_p50_ms": by_postgres["p50_ms"],
        "pickup_pg_p99_ms": by_postgres["p99_ms"],
        "pickup_detail": {"redis": by_redis, "postgres": by_postgres},
    }


def _once(options: Options, *, redis: bool) -> dict[str, Any]:
    jobs = options.scaled(1000, 300)
    with open_stage(options, redis=redis) as stage:
        stage.members.start(_SHAPE)
        cpu_s = stage.produce(lambda runtime: _pace(runtime, stage, jobs))
        found = read_records(stage.folder, details=True)
        latencies = found.marks
        return {
            "p50_ms": percentile(latencies, 0.5) / 1e6,
            "p90_ms": percentile(latencies, 0.9) / 1e6,
            "p99_ms": percentile(latencies, 0.99) / 1e6,
            "max_ms": max(latencies) / 1e6,
            "cpu_ms_per_job": cpu_s / jobs * 1000,
            "lost": jobs - len(latencies),
            "settings": str(_SHAPE),
        }


async def _pace(runtime: Runtime, stage: Stage, jobs: int) -> float:
    """CPU seconds of members and servers."""
    for number in range(_WARM_UP):
        await runtime.queue.enqueue(new_job("noop", number))
    await wait_jobs(stage, _WARM_UP)
    await asyncio.sleep(2)
    cpu = CpuWindow(stage)
    start = time.monotonic()
    for number in range(jobs):
        pause = start + number * _INTERVAL_S - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        await runtime.queue.enqueue(new_job("latency", number, sent_at=time.monotonic_ns()))
    await wait_jobs(stage, _WARM_UP + jobs, 15)
    return sum(cpu.end())
