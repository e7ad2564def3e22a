"""Activities into PostgreSQL, a page at a time: one look, then at most one COPY and one UPDATE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from connectors.records import ActivityRecord
from sync.events import Event
from sync.sink import Applied, Source
from sync.social.rows import clean, encode, encode_sorted
from sync.store.arrays import text_array
from sync.store.engine import Transaction, jsonb_value

_COLUMNS = {
    "id": "int8",
    "org_id": "text",
    "integration_id": "int8",
    "platform": "text",
    "kind": "text",
    "vendor_id": "text",
    "parent_id": "text",
    "thread_id": "text",
    "place": "text",
    "author_id": "text",
    "author_name": "text",
    "author_handle": "text",
    "author_url": "text",
    "direction": "text",
    "occurred_at": "timestamptz",
    "edited_at": "timestamptz",
    "deleted_at": "timestamptz",
    "title": "text",
    "text": "text",
    "permalink": "text",
    "attachments": "jsonb",
    "counters": "jsonb",
    "data": "jsonb",
    "version": "int8",
    "content_hash": "bytea",
    "raw": "json",
}
_JSON = {name for name, kind in _COLUMNS.items() if kind in {"json", "jsonb"}}
_COPIED = {name: "bytea" if name in _JSON else kind for name, kind in _COLUMNS.items()}
# The stored twin of each record, or an id for a new row; in the order of the input.
_LOOK = """
SELECT a.id, a.version, a.content_hash, a.occurred_at, a.deleted_at,
       CASE WHEN a.id IS NULL THEN nextval(pg_get_serial_sequence('activity', 'id')) END AS new_id, now() AS now
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS r (kind, vendor_id, place)
LEFT JOIN activity a ON a.integration_id = %s AND a.kind = r.kind AND a.vendor_id = r.vendor_id
ORDER BY r.place"""
_FIXED = ("org_id", "integration_id", "platform", "kind", "vendor_id")
_CHANGED = {name: kind for name, kind in _COLUMNS.items() if name not in _FIXED}
_UPDATE = f"""
UPDATE activity a SET {", ".join(f"{name} = r.{name}" for name in _CHANGED if name != "id")}, updated_at = now()
FROM unnest({", ".join(f"%s::{kind}[]" for kind in _CHANGED.values())}) AS r ({", ".join(_CHANGED)})
WHERE a.id = r.id AND a.version <= r.version"""
_MARK = """
UPDATE activity a SET deleted_at = now(), version = r.version, content_hash = r.digest, updated_at = now()
FROM unnest(%s::int8[], %s::int8[], %s::bytea[]) AS r (id, version, digest)
WHERE a.id = r.id AND a.version <= r.version"""


@dataclass(slots=True)
class PreparedActivity:
    record: ActivityRecord
    digest: bytes
    """8 bytes of the content, 8 of the counters."""
    raw: bytes | None


def prepare(record: ActivityRecord) -> PreparedActivity:
    raw = record.raw
    return PreparedActivity(record, _digest(record), raw if isinstance(raw, bytes | None) else encode(raw))


def _digest(record: ActivityRecord) -> bytes:
    content = (
        *(record.parent_id, record.thread_id, record.place, record.author, record.direction, record.text),
        *(record.title, record.permalink, record.edited_at, record.deleted, record.occurred_at, record.data),
        # Addresses of files are signed anew at every reading; what they lead to is the same.
        [(file.kind, file.id, file.name, _stable(file.url)) for file in record.attachments],
    )
    counters = encode_sorted(record.counters) if record.counters else b""
    return blake2b(encode_sorted(content), digest_size=8).digest() + blake2b(counters, digest_size=8).digest()


def _stable(url: str | None) -> str | None:
    return url.partition("?")[0] if url else None


async def apply(tx: Transaction, source: Source, prepared: Sequence[PreparedActivity], *, force: bool) -> Applied:
    latest = list(_latest(prepared))
    if not latest:
        return Applied()
    records = [item.record for item in latest]
    looked = await tx.fetch_all(
        _LOOK,
        (
            text_array([record.kind for record in records]),
            text_array([record.vendor_id for record in records]),
            source.integration_id,
        ),
    )
    done = Applied(unchanged=len(prepared))
    added: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    marked: list[tuple[int, int, bytes]] = []
    for item, row in zip(latest, looked, strict=True):
        if _is_mark(item.record):
            if row["id"] is not None and row["deleted_at"] is None and item.record.version >= row["version"]:
                marked.append((row["id"], item.record.version, item.digest))
                done.events.append(activity_event(source, item.record, row["id"], "deleted"))
                done.changed += 1
        elif row["id"] is None:
            added.append(_row(source, item, row["new_id"], row["now"], None))
            done.events.append(activity_event(source, item.record, row["new_id"], "added"))
        elif item.record.version < row["version"]:
            continue
        elif row["content_hash"] != item.digest:
            changed.append(_row(source, item, row["id"], row["now"], row))
            if row["content_hash"][:8] != item.digest[:8] or force:
                what = "deleted" if item.record.deleted and row["deleted_at"] is None else "changed"
                done.events.append(activity_event(source, item.record, row["id"], what))
                done.changed += 1
        elif force:
            done.events.append(activity_event(source, item.record, row["id"], "changed", forced=True))
    if added:
        await tx.copy("activity", _COPIED, added)
    if changed:
        await _update(tx, changed)
    if marked:
        await tx.execute(_MARK, [list(column) for column in zip(*marked, strict=True)])
    done.added = len(added)
    done.unchanged -= done.added + done.changed
    return done


def _is_mark(record: ActivityRecord) -> bool:
    """Whether it says only that something is gone: what is known of that stays, of the unknown nothing is kept."""
    return record.deleted and not (record.text or record.title or record.author or record.attachments)


async def _update(tx: Transaction, rows: list[tuple[Any, ...]]) -> None:
    columns = dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    for name in _JSON:
        columns[name] = [value and value.removeprefix(b"\x01").decode() for value in columns[name]]
    await tx.execute(_UPDATE, [columns[name] for name in _CHANGED])


def _latest(prepared: Iterable[PreparedActivity]) -> Iterable[PreparedActivity]:
    """One of each record, by id and so in the same order for every writer: the newest of those in the page."""
    found: dict[tuple[str, str], PreparedActivity] = {}
    for item in prepared:
        key = (item.record.kind, item.record.vendor_id)
        if key not in found or found[key].record.version <= item.record.version:
            found[key] = item
    return found.values()


def _row(source: Source, item: PreparedActivity, row_id: int, now: datetime, old: Any) -> tuple[Any, ...]:
    record, author = item.record, item.record.author
    occurred_at = record.occurred_at or now
    deleted_at = ((old and old["deleted_at"]) or now) if record.deleted else None
    return (
        row_id,
        source.org_id,
        source.integration_id,
        source.platform,
        record.kind,
        record.vendor_id,
        record.parent_id,
        record.thread_id,
        record.place,
        author.id if author else None,
        clean(author.name) if author else None,
        clean(author.handle) if author else None,
        author.url if author else None,
        record.direction,
        occurred_at,
        record.edited_at,
        deleted_at,
        clean(record.title),
        clean(record.text),
        record.permalink,
        jsonb_value(encode(record.attachments)) if record.attachments else None,
        jsonb_value(encode(record.counters)) if record.counters else None,
        jsonb_value(encode(record.data)) if record.data else None,
        record.version,
        item.digest,
        item.raw,
    )


def activity_event(source: Source, record: ActivityRecord, row_id: int, what: str, *, forced: bool = False) -> Event:
    """That a stored activity was `added`, `changed` or `deleted`."""
    payload: dict[str, Any] = {
        "id": row_id,
        "integration_id": source.integration_id,
        "platform": source.platform,
        "sync_type": source.sync_type,
        "kind": record.kind,
        "vendor_id": record.vendor_id,
        "thread_id": record.thread_id,
        "place": record.place,
        "direction": record.direction,
    }
    if forced:
        payload["forced"] = True
    subject = f"activity:{source.integration_id}:{record.thread_id or record.vendor_id}"
    return Event(source.org_id, f"activity.{what}", subject, payload)
