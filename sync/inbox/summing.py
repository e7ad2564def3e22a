"""Conversations, summed up from their messages and what people decided. Also what happens when two turn out to be one.

Rows of conversations are locked before they are read, so that what a person does meanwhile is never overwritten.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sync.events import Event, append_events
from sync.inbox import rules
from sync.inbox.rules import Choice
from sync.store.engine import Transaction
from sync.store.sql import load_sql

Row = dict[str, Any]
Thread = tuple[int, str]
"""(integration, thread key)."""

_LOCK = """
SELECT c.* FROM unnest(%s::int8[], %s::text[]) AS k (integration_id, thread_key)
JOIN conversation c USING (integration_id, thread_key) ORDER BY c.id FOR UPDATE OF c"""
_SUMMED = (
    *("kind", "root_id", "place", "contact_id", "status", "unread", "opened_at", "last_in_at", "last_in_id"),
    *("last_message_id", "last_message_at", "last_message_direction", "last_message_preview"),
)
_FIRST = ("org_id", "integration_id", "platform", "thread_key", "chosen", "chosen_through_at", "chosen_through_id")
_TYPES = {
    **dict.fromkeys(("integration_id", "chosen_through_id", "contact_id", "last_in_id", "last_message_id"), "int8"),
    **dict.fromkeys(("chosen_through_at", "opened_at", "last_in_at", "last_message_at"), "timestamptz"),
    "unread": "int4",
    "id": "int8",
}
_TOLD = ("status", "unread", "contact_id", "last_message_id", "last_message_preview", "place")
"""A change of these is an event."""


def _arrays(names: Sequence[str]) -> str:
    return ", ".join(f"%s::{_TYPES.get(name, 'text')}[]" for name in names)


_INSERTED = (*_FIRST, *_SUMMED)
_INSERT = f"""
INSERT INTO conversation ({", ".join(_INSERTED)})
SELECT * FROM unnest({_arrays(_INSERTED)}) RETURNING id, integration_id, thread_key"""
_UPDATE = f"""
UPDATE conversation c SET {", ".join(f"{name} = r.{name}" for name in _SUMMED)}, updated_at = now()
FROM unnest({_arrays(("id", *_SUMMED))}) AS r (id, {", ".join(_SUMMED)}) WHERE c.id = r.id"""
_MOVE = "UPDATE conversation c SET thread_key = %s WHERE c.id = %s"
_MERGE = """
UPDATE conversation SET merged_into = %(into)s, thread_key = 'merged:' || id, unread = 0, updated_at = now()
WHERE id = %(id)s"""
_FOLLOW = "UPDATE conversation SET merged_into = %(into)s WHERE merged_into = %(id)s"
_REPLIES = "UPDATE inbox_reply SET conversation_id = %(into)s WHERE conversation_id = %(id)s"
_INHERIT = """
UPDATE conversation SET assignee = %(assignee)s, chosen = %(chosen)s, chosen_through_at = %(at)s,
  chosen_through_id = %(through)s, chosen_at = %(chosen_at)s, read_through = %(read)s WHERE id = %(id)s"""


async def sum_up(
    tx: Transaction, dirty: Collection[Thread], moved: Mapping[Thread, Collection[Thread]] | None = None
) -> None:
    """Bring the conversations of these threads up to date. `moved`: threads that lost messages, and to which."""
    stored = await _locked(tx, dirty)
    summed = await _summed(tx, dirty, stored)
    events: list[Event] = []
    for old in sorted(thread for thread in stored if thread not in summed):
        targets = sorted(thread for thread in (moved or {}).get(old, ()) if thread in summed)
        events += await _hand_over(tx, stored, old, targets)
        summed |= await _summed(tx, targets, stored)
    added = [(thread, row) for thread, row in sorted(summed.items()) if thread not in stored]
    changed = [(stored[thread], row) for thread, row in sorted(summed.items()) if thread in stored]
    events += await _insert(tx, [row for _, row in added])
    events += await _update(tx, changed)
    await append_events(tx, events)


async def _locked(tx: Transaction, threads: Collection[Thread]) -> dict[Thread, Row]:
    listed = sorted(threads)
    rows = await tx.fetch_all(_LOCK, ([one for one, _ in listed], [key for _, key in listed]))
    return {(row["integration_id"], row["thread_key"]): row for row in rows}


async def _summed(tx: Transaction, threads: Collection[Thread], stored: Mapping[Thread, Row]) -> dict[Thread, Row]:
    """What each conversation has to look like; those that nobody wrote to us in are missing."""
    listed = sorted(threads)
    rows = await tx.fetch_all(
        load_sql("inbox_summary"),
        {
            "integrations": [one for one, _ in listed],
            "keys": [key for _, key in listed],
            "read": [stored[thread]["read_through"] if thread in stored else 0 for thread in listed],
            "history": rules.HISTORY,
            "cap": rules.UNREAD_CAP,
        },
    )
    return {(row["integration_id"], row["thread_key"]): _finished(row, stored) for row in rows}


def _finished(row: Row, stored: Mapping[Thread, Row]) -> Row:
    old = stored.get((row["integration_id"], row["thread_key"]))
    choice = choice_of(old) if old else rules.first_choice(row["connected_at"])
    last_in = None if row["last_in_at"] is None else (row["last_in_at"], row["last_in_id"])
    through_at, through_id = choice.through or (None, None)
    preview = None
    if row["last_message_id"] is not None:
        preview = rules.preview_of(row["last_text"], row["last_title"], row["last_attachments"])
    return {
        **row,
        "status": rules.status_of(choice, last_in),
        "last_message_preview": preview,
        "chosen": choice.status,
        "chosen_through_at": through_at,
        "chosen_through_id": through_id,
    }


def choice_of(row: Row) -> Choice:
    through = None if row["chosen_through_at"] is None else (row["chosen_through_at"], row["chosen_through_id"])
    return Choice(row["chosen"], through, row["chosen_at"])


# --- writing


async def _insert(tx: Transaction, rows: Sequence[Row]) -> list[Event]:
    if not rows:
        return []
    made = await tx.fetch_all(_INSERT, [[row[name] for row in rows] for name in _INSERTED])
    ids = {(row["integration_id"], row["thread_key"]): row["id"] for row in made}
    found = ({**row, "id": ids[row["integration_id"], row["thread_key"]], "assignee": None} for row in rows)
    return [event_of("opened", row) for row in found if row["last_message_id"] is not None]


async def _update(tx: Transaction, pairs: Sequence[tuple[Row, Row]]) -> list[Event]:
    differing = [(old, new) for old, new in pairs if any(old[name] != new[name] for name in _SUMMED)]
    if not differing:
        return []
    rows = [(old["id"], *(new[name] for name in _SUMMED)) for old, new in differing]
    await tx.execute(_UPDATE, [list(column) for column in zip(*rows, strict=True)])
    events = []
    for old, new in differing:
        after = {**old, **{name: new[name] for name in _SUMMED}}
        if old["last_message_id"] is None and after["last_message_id"] is not None:
            events.append(event_of("opened", after))
        elif old["status"] != "open" and after["status"] == "open":
            events.append(event_of("reopened", after, by="message"))
        elif any(old[name] != after[name] for name in _TOLD):
            events.append(event_of("changed", after))
    return events


def event_of(what: str, row: Mapping[str, Any], **more: Any) -> Event:
    """`conversation.<what>`, with what lists show."""
    payload = {
        "id": row["id"],
        "integration_id": row["integration_id"],
        "platform": row["platform"],
        "kind": row["kind"],
        "place": row["place"],
        "status": row["status"],
        "assignee": row["assignee"],
        "unread": row["unread"],
        "contact_id": row["contact_id"],
        "last_message_id": row["last_message_id"],
        "last_message_at": row["last_message_at"],
        **more,
    }
    return Event(row["org_id"], f"conversation.{what}", f"conversation:{row['id']}", payload)


# --- two that are one


async def _hand_over(tx: Transaction, stored: dict[Thread, Row], old: Thread, targets: Sequence[Thread]) -> list[Event]:
    """A conversation lost its messages to another thread: it becomes that thread's, or points to the one there is."""
    row = stored.pop(old)
    if not targets:
        return await _update(tx, [(row, {**row, **_EMPTY})])
    target = next((one for one in targets if one in stored), targets[0])
    if target not in stored:
        await tx.execute(_MOVE, (target[1], row["id"]))
        stored[target] = {**row, "thread_key": target[1]}
        return []
    into = stored[target]
    choice = rules.merged_choice(choice_of(into), choice_of(row))
    through_at, through_id = choice.through or (None, None)
    inherited = {
        "assignee": into["assignee"] or row["assignee"],
        "chosen": choice.status,
        "chosen_through_at": through_at,
        "chosen_through_id": through_id,
        "chosen_at": choice.at,
        "read_through": min(into["read_through"], row["read_through"]),
    }
    names = {"at": "chosen_through_at", "through": "chosen_through_id", "read": "read_through"}
    values = {name: inherited[names.get(name, name)] for name in ("assignee", "chosen", "chosen_at", *names)}
    await tx.execute(_INHERIT, {**values, "id": into["id"]})
    ids = {"id": row["id"], "into": into["id"]}
    for statement in (_MERGE, _FOLLOW, _REPLIES):
        await tx.execute(statement, ids)
    stored[target] = {**into, **inherited}
    return [event_of("changed", {**row, "unread": 0}, merged_into=into["id"])]


_EMPTY: Row = {
    "unread": 0,
    **dict.fromkeys(("last_in_at", "last_in_id", "last_message_id", "last_message_at", "last_message_direction")),
    "last_message_preview": None,
}
