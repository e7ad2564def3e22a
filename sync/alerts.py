"""Alerts: what a person has to look at. One open alert per key of an org; a second cause only counts it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sync.events import Event, append_events
from sync.store.engine import Transaction


async def raise_alert(
    tx: Transaction,
    org_id: str,
    key: str,
    title: str,
    *,
    detail: str | None = None,
    severity: Literal["info", "warning", "error"] = "error",
) -> bool:
    """Open the alert, or count up the open one. Whether it is new."""
    row = await tx.fetch_one(
        """INSERT INTO alert (org_id, key, severity, title, detail) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (org_id, key) WHERE resolved_at IS NULL DO UPDATE
           SET count = alert.count + 1, last_at = now(), severity = excluded.severity, title = excluded.title,
               detail = excluded.detail
           RETURNING id, org_id, key, severity, title, (xmax = 0) AS new""",
        (org_id, key, severity, title, detail),
    )
    assert row is not None
    if row["new"]:
        await append_events(tx, [alert_event(row, "raised")])
    return bool(row["new"])


async def resolve_alert(tx: Transaction, org_id: str, key: str) -> bool:
    """Close the open alert of this key. Whether there was one."""
    row = await tx.fetch_one(
        """UPDATE alert SET resolved_at = now() WHERE org_id = %s AND key = %s AND resolved_at IS NULL
           RETURNING id, org_id, key, severity, title""",
        (org_id, key),
    )
    if row is not None:
        await append_events(tx, [alert_event(row, "resolved")])
    return row is not None


def alert_event(row: Mapping[str, Any], what: Literal["raised", "resolved"]) -> Event:
    payload = {"alert_id": row["id"], "key": row["key"], "severity": row["severity"], "title": row["title"]}
    return Event(row["org_id"], f"alert.{what}", f"alert:{row['id']}", payload)
