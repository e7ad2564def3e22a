"""The backlog: events that wait in order behind their subject, in one lane per (reader, org, subject)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sync.events import LoggedEvent
from sync.store.engine import Transaction

Key = tuple[int, str, str]
"""reader id, org, subject"""

# Touching a lane that exists takes its lock: whoever finds it empty meanwhile and would remove it waits for us, or we
# for him.
_OPEN = """
INSERT INTO event_lane AS l (reader_id, org_id, subject)
SELECT DISTINCT %(reader)s::int8, u.org_id, u.subject
FROM unnest(%(orgs)s::text[], %(subjects)s::text[]) AS u (org_id, subject)
ORDER BY 2, 3
ON CONFLICT (reader_id, org_id, subject) DO UPDATE SET next_at = l.next_at
"""
_ADD = """
INSERT INTO event_backlog
  (reader_id, org_id, subject, event_id, type, payload, version, causation_id, correlation_id, created_at)
SELECT %(reader)s, u.* FROM unnest(%(orgs)s::text[], %(subjects)s::text[], %(ids)s::int8[], %(types)s::text[],
  %(payloads)s::jsonb[], %(versions)s::int2[], %(causes)s::int8[], %(stories)s::text[], %(times)s::timestamptz[]) AS u
"""
_KNOWN = """
SELECT l.org_id, l.subject FROM event_lane l
JOIN unnest(%(orgs)s::text[], %(subjects)s::text[]) AS u (org_id, subject) USING (org_id, subject)
WHERE l.reader_id = %(reader)s
"""
_KEY = "reader_id = %(reader)s AND org_id = %(org)s AND subject = %(subject)s"
_HEAD = f"""
SELECT seq, event_id AS id, org_id, type, subject, payload, version, causation_id, correlation_id, created_at
FROM event_backlog WHERE {_KEY} ORDER BY seq LIMIT 1
"""
_WAKE = """
UPDATE event_lane l SET next_at = now(), attempts = 0, failing_since = NULL, epoch = l.epoch + 1 FROM (
  SELECT org_id, subject FROM event_lane WHERE reader_id = %(reader)s AND state = 'waiting' AND NOT leased
  ORDER BY org_id, subject FOR NO KEY UPDATE) asleep
WHERE l.reader_id = %(reader)s AND l.org_id = asleep.org_id AND l.subject = asleep.subject
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The first event of a lane."""

    seq: int
    event: LoggedEvent


async def hold(tx: Transaction, reader_id: int, events: Sequence[LoggedEvent]) -> None:
    """Put events behind what waits in their lanes. The caller holds the reader's lock."""
    if not events:
        return
    values = {
        "reader": reader_id,
        "orgs": [event.org_id for event in events],
        "subjects": [event.subject for event in events],
    }
    await tx.execute(_OPEN, values)
    await tx.execute(
        _ADD,
        {
            **values,
            "ids": [event.id for event in events],
            "types": [event.type for event in events],
            "payloads": [msgspec.json.encode(event.payload).decode() for event in events],
            "versions": [event.version for event in events],
            "causes": [event.causation_id for event in events],
            "stories": [event.correlation_id for event in events],
            "times": [event.created_at for event in events],
        },
    )


async def busy(tx: Transaction, reader_id: int, events: Sequence[LoggedEvent]) -> set[tuple[str, str]]:
    """Of these events' (org, subject) those that have a lane."""
    rows = await tx.fetch_all(
        _KNOWN,
        {
            "reader": reader_id,
            "orgs": [event.org_id for event in events],
            "subjects": [event.subject for event in events],
        },
    )
    return {(row["org_id"], row["subject"]) for row in rows}


async def head(tx: Transaction, key: Key) -> Head | None:
    row = await tx.fetch_one(_HEAD, named(key))
    return None if row is None else _head(row)


async def remove(tx: Transaction, key: Key, seq: int) -> bool:
    """Take the delivered event out of its lane, whose lock the caller holds; whether more wait there."""
    values = named(key)
    await tx.execute(f"DELETE FROM event_backlog WHERE {_KEY} AND seq = %(seq)s", {**values, "seq": seq})
    return await settle(tx, key)


async def settle(tx: Transaction, key: Key) -> bool:
    """Close a lane without events, else let the next one begin afresh; whether more wait. The caller holds its lock.

    In a statement of its own, because the lock may have had to wait for a batch that added events.
    """
    values = named(key)
    if await tx.fetch_value(f"SELECT EXISTS (SELECT FROM event_backlog WHERE {_KEY})", values):
        await tx.execute(
            "UPDATE event_lane SET state = 'waiting', next_at = now(), leased = false, epoch = epoch + 1, attempts = 0,"
            f" failing_since = NULL, error = NULL WHERE {_KEY}",
            values,
        )
        return True
    await tx.execute(f"DELETE FROM event_lane WHERE {_KEY}", values)
    return False


async def wake(tx: Transaction, reader_id: int) -> None:
    """Let every lane that waits for its next try have it now. Locks in the order of `hold`."""
    await tx.execute(_WAKE, {"reader": reader_id})


def named(key: Key) -> dict[str, Any]:
    reader, org, subject = key
    return {"reader": reader, "org": org, "subject": subject}


def _head(row: dict[str, Any]) -> Head:
    seq = row.pop("seq")
    return Head(seq, LoggedEvent(**row))
