"""The audit log: who did what to what, written in the transaction that does it."""

from __future__ import annotations

from typing import Any

import msgspec

from sync.api.auth import Principal
from sync.store.engine import Database, Transaction


async def record(
    tx: Transaction, principal: Principal, action: str, target: object | None = None, **detail: Any
) -> int:
    """Returns the id of the entry."""
    entry: int = await tx.fetch_value(
        "INSERT INTO audit (org_id, actor, action, target, detail) VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (principal.org_id, principal.subject, action, None if target is None else str(target), _json(detail)),
    )
    return entry


async def add(database: Database, entry: int, **detail: Any) -> None:
    """More of what came of something that was too long for one transaction."""
    await database.execute("UPDATE audit SET detail = detail || %s::jsonb WHERE id = %s", (_json(detail), entry))


def _json(detail: dict[str, Any]) -> str:
    return msgspec.json.encode(detail).decode()
