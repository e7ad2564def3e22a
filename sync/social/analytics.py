"""Marketing figures, read from what syncs brought: per post and per account, latest and over time.

Two sources: counters of an activity (likes and the like, as they stood when it was last read) and metric points (one
number of one window, restated in place). Where both have a number of the same name, the point counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sync.base.errors import ApiError
from sync.store.engine import Database

Row = dict[str, Any]
POST_KINDS = ["post", "video", "clip"]
"""What vendors' figures about a post are kept under; the entity is its `vendor_id`."""
ACCOUNT_KINDS = ["account", "page", "channel", "chat", "guild", "subreddit"]

_POST = """a.id, a.integration_id, a.platform, a.vendor_id, a.place, a.occurred_at, a.title, left(a.text, 300) AS text,
       a.permalink, a.counters"""
_MATCHING = """a.org_id = %(org)s AND a.kind = 'post' AND a.deleted_at IS NULL
  AND (%(platform)s::text IS NULL OR a.platform = %(platform)s)
  AND (%(integration)s::bigint IS NULL OR a.integration_id = %(integration)s)
  AND (%(place)s::text IS NULL OR a.place = %(place)s)
  AND (%(direction)s::text IS NULL OR (a.direction <> 'in') = (%(direction)s = 'own'))
  AND (%(since)s::timestamptz IS NULL OR a.occurred_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.occurred_at < %(until)s)"""
# Index activity_posts.
_BY_TIME = f"""
SELECT {_POST} FROM activity a WHERE {_MATCHING}
  AND (%(at)s::timestamptz IS NULL OR (a.occurred_at, a.id) < (%(at)s, %(id)s))
ORDER BY a.occurred_at DESC, a.id DESC LIMIT %(limit)s"""
# Posts without the number come last, the newest of equal ones first.
_BY_METRIC = f"""
SELECT * FROM (
  SELECT {_POST}, coalesce(m.value, (a.counters ->> %(metric)s)::numeric, -1) AS sorted_by
  FROM activity a
  LEFT JOIN LATERAL (
    SELECT p.value FROM metric_point p
    WHERE p.integration_id = a.integration_id AND p.entity_kind = ANY(%(kinds)s) AND p.entity = a.vendor_id
      AND p.metric = %(metric)s AND p.dimensions = '' AND p.value IS NOT NULL
    ORDER BY p.ends_at DESC, p.starts_at DESC LIMIT 1
  ) AS m ON true
  WHERE {_MATCHING}
) AS post
WHERE (%(value)s::numeric IS NULL OR (sorted_by, id) < (%(value)s, %(id)s))
ORDER BY sorted_by DESC, id DESC LIMIT %(limit)s"""
_LATEST = """
SELECT DISTINCT ON (g.id, p.metric, p.dimensions)
       g.id, p.metric, p.dimensions, p.value, p.currency, p.starts_at, p.ends_at, p.is_final
FROM unnest(%(ids)s::int8[], %(integrations)s::int8[], %(entities)s::text[]) AS g (id, integration_id, entity)
JOIN metric_point p ON p.integration_id = g.integration_id AND p.entity_kind = ANY(%(kinds)s) AND p.entity = g.entity
WHERE p.org_id = %(org)s AND (%(broken_down)s OR p.dimensions = '') AND p.value IS NOT NULL
ORDER BY g.id, p.metric, p.dimensions, p.ends_at DESC, p.starts_at DESC"""
_KEY = "metric, starts_at, ends_at, dimensions"
_SERIES = f"""
SELECT {_KEY}, value, currency, is_final, updated_at FROM metric_point
WHERE org_id = %(org)s AND integration_id = %(integration)s AND entity_kind = ANY(%(kinds)s) AND entity = %(entity)s
  AND (%(metric)s::text IS NULL OR metric = %(metric)s)
  AND (%(since)s::timestamptz IS NULL OR ends_at > %(since)s)
  AND (%(until)s::timestamptz IS NULL OR starts_at < %(until)s)
  AND (%(after_metric)s::text IS NULL OR ({_KEY}) >
       (%(after_metric)s, %(after_start)s::timestamptz, %(after_end)s::timestamptz, %(after_dimensions)s))
ORDER BY {_KEY} LIMIT %(limit)s"""
_ACCOUNTS = """
SELECT i.id AS integration_id, i.platform, i.account, i.label, i.state, posts.count AS posts, posts.counters
FROM integration i
CROSS JOIN LATERAL (
  SELECT count(*)::int AS count,
    (SELECT jsonb_object_agg(name, total) FROM (
       SELECT c.key AS name, sum(c.value::numeric) AS total
       FROM activity b CROSS JOIN LATERAL jsonb_each_text(b.counters) AS c
       WHERE b.org_id = %(org)s AND b.kind = 'post' AND b.integration_id = i.id AND b.direction <> 'in'
         AND b.deleted_at IS NULL AND b.occurred_at >= %(since)s AND b.occurred_at < %(until)s
       GROUP BY c.key) AS sums) AS counters
  FROM activity a
  WHERE a.org_id = %(org)s AND a.kind = 'post' AND a.integration_id = i.id AND a.direction <> 'in'
    AND a.deleted_at IS NULL AND a.occurred_at >= %(since)s AND a.occurred_at < %(until)s
) AS posts
WHERE i.org_id = %(org)s AND i.state <> 'deleted' AND i.id > %(after)s
  AND (%(platform)s::text IS NULL OR i.platform = %(platform)s)
ORDER BY i.id LIMIT %(limit)s"""
_ACCOUNT_LATEST = """
SELECT DISTINCT ON (p.integration_id, p.entity, p.metric)
       p.integration_id, p.entity_kind, p.entity, p.metric, p.value, p.currency, p.starts_at, p.ends_at, p.is_final
FROM metric_point p
WHERE p.integration_id = ANY(%(integrations)s) AND p.org_id = %(org)s AND p.entity_kind = ANY(%(kinds)s)
  AND p.dimensions = '' AND p.value IS NOT NULL
ORDER BY p.integration_id, p.entity, p.metric, p.ends_at DESC, p.starts_at DESC"""
# Sums over posts or over the account's own numbers, window by window.
_ACCOUNT_SERIES = """
SELECT metric, starts_at, ends_at, coalesce(currency, '') AS currency, sum(value) AS value, count(*)::int AS entities,
       bool_and(is_final) AS is_final
FROM metric_point
WHERE org_id = %(org)s AND integration_id = %(integration)s AND entity_kind = ANY(%(kinds)s) AND dimensions = ''
  AND value IS NOT NULL
  AND (%(metric)s::text IS NULL OR metric = %(metric)s)
  AND ends_at > %(since)s AND starts_at < %(until)s
GROUP BY metric, starts_at, ends_at, coalesce(currency, '')
HAVING %(after_metric)s::text IS NULL OR (metric, starts_at, ends_at, coalesce(currency, '')) >
       (%(after_metric)s, %(after_start)s::timestamptz, %(after_end)s::timestamptz, %(after_currency)s)
ORDER BY metric COLLATE "C", starts_at, ends_at, 4 LIMIT %(limit)s"""
SeriesPlace = tuple[str, datetime, datetime, str]


@dataclass(frozen=True, slots=True)
class PostFilter:
    """Everything is optional; `since` belongs to the span, `until` does not. `direction`: own, or others'."""

    platform: str | None = None
    integration_id: int | None = None
    place: str | None = None
    direction: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Analytics:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def posts(
        self,
        org_id: str,
        wanted: PostFilter,
        *,
        metric: str | None = None,
        beyond: tuple[datetime | Decimal, int] | None = None,
        limit: int = 50,
    ) -> list[Row]:
        """The newest first, or those with the most of `metric`; each with the latest value of its metrics."""
        place, last = beyond or (None, None)
        values: Row = {
            "org": org_id,
            "platform": wanted.platform,
            "integration": wanted.integration_id,
            "place": wanted.place,
            "direction": wanted.direction,
            "since": wanted.since,
            "until": wanted.until,
            "id": last,
            "limit": limit,
        }
        if metric is None:
            rows = await self._database.fetch_all(_BY_TIME, {**values, "at": place})
        else:
            more = {"metric": metric, "kinds": POST_KINDS, "value": place}
            rows = await self._database.fetch_all(_BY_METRIC, values | more)
        await self._add_latest(org_id, rows, broken_down=False)
        return rows

    async def post(self, org_id: str, activity_id: int) -> Row:
        """With the latest value of each metric, breakdowns included. Errors: ApiError 404."""
        row = await self._database.fetch_one(
            f"SELECT {_POST} FROM activity a WHERE a.org_id = %s AND a.id = %s AND a.kind = 'post'",
            (org_id, activity_id),
        )
        if row is None:
            raise ApiError(404, "No such post", f"There is no post {activity_id}.")
        await self._add_latest(org_id, [row], broken_down=True)
        return row

    async def post_series(
        self,
        org_id: str,
        post: Row,
        *,
        metric: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: SeriesPlace | None = None,
        limit: int = 50,
    ) -> list[Row]:
        """Its numbers by metric and time."""
        names = ("after_metric", "after_start", "after_end", "after_dimensions")
        return await self._database.fetch_all(
            _SERIES,
            {
                "org": org_id,
                "integration": post["integration_id"],
                "entity": post["vendor_id"],
                "kinds": POST_KINDS,
                "metric": metric,
                "since": since,
                "until": until,
                "limit": limit,
                **dict(zip(names, after or (None,) * 4, strict=True)),
            },
        )

    async def accounts(
        self, org_id: str, since: datetime, until: datetime, *, platform: str | None, after: int, limit: int
    ) -> list[Row]:
        """Each with how many posts it made in the span, their counters added up, and its own latest numbers."""
        values = {
            "org": org_id,
            "since": since,
            "until": until,
            "platform": platform,
            "after": after,
            "limit": limit,
        }
        rows = await self._database.fetch_all(_ACCOUNTS, values)
        latest = await self._database.fetch_all(
            _ACCOUNT_LATEST,
            {"org": org_id, "integrations": [row["integration_id"] for row in rows], "kinds": ACCOUNT_KINDS},
        )
        for row in rows:
            row["latest"] = [point for point in latest if point["integration_id"] == row["integration_id"]]
        return rows

    async def account_series(
        self,
        org_id: str,
        integration_id: int,
        *,
        of_posts: bool,
        metric: str | None,
        since: datetime,
        until: datetime,
        after: SeriesPlace | None = None,
        limit: int = 50,
    ) -> list[Row]:
        """The account's numbers window by window, or those of its posts added up. Errors: ApiError 404."""
        found = await self._database.fetch_value(
            "SELECT id FROM integration WHERE org_id = %s AND id = %s", (org_id, integration_id)
        )
        if found is None:
            raise ApiError(404, "No such integration", f"There is no integration {integration_id}.")
        names = ("after_metric", "after_start", "after_end", "after_currency")
        return await self._database.fetch_all(
            _ACCOUNT_SERIES,
            {
                "org": org_id,
                "integration": integration_id,
                "kinds": POST_KINDS if of_posts else ACCOUNT_KINDS,
                "metric": metric,
                "since": since,
                "until": until,
                "limit": limit,
                **dict(zip(names, after or (None,) * 4, strict=True)),
            },
        )

    async def _add_latest(self, org_id: str, rows: list[Row], *, broken_down: bool) -> None:
        points = await self._database.fetch_all(
            _LATEST,
            {
                "org": org_id,
                "ids": [row["id"] for row in rows],
                "integrations": [row["integration_id"] for row in rows],
                "entities": [row["vendor_id"] for row in rows],
                "kinds": POST_KINDS,
                "broken_down": broken_down,
            },
        )
        by_post: dict[int, list[Row]] = {row["id"]: [] for row in rows}
        for point in points:
            by_post[point.pop("id")].append(point)
        for row in rows:
            row["latest"] = by_post[row["id"]]
