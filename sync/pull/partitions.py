"""Cursors of the parts of a sync type: read by the session, written with the page that moves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from connectors.base import Cursor
from sync.pull.model import ClaimedRun
from sync.store.engine import Database, Transaction

_LOAD = """
SELECT partition, cursor FROM sync_partition
WHERE integration_id = %s AND sync_type = %s AND run_id = %s AND partition = ANY(%s)"""
_MOVE = """
INSERT INTO sync_partition AS p (integration_id, sync_type, run_id, partition, cursor)
SELECT %s, %s, %s, r.partition, r.cursor FROM unnest(%s::text[], %s::jsonb[]) AS r (partition, cursor)
ON CONFLICT (integration_id, sync_type, run_id, partition) DO UPDATE
SET cursor = excluded.cursor, updated_at = now()"""
_DROP = "DELETE FROM sync_partition WHERE integration_id = %s AND sync_type = %s AND run_id = %s"


class RunPartitions:
    """`connectors.base.Partitions` of one run: the live cursors, or a backfill's own."""

    def __init__(self, database: Database, run: ClaimedRun) -> None:
        self._database = database
        self._run = run

    async def load(self, keys: Sequence[str]) -> Mapping[str, Cursor]:
        rows = await self._database.fetch_all(_LOAD, (*_key(self._run), list(keys)))
        return {row["partition"]: row["cursor"] for row in rows}


async def move_partitions(tx: Transaction, run: ClaimedRun, cursors: Mapping[str, Cursor]) -> None:
    if cursors:
        encoded = [msgspec.json.encode(cursor).decode() for cursor in cursors.values()]
        await tx.execute(_MOVE, (*_key(run), list(cursors), encoded))


async def drop_partitions(tx: Transaction, run: ClaimedRun) -> None:
    """A backfill that has ended needs its cursors no more."""
    if run.is_backfill:
        await tx.execute(_DROP, _key(run))


def _key(run: ClaimedRun) -> tuple[int, str, int]:
    return run.integration_id, run.sync_type, run.id if run.is_backfill else 0
