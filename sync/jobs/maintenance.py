"""Housekeeping of the queue's tables: cheap, idempotent, run by a schedule."""

from __future__ import annotations

from dataclasses import dataclass

from sync.base.settings import QueueSettings
from sync.store.engine import Database
from sync.store.sql import load_sql


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    partitions_made: int
    partitions_dropped: int
    keys_expired: int
    workers_forgotten: int


async def maintain(database: Database, settings: QueueSettings) -> MaintenanceResult:
    """Make coming day partitions, drop old ones, forget expired keys, silent workers and stale progress."""
    made = dropped = 0
    for table in ("job_run",):
        made += await database.fetch_value("SELECT sync_make_partitions(%(table)s)", {"table": table})
        dropped += await database.fetch_value(
            "SELECT sync_drop_partitions(%(table)s, %(days)s)", {"table": table, "days": settings.history_days}
        )
    expired = 0
    while True:  # in bites, so that no statement holds many row locks for long
        bite = await database.execute(
            load_sql("expire_idempotency"), {"seconds": settings.idempotency_ttl.total_seconds(), "limit": 5000}
        )
        expired += bite
        if bite < 5000:
            break
    forgotten = await database.execute(load_sql("forget_workers"), {"timeout_s": settings.worker_timeout_s * 6})
    await database.execute("DELETE FROM job_cancel WHERE requested_at < now() - interval '1 hour'")
    await database.execute("DELETE FROM job_progress WHERE updated_at < now() - interval '7 days'")
    return MaintenanceResult(made, dropped, expired, forgotten)
