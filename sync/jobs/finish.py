"""Writing results in batches, and only for leases that are still ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg

from sync.base.errors import SyncError, Transient
from sync.base.logs import get_logger
from sync.jobs.claim import Lease
from sync.jobs.decide import Ended, refused
from sync.jobs.outcome import Ending
from sync.store.arrays import int_array, text_array
from sync.store.dedicated import DedicatedConnection
from sync.store.engine import Connection, Database, as_literal, translate
from sync.store.sql import load_sql

log = get_logger(__name__)

_PARTIAL_DELAY_S = 0.025
"""Results of a lease that still runs wait this long for company. What a crash meets here runs again."""
_RETRY_S = 0.5
_BACKLOG = 20_000
"""Above this many unwritten results no new jobs are claimed."""

_FINAL = (Ending.DONE, Ending.CANCELLED, Ending.DEAD)
_WITH_CONTENT = (Ending.RETRY, Ending.SNOOZE, Ending.CANCELLED, Ending.DEAD)
"""Endings that carry something a handler said, which PostgreSQL might refuse."""


class Finisher:
    """Collects results and writes them; one per member, on a connection of its own.

    A failed write is tried again until it succeeds: writing the same results twice is harmless, because the second
    time the lease is gone, or says which of its jobs have ended.
    """

    def __init__(self, database: Database, worker_id: Callable[[], int]) -> None:
        self._db = DedicatedConnection(database)
        self._worker_id = worker_id
        self._ended: list[Ended] = []
        self._complete: list[Lease] = []
        self._urgent = asyncio.Event()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._scheduled: list[Callable[[float], None]] = []
        self._written: list[Callable[[set[int], list[Lease]], None]] = []

    @property
    def backlog(self) -> int:
        return len(self._ended)

    @property
    def overloaded(self) -> bool:
        return len(self._ended) > _BACKLOG

    def on_scheduled(self, callback: Callable[[float], None]) -> None:
        """Call with the seconds until the soonest retry of every batch written."""
        self._scheduled.append(callback)

    def on_written(self, callback: Callable[[set[int], list[Lease]], None]) -> None:
        """Call with the queues of every batch written, whose jobs only now no longer count as running, and with the
        leases that ended with it."""
        self._written.append(callback)

    def add(self, ended: Ended) -> None:
        """Take one result. The lease is complete when the last of its jobs has ended."""
        self._ended.append(ended)
        ended.lease.unfinished -= 1
        self._idle.clear()
        if ended.lease.unfinished == 0:
            self.close_lease(ended.lease)
        self._some.set()

    def close_lease(self, lease: Lease) -> None:
        """Nothing of this lease is left to run."""
        self._complete.append(lease)
        self._idle.clear()
        self._urgent.set()
        self._some.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._some.wait()
            if not self._urgent.is_set():
                await self._wait_urgent()
            await self._flush_until_written()

    async def drained(self) -> None:
        """Wait until everything handed in is written."""
        await self._idle.wait()

    async def close(self) -> None:
        await self._db.drop()

    async def _wait_urgent(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARTIAL_DELAY_S):
                await self._urgent.wait()

    async def _flush_until_written(self) -> None:
        self._urgent.clear()
        self._some.clear()
        ended, self._ended = self._ended, []
        complete, self._complete = self._complete, []
        await self._persist([e for e in ended if not e.recorded], [lease.id for lease in complete])
        queues = {e.lease.queue_id for e in ended}
        for callback in self._written:
            callback(queues, complete)
        if not self._ended and not self._complete:
            self._idle.set()

    async def _persist(self, ended: list[Ended], complete: list[int]) -> None:
        """Write until PostgreSQL takes it. A batch that it refuses is split until the refused result is alone."""
        while True:
            try:
                return await self._write(ended, complete)
            except Transient as error:
                log.warning("finish.retried", results=len(ended), error=str(error))
            except SyncError as error:
                log.error("finish.refused", results=len(ended), error=str(error))
                if len(ended) > 1:
                    half = len(ended) // 2
                    await self._persist(ended[:half], [])
                    return await self._persist(ended[half:], complete)
                if ended and ended[0].ending in _WITH_CONTENT and await self._bury(ended[0], complete, error):
                    return None
            await asyncio.sleep(_RETRY_S)

    async def _bury(self, ended: Ended, complete: list[int], error: SyncError) -> bool:
        """What a handler returned or raised cannot be stored: a dead letter that says so, or nobody's results pass."""
        try:
            await self._write([refused(ended, error)], complete)
        except SyncError:
            return False
        return True

    async def _write(self, ended: list[Ended], complete: list[int]) -> None:
        if all(e.ending is Ending.DONE and e.job.unique_key is None for e in ended):
            await self._write_done(ended, complete)
        else:
            await self._write_mixed(ended, complete)

    async def _write_done(self, ended: Sequence[Ended], complete: list[int]) -> None:
        await self._db.execute(
            load_sql("finish_done"),
            {
                **self._whose(ended, complete),
                "durations": int_array([e.duration_ms for e in ended]),
                "attempts": int_array([e.job.attempt + 1 for e in ended]),
                "orgs": text_array([e.job.org_id for e in ended]),
                "kinds": text_array([e.job.kind for e in ended]),
            },
        )

    async def _write_mixed(self, ended: Sequence[Ended], complete: list[int]) -> None:
        connection = await self._db.get()
        try:
            async with connection.transaction():
                fresh = await self._fresh(connection, ended, complete)
                mine = [e for e in ended if (e.lease.id, e.job.id) in fresh]
                await _log(connection, [e for e in mine if e.ending is not Ending.INTERRUPTED], self._worker_id())
                later = [e for e in mine if e.ending in (Ending.RETRY, Ending.SNOOZE)]
                await _later(connection, later)
                await _dead(connection, [e for e in mine if e.ending is Ending.DEAD])
                await _released(connection, [e for e in mine if e.ending is Ending.INTERRUPTED])
                await _keys(connection, [e for e in mine if e.ending in _FINAL])
        except psycopg.Error as error:
            await self._db.drop()
            raise translate(error) from error
        if later:
            soonest = min(e.delay_s for e in later)
            for callback in self._scheduled:
                callback(soonest)

    async def _fresh(self, connection: Connection, ended: Sequence[Ended], complete: list[int]) -> set[tuple[int, int]]:
        cursor = await connection.execute(as_literal(load_sql("finish_leases")), self._whose(ended, complete))
        return {(row["lease_id"], row["job_id"]) for row in await cursor.fetchall()}

    def _whose(self, ended: Sequence[Ended], complete: list[int]) -> dict[str, Any]:
        return {
            "worker": self._worker_id(),
            "held": list({*complete, *(e.lease.id for e in ended)}),
            "leases": int_array([e.lease.id for e in ended]),
            "ids": int_array([e.job.id for e in ended]),
        }


async def _log(connection: Connection, ended: Sequence[Ended], worker_id: int) -> None:
    if not ended:
        return
    await connection.execute(
        as_literal(load_sql("finish_log")),
        {
            "worker": worker_id,
            "ids": [e.job.id for e in ended],
            "queues": [e.lease.queue_id for e in ended],
            "durations": [e.duration_ms for e in ended],
            "attempts": [e.job.attempt + 1 for e in ended],
            "outcomes": [int(e.ending) for e in ended],
            "orgs": [e.job.org_id for e in ended],
            "kinds": [e.job.kind for e in ended],
            "errors": [_json(e.error or ({"message": e.reason} if e.reason else None)) for e in ended],
        },
    )


async def _later(connection: Connection, ended: Sequence[Ended]) -> None:
    if ended:
        reasons = ["retry" if e.ending is Ending.RETRY else "snooze" for e in ended]
        params = {**_rows(ended), "delays": [e.delay_s for e in ended], "reasons": reasons}
        await connection.execute(as_literal(load_sql("finish_later")), params)


async def _dead(connection: Connection, ended: Sequence[Ended]) -> None:
    if ended:
        params = {**_rows(ended), "error_classes": [(e.error or {}).get("class", "Unknown") for e in ended]}
        await connection.execute(as_literal(load_sql("finish_dead")), params)


async def _released(connection: Connection, ended: Sequence[Ended]) -> None:
    if ended:
        await connection.execute(as_literal(load_sql("finish_released")), _rows(ended))


async def _keys(connection: Connection, ended: Sequence[Ended]) -> None:
    await connection.execute(
        as_literal(load_sql("finish_keys")),
        {
            "queues": [e.lease.queue_id for e in ended],
            "orgs": [e.job.org_id for e in ended],
            "unique_keys": [e.job.unique_key for e in ended],
            "ids": [e.job.id for e in ended],
        },
    )


def _rows(ended: Sequence[Ended]) -> dict[str, Any]:
    """The columns that a job carries with it wherever it goes."""
    return {
        "ids": [e.job.id for e in ended],
        "queues": [e.lease.queue_id for e in ended],
        "lanes": [e.job.lane if e.ending is Ending.INTERRUPTED else e.lane for e in ended],
        "attempts": [e.attempts_spent for e in ended],
        "max_attempts": [e.job.max_attempts for e in ended],
        "crashes": [e.crashes for e in ended],
        "enqueued": [e.job.enqueued_s for e in ended],
        "orgs": [e.job.org_id for e in ended],
        "kinds": [e.job.kind for e in ended],
        "args": [bytes(e.job.args).decode() for e in ended],
        "unique_keys": [e.job.unique_key for e in ended],
        "metas": [_json(e.meta) for e in ended],
    }


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
