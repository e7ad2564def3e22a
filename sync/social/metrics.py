"""Metrics into PostgreSQL: one row for each number, restated in place, exact."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from connectors.records import MetricRecord
from sync.events import Event
from sync.sink import Applied, Source
from sync.social.rows import encode_sorted
from sync.store.engine import Transaction

_COLUMNS = {
    "integration_id": "int8",
    "entity_kind": "text",
    "entity": "text",
    "metric": "text",
    "starts_at": "timestamptz",
    "ends_at": "timestamptz",
    "dimensions": "text",
    "org_id": "text",
    "platform": "text",
    "place": "text",
    "parent": "text",
    "value": "numeric",
    "currency": "text",
    "is_final": "bool",
}
_KEY = ("entity_kind", "entity", "metric", "starts_at", "ends_at", "dimensions")
_ARRAYS = ", ".join(f"%s::{_COLUMNS[name]}[]" for name in _KEY)
_SAME = " AND ".join(f"p.{name} = r.{name}" for name in _KEY)
_LOOK = f"""
SELECT p.integration_id IS NOT NULL AS found, p.value, p.currency, p.is_final
FROM unnest({_ARRAYS}) WITH ORDINALITY AS r ({", ".join(_KEY)}, place)
LEFT JOIN metric_point p ON p.integration_id = %s AND {_SAME}
ORDER BY r.place"""
_UPDATE = f"""
UPDATE metric_point p
SET value = r.value, currency = r.currency, is_final = r.is_final, place = r.place, parent = r.parent,
    updated_at = now()
FROM unnest({_ARRAYS}, %s::text[], %s::text[], %s::numeric[], %s::text[], %s::bool[])
     AS r ({", ".join(_KEY)}, place, parent, value, currency, is_final)
WHERE p.integration_id = %s AND {_SAME}"""
_NAMED = 100
"""Entities that an event names at most."""

Point = tuple[Any, ...]
"""Values of _KEY, then place, parent, value, currency, is_final."""


def prepare(records: Sequence[MetricRecord]) -> list[Point]:
    """One point for each number: the last of those in the page."""
    points: dict[Point, Point] = {}
    for record in records:
        value = record.value
        if isinstance(value, float):
            raise TypeError(f"Metric {record.metric} has a float: its value would not be exact.")
        dimensions = encode_sorted(record.dimensions).decode() if record.dimensions else ""
        key = (record.entity_kind, record.entity, record.metric, record.start, record.end, dimensions)
        exact = Decimal(value) if isinstance(value, int) else value
        points[key] = (*key, record.place, record.parent, exact, record.currency, bool(record.is_final))
    return list(points.values())


async def apply(tx: Transaction, source: Source, points: Sequence[Point], *, force: bool) -> Applied:
    if not points:
        return Applied()
    keys = [[point[place] for point in points] for place in range(len(_KEY))]
    looked = await tx.fetch_all(_LOOK, (*keys, source.integration_id))
    added = [point for point, row in zip(points, looked, strict=True) if not row["found"]]
    differing = [
        (point, row)
        for point, row in zip(points, looked, strict=True)
        if row["found"] and (row["value"], row["currency"], row["is_final"]) != point[8:]
    ]
    if added:
        rows = [(source.integration_id, *point[:6], source.org_id, source.platform, *point[6:]) for point in added]
        await tx.copy("metric_point", _COLUMNS, rows)
    if differing:
        columns = [[point[place] for point, _ in differing] for place in range(len(points[0]))]
        await tx.execute(_UPDATE, (*columns, source.integration_id))
    # A number that only became final is the same number.
    changed = [point for point, row in differing if (row["value"], row["currency"]) != point[8:10]]
    told = list(points) if force else [*added, *changed]
    return Applied(
        added=len(added),
        changed=len(changed),
        unchanged=len(points) - len(added) - len(changed),
        events=[_event(source, told)] if told else [],
    )


def _event(source: Source, points: Sequence[Point]) -> Event:
    entities = list(dict.fromkeys(point[1] for point in points))
    payload = {
        "integration_id": source.integration_id,
        "platform": source.platform,
        "sync_type": source.sync_type,
        "points": len(points),
        "entities": entities[:_NAMED],
        "more": max(len(entities) - _NAMED, 0),
        "from": min(point[3] for point in points),
        "to": max(point[4] for point in points),
    }
    return Event(source.org_id, "metrics.changed", f"metrics:{source.integration_id}", payload)
