"""kill -9 of every member at 40 % of a drain, then a restart: what is lost, what is done twice, how long it takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.common import Shape, median_of
from bench.queue.stage import Options, Stage, open_stage

_JOBS = 5000
_KILL_AT = 2000
_SHAPE = Shape(2, 10)
_LIMIT_S = 120
_HELD = "SELECT count(*), coalesce(sum(size - cardinality(finished)), 0) FROM job_lease"
_QUIET_S = 3.0
"""Watched this long after the last job, for what might still run a second time."""


def crash(options: Options) -> dict[str, Any]:
    rows = median_of(options.servers, "crash row", options.runs, lambda: _once(options, "row", _rows))
    appends = median_of(options.servers, "crash append", options.runs, lambda: _once(options, "append", _appended))
    return {
        "lost": rows["lost"] + appends["lost"],
        "doubled": rows["doubled"],
        "appended_twice": appends["doubled"],
        "all_done_s": max(rows["all_done_s"], appends["all_done_s"]),
        "crash_detail": {"row": rows, "append": appends},
    }


def _once(options: Options, kind: str, effects: Callable[[Stage], Counter[int]]) -> dict[str, Any]:
    with open_stage(options) as stage:
        stage.execute("CREATE TABLE bench_effect (id bigint NOT NULL)")
        stage.preload(kind, _JOBS)
        stage.members.start(_SHAPE)
        stage.members.wait(_KILL_AT, 60, 0.002)
        killed_at = time.monotonic()
        stage.members.kill()
        before = len(effects(stage))
        ((leases, held),) = stage.query(
            "SELECT count(*), coalesce(sum(size - cardinality(finished)), 0) FROM job_lease"
        )
        stage.members.start(_SHAPE)
        done_s = _until_done(stage, effects, killed_at)
        time.sleep(_QUIET_S)
        stage.wait_written()
        found = effects(stage)
        lost, doubled = _JOBS - len(found), sum(count - 1 for count in found.values())
        return {
            "lost": lost,
            "doubled": doubled,
            "all_done_s": done_s,
            "before_kill": before,
            "leases_held": leases,
            "jobs_held": int(held),
            "settings": str(_SHAPE),
        }


def _until_done(stage: Stage, effects: Callable[[Stage], Counter[int]], since: float) -> float:
    while True:
        elapsed = time.monotonic() - since
        if len(effects(stage)) >= _JOBS or elapsed > _LIMIT_S:
            return elapsed
        stage.members.check()
        time.sleep(0.1)


def _rows(stage: Stage) -> Counter[int]:
    return Counter(row[0] for row in stage.query("SELECT id FROM bench_effect"))


def _appended(stage: Stage) -> Counter[int]:
    return Counter(int(line) for line in stage.file.read_bytes().split())
