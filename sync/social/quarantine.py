"""Items that could not be read: kept aside once each, counted when they come again."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from connectors.records import Rejected
from sync.sink import Source
from sync.social.rows import encode
from sync.store.engine import Transaction

_KEEP = """
INSERT INTO activity_quarantine AS q (org_id, integration_id, sync_type, place, error, raw, raw_hash)
SELECT %s, %s, %s, r.place, r.error, r.raw::json, r.raw_hash
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) AS r (place, error, raw, raw_hash)
ON CONFLICT (integration_id, sync_type, raw_hash) DO UPDATE
SET count = q.count + 1, last_at = now(), error = excluded.error, resolved_at = NULL"""

Prepared = tuple[str | None, str, str, bytes]


def prepare(records: Sequence[Rejected]) -> list[Prepared]:
    found: dict[bytes, Prepared] = {}
    for record in records:
        raw = encode(record.raw)
        digest = blake2b(raw, digest_size=16).digest()
        found[digest] = (record.place, record.error.replace("\x00", ""), raw.decode(), digest)
    return [found[digest] for digest in sorted(found)]


async def keep(tx: Transaction, source: Source, rejected: Sequence[Prepared]) -> None:
    if not rejected:
        return
    columns: list[list[Any]] = [list(column) for column in zip(*rejected, strict=True)]
    await tx.execute(_KEEP, (source.org_id, source.integration_id, source.sync_type, *columns))
