"""Rows of `subscription` as the consumer sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.base.errors import Permanent
from sync.base.logs import get_logger
from sync.events import LoggedEvent
from sync.store.engine import Database, Transaction
from sync.subscriptions.filters import Filter, matches
from sync.subscriptions.rows import reader_name
from sync.subscriptions.targets import (
    BROADCAST,
    BroadcastTarget,
    Effects,
    NotificationTarget,
    Place,
    Target,
    WebhookTarget,
    read_target,
)

log = get_logger(__name__)

_COLUMNS = "s.id, s.org_id, s.name, s.reader_id, s.patterns, s.filter, s.target"
# Index: event_org. Of orgs with news all subscriptions, whether the news fit is for the batch to find out.
_WITH_NEWS = """
SELECT s.id FROM subscription s WHERE s.state = 'active' AND s.org_id IN (
  SELECT DISTINCT org_id FROM event WHERE id > %(seen)s AND id <= %(horizon)s)
"""
_BEHIND = """
SELECT s.id FROM subscription s JOIN event_reader r ON r.id = s.reader_id
WHERE s.state = 'active' AND EXISTS (
  SELECT FROM event e WHERE e.org_id = s.org_id AND e.id > r.position AND e.id <= %(horizon)s)
"""
_ANSWERS: Mapping[type, str] = {BroadcastTarget: BROADCAST, NotificationTarget: "alert."}
"""What the effect of a target appends to the log."""
LOOK = 100_000
"""More events than this at once, and all subscriptions are looked at instead."""


@dataclass(frozen=True, slots=True)
class RowFeed:
    place: Place
    all_patterns: tuple[str, ...]
    filter: Filter
    target: Target
    effects: Effects

    @property
    def name(self) -> str:
        return reader_name(self.place.subscription_id)

    @property
    def org_id(self) -> str | None:
        return self.place.org_id

    @property
    def patterns(self) -> Sequence[str]:
        return () if "*" in self.all_patterns else self.all_patterns

    @property
    def is_webhook(self) -> bool:
        return isinstance(self.target, WebhookTarget)

    def wants(self, event: LoggedEvent) -> bool:
        answer = _ANSWERS.get(type(self.target))
        if answer is not None and event.type.startswith(answer):
            return False  # it would answer itself for ever
        return matches(self.filter, event.payload)

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        await self.effects.carry_out(tx, self.place, self.target, events)


class RowFeeds:
    def __init__(self, database: Database, effects: Effects) -> None:
        self._database = database
        self._effects = effects

    async def find(self, subscription_id: int) -> RowFeed | None:
        """None: it is gone or not active."""
        rows = await self._database.fetch_all(
            f"SELECT {_COLUMNS} FROM subscription s WHERE s.id = %s AND s.state = 'active'", (subscription_id,)
        )
        return self._feed(rows[0]) if rows else None

    async def with_lanes(self) -> Mapping[int, RowFeed]:
        """Active ones that write to the database and have events to try again; by reader id."""
        rows = await self._database.fetch_all(
            f"SELECT {_COLUMNS} FROM subscription s WHERE s.state = 'active' AND s.target->>'type' <> 'webhook'"
            " AND EXISTS (SELECT FROM event_lane l"
            " WHERE l.reader_id = s.reader_id AND l.state = 'waiting' AND l.next_at <= now())"
        )
        feeds = {}
        for row in rows:
            try:
                feeds[row["reader_id"]] = self._feed(row)
            except Permanent as error:  # written by another version: it must not stop its neighbours
                log.warning("subscription.unreadable", subscription=row["id"], error=str(error))
        return feeds

    async def with_news(self, seen: int, horizon: int) -> list[int]:
        """Ids of subscriptions that may have something to read beyond `seen`; -1: wherever they stand."""
        if seen < 0 or horizon - seen > LOOK:
            rows: Iterable[Mapping[str, Any]] = await self._database.fetch_all(_BEHIND, {"horizon": horizon})
        else:
            rows = await self._database.fetch_all(_WITH_NEWS, {"seen": seen, "horizon": horizon})
        return [row["id"] for row in rows]

    def _feed(self, row: Mapping[str, Any]) -> RowFeed:
        place = Place(row["id"], row["reader_id"], row["name"], row["org_id"])
        return RowFeed(place, tuple(row["patterns"]), row["filter"], read_target(row["target"]), self._effects)
