"""The audit log: who did what to what, written in the transaction that does it."""

from __future__ import annotations

from typing import Any

import msgspec

from sync.api.auth import Principal
from sync.store.engine import Transaction


async def record(
    tx: Transaction, principal: Principal, action: str, target: object | None = None, **detail: Any
) -> None:
    name = None if target is None else str(target)
    await tx.execute(
        "INSERT INTO audit (org_id, actor, action, target, detail) VALUES (%s, %s, %s, %s, %s)",
        (principal.org_id, principal.subject, action, name, msgspec.json.encode(detail).decode()),
    )
