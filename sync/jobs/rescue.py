"""Bringing back the jobs of workers that died. Safe to run in several places at once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sync.base.logs import get_logger
from sync.base.settings import QueueSettings
from sync.jobs.decide import MAX_CRASHES
from sync.signals import Signals
from sync.store.engine import Database
from sync.store.sql import load_sql

log = get_logger(__name__)

_LEASES_PER_STEP = 50


@dataclass(frozen=True, slots=True)
class RescueResult:
    jobs: int
    dead: int


class Rescuer:
    def __init__(self, database: Database, signals: Signals, settings: QueueSettings) -> None:
        self._database = database
        self._signals = signals
        self._settings = settings

    async def step(self) -> RescueResult:
        """Take back what dead workers hold, in pages. Errors: Transient."""
        jobs = dead = 0
        while True:
            rows = await self._database.fetch_all(
                load_sql("rescue"),
                {
                    "timeout_s": self._settings.worker_timeout_s,
                    "max_crashes": MAX_CRASHES,
                    "limit": _LEASES_PER_STEP,
                },
            )
            if not rows:
                break
            for row in rows:
                self._signals.publish(f"queue.{row['pool']}", f"{row['queue_id']}/{row['lane']}/{row['org_id']}")
            jobs += sum(row["jobs"] for row in rows)
            dead += sum(row["dead"] for row in rows)
        if jobs:
            log.warning("jobs.rescued", jobs=jobs, dead=dead)
        return RescueResult(jobs, dead)


async def disown_predecessors(
    database: Database, name: str, node: str, *, alive: Callable[[int], bool] | None = None
) -> bool:
    """Forget earlier workers of this name on this node whose process is gone, so that their leases need not time out.

    Only where this process can see the other one's pid; elsewhere the time-out decides. True: there was one.
    """
    alive = alive or _process_exists
    rows = await database.fetch_all(
        "SELECT id, pid FROM worker WHERE name = %(name)s AND node = %(node)s", {"name": name, "node": node}
    )
    gone = [row["id"] for row in rows if not alive(row["pid"])]
    if gone:
        await database.execute("DELETE FROM worker WHERE id = ANY(%(ids)s)", {"ids": gone})
    return bool(gone)


def node_name() -> str:
    """What `worker.node` holds: unique per machine, so that pids compare only where they mean something."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    suffix = boot.read_text().strip()[:8] if boot.exists() else "local"
    return f"{socket.gethostname()}/{suffix}"


def _process_exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
