"""Reads for the overview routes. All from PostgreSQL, all bounded: looking must never hurt what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sync.store.engine import Database
from sync.store.sql import load_sql

COUNT_CAP = 10_000
"""Counts stop here; a larger backlog shows as this number."""

_WORKERS = """
SELECT pool, count(*) AS workers FROM worker
WHERE beat_at > now() - %(timeout)s * interval '1 second' GROUP BY pool
"""
# Indexes: sync_run_open for what is open; sync_stream by its integration for the last success.
_SYNCS = """
SELECT i.platform, count(*) FILTER (WHERE i.state = 'active') AS active,
  count(*) FILTER (WHERE i.state = 'paused') AS paused, count(*) FILTER (WHERE i.state = 'expired') AS expired,
  coalesce(sum(r.queued), 0)::bigint AS queued, coalesce(sum(r.running), 0)::bigint AS running,
  max(s.at) AS last_success_at
FROM integration i
LEFT JOIN LATERAL (SELECT max(last_success_at) AS at FROM sync_stream WHERE integration_id = i.id) s ON true
LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'running') AS running
  FROM sync_run WHERE integration_id = i.id AND state IN ('queued', 'running')) r ON true
WHERE i.state <> 'deleted' AND (%(org)s::text IS NULL OR i.org_id = %(org)s)
GROUP BY i.platform ORDER BY i.platform
"""
_LEASES = """
SELECT l.org_id, l.platform, l.holder, l.node, l.epoch, l.acquired_at, l.expires_at, l.expires_at > now() AS live,
  (SELECT count(*) FROM sync_run r
   WHERE r.org_id = l.org_id AND r.platform = l.platform AND r.state = 'running') AS running
FROM sync_lease l WHERE l.holder IS NOT NULL AND (%(org)s::text IS NULL OR l.org_id = %(org)s)
ORDER BY l.org_id, l.platform LIMIT %(limit)s
"""
_COUNTS = """
SELECT
  (SELECT count(*) FROM integration WHERE org_id = %(org)s AND state <> 'deleted') AS integrations,
  (SELECT count(*) FROM sync_run WHERE org_id = %(org)s AND state IN ('queued', 'running')) AS open_runs,
  (SELECT count(*) FROM alert WHERE org_id = %(org)s AND resolved_at IS NULL) AS open_alerts
"""


@dataclass(frozen=True, slots=True)
class QueueRow:
    name: str
    pool: str
    waiting: int
    scheduled: int
    running: int
    dead: int
    lag_s: float | None
    last_success_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    concurrency: int | None
    org_concurrency: int | None


class Queries:
    def __init__(self, database: Database, worker_timeout_s: float) -> None:
        self._database = database
        self._worker_timeout_s = worker_timeout_s

    async def queues(self, org_id: str | None) -> list[QueueRow]:
        """Every queue, with what one org or everybody has in it."""
        if org_id is None:
            rows = await self._database.fetch_all(load_sql("queue_depth"), {"cap": COUNT_CAP})
        else:
            rows = await self._database.fetch_all(load_sql("org_queues"), {"org": org_id, "cap": COUNT_CAP})
        events = await self._database.fetch_one(load_sql("event_depth"), {"org": org_id, "cap": COUNT_CAP})
        assert events is not None
        return [_with_events(_queue_row(row), events) if row["name"] == "datatype" else _queue_row(row) for row in rows]

    async def workers(self) -> dict[str, int]:
        """Living members by pool."""
        rows = await self._database.fetch_all(_WORKERS, {"timeout": self._worker_timeout_s})
        return {row["pool"]: row["workers"] for row in rows}

    async def syncs(self, org_id: str | None) -> list[dict[str, Any]]:
        """By platform: accounts by state, open runs, last success."""
        return await self._database.fetch_all(_SYNCS, {"org": org_id})

    async def leases(self, org_id: str | None, limit: int = 1000) -> list[dict[str, Any]]:
        """Who holds the right to sync which pair, since when, and where."""
        return await self._database.fetch_all(_LEASES, {"org": org_id, "limit": limit})

    async def counts(self, org_id: str) -> dict[str, int]:
        row = await self._database.fetch_one(_COUNTS, {"org": org_id})
        assert row is not None
        return dict(row)


def _with_events(row: QueueRow, events: Mapping[str, Any]) -> QueueRow:
    """The log is what the queue `datatype` mostly has: events not delivered yet, and subjects that are parked."""
    return replace(
        row,
        waiting=min(COUNT_CAP, row.waiting + events["waiting"]),
        dead=row.dead + events["parked"],
        lag_s=max((lag for lag in (row.lag_s, events["lag_s"]) if lag is not None), default=None),
    )


def _queue_row(row: Mapping[str, Any]) -> QueueRow:
    return QueueRow(**{name: row[name] for name in QueueRow.__dataclass_fields__})
