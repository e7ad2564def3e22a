"""What we wrote ourselves: stored at once, in the form that the next pull will bring in full."""

from __future__ import annotations

import msgspec
from psycopg.types.json import Jsonb

from connectors.records import ActivityRecord
from sync.events import append_events
from sync.sink import Source
from sync.social.activities import activity_event
from sync.social.rows import clean
from sync.store.engine import Transaction

_KEEP = """
INSERT INTO activity (org_id, integration_id, platform, kind, vendor_id, parent_id, thread_id, place, direction,
                      occurred_at, text, data, version, content_hash)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'out', coalesce(%s, now()), %s, %s, 0, '\\x00')
ON CONFLICT (integration_id, kind, vendor_id) DO NOTHING RETURNING id"""


async def keep_own(tx: Transaction, source: Source, record: ActivityRecord) -> int:
    """The activity's id; one that is there already, because its echo was faster, stays as it is."""
    made = await tx.fetch_value(
        _KEEP,
        (
            *(source.org_id, source.integration_id, source.platform, record.kind, record.vendor_id),
            *(record.parent_id, record.thread_id, record.place, record.occurred_at, clean(record.text)),
            Jsonb(record.data) if record.data else None,
        ),
    )
    if made is None:
        found = await tx.fetch_value(
            "SELECT id FROM activity WHERE integration_id = %s AND kind = %s AND vendor_id = %s",
            (source.integration_id, record.kind, record.vendor_id),
        )
        return int(found)
    await append_events(tx, [activity_event(source, msgspec.structs.replace(record, direction="out"), made, "added")])
    return int(made)
