"""The reading side of the event log: everything committed, once, in order per subject.

Ids are given out at the insert and become visible at the commit, so "after the last id I saw" would skip what a slower
transaction commits later. A reader therefore goes by windows of transactions. A window reaches up to the horizon, the
oldest transaction that was still open when the window began; nothing below the horizon can ever appear later. Inside a
window events go by id. Two transactions that touch the same row are one after the other: while the second waits for
the first both lie above the horizon, so they end up in one window, where ids tell the true order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sync.base.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader is: it has everything below `low`, and of the window low..high everything up to `id`."""

    low: int = 0
    high: int = 0
    id: int = 0

    def __str__(self) -> str:
        return f"{self.low}.{self.high}.{self.id}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Errors: ConfigurationError when it was not written by `str()` of a position."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
            raise ConfigurationError(f"{text[:60]!r} is not a position in the event log; begin without one.")
        return cls(*map(int, parts))


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


_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8"
_READ = """
SELECT id, org_id, type, subject, payload, version, causation_id, correlation_id, created_at
FROM event
WHERE xid >= %(low)s::text::xid8 AND xid < %(high)s::text::xid8 AND id > %(id)s
  AND (%(org_id)s::text IS NULL OR org_id = %(org_id)s)
ORDER BY id LIMIT %(limit)s"""


class EventLog:
    """Reads the log. Holds nothing: whoever reads keeps its position."""

    @staticmethod
    async def end(reader: Reader) -> Position:
        """Where the log ends now: reading from here gives what is committed later, and what is in flight now."""
        horizon = int(await reader.fetch_value(_HORIZON))
        return Position(horizon, horizon)

    @staticmethod
    async def start(reader: Reader, *, since: datetime | None = None, after_id: int = 0) -> Position:
        """For a replay: a window of everything up to now, beginning after an id or at the first event of a time."""
        if since is not None:
            found = await reader.fetch_value("SELECT min(id) - 1 FROM event WHERE created_at >= %s", (since,))
            if found is None:
                return await EventLog.end(reader)
            after_id = int(found)
        return Position(0, int(await reader.fetch_value(_HORIZON)), after_id)

    @staticmethod
    async def read(
        reader: Reader, position: Position, *, limit: int = 1000, org_id: str | None = None
    ) -> tuple[list[LoggedEvent], Position]:
        """The next events and the position after them. No events: nothing new is committed.

        Do not store a position that moved without events: storing it moves the horizon, and so the next one.
        """
        while True:
            fresh = position.low >= position.high
            if fresh:
                high = int(await reader.fetch_value(_HORIZON))
                if high <= position.low:
                    return [], position
                position = Position(position.low, high)
            rows = await reader.fetch_all(
                _READ,
                {
                    "low": str(position.low),
                    "high": str(position.high),
                    "id": position.id,
                    "org_id": org_id,
                    "limit": limit,
                },
            )
            if len(rows) == limit:
                position = Position(position.low, position.high, rows[-1]["id"])
            else:
                position = Position(position.high, position.high)
            if rows or fresh:
                return [LoggedEvent(**row) for row in rows], position
