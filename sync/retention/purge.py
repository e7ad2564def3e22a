"""What is over is kept for a while and then removed, in small batches that never hold a lock for long."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import LiteralString

from sync.alerts import raise_alert
from sync.base.logs import get_logger
from sync.base.settings import RetentionSettings
from sync.store.engine import Database, Transaction

log = get_logger(__name__)

# Index: event_pkey and event_org, one descent per subscriber.
_OLDEST_UNREAD: LiteralString = """
SELECT r.name, coalesce(r.org_id, '_system') AS org_id, date_part('day', now() - first.created_at)::int AS days
FROM event_reader r CROSS JOIN LATERAL (
  SELECT created_at FROM event e WHERE e.id > r.position ORDER BY id LIMIT 1) first
WHERE r.org_id IS NULL
UNION ALL
SELECT r.name, r.org_id, date_part('day', now() - first.created_at)::int
FROM event_reader r CROSS JOIN LATERAL (
  SELECT created_at FROM event e WHERE e.org_id = r.org_id AND e.id > r.position ORDER BY id LIMIT 1) first
WHERE r.org_id IS NOT NULL
"""
BATCH = 2000
_PAUSE_S = 0.05
_SOON = 1
"""For what nobody needs once it is over; a day lets people look at it."""
_LONGEST_BUDGET = 32
"""Some vendors count by the month."""
_ENDED_BACKFILL: LiteralString = """
run_id <> 0 AND NOT EXISTS (SELECT FROM sync_run r WHERE r.id = run_id AND r.state IN ('queued', 'running'))"""


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of `table` whose `age` column lies more than `days` back, and for which `over` holds, may go."""

    table: LiteralString
    age: LiteralString
    days: int
    over: LiteralString = "true"


def rules(settings: RetentionSettings) -> tuple[Rule, ...]:
    """Everything that is removed row by row; what is partitioned by day is dropped by the day instead."""
    return (
        Rule("sync_run", "finished_at", settings.sync_run_days, "state IN ('succeeded', 'failed', 'cancelled')"),
        Rule("schedule_tick", "fired_at", settings.tick_days),
        Rule("alert", "resolved_at", settings.alert_days, "resolved_at IS NOT NULL"),
        Rule("audit", "at", settings.audit_days),
        Rule("activity_quarantine", "last_at", settings.quarantine_days),
        Rule("webhook_delivery", "received_at", settings.webhook_days),
        Rule("sync_partition", "updated_at", settings.partition_days),
        Rule("sync_partition", "updated_at", _SOON, _ENDED_BACKFILL),
        Rule("rate_bucket", "used_at", _LONGEST_BUDGET, "blocked_until < now()"),
        Rule("oauth_state", "expires_at", _SOON),
    )


class Purge:
    """Safe to run twice at once: batches skip rows that another run holds."""

    def __init__(self, database: Database, settings: RetentionSettings, *, batch: int = BATCH) -> None:
        self._database = database
        self._settings = settings
        self._batch = batch

    async def run(self) -> dict[str, int]:
        """Remove everything that is old enough; rows (for events: day partitions) gone, per table."""
        gone: dict[str, int] = {}
        for rule in rules(self._settings):
            gone[rule.table] = gone.get(rule.table, 0) + await self._sweep(rule)
        gone["event"] = await self._rotate_events()
        if any(gone.values()):
            log.info("retention.purged", removed={table: count for table, count in gone.items() if count})
        return gone

    async def _sweep(self, rule: Rule) -> int:
        removed = 0
        while True:
            count = await self._database.execute(
                f"""DELETE FROM {rule.table} WHERE ctid = ANY(ARRAY(
                      SELECT ctid FROM {rule.table}
                      WHERE {rule.age} < now() - make_interval(days => %(days)s) AND {rule.over}
                      LIMIT %(batch)s FOR UPDATE SKIP LOCKED))""",
                {"days": rule.days, "batch": self._batch},
            )
            removed += count
            if count < self._batch:
                return removed
            await asyncio.sleep(_PAUSE_S * (1 + random.random()))

    async def _rotate_events(self) -> int:
        async with self._database.transaction() as tx:
            await tx.execute("SELECT sync_make_partitions('event')")
            # Dropping waits for readers; rather come back tomorrow than queue everybody behind us.
            await tx.execute("SET LOCAL lock_timeout = '3s'")
            days = await self._days_of_events(tx)
            dropped = await tx.fetch_value("SELECT sync_drop_partitions('event', %(days)s)", {"days": days})
        return int(dropped)

    async def _days_of_events(self, tx: Transaction) -> int:
        """As many as the settings say, and more for a subscriber that has not read them, up to a limit."""
        settings = self._settings
        longest = settings.event_days
        for row in await tx.fetch_all(_OLDEST_UNREAD):
            longest = max(longest, row["days"] + 1)
            if row["days"] > settings.unread_event_days:
                title = f"{row['name']} stands still, and the log goes on without it"
                detail = f"Events that it has not read for {settings.unread_event_days} days are removed."
                await raise_alert(tx, row["org_id"], f"event.lost:{row['name']}", title, detail=detail)
        return min(longest, max(settings.unread_event_days, settings.event_days))
