"""What the database says there is to do, and who is known to have lived."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sync.store.engine import Database
from sync.store.sql import load_sql
from sync.supervision.model import Member, Pair, Seat, Who
from sync.supervision.sizing import SeqTimes

if TYPE_CHECKING:
    from sync.jobs.rescue import Rescuer
    from sync.pull.runs import SyncRuns

_SCAN_SHARE = 50
"""The look for lags may take one part in this many of the time. It costs 1 ms, but far more when a long snapshot keeps
vacuum away and it has to wade through the index entries of rows deleted long ago."""
_SCAN_LIMIT_MS = 2000

_TRACES = """
SELECT name AS member, pool, NULL AS leader, NULL AS org_id, NULL AS platform FROM worker
UNION ALL SELECT NULL, NULL, holder, NULL, NULL FROM leader WHERE name = 'scheduler' AND holder IS NOT NULL
UNION ALL SELECT NULL, NULL, NULL, org_id, platform FROM sync_lease WHERE holder IS NOT NULL
"""
_EXPIRED = "SELECT org_id, platform FROM sync_lease WHERE holder IS NOT NULL AND expires_at <= clock_timestamp()"
_IDLE = """
SELECT l.org_id, l.platform FROM sync_lease l
WHERE l.holder IS NOT NULL AND l.expires_at > clock_timestamp() AND NOT EXISTS (
  SELECT 1 FROM sync_run r WHERE r.org_id = l.org_id AND r.platform = l.platform
    AND (r.state = 'running' OR (r.state = 'queued' AND r.not_before <= now())))
ORDER BY l.acquired_at
"""


class DatabaseWork:
    """Every method is one cheap query. Errors: Transient."""

    def __init__(
        self, database: Database, runs: SyncRuns, rescuer: Rescuer, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._runs = runs
        self._rescuer = rescuer
        self._clock = clock
        self._seq_times = SeqTimes()
        self._next_scan = 0.0
        self._lags: dict[str, float] = {}

    async def lags(self) -> Mapping[str, float]:
        """By pool, for how many seconds its oldest job that could run has been waiting; no entry: none waits."""
        started = self._clock()
        if started < self._next_scan:
            return self._lags
        try:
            self._lags = await self._scan()
        finally:
            self._next_scan = self._clock() + _SCAN_SHARE * (self._clock() - started)
        return self._lags

    async def ready_pairs(self, limit: int) -> Sequence[Pair]:
        return [Pair(org_id, platform) for org_id, platform in await self._runs.ready_pairs(limit)]

    async def idle_pairs(self) -> Sequence[Pair]:
        return await self._pairs(_IDLE)

    async def expired(self) -> Collection[Pair]:
        return await self._pairs(_EXPIRED)

    async def lived(self) -> Collection[Who]:
        return [_who(row) for row in await self._database.fetch_all(_TRACES)]

    async def rescue(self) -> object:
        return await self._rescuer.step()

    async def recover(self) -> object:
        return await self._runs.recover_lost()

    async def _scan(self) -> dict[str, float]:
        async with self._database.transaction() as tx:
            await tx.execute(f"SET LOCAL statement_timeout = {_SCAN_LIMIT_MS}")
            rows = await tx.fetch_all(load_sql("lag"))
        now = self._clock()
        self._seq_times.note(rows[0]["newest"], now)
        return {row["pool"]: self._seq_times.age_s(row["oldest"], now) for row in rows if row["pool"] is not None}

    async def _pairs(self, query: str) -> list[Pair]:
        return [Pair(row["org_id"], row["platform"]) for row in await self._database.fetch_all(query)]


def _who(row: Mapping[str, Any]) -> Who:
    if row["member"] is not None:
        return Member(row["pool"], int(row["member"].rpartition(".")[2]))
    if row["leader"] is not None:
        return Seat(row["leader"].partition("/")[0].rpartition(".")[2])
    return Pair(row["org_id"], row["platform"])
