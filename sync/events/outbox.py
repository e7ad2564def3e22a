"""The writing side of the event log: the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sync.store.engine import Transaction, jsonb_value

TOPIC = "events"
"""Signals: events were committed. Items: orgs."""
_COLUMNS = {
    "org_id": "text",
    "type": "text",
    "subject": "text",
    "payload": "bytea",
    "version": "int2",
    "causation_id": "int8",
    "correlation_id": "text",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Events with the same `subject` are delivered in the order they were written."""

    org_id: str
    type: str
    """Dotted, past tense: `activity.added`."""
    subject: str
    """The key whose events stay in order, for example `integration:17`."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    """Of the payload's schema."""
    causation_id: int | None = None
    """The event that led to this one."""
    correlation_id: str | None = None
    """What all events of one story share: a run, a request, a webhook delivery."""


async def append_events(tx: Transaction, events: Sequence[Event]) -> None:
    """Write them with the caller's transaction; its commit wakes whoever reads the log (topic `events`)."""
    if not events:
        return
    tx.hint(TOPIC, *{event.org_id for event in events})
    rows = (
        (
            event.org_id,
            event.type,
            event.subject,
            jsonb_value(msgspec.json.encode(event.payload)),
            event.version,
            event.causation_id,
            event.correlation_id,
        )
        for event in events
    )
    await tx.copy("event", _COLUMNS, rows)
