"""Tables of the data layer whose changes become events: `data.<table>.inserted`, `.updated`, `.deleted`.

Three triggers per table, each once per statement with the statement's rows at hand, so an update of a million rows is
one more INSERT and not a million. Events are written in the transaction of the change. A trigger of a watched table
never fails for what a row holds: one without an org simply has no event. TRUNCATE is not told of.

Only the key travels, and for updates the names of changed columns; values of other columns are for whoever lists them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, LiteralString

import msgspec
from psycopg import sql

from sync.base.errors import Permanent, Transient
from sync.base.ids import check_org_id
from sync.store.engine import Database, Transaction, translated

_TRIGGERS: tuple[tuple[LiteralString, LiteralString, LiteralString], ...] = (
    ("inserted", "INSERT", "NEW TABLE AS new_rows"),
    ("updated", "UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("deleted", "DELETE", "OLD TABLE AS old_rows"),
)
_TABLE = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, n.nspname = current_schema() AS beside_ours,
  (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)
"""
# Sets of columns that no two rows share.
_UNIQUE = """
SELECT i.indisprimary AS is_primary, array_agg(a.attname::text ORDER BY k.place) AS columns,
  bool_and(a.attnotnull) AS never_null
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = %s AND i.indisunique AND i.indpred IS NULL AND i.indisvalid AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indisprimary DESC
"""
_NOTE = """
INSERT INTO event_watch (table_name, key_columns, org_column, org_id, columns, created_by)
VALUES (%(table)s, %(key)s, %(org_column)s, %(org_id)s, %(columns)s, %(by)s)
ON CONFLICT (table_name) DO UPDATE SET key_columns = excluded.key_columns, org_column = excluded.org_column,
  org_id = excluded.org_id, columns = excluded.columns, created_by = excluded.created_by, created_at = now()
"""
_AUDIT = "INSERT INTO audit (org_id, actor, action, target, detail) VALUES ('_system', %s, %s, %s, %s::jsonb)"


@dataclass(frozen=True, slots=True)
class Watched:
    table_name: str
    key_columns: list[str]
    org_column: str | None
    org_id: str | None
    columns: list[str]
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Watch:
    """What is asked for. key: default the primary key. Exactly one of org_column and org_id."""

    table: str
    key: Sequence[str] = ()
    org_column: str | None = None
    org_id: str | None = None
    columns: Sequence[str] = ()


async def watch(database: Database, wanted: Watch, by: str) -> Watched:
    """Install the triggers, or change those that are there.

    Errors: Permanent for what is wrong with the table or the columns; Transient when the table is locked.
    """
    async with database.transaction() as tx:
        table = await _find(tx, wanted.table)
        key = await _key(tx, table, wanted.key)
        _check_columns(table, wanted)
        name = _quoted(table)
        await _drop(tx, table)
        await _install(tx, table, key, wanted)
        values = {
            "table": name,
            "key": list(key),
            "org_column": wanted.org_column,
            "org_id": wanted.org_id,
            "columns": list(wanted.columns),
            "by": by,
        }
        await tx.execute(_NOTE, values)
        await tx.execute(_AUDIT, (by, "table.watched", name, msgspec.json.encode(values).decode()))
        row = await tx.fetch_one("SELECT * FROM event_watch WHERE table_name = %s", (name,))
        assert row is not None
        return Watched(**row)


async def unwatch(database: Database, text: str, by: str) -> bool:
    """Remove the triggers. Whether the table was watched. Errors: Transient when the table is locked."""
    async with database.transaction() as tx:
        row = await tx.fetch_one(_TABLE, (text,))
        name = text if row is None else _quoted(row)  # a dropped table took its triggers with it
        if row is not None:
            await _drop(tx, row)
        known = await tx.execute("DELETE FROM event_watch WHERE table_name = %s", (name,))
        if known:
            await tx.execute(_AUDIT, (by, "table.unwatched", name, "{}"))
        return known > 0


async def watched(database: Database) -> list[Watched]:
    rows = await database.fetch_all("SELECT * FROM event_watch ORDER BY table_name")
    return [Watched(**row) for row in rows]


async def _find(tx: Transaction, text: str) -> dict[str, Any]:
    try:
        with translated():
            row = await tx.fetch_one(_TABLE, (text,))
    except Transient:
        raise
    except Exception as error:
        raise Permanent(f"{text[:200]!r} is not the name of a table: {error}") from error
    if row is None:
        raise Permanent(f"There is no table {text!r} here. Name it with its schema if it is not in the search path.")
    if row["kind"] not in {b"r", b"p", "r", "p"}:
        raise Permanent(f"{text!r} is not a table: only tables can be watched.")
    if row["beside_ours"] and re.sub(r"_([0-9]{8}|default)$", "", row["name"]) in _ours():
        raise Permanent(f"{text!r} belongs to Sync, which tells of its own changes (docs/events.md).")
    return row


async def _key(tx: Transaction, table: dict[str, Any], wanted: Sequence[str]) -> Sequence[str]:
    unique = await tx.fetch_all(_UNIQUE, (table["oid"],))
    if not wanted:
        primary = next((row["columns"] for row in unique if row["is_primary"]), None)
        if primary is None:
            raise Permanent("The table has no primary key: name the columns of a unique index with --key.")
        return list(primary)
    if not any(set(row["columns"]) == set(wanted) and row["never_null"] for row in unique):
        raise Permanent(
            f"{', '.join(wanted)} is no key: there must be a unique index over these columns, and none may be null."
        )
    return wanted


def _check_columns(table: dict[str, Any], wanted: Watch) -> None:
    if (wanted.org_column is None) == (wanted.org_id is None):
        raise Permanent("Say whose the rows are: by a column (--org-column), or all of one org (--org).")
    if wanted.org_id is not None:
        check_org_id(wanted.org_id)
    named = [*wanted.columns, *([wanted.org_column] if wanted.org_column else [])]
    if unknown := [column for column in named if column not in table["columns"]]:
        raise Permanent(f"The table has no column {', '.join(unknown)}; it has {', '.join(table['columns'])}.")


async def _install(tx: Transaction, table: dict[str, Any], key: Sequence[str], wanted: Watch) -> None:
    arguments = sql.SQL(", ").join(
        sql.Literal(text)
        for text in (
            type_name(table["schema"] if not table["beside_ours"] else "", table["name"]),
            msgspec.json.encode(list(key)).decode(),
            wanted.org_column or "",
            wanted.org_id or "",
            msgspec.json.encode(list(wanted.columns)).decode(),
        )
    )
    for what, operation, rows in _TRIGGERS:
        statement = sql.SQL(
            "CREATE TRIGGER {} AFTER {} ON {} REFERENCING {} FOR EACH STATEMENT EXECUTE FUNCTION {}({})"
        ).format(
            sql.Identifier(f"sync_watch_{what}"),
            sql.SQL(operation),
            sql.Identifier(table["schema"], table["name"]),
            sql.SQL(rows),
            sql.Identifier(f"sync_watch_{what}"),
            arguments,
        )
        await tx.connection.execute(statement)


async def _drop(tx: Transaction, table: dict[str, Any]) -> None:
    # Rather fail than make everybody who uses the table wait behind us for somebody's long transaction.
    await tx.execute("SET LOCAL lock_timeout = '3s'")
    for what, _, _ in _TRIGGERS:
        statement = sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
            sql.Identifier(f"sync_watch_{what}"), sql.Identifier(table["schema"], table["name"])
        )
        await tx.connection.execute(statement)


def type_name(schema: str, table: str) -> str:
    """The part of a type that names the table: lower case, what a pattern cannot say replaced."""
    parts = [re.sub(r"[^a-z0-9_]", "_", part.lower()) for part in (schema, table) if part]
    return ".".join(part if part[0].isalpha() else f"t{part}" for part in parts)


def _quoted(table: dict[str, Any]) -> str:
    return sql.Identifier(table["schema"], table["name"]).as_string(None)


def _ours() -> set[str]:
    """Every table that a migration of Sync creates: watching one would lead to events about events."""
    folder = files("sync.store.migrations").joinpath("versions")
    found = {"alembic_version"}
    for script in folder.iterdir():
        if script.name.endswith(".py"):
            found |= set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", script.read_text()))
    return found
