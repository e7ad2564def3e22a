"""A sync worker as a process: `python -m bench.sync.actor '{"dsn": ..., ...}'`. What an actor hosts, without Ray.

It takes the lease, claims the run that waits, pulls it to its end and leaves. The settings are production's, but for
the vendor's rate limits, which would hold every client back long before anything else does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import msgspec
import psutil
import uvloop
from pydantic import SecretStr

from bench.common import die_with_parent
from bench.sync.vendor import PLATFORM
from bench.worker import bench_settings
from sync.base.memory import collect_rarely
from sync.base.settings import AppSettings, ConnectorSettings, SecretsSettings, Settings
from sync.pull.integrations import Integrations
from sync.pull.model import ClaimedRun
from sync.pull.runs import SyncRuns
from sync.pull.worker import ExitReason, SyncWorker
from sync.wiring import open_core

ORG = "bench"
EARLY, LATE = 10_000, 100_000
"""Records between which the process must not grow."""


def actor_settings(config: dict[str, Any]) -> Settings:
    credentials = config["credentials"]
    app = AppSettings(client_id=credentials["client_id"], client_secret=SecretStr(credentials["client_secret"]))
    connectors = ConnectorSettings(
        apps={PLATFORM: app}, base_urls={PLATFORM: config["url"]}, limits={f"{PLATFORM}.global": 0}
    )
    secrets = SecretsSettings(keys={"bench": SecretStr(config["key"])})
    return bench_settings(config["dsn"], None).model_copy(update={"connectors": connectors, "secrets": secrets})


async def prepare(config: dict[str, Any]) -> None:
    """Connect the account and ask for all of it."""
    async with open_core(actor_settings(config), application="bench") as runtime:
        integrations = Integrations(runtime.database, runtime.sealer)
        token = {"bot_token": config["credentials"]["access_token"]}
        await integrations.connect(ORG, PLATFORM, config["account"], {}, token, by="bench")
        await SyncRuns(runtime.database, runtime.signals).trigger(
            ORG, PLATFORM, "messages", {"startDate": config["since"]}
        )


class Memory:
    """What the process holds when so many records are stored."""

    def __init__(self) -> None:
        self._process = psutil.Process(os.getpid())
        self._records = 0
        self.at: dict[int, int] = {}

    def note(self, _run: ClaimedRun, pages: int, records: int) -> None:
        for mark in (EARLY, LATE):
            if records >= mark and mark not in self.at:
                self.at[mark] = self._process.memory_info().rss

    @property
    def growth_mb(self) -> float | None:
        return (self.at[LATE] - self.at[EARLY]) / 2**20 if len(self.at) == 2 else None


async def work(config: dict[str, Any]) -> dict[str, Any]:
    memory = Memory()
    async with open_core(actor_settings(config), application=f"sync:{ORG}:{PLATFORM}") as runtime:
        worker: SyncWorker

        def committed(run: ClaimedRun, page: int) -> None:
            memory.note(run, page, sum(info.records for info in worker.info().runs))

        worker = SyncWorker(runtime, ORG, PLATFORM, "bench", "bench", page_committed=committed)
        collect_rarely()
        began, cpu = time.perf_counter(), time.process_time()
        reason = await worker.run_until_idle()
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        assert reason is ExitReason.IDLE, reason
        row = await runtime.database.fetch_one("SELECT state, records, added, pages, error_text FROM sync_run")
    assert row is not None
    if row["state"] != "succeeded":
        raise RuntimeError(f"The run {row['state']}: {row['error_text']}")
    return {**row, "seconds": seconds, "cpu_s": cpu_s, "growth_mb": memory.growth_mb}


def main() -> None:
    die_with_parent()
    config = msgspec.json.decode(sys.argv[1])
    result = uvloop.run(prepare(config) if config.get("prepare") else work(config))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
