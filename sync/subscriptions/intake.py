"""One batch: events of the log to one subscriber, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sync.base.settings import EventSettings
from sync.events import EventLog, LoggedEvent, Position
from sync.store.engine import Database, Transaction
from sync.subscriptions import lanes
from sync.subscriptions.model import Feed

_LOCK = """
SELECT r.id, r.position, set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true)
FROM event_reader r
WHERE r.name = %(name)s AND NOT EXISTS (SELECT FROM queue WHERE name = 'datatype' AND paused_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM subscription s WHERE s.reader_id = r.id AND s.state <> 'active')
FOR NO KEY UPDATE OF r SKIP LOCKED
"""
# After the lock, in a statement of its own: its snapshot has to see what the holder before us committed.
_SEE = """
SELECT sync_event_horizon() AS horizon, EXISTS (SELECT FROM event_lane WHERE reader_id = %s) AS has_lanes
"""
_MOVE = """
UPDATE event_reader SET position = %(position)s, delivered = delivered + %(count)s, moved_at = now() WHERE id = %(id)s
"""
_FAIL = """
UPDATE event_lane SET attempts = attempts + 1, failing_since = coalesce(failing_since, now()), error = %(error)s,
  next_at = now() + %(pause_s)s * interval '1 second'
WHERE reader_id = %(reader)s AND org_id = %(org)s AND subject = %(subject)s
"""
FIRST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Taken:
    """events: read. delivered: handed to the subscriber; others did not fit, or were put into lanes."""

    events: int
    delivered: int
    more: bool


class HandlerFailed(Exception):
    """The subscriber raised or hung; `__cause__` is why. first_id: of the events it got."""

    def __init__(self, first_id: int, count: int) -> None:
        super().__init__(first_id, count)
        self.first_id = first_id
        self.count = count


class Intake:
    """Stateless; safe to use for many readers at once."""

    def __init__(self, database: Database, settings: EventSettings) -> None:
        self._database = database
        self._settings = settings

    async def take(self, feed: Feed, limit: int) -> Taken | None:
        """Deliver the next batch. None: somebody else delivers to this reader just now, or the pool is paused.

        Errors: HandlerFailed when it was the subscriber's fault; SyncError from the store.
        """
        async with self._database.transaction() as tx:
            reader = await self.lock(tx, feed.name)
            if reader is None:
                return None
            reader_id, position = reader
            return await self._batch(tx, feed, reader_id, position, limit)

    async def lock(self, tx: Transaction, name: str) -> tuple[int, Position] | None:
        idle_ms = int(2000 * self._settings.handler_timeout_s)
        row = await tx.fetch_one(_LOCK, {"name": name, "idle_ms": str(idle_ms)})
        return None if row is None else (row["id"], Position(row["position"]))

    async def _batch(self, tx: Transaction, feed: Feed, reader_id: int, position: Position, limit: int) -> Taken:
        seen = await tx.fetch_one(_SEE, (reader_id,))
        assert seen is not None
        horizon = Position(seen["horizon"])
        events, after = await EventLog.read(
            tx, position, limit=limit, org_id=feed.org_id, types=feed.patterns, horizon=horizon
        )
        wanted = [event for event in events if feed.wants(event)]
        waiting = await lanes.busy(tx, reader_id, wanted) if wanted and seen["has_lanes"] else set()
        held = [event for event in wanted if (event.org_id, event.subject) in waiting] if waiting else []
        free = [event for event in wanted if (event.org_id, event.subject) not in waiting] if waiting else wanted
        if free:
            await self._handle(tx, feed, free)
        await lanes.hold(tx, reader_id, held)
        if after > position:
            await tx.execute(_MOVE, {"id": reader_id, "position": after.id, "count": len(wanted)})
        return Taken(len(events), len(free), more=after < horizon)

    async def _handle(self, tx: Transaction, feed: Feed, events: Sequence[LoggedEvent]) -> None:
        try:
            async with asyncio.timeout(self._settings.handler_timeout_s):
                await feed.handle(tx, events)
        except Exception as error:
            raise HandlerFailed(events[0].id, len(events)) from error

    async def set_aside(self, feed: Feed, event_id: int, error: str) -> bool:
        """Put the one event that a subscriber cannot take into a lane. False: somebody else has dealt with it."""
        async with self._database.transaction() as tx:
            reader = await self.lock(tx, feed.name)
            if reader is None:
                return False
            reader_id, position = reader
            events, after = await EventLog.read(tx, position, limit=1, org_id=feed.org_id, types=feed.patterns)
            if not events or events[0].id != event_id:
                return False
            await lanes.hold(tx, reader_id, events)
            key = (reader_id, events[0].org_id, events[0].subject)
            await tx.execute(_FAIL, {**lanes.named(key), "error": error, "pause_s": FIRST_PAUSE_S})
            await tx.execute(_MOVE, {"id": reader_id, "position": after.id, "count": 1})
            return True
