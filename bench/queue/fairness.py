"""One org's flood against another org's single job, and shares by weight."""

from __future__ import annotations

import asyncio
import bisect
import time
from typing import Any

from bench.common import Records, Shape, median_of, read_records
from bench.kinds import new_job
from bench.queue.stage import Options, Stage, enqueue_bulk, open_stage
from sync.wiring import Runtime

_FLOOD = 100_000
_SAMPLES = 10
_GAP_S = 0.03
_SHAPE = Shape(2, 64)
_WEIGHED = 40_000
"""Backlog of each of the two orgs; the recorders keep the first 16,384 executions of each member."""


def flood(options: Options) -> dict[str, Any]:
    fast = median_of(options.servers, "flood of no-op jobs", options.runs, lambda: _flood_once(options, "noop"))
    slow = median_of(options.servers, "flood of 5 ms jobs", options.runs, lambda: _flood_once(options, "sleep"))
    weights = median_of(options.servers, "weights 3:1", options.runs, lambda: _weights_once(options))
    return {
        "flood_cycles": max(fast["cycles_max"], slow["cycles_max"]),
        "flood_wait_ms": max(fast["wait_max_ms"], slow["wait_max_ms"]),
        "weight_ratio": weights["ratio"],
        "flood_detail": {"noop": fast, "sleep": slow, "weights": weights},
    }


def _flood_once(options: Options, kind: str) -> dict[str, Any]:
    """Ten orgs, one after the other, send one job each into the flood."""
    with open_stage(options, count_claims=True) as stage:
        stage.produce(lambda runtime: enqueue_bulk(runtime, kind, range(_FLOOD), "flooding"))
        options.servers.settle(stage.url)
        stage.members.start(_SHAPE)
        stage.members.wait(1000, 30)
        sent = stage.produce(lambda runtime: _send_singles(runtime, stage))
        found = read_records(stage.folder, details=True)
        return {**_cycles(found, sent), "behind": _FLOOD + len(sent) - found.count, "settings": str(_SHAPE)}


async def _send_singles(runtime: Runtime, stage: Stage) -> list[int]:
    """Times at which the calls of enqueue returned."""
    sent = []
    for number in range(_SAMPLES):
        await runtime.queue.enqueue(new_job("start", number, org_id=f"single-{number}"))
        sent.append(time.monotonic_ns())
        async with asyncio.timeout(60):
            while len(read_records(stage.folder, details=True).marks) <= number:
                await asyncio.sleep(0.002)
        await asyncio.sleep(_GAP_S)
    return sent


def _cycles(found: Records, sent: list[int]) -> dict[str, Any]:
    """Claims of all members that began between the enqueue of a single job and its start."""
    claims, starts = sorted(found.claims), sorted(found.marks)
    cycles = [bisect.bisect(claims, start) - bisect.bisect(claims, at) for at, start in zip(sent, starts, strict=True)]
    waits = [(start - at) / 1e6 for at, start in zip(sent, starts, strict=True)]
    return {
        "cycles_max": max(cycles),
        "cycles_mean": sum(cycles) / len(cycles),
        "wait_max_ms": max(waits),
        "wait_mean_ms": sum(waits) / len(waits),
    }


def _weights_once(options: Options) -> dict[str, Any]:
    """Two orgs whose backlogs appear at the same moment to members that wait, weights 3 and 1: the ratio over the first
    jobs of each member.
    """
    with open_stage(options) as stage:
        stage.execute("INSERT INTO org_share (org_id, weight) VALUES ('heavy', 3)")
        stage.members.start(_SHAPE)
        stage.wait_registered(_SHAPE.members)
        stage.produce(_enqueue_at_once)
        stage.members.wait(2 * _WEIGHED, 60)
        found = read_records(stage.folder, details=True)
        heavy = sum(found.marks)
        return {"ratio": heavy / (len(found.marks) - heavy), "of": len(found.marks), "settings": str(_SHAPE)}


async def _enqueue_at_once(runtime: Runtime) -> None:
    jobs = [new_job("weigh", number, org_id=org) for org in ("light", "heavy") for number in range(_WEIGHED)]
    await runtime.queue.enqueue_many(jobs)
