"""The rows of `event_reader`: made, found, looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sync.base.errors import Permanent
from sync.events import EventLog, Position
from sync.store.engine import Database, Transaction

CHANGED = "subscriptions"
"""Signals: subscribers have changed, or are to be looked at again."""

# Counting stops at the cap: looking must cost nothing, however far behind a reader is.
_LAG = """
SELECT r.name, r.org_id, r.position, r.delivered, r.moved_at,
  CASE WHEN r.org_id IS NULL
    THEN (SELECT count(*) FROM (SELECT FROM event e WHERE e.id > r.position LIMIT %(cap)s) x)
    ELSE (SELECT count(*) FROM (SELECT FROM event e WHERE e.org_id = r.org_id AND e.id > r.position LIMIT %(cap)s) x)
  END AS behind,
  date_part('epoch', now() - CASE WHEN r.org_id IS NULL
    THEN (SELECT created_at FROM event e WHERE e.id > r.position ORDER BY id LIMIT 1)
    ELSE (SELECT created_at FROM event e WHERE e.org_id = r.org_id AND e.id > r.position ORDER BY id LIMIT 1)
  END) AS lag_s,
  (SELECT count(*) FROM (SELECT FROM event_backlog b WHERE b.reader_id = r.id LIMIT %(cap)s) x) AS backlog,
  (SELECT count(*) FROM (
     SELECT FROM event_lane l WHERE l.reader_id = r.id AND l.state = 'parked' LIMIT %(cap)s) x) AS parked
FROM event_reader r
WHERE (%(org)s::text IS NULL OR r.org_id = %(org)s) AND (%(name)s::text IS NULL OR r.name = %(name)s)
ORDER BY r.name
"""


@dataclass(frozen=True, slots=True)
class Lag:
    """behind: events after its position (of its org), whatever their type. lag_s: age of the oldest of them.

    delivered: counts what was put into the backlog too. backlog: events that wait in lanes. parked: lanes that somebody
    has to look at.
    """

    name: str
    org_id: str | None
    position: int
    delivered: int
    moved_at: datetime
    behind: int
    lag_s: float | None
    backlog: int
    parked: int


async def register(database: Database, names: list[str]) -> Mapping[str, int]:
    """Readers of the code, each made if it is new: at the beginning of the log. Their ids."""
    await database.execute(
        "INSERT INTO event_reader (name, position) SELECT unnest(%s::text[]), 0 ON CONFLICT (name) DO NOTHING",
        (sorted(names),),
    )
    rows = await database.fetch_all("SELECT id, name FROM event_reader WHERE name = ANY(%s)", (names,))
    return {row["name"]: row["id"] for row in rows}


async def create(tx: Transaction, name: str, org_id: str) -> int:
    """A reader for a subscription: it begins with what is committed from now on."""
    reader_id = await tx.fetch_value(
        "INSERT INTO event_reader (name, org_id, position) VALUES (%s, %s, sync_event_horizon()) RETURNING id",
        (name, org_id),
    )
    return int(reader_id)


async def replay(
    tx: Transaction, reader_id: int, *, since: datetime | None = None, after_id: int | None = None
) -> Position:
    """Put a reader back to a time or behind an event; what waits and lies in that range waits no longer.

    Errors: Permanent without exactly one of both.
    """
    if (since is None) == (after_id is None):
        raise Permanent("Name either a time (`since`) or an event (`afterId`) to begin at.")
    end = await EventLog.end(tx)
    start = min(await EventLog.start(tx, since=since, after_id=after_id or 0), end)
    # The reader's lock first: no batch is under way, and none begins before this is committed.
    await tx.execute("UPDATE event_reader SET position = %s WHERE id = %s", (start.id, reader_id))
    await tx.execute("DELETE FROM event_backlog WHERE reader_id = %s AND event_id > %s", (reader_id, start.id))
    tx.hint(CHANGED)
    return start


async def lags(
    database: Database, *, org_id: str | None = None, name: str | None = None, cap: int = 10_000
) -> list[Lag]:
    """How far readers are behind. Counts stop at `cap`."""
    return [Lag(**row) for row in await database.fetch_all(_LAG, {"org": org_id, "name": name, "cap": cap})]
