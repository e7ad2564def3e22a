"""Conversations as people see them: listed, shown, assigned, closed, read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.base.errors import ApiError
from sync.events import append_events
from sync.inbox.rules import Position, Status
from sync.inbox.summing import event_of
from sync.store.engine import Database, Transaction

Row = dict[str, Any]

_COLUMNS = """c.id, c.integration_id, c.platform, c.kind, c.root_id, c.place, c.status, c.assignee, c.unread,
       c.opened_at, c.last_in_at, c.last_message_id, c.last_message_at, c.last_message_direction,
       c.last_message_preview, c.created_at, c.updated_at, i.account, i.label AS account_label,
       p.id AS contact_id, p.name AS contact_name, p.handle AS contact_handle, p.url AS contact_url,
       p.email AS contact_email"""
_FROM = """
FROM conversation c
JOIN integration i ON i.id = c.integration_id
LEFT JOIN contact p ON p.id = c.contact_id"""
# Indexes conversation_org, conversation_status: newest first.
_LIST = f"""
SELECT {_COLUMNS}{_FROM}
WHERE c.org_id = %(org)s AND c.merged_into IS NULL AND c.last_message_at IS NOT NULL
  AND (%(at)s::timestamptz IS NULL OR (c.last_message_at, c.id) < (%(at)s, %(id)s))
  AND (%(status)s::text IS NULL OR c.status = %(status)s)
  AND (%(assignee)s::text IS NULL OR c.assignee = %(assignee)s)
  AND (%(assigned)s::bool IS NULL OR (c.assignee IS NOT NULL) = %(assigned)s)
  AND (%(platform)s::text IS NULL OR c.platform = %(platform)s)
  AND (%(kind)s::text IS NULL OR c.kind = %(kind)s)
  AND (%(integration)s::bigint IS NULL OR c.integration_id = %(integration)s)
  AND (%(unread)s::bool IS NULL OR (c.unread > 0) = %(unread)s)
  AND (%(place)s::text IS NULL OR c.place = %(place)s)
  AND (%(contact)s::bigint IS NULL OR c.contact_id =
       (SELECT coalesce(merged_into, id) FROM contact WHERE id = %(contact)s AND org_id = %(org)s))
  AND (%(text)s::text IS NULL OR c.last_message_preview ILIKE %(text)s OR p.name ILIKE %(text)s
       OR p.handle ILIKE %(text)s OR p.email ILIKE %(text)s)
ORDER BY c.last_message_at DESC, c.id DESC LIMIT %(limit)s"""
_SHOW = f"SELECT {_COLUMNS}, c.thread_key{_FROM} WHERE c.org_id = %s AND c.id = %s"
_FIND = """
SELECT coalesce(c.merged_into, c.id) AS id FROM conversation c WHERE c.org_id = %s AND c.id = %s"""
_LOCK = "SELECT * FROM conversation WHERE org_id = %s AND id = %s FOR UPDATE"
# Index inbox_message_thread.
_MESSAGES = """
SELECT a.id, a.integration_id, a.platform, a.kind, a.vendor_id, a.parent_id, a.thread_id, a.place, a.author_id,
       a.author_name, a.author_handle, a.author_url, a.direction, a.occurred_at, a.edited_at, a.deleted_at, a.title,
       a.text, a.permalink, a.attachments, a.counters, a.data, a.created_at, a.updated_at, r.id AS reply_id,
       k.contact_id
FROM inbox_message m
JOIN activity a ON a.id = m.activity_id
LEFT JOIN inbox_reply r ON r.conversation_id = %(conversation)s AND r.activity_id = m.activity_id
LEFT JOIN contact_identity k
  ON m.incoming AND k.org_id = m.org_id AND k.kind = m.author_kind AND k.value = m.author_value
WHERE m.integration_id = %(integration)s AND m.thread_key = %(key)s
  AND (%(at)s::timestamptz IS NULL OR (m.occurred_at, m.activity_id) {than} (%(at)s, %(id)s))
ORDER BY m.occurred_at {order}, m.activity_id {order} LIMIT %(limit)s"""


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Everything is optional."""

    status: Status | None = None
    assignee: str | None = None
    assigned: bool | None = None
    platform: str | None = None
    kind: str | None = None
    integration_id: int | None = None
    unread: bool | None = None
    place: str | None = None
    contact_id: int | None = None
    text: str | None = None
    """Found in the last message, or in how the contact is called."""


class Conversations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, org_id: str, wanted: ConversationFilter, *, before: Position | None = None, limit: int = 50
    ) -> list[Row]:
        """The last message first."""
        at, last = before or (None, None)
        return await self._database.fetch_all(
            _LIST,
            {
                "org": org_id,
                "at": at,
                "id": last,
                "status": wanted.status,
                "assignee": wanted.assignee,
                "assigned": wanted.assigned,
                "platform": wanted.platform,
                "kind": wanted.kind,
                "integration": wanted.integration_id,
                "unread": wanted.unread,
                "place": wanted.place,
                "contact": wanted.contact_id,
                "text": None if wanted.text is None else _containing(wanted.text),
                "limit": limit,
            },
        )

    async def show(self, org_id: str, conversation_id: int) -> Row:
        """One that was merged shows as the one that it became part of. Errors: ApiError 404."""
        found = await self._database.fetch_value(_FIND, (org_id, conversation_id))
        row = await self._database.fetch_one(_SHOW, (org_id, found)) if found is not None else None
        if row is None:
            raise _missing(conversation_id)
        return row

    async def messages(
        self,
        org_id: str,
        conversation_id: int,
        *,
        beyond: Position | None = None,
        limit: int = 50,
        newest_first: bool = False,
    ) -> Sequence[Row]:
        """In the order in which they were written. Errors: ApiError 404."""
        conversation = await self.show(org_id, conversation_id)
        at, last = beyond or (None, None)
        order, than = ("DESC", "<") if newest_first else ("ASC", ">")
        return await self._database.fetch_all(
            _MESSAGES.format(order=order, than=than),
            {
                "conversation": conversation["id"],
                "integration": conversation["integration_id"],
                "key": conversation["thread_key"],
                "at": at,
                "id": last,
                "limit": limit,
            },
        )

    async def assign(self, org_id: str, conversation_id: int, assignee: str | None, by: str) -> Row:
        """To somebody, or to nobody. Errors: ApiError 404."""
        async with self._one(org_id, conversation_id) as (tx, row):
            if row["assignee"] != assignee:
                await tx.execute(
                    "UPDATE conversation SET assignee = %s, updated_at = now() WHERE id = %s", (assignee, row["id"])
                )
                await self._tell(tx, "assigned", {**row, "assignee": assignee}, by=by, before=row["assignee"])
        return await self.show(org_id, conversation_id)

    async def decide(self, org_id: str, conversation_id: int, status: Status, by: str) -> Row:
        """Close, put off or reopen: everything up to the last message that is known. Errors: ApiError 404."""
        async with self._one(org_id, conversation_id) as (tx, row):
            through: tuple[datetime | None, int | None] = (None, None)
            if status != "open":
                through = (row["last_in_at"], row["last_in_id"]) if row["last_in_at"] else (row["opened_at"], 0)
            await tx.execute(
                """UPDATE conversation SET chosen = %(status)s, status = %(status)s, chosen_through_at = %(at)s,
                     chosen_through_id = %(id)s, chosen_at = clock_timestamp(), updated_at = now()
                   WHERE id = %(conversation)s""",
                {"status": status, "at": through[0], "id": through[1], "conversation": row["id"]},
            )
            if row["status"] != status:
                what = {"closed": "closed", "open": "reopened"}.get(status, "changed")
                await self._tell(tx, what, {**row, "status": status}, by=by)
        return await self.show(org_id, conversation_id)

    async def read(self, org_id: str, conversation_id: int, by: str) -> Row:
        """Everything that has come so far was seen. Errors: ApiError 404."""
        async with self._one(org_id, conversation_id) as (tx, row):
            await mark_read(tx, row)
            if row["unread"]:
                await self._tell(tx, "changed", {**row, "unread": 0}, by=by)
        return await self.show(org_id, conversation_id)

    async def contact(self, org_id: str, contact_id: int) -> Row:
        """With what they are known by. Errors: ApiError 404."""
        row = await self._database.fetch_one(
            """SELECT p.id, p.name, p.handle, p.url, p.email, p.created_at, p.updated_at,
                      (SELECT coalesce(json_agg(json_build_object('kind', k.kind, 'value', k.value)
                                       ORDER BY k.kind, k.value), '[]')
                       FROM contact_identity k WHERE k.contact_id = p.id) AS identities
               FROM contact p WHERE p.org_id = %(org)s AND p.id =
                 (SELECT coalesce(merged_into, id) FROM contact WHERE org_id = %(org)s AND id = %(id)s)""",
            {"org": org_id, "id": contact_id},
        )
        if row is None:
            raise ApiError(404, "No such contact", f"There is no contact {contact_id}.")
        return row

    @asynccontextmanager
    async def _one(self, org_id: str, conversation_id: int) -> AsyncIterator[tuple[Transaction, Row]]:
        async with self._database.transaction() as tx:
            yield tx, await locked(tx, org_id, conversation_id)

    async def _tell(self, tx: Transaction, what: str, row: Row, **more: Any) -> None:
        await append_events(tx, [event_of(what, row, **more)])


async def locked(tx: Transaction, org_id: str, conversation_id: int) -> Row:
    """The row that a conversation is now, locked. Errors: ApiError 404."""
    found = await tx.fetch_value(_FIND, (org_id, conversation_id))
    row = await tx.fetch_one(_LOCK, (org_id, found)) if found is not None else None
    if row is None:
        raise _missing(conversation_id)
    # Merged while we waited for the lock: the other one is final, for merges hold locks of both.
    return row if row["merged_into"] is None else await locked(tx, org_id, row["merged_into"])


async def mark_read(tx: Transaction, row: Row) -> None:
    """Of a locked conversation. What the projector is about to add has higher numbers, and stays unread."""
    await tx.execute(
        """UPDATE conversation c SET unread = 0, updated_at = now(),
             read_through = greatest(c.read_through, coalesce((
               SELECT max(m.seq) FROM inbox_message m
               WHERE m.integration_id = c.integration_id AND m.thread_key = c.thread_key AND m.incoming
                 AND NOT m.deleted), 0))
           WHERE c.id = %s AND c.unread > 0""",
        (row["id"],),
    )


def _containing(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _missing(conversation_id: int) -> ApiError:
    return ApiError(404, "No such conversation", f"There is no conversation {conversation_id}.")
