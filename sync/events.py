"""The outbox: what happened, appended in the transaction that made it happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sync.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Events with the same `subject` are delivered in the order they were written."""

    org_id: str
    type: str
    subject: str
    payload: Mapping[str, Any] = field(default_factory=dict)


async def append_events(tx: Transaction, events: Sequence[Event]) -> None:
    if not events:
        return
    await tx.execute(
        """INSERT INTO event (org_id, type, subject, payload)
           SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[])""",
        (
            [event.org_id for event in events],
            [event.type for event in events],
            [event.subject for event in events],
            [msgspec.json.encode(event.payload).decode() for event in events],
        ),
    )
