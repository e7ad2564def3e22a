"""Moves what is stored under an older sealing key to the current one, so that the old key can be given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from sync.base.sealing import Sealer
from sync.store.engine import Database


@dataclass(frozen=True, slots=True)
class SealedColumn:
    table: LiteralString
    column: LiteralString
    key: tuple[LiteralString, ...]
    """The columns that name a row and make its context."""
    context: Callable[[Mapping[str, Any]], str]


async def reseal(database: Database, sealer: Sealer, sealed: SealedColumn) -> int:
    """How many values were moved; 0 when nothing is left under another key. Safe to repeat and while others write.

    Errors: ConfigurationError when the key of a value is not configured any more.
    """
    names = ", ".join(sealed.key)
    rows = await database.fetch_all(
        f"SELECT {names}, {sealed.column} AS sealed FROM {sealed.table} WHERE {sealed.column} IS NOT NULL"
    )
    moved = 0
    for row in rows:
        old = bytes(row["sealed"])
        if not sealer.stale(old):
            continue
        context = sealed.context(row)
        same = " AND ".join(f"{name} = %({name})s" for name in sealed.key)
        # Whoever changed the value meanwhile has sealed it anew already.
        moved += await database.execute(
            f"UPDATE {sealed.table} SET {sealed.column} = %(fresh)s WHERE {same} AND {sealed.column} = %(sealed)s",
            {**row, "sealed": old, "fresh": sealer.seal(sealer.open(old, context), context)},
        )
    return moved
