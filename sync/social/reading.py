"""What syncs brought, read back: activities newest first, numbers in the order of their key.

Positions are those of the last row of the page before; both lists go on exactly after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.base.errors import ApiError
from sync.store.engine import Database

Row = dict[str, Any]
_ACTIVITY = """id, integration_id, platform, kind, vendor_id, parent_id, thread_id, place, author_id, author_name,
       author_handle, author_url, direction, occurred_at, edited_at, deleted_at, title, text, permalink, attachments,
       counters, data, created_at, updated_at"""
# Index activity_feed: (org_id, occurred_at DESC, id DESC).
_FEED = """
SELECT {columns} FROM activity
WHERE org_id = %(org)s
  AND (%(at)s::timestamptz IS NULL OR (occurred_at, id) < (%(at)s, %(id)s))
  AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
  AND (%(platform)s::text IS NULL OR platform = %(platform)s)
  AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
  AND (%(integration)s::bigint IS NULL OR integration_id = %(integration)s)
  AND (%(thread)s::text IS NULL OR thread_id = %(thread)s)
ORDER BY occurred_at DESC, id DESC LIMIT %(limit)s"""
_KEY = "entity_kind, entity, metric, starts_at, ends_at, dimensions"
_MATCHING = """
  AND (%(entity_kind)s::text IS NULL OR entity_kind = %(entity_kind)s)
  AND (%(entity)s::text IS NULL OR entity = %(entity)s)
  AND (%(metric)s::text IS NULL OR metric = %(metric)s)
  AND (%(since)s::timestamptz IS NULL OR starts_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR ends_at <= %(until)s)"""
_POINT = f"integration_id, platform, place, parent, value, currency, is_final, updated_at, {_KEY}"
# Both walk the primary key of one account at a time: numbers of other orgs are never passed over.
_REST_OF_ACCOUNT = f"""
SELECT {_POINT} FROM metric_point
WHERE integration_id = %(account)s AND org_id = %(org)s
  AND ({_KEY}) > (%(after_kind)s, %(after_entity)s, %(after_metric)s, %(after_start)s::timestamptz,
                  %(after_end)s::timestamptz, %(after_dimensions)s){_MATCHING}
ORDER BY {_KEY} LIMIT %(limit)s"""
_NEXT_ACCOUNTS = f"""
SELECT p.* FROM (
  SELECT id FROM integration
  WHERE org_id = %(org)s AND id > %(account)s
    AND (%(platform)s::text IS NULL OR platform = %(platform)s)
    AND (%(integration)s::bigint IS NULL OR id = %(integration)s)
  ORDER BY id
) AS account
CROSS JOIN LATERAL (
  SELECT {_POINT} FROM metric_point
  WHERE integration_id = account.id AND org_id = %(org)s{_MATCHING}
  ORDER BY {_KEY} LIMIT %(limit)s
) AS p
ORDER BY p.integration_id, {", ".join(f"p.{name}" for name in _KEY.split(", "))} LIMIT %(limit)s"""
Place = tuple[str, str, str, datetime, datetime, str]
"""Values of _KEY."""


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Everything is optional; `since` belongs to the span, `until` does not."""

    platform: str | None = None
    kinds: Sequence[str] | None = None
    integration_id: int | None = None
    thread_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MetricFilter:
    """Everything is optional; windows must lie within `since` and `until`."""

    platform: str | None = None
    integration_id: int | None = None
    entity_kind: str | None = None
    entity: str | None = None
    metric: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class SocialReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def activities(
        self,
        org_id: str,
        wanted: FeedFilter,
        *,
        before: tuple[datetime, int] | None = None,
        limit: int = 50,
        raw: bool = False,
    ) -> list[Row]:
        """Newest first."""
        at, last = before or (None, None)
        return await self._database.fetch_all(
            _FEED.format(columns=f"{_ACTIVITY}, raw" if raw else _ACTIVITY),
            {
                "org": org_id,
                "at": at,
                "id": last,
                "since": wanted.since,
                "until": wanted.until,
                "platform": wanted.platform,
                "kinds": None if wanted.kinds is None else list(wanted.kinds),
                "integration": wanted.integration_id,
                "thread": wanted.thread_id,
                "limit": limit,
            },
        )

    async def activity(self, org_id: str, activity_id: int) -> Row:
        """With its raw payload. Errors: ApiError 404."""
        row = await self._database.fetch_one(
            f"SELECT {_ACTIVITY}, raw FROM activity WHERE org_id = %s AND id = %s", (org_id, activity_id)
        )
        if row is None:
            raise ApiError(404, "No such activity", f"There is no activity {activity_id}.")
        return row

    async def metrics(
        self, org_id: str, wanted: MetricFilter, *, after: tuple[int, Place] | None = None, limit: int = 50
    ) -> list[Row]:
        """By account, then by entity, metric and time."""
        values: Row = {
            "org": org_id,
            "account": 0,
            "platform": wanted.platform,
            "integration": wanted.integration_id,
            "entity_kind": wanted.entity_kind,
            "entity": wanted.entity,
            "metric": wanted.metric,
            "since": wanted.since,
            "until": wanted.until,
            "limit": limit,
        }
        rows: list[Row] = []
        if after is not None:
            values["account"], place = after
            names = ("after_kind", "after_entity", "after_metric", "after_start", "after_end", "after_dimensions")
            rows = await self._database.fetch_all(_REST_OF_ACCOUNT, values | dict(zip(names, place, strict=True)))
        if len(rows) < limit:
            rows += await self._database.fetch_all(_NEXT_ACCOUNTS, {**values, "limit": limit - len(rows)})
        return rows
