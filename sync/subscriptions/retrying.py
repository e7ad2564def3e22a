"""Second and later tries of events whose subscriber writes to the database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from sync.alerts import raise_alert, resolve_alert
from sync.base.logs import get_logger
from sync.base.settings import EventSettings
from sync.events.outbox import TOPIC
from sync.jobs.retry import Backoff
from sync.store.engine import Database, Transaction
from sync.subscriptions import lanes
from sync.subscriptions.intake import FIRST_PAUSE_S
from sync.subscriptions.model import Feed

log = get_logger(__name__)

_LANES_PER_STEP = 50
_DUE = """
SELECT reader_id, org_id, subject FROM event_lane
WHERE reader_id = ANY(%(readers)s) AND state = 'waiting' AND next_at <= now()
  AND NOT EXISTS (SELECT FROM queue WHERE name = 'datatype' AND paused_at IS NOT NULL)
ORDER BY next_at LIMIT %(limit)s
"""
_KEY = "reader_id = %(reader)s AND org_id = %(org)s AND subject = %(subject)s"
_LOCK = f"""
SELECT epoch, attempts FROM event_lane WHERE {_KEY} AND state = 'waiting' AND next_at <= now()
FOR NO KEY UPDATE SKIP LOCKED
"""
_FAIL = f"""
UPDATE event_lane SET attempts = attempts + 1, failing_since = coalesce(failing_since, now()), error = %(error)s,
  next_at = now() + %(pause_s)s * interval '1 second', state = %(state)s, epoch = epoch + 1
WHERE {_KEY} AND epoch = %(epoch)s AND state = 'waiting'
"""
BACKOFF = Backoff(base_s=2 * FIRST_PAUSE_S, factor=3, cap_s=900)


class _Failed(Exception):
    def __init__(self, epoch: int, attempts: int) -> None:
        super().__init__(epoch, attempts)
        self.epoch = epoch
        self.attempts = attempts


class Retrier:
    def __init__(self, database: Database, settings: EventSettings, backoff: Backoff = BACKOFF) -> None:
        self._database = database
        self._settings = settings
        self._backoff = backoff
        self._random = random.Random()

    async def step(self, feeds: Mapping[int, Feed]) -> int:
        """Try lanes of these readers (by id) that are due; how many were. Errors: SyncError from the store."""
        rows = await self._database.fetch_all(_DUE, {"readers": list(feeds), "limit": _LANES_PER_STEP})
        for row in rows:
            key = (row["reader_id"], row["org_id"], row["subject"])
            try:
                while await self._deliver(feeds[key[0]], key):
                    pass
            except _Failed as failed:
                await self._failed(feeds[key[0]], key, failed)
        return len(rows)

    async def _deliver(self, feed: Feed, key: lanes.Key) -> bool:
        """Deliver the first event of a lane; whether the next can follow at once."""
        async with self._database.transaction() as tx:
            lane = await tx.fetch_one(_LOCK, lanes.named(key))
            if lane is None:
                return False
            head = await lanes.head(tx, key)
            if head is None:
                return await lanes.settle(tx, key)
            try:
                async with asyncio.timeout(self._settings.handler_timeout_s):
                    await feed.handle(tx, [head.event])
            except Exception as error:
                raise _Failed(lane["epoch"], lane["attempts"]) from error
            return await lanes.remove(tx, key, head.seq)

    async def _failed(self, feed: Feed, key: lanes.Key, failed: _Failed) -> None:
        """A transaction of its own: what failed was rolled back."""
        parked = failed.attempts + 1 >= self._settings.attempts
        error = describe(failed.__cause__)
        log.warning("event.failed", subscriber=feed.name, subject=key[2], parked=parked, exc_info=failed.__cause__)
        async with self._database.transaction() as tx:
            values = {
                "error": error,
                "pause_s": self._backoff.delay(failed.attempts + 1, self._random),
                "epoch": failed.epoch,
            }
            state = "parked" if parked else "waiting"
            if await tx.execute(_FAIL, {**lanes.named(key), **values, "state": state}) and parked:
                await alert_parked(tx, feed.name, key, error)


async def alert_parked(tx: Transaction, name: str, key: lanes.Key, error: str) -> None:
    await raise_alert(
        tx,
        key[1],
        alert_key(name),
        f"{name} could not take an event of {key[2]}",
        detail=f"It and what follows on this subject wait until somebody retries or discards it. {error}",
    )


async def unpark(tx: Transaction, name: str, reader_id: int, *, org_id: str | None = None) -> int:
    """Try what is parked again, at once; lanes concerned."""
    count = await tx.execute(
        "UPDATE event_lane"
        " SET state = 'waiting', next_at = now(), attempts = 0, failing_since = NULL, epoch = epoch + 1"
        " WHERE reader_id = %(reader)s AND state = 'parked' AND (%(org)s::text IS NULL OR org_id = %(org)s)",
        {"reader": reader_id, "org": org_id},
    )
    await _resolve(tx, name, reader_id)
    tx.hint(TOPIC)
    return count


async def discard(tx: Transaction, name: str, reader_id: int, org_id: str, subject: str) -> bool:
    """Give up the event that a parked lane stands before; those behind it are delivered. False: none is parked."""
    key = (reader_id, org_id, subject)
    locked = await tx.fetch_one(
        f"SELECT 1 FROM event_lane WHERE {_KEY} AND state = 'parked' FOR NO KEY UPDATE", lanes.named(key)
    )
    if locked is None:
        return False
    head = await lanes.head(tx, key)
    if head is None:
        await lanes.settle(tx, key)
    else:
        await lanes.remove(tx, key, head.seq)
    await _resolve(tx, name, reader_id)
    tx.hint(TOPIC)
    return True


async def _resolve(tx: Transaction, name: str, reader_id: int) -> None:
    rows = await tx.fetch_all(
        "SELECT DISTINCT a.org_id FROM alert a WHERE a.key = %(key)s AND a.resolved_at IS NULL AND NOT EXISTS ("
        " SELECT FROM event_lane l WHERE l.reader_id = %(reader)s AND l.org_id = a.org_id AND l.state = 'parked')",
        {"key": alert_key(name), "reader": reader_id},
    )
    for row in rows:
        await resolve_alert(tx, row["org_id"], alert_key(name))


def alert_key(name: str) -> str:
    return f"event.parked:{name}"


def describe(error: BaseException | None) -> str:
    """One line about an error, for a row that people read."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text.replace("\x00", "")[:1000]
