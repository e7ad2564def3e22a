"""Sync types that webhooks call out of date become runs: one at a time each, with a pause in between.

A run that has begun may be past the place of the change, so a change that comes during one asks for another after it.
One that only waits will see the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from sync.signals import Signals
from sync.store.engine import Database, Transaction
from sync.store.sql import load_sql
from sync.webhooks.plan import Step

_LOOK_S = 5.0
_MARK = """
INSERT INTO webhook_pull (integration_id, sync_type, dirty_at)
SELECT s.integration_id, s.sync_type, now() FROM unnest(%s::bigint[], %s::text[]) AS d (integration_id, sync_type)
JOIN sync_stream s USING (integration_id, sync_type)
ORDER BY s.integration_id, s.sync_type
ON CONFLICT (integration_id, sync_type) DO UPDATE SET dirty_at = excluded.dirty_at"""
_DIRTY = """
SELECT p.integration_id, p.sync_type, i.org_id, i.platform,
       i.state = 'active' AND s.blocked_reason IS NULL AS wanted,
       r.id IS NOT NULL AS open, r.id IS NOT NULL AND r.started_at IS NULL AS waiting,
       coalesce(extract(epoch FROM p.pulled_at + make_interval(secs => %(gap_s)s) - now()), 0) AS pause_s
FROM webhook_pull p
JOIN integration i ON i.id = p.integration_id
JOIN sync_stream s ON s.integration_id = p.integration_id AND s.sync_type = p.sync_type
LEFT JOIN sync_run r ON r.integration_id = p.integration_id AND r.sync_type = p.sync_type
  AND r.trigger <> 'backfill' AND r.state IN ('queued', 'running')
WHERE p.dirty_at IS NOT NULL
ORDER BY p.integration_id, p.sync_type LIMIT 1000
FOR UPDATE OF p SKIP LOCKED"""
_CLEAN = """
UPDATE webhook_pull p SET dirty_at = NULL, pulled_at = CASE WHEN d.pulled THEN now() ELSE p.pulled_at END
FROM unnest(%s::bigint[], %s::text[], %s::bool[]) AS d (integration_id, sync_type, pulled)
WHERE p.integration_id = d.integration_id AND p.sync_type = d.sync_type"""


async def mark(tx: Transaction, steps: Iterable[Step]) -> None:
    """Note the sync types that applied events call out of date."""
    dirty = {
        (step.holder.id, sync_type)
        for step in steps
        if step.holder is not None and step.outcome == "applied" and not step.kept and not step.event.revoked
        for sync_type in step.event.dirty
    }
    if dirty:
        await tx.execute(_MARK, [list(column) for column in zip(*sorted(dirty), strict=True)])


async def start(database: Database, signals: Signals, gap_s: float) -> float | None:
    """Queue the runs that may begin; seconds until it is worth looking again, None if nothing is left."""
    done: list[tuple[int, str, bool]] = []
    wanted: list[dict[str, Any]] = []
    wait: float | None = None
    async with database.transaction() as tx:
        for row in await tx.fetch_all(_DIRTY, {"gap_s": gap_s}):
            if not row["wanted"] or row["waiting"]:
                done.append((row["integration_id"], row["sync_type"], False))
            elif row["open"] or row["pause_s"] > 0:
                pause_s = _LOOK_S if row["open"] else float(row["pause_s"])
                wait = min(wait or _LOOK_S, pause_s)
            else:
                wanted.append(row)
        if wanted:
            done += await _queue(tx, wanted)
        if done:
            await tx.execute(_CLEAN, [list(column) for column in zip(*done, strict=True)])
    for pair in {f"{row['org_id']}/{row['platform']}" for row in wanted}:
        signals.publish("sync", pair)
    return _LOOK_S if len(done) < len(wanted) and wait is None else wait


async def _queue(tx: Transaction, wanted: list[dict[str, Any]]) -> list[tuple[int, str, bool]]:
    """Those that have a run now. One that began meanwhile is not ours and is looked at again."""
    found = await tx.fetch_all(
        load_sql("sync_trigger"),
        {
            "integrations": [row["integration_id"] for row in wanted],
            "sync_types": [row["sync_type"] for row in wanted],
            "trigger": "webhook",
            "options": Jsonb({}),
            "requested_by": "webhook",
        },
    )
    return [(row["integration_id"], row["sync_type"], True) for row in found if row["created"]]
