"""The reading side of the event log: everything committed, once, in order per subject.

Ids are given out at the insert and become visible at the commit, so "after the last id I saw" would skip what a slower
transaction commits later. A reader therefore stops at the horizon: the highest id up to which nothing can appear any
more. The database knows it (`sync_event_horizon()`), because every transaction announces its first write to the log by
an advisory lock that holds the newest id of that moment; its own ids are all higher, and the lock is gone when they are
visible. Only transactions that write events hold the horizon back, and only from their first event on: a dump or a
long update elsewhere delays nobody.

Ids are also the order per subject: two transactions that touch the same row are one after the other, and the second
draws its id after the first has committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, Protocol

from sync.base.errors import ConfigurationError


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a reader is: it has everything up to `id`."""

    id: int = 0

    def __str__(self) -> str:
        return str(self.id)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Errors: ConfigurationError when it was not written by `str()` of a position."""
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ConfigurationError(f"{text[:60]!r} is not a position in the event log; begin without one.")
        return cls(int(text))


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    id: int
    org_id: str
    type: str
    subject: str
    payload: Mapping[str, Any]
    version: int
    causation_id: int | None
    correlation_id: str | None
    created_at: datetime


class Reader(Protocol):
    """A database or a transaction."""

    async def fetch_all(self, query: str, params: Any = None) -> list[dict[str, Any]]: ...
    async def fetch_value(self, query: str, params: Any = None) -> Any: ...


_COLUMNS: LiteralString = "id, org_id, type, subject, payload, version, causation_id, correlation_id, created_at"
# Index: event_pkey of every partition, merged; with an org event_org.
_READ: LiteralString = f"SELECT {_COLUMNS} FROM event WHERE id > %(after)s AND id <= %(upto)s"
_OF_ORG: LiteralString = " AND org_id = %(org_id)s"
_OF_TYPES: LiteralString = " AND type LIKE ANY(%(types)s)"
_IN_ORDER: LiteralString = " ORDER BY id LIMIT %(limit)s"

_LOOK = 200_000
"""Ids that one statement looks through for events of certain types: tens of milliseconds."""


class EventLog:
    """Reads the log. Holds nothing: whoever reads keeps its position."""

    @staticmethod
    async def end(reader: Reader) -> Position:
        """Where the log ends now: reading from here gives what is committed later, and what is in flight now."""
        return Position(int(await reader.fetch_value("SELECT sync_event_horizon()")))

    @staticmethod
    async def start(reader: Reader, *, since: datetime | None = None, after_id: int = 0) -> Position:
        """For a replay: after an id, or at the first event of a time."""
        if since is None:
            return Position(after_id)
        found = await reader.fetch_value("SELECT min(id) - 1 FROM event WHERE created_at >= %s", (since,))
        return await EventLog.end(reader) if found is None else Position(int(found))

    @staticmethod
    async def read(
        reader: Reader,
        position: Position,
        *,
        limit: int = 1000,
        org_id: str | None = None,
        types: Sequence[str] = (),
        horizon: Position | None = None,
    ) -> tuple[list[LoggedEvent], Position]:
        """The next events and the position after them. No events: nothing new is committed.

        types: patterns of which one must fit, `activity.*`. horizon: as `end()` returned it in an earlier statement.
        """
        end = horizon or await EventLog.end(reader)
        query = _READ + (_OF_ORG if org_id is not None else "") + (_OF_TYPES if types else "") + _IN_ORDER
        values = {"org_id": org_id, "types": [_like(pattern) for pattern in types], "limit": limit}
        while position < end:
            upto = min(end.id, position.id + _LOOK) if types and org_id is None else end.id
            rows = await reader.fetch_all(query, {**values, "after": position.id, "upto": upto})
            position = Position(rows[-1]["id"] if len(rows) == limit else upto)
            if rows:
                return [LoggedEvent(**row) for row in rows], position
        return [], position


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
