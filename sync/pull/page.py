"""Apply pages: records, events, cursors and counters in one transaction under the worker's lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from connectors.base import Cursor, Page
from sync.base.errors import LeaseLost
from sync.events import append_events
from sync.leases import SyncLease
from sync.pull.model import ClaimedRun
from sync.pull.partitions import move_partitions
from sync.sink import Applied, Sink, Source
from sync.store.engine import Conflict, Database, Transaction

_COUNT = """
UPDATE sync_run
SET pages = pages + %(pages)s, records = records + %(records)s, added = added + %(added)s,
    changed = changed + %(changed)s, skipped = skipped + %(skipped)s, fruitless = 0,
    backfill_cursor = CASE WHEN trigger = 'backfill' THEN coalesce(%(cursor)s, backfill_cursor) ELSE backfill_cursor END
WHERE id = %(id)s AND epoch = %(epoch)s AND state = 'running'
RETURNING cancel_requested"""
_MOVE_CURSOR = """
UPDATE sync_stream SET cursor = %(cursor)s, cursor_version = cursor_version + 1
WHERE integration_id = %(integration_id)s AND sync_type = %(sync_type)s AND cursor_version = %(version)s"""


@dataclass(frozen=True, slots=True)
class Committed:
    applied: Applied
    cursor_version: int
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Pages:
    """Commits pages under one lease, one batch at a time: renewals get the row lock of the lease in between."""

    database: Database
    lease: SyncLease
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def apply(
        self, run: ClaimedRun, sink: Sink, pages: Sequence[Page], prepared: Any, *, version: int
    ) -> Committed:
        """Commit pages of `run` that follow each other. `version`: of the live cursor that they continue from.

        `prepared` is what the sink made of all their records. Errors: LeaseLost when the lease, the run or the cursor
        belongs to somebody else by now; nothing is written.
        """
        try:
            return await self._apply(run, sink, pages, prepared, version)
        except Conflict:
            # A webhook brought one of these records between our look and our write; now it is there to be seen.
            return await self._apply(run, sink, pages, prepared, version)

    async def _apply(
        self, run: ClaimedRun, sink: Sink, pages: Sequence[Page], prepared: Any, version: int
    ) -> Committed:
        source = Source(run.org_id, run.platform, run.integration_id, run.account, run.sync_type)
        cursors = {page.partition: page.cursor for page in pages if page.cursor is not None}
        main = cursors.pop("", None)
        async with self.lock, self.database.transaction() as tx:
            await self.lease.fence(tx)
            applied = await sink.apply(tx, source, prepared, force=bool(run.options.get("force")))
            await append_events(tx, applied.events)
            if main is not None and not run.is_backfill:
                await _move_cursor(tx, run, main, version)
                version += 1
            await move_partitions(tx, run, cursors)
            cancel_requested = await _count(tx, run, pages, applied, main)
        return Committed(applied, version, cancel_requested)


async def _move_cursor(tx: Transaction, run: ClaimedRun, cursor: Cursor, version: int) -> None:
    moved = await tx.execute(
        _MOVE_CURSOR,
        {
            "cursor": Jsonb(cursor),
            "version": version,
            "integration_id": run.integration_id,
            "sync_type": run.sync_type,
        },
    )
    if moved != 1:
        raise LeaseLost(f"The cursor of {run.subject} {run.sync_type} has moved without us.")


async def _count(
    tx: Transaction, run: ClaimedRun, pages: Sequence[Page], applied: Applied, cursor: Cursor | None
) -> bool:
    row = await tx.fetch_one(
        _COUNT,
        {
            "id": run.id,
            "epoch": run.epoch,
            "pages": len(pages),
            "records": sum(len(page.records) for page in pages),
            "added": applied.added,
            "changed": applied.changed,
            "skipped": applied.skipped,
            "cursor": None if cursor is None else Jsonb(cursor),
        },
    )
    if row is None:
        raise LeaseLost(f"Run {run.id} is not ours any more.")
    return bool(row["cancel_requested"])
