"""Draining a backlog: no-op jobs as fast as they go, and jobs that wait 5 ms each."""

from __future__ import annotations

import time
from typing import Any

from bench.common import Shape, median_of, read_records
from bench.queue.stage import CpuWindow, Options, open_stage


def drain(options: Options) -> dict[str, Any]:
    jobs = options.scaled(300_000, 100_000)
    result = median_of(
        options.servers, "drain", options.runs, lambda: _drain_once(options, "noop", jobs, options.shape)
    )
    return {
        "drain_per_s": result["per_s"],
        "drain_per_cpu_s": result["per_cpu_s"],
        "drain_written_per_s": result["written_per_s"],
        "drain_detail": result,
    }


def fanout(options: Options) -> dict[str, Any]:
    jobs = options.scaled(80_000, 30_000)
    result = median_of(
        options.servers, "fanout", options.runs, lambda: _drain_once(options, "sleep", jobs, options.fanout)
    )
    return {"fanout_per_s": result["per_s"], "fanout_per_cpu_s": result["per_cpu_s"], "fanout_detail": result}


def _drain_once(options: Options, kind: str, jobs: int, shape: Shape) -> dict[str, Any]:
    """From the first to the last execution, as the jobs note it. CPU is read when the first one shows and 0.3 s after
    the last one, when its result is on disk. `written_per_s` counts until nothing is left in the store.
    """
    with open_stage(options) as stage:
        stage.preload(kind, jobs)
        stage.members.start(shape)
        stage.members.wait(1, 30, 0.005)
        cpu = CpuWindow(stage)
        stage.members.wait(jobs, 150)
        time.sleep(0.3)
        members_s, server_s = cpu.end()
        stage.wait_written()
        records = read_records(stage.folder)
        written_s = stage.query("SELECT date_part('epoch', max(finished_at) - min(finished_at)) FROM job_run")[0][0]
        return {
            "per_s": jobs / records.seconds,
            "per_cpu_s": jobs / (members_s + server_s),
            "written_per_s": jobs / written_s,
            "member_cpu_us": members_s / jobs * 1e6,
            "server_cpu_us": server_s / jobs * 1e6,
            "jobs": jobs,
            "settings": str(shape),
            **stage.delivery(jobs),
        }
