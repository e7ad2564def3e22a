"""Every type of event that Sync writes, with its subject and payload. `python -m sync.events.catalogue` prints it.

A payload only ever gains fields; one that loses or changes one gets another `version`, and then both are listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, str]
"""Name -> what it holds: text, integer, number, boolean, time, list, object. With `?`: null or absent at times."""

_JSON: Mapping[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "list": {"type": "array"},
    "object": {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class EventType:
    """subject: the key whose events stay in order. `{...}` in a type stands for a name that an installation chooses."""

    type: str
    subject: str
    when: str
    payload: Fields
    version: int = 1

    def schema(self) -> dict[str, Any]:
        """The payload as JSON Schema."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"{self.type} v{self.version}",
            "type": "object",
            "properties": {name: _field(kind) for name, kind in self.payload.items()},
            "required": [name for name, kind in self.payload.items() if not kind.endswith("?")],
        }


def _field(kind: str) -> dict[str, Any]:
    plain = _JSON[kind.rstrip("?")]
    return {**plain, "type": [plain["type"], "null"]} if kind.endswith("?") else plain


_ACTIVITY: Fields = {
    "id": "integer",
    "integration_id": "integer",
    "platform": "text",
    "sync_type": "text",
    "kind": "text",
    "vendor_id": "text",
    "thread_id": "text?",
    "place": "text?",
    "direction": "text?",
    "forced": "boolean?",
}
_CONVERSATION: Fields = {
    "id": "integer",
    "integration_id": "integer",
    "platform": "text",
    "kind": "text",
    "place": "text?",
    "status": "text",
    "assignee": "text?",
    "unread": "integer",
    "contact_id": "integer?",
    "last_message_id": "integer?",
    "last_message_at": "time?",
}
_INTEGRATION: Fields = {"integration_id": "integer", "platform": "text", "account": "text"}
_RUN: Fields = {
    "run_id": "integer",
    "integration_id": "integer",
    "platform": "text",
    "sync_type": "text",
    "trigger": "text",
}
_ALERT: Fields = {"alert_id": "integer", "key": "text", "severity": "text", "title": "text"}
_MAIL: Fields = {"id": "integer", "integration_id": "integer", "account": "text", "folder": "text"}
_ROW: Fields = {"table": "text", "key": "object"}

_ON_ACTIVITY = "activity:{integration}:{thread or vendor id}"
_ON_INTEGRATION = "integration:{id}"

CATALOGUE: tuple[EventType, ...] = (
    EventType("activity.added", _ON_ACTIVITY, "A post, comment, message, mention or reaction is new here.", _ACTIVITY),
    EventType("activity.changed", _ON_ACTIVITY, "Its content changed; counters alone do not count.", _ACTIVITY),
    EventType("activity.deleted", _ON_ACTIVITY, "It was deleted at the platform.", _ACTIVITY),
    EventType("alert.raised", "alert:{id}", "Something needs a person's eye; not each time that it counts up.", _ALERT),
    EventType("alert.resolved", "alert:{id}", "Its cause is gone, or somebody has dealt with it.", _ALERT),
    EventType(
        "broadcast.sent",
        "topic:{topic}",
        "A subscription passed an event on to a topic.",
        {"topic": "text", "event": "object"},
    ),
    EventType(
        "conversation.opened", "conversation:{id}", "Somebody wrote for the first time in a thread.", _CONVERSATION
    ),
    EventType(
        "conversation.changed",
        "conversation:{id}",
        "Unread, last message or contact changed, a reply was sent or failed; or it became part of another one.",
        {**_CONVERSATION, "by": "text?", "merged_into": "integer?", "reply": "object?"},
    ),
    EventType(
        "conversation.assigned",
        "conversation:{id}",
        "It has another assignee, or none.",
        {**_CONVERSATION, "by": "text?", "before": "text?"},
    ),
    EventType("conversation.closed", "conversation:{id}", "Somebody closed it.", {**_CONVERSATION, "by": "text?"}),
    EventType(
        "conversation.reopened",
        "conversation:{id}",
        "Somebody opened it again, or a message did (`by` is `message`).",
        {**_CONVERSATION, "by": "text?"},
    ),
    EventType("integration.connected", _ON_INTEGRATION, "An account was connected.", _INTEGRATION),
    EventType("integration.reconnected", _ON_INTEGRATION, "It got new credentials.", _INTEGRATION),
    EventType("integration.paused", _ON_INTEGRATION, "Somebody paused its syncs.", _INTEGRATION),
    EventType("integration.resumed", _ON_INTEGRATION, "Somebody resumed them.", _INTEGRATION),
    EventType("integration.deleted", _ON_INTEGRATION, "It was disconnected.", _INTEGRATION),
    EventType(
        "integration.expired",
        _ON_INTEGRATION,
        "The platform no longer accepts its credentials: somebody has to reconnect it.",
        {**_INTEGRATION, "code": "text", "reason": "text"},
    ),
    EventType(
        "integration.cadence_set",
        _ON_INTEGRATION,
        "A sync type of it got a pace of its own, or the usual one back.",
        {**_INTEGRATION, "sync_type": "text", "every_seconds": "number?"},
    ),
    EventType(
        "mail.received",
        _ON_INTEGRATION,
        "A mail is new here.",
        {
            **_MAIL,
            "message_id": "text?",
            "from": "text?",
            "subject": "text?",
            "duplicate_of": "integer?",
            "forced": "boolean?",
        },
    ),
    EventType("mail.parked", _ON_INTEGRATION, "A mail could not be read and was kept.", {**_MAIL, "error": "text"}),
    EventType(
        "metrics.changed",
        "metrics:{integration}",
        "A page of metrics brought new or restated points.",
        {
            "integration_id": "integer",
            "platform": "text",
            "sync_type": "text",
            "points": "integer",
            "entities": "list",
            "more": "integer",
            "from": "time",
            "to": "time",
        },
    ),
    EventType(
        "subscription.disabled",
        "subscription:{id}",
        "A webhook was given up: nothing has got through for a day, or its endpoint is gone for good.",
        {"subscription_id": "integer", "name": "text", "reason": "text"},
    ),
    EventType("sync.queued", _ON_INTEGRATION, "A sync that somebody asked for is to start.", {**_RUN, "by": "text?"}),
    EventType(
        "sync.started", _ON_INTEGRATION, "A sync that somebody asked for has started.", {**_RUN, "attempt": "integer"}
    ),
    EventType(
        "sync.completed",
        _ON_INTEGRATION,
        "A sync has ended well; scheduled ones only when they brought something.",
        {**_RUN, "added": "integer", "changed": "integer", "skipped": "integer", "pages": "integer"},
    ),
    EventType("sync.failed", _ON_INTEGRATION, "A sync was given up.", {**_RUN, "code": "text", "error": "text"}),
    EventType("sync.cancelled", _ON_INTEGRATION, "A sync was cancelled.", _RUN),
    EventType(
        "data.{table}.inserted",
        "{table}:{key}",
        "A row of a watched table is new.",
        {**_ROW, "new": "object?"},
    ),
    EventType(
        "data.{table}.updated",
        "{table}:{key}",
        "A row of a watched table has changed, in the columns named.",
        {**_ROW, "changed": "list", "old": "object?", "new": "object?"},
    ),
    EventType(
        "data.{table}.deleted",
        "{table}:{key}",
        "A row of a watched table is gone.",
        {**_ROW, "old": "object?"},
    ),
)


def find(type: str) -> EventType | None:
    """The entry of a type, also of one of a family such as `data.orders.inserted`."""
    return next((entry for entry in CATALOGUE if _fits(entry.type, type)), None)


def _fits(listed: str, type: str) -> bool:
    head, brace, rest = listed.partition("{")
    if not brace:
        return listed == type
    tail = rest.partition("}")[2]
    return type.startswith(head) and type.endswith(tail) and len(type) > len(head) + len(tail)


def markdown(entries: Iterable[EventType] = CATALOGUE) -> str:
    """The table of docs/events.md, which a test compares."""
    lines = ["| type | subject | when | payload |", "|---|---|---|---|"]
    for entry in entries:
        fields = ", ".join(f"`{name}` {kind}" for name, kind in entry.payload.items())
        version = f" (v{entry.version})" if entry.version != 1 else ""
        lines.append(f"| `{entry.type}`{version} | `{entry.subject}` | {entry.when} | {fields} |")
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown() + "\n")
