"""Alerts: what a person has to look at. One open alert per key of an org; a second cause only counts it up."""

from __future__ import annotations

from typing import Literal

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
    return bool(
        await tx.fetch_value(
            """INSERT INTO alert (org_id, key, severity, title, detail) VALUES (%s, %s, %s, %s, %s)
               ON CONFLICT (org_id, key) WHERE resolved_at IS NULL DO UPDATE
               SET count = alert.count + 1, last_at = now(), severity = excluded.severity, title = excluded.title,
                   detail = excluded.detail
               RETURNING (xmax = 0)""",
            (org_id, key, severity, title, detail),
        )
    )


async def resolve_alert(tx: Transaction, org_id: str, key: str) -> bool:
    """Close the open alert of this key. Whether there was one."""
    touched = await tx.execute(
        "UPDATE alert SET resolved_at = now() WHERE org_id = %s AND key = %s AND resolved_at IS NULL", (org_id, key)
    )
    return touched > 0
