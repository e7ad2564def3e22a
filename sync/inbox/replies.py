"""Replies: taken down with a job that sends them, at most once each.

    queued ──► sending ──► sent      the vendor took it; its echo is the same activity
       ▲          │  ├───► failed    it surely did not, and trying again will not help: the reason says why
       └──────────┘  └───► unknown   nobody knows; it is not sent again. An echo that turns up makes it sent

`sending` is written before the call. Whoever finds it at the beginning of an attempt knows that an earlier one was cut
off in mid-call: then it is sent again only where the vendor drops repeats, else looked for among what came in since.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from connectors.base import Connector
from sync.base.errors import ApiError
from sync.events import append_events
from sync.inbox.conversations import locked, mark_read
from sync.inbox.summing import event_of
from sync.jobs.model import NewJob
from sync.jobs.queue import Queue
from sync.store.engine import Database, Transaction

if TYPE_CHECKING:
    from connectors.http.replies import Outgoing, Replies

Row = dict[str, Any]
REPLY = "inbox.reply"
MOST_CHARS = 10_000

_COLUMNS = """id, conversation_id, integration_id, target_id, text, state, reason, vendor_id, activity_id, requested_by,
       created_at, finished_at"""
_TARGET = """
SELECT a.id, a.kind, a.vendor_id, a.thread_id, a.parent_id, a.place, a.author_id, a.data
FROM inbox_message m JOIN activity a ON a.id = m.activity_id
WHERE m.integration_id = %(integration)s AND m.thread_key = %(key)s AND m.incoming AND NOT m.deleted
  AND (%(target)s::bigint IS NULL OR m.activity_id = %(target)s)
ORDER BY m.occurred_at DESC, m.activity_id DESC LIMIT 1"""
_EARLIER = f"SELECT {_COLUMNS} FROM inbox_reply WHERE org_id = %s AND idempotency_key = %s"
# The echoes of replies that have no activity yet: by the vendor's id, else by thread and text, each once.
_MATCH = """
WITH own AS (
  SELECT m.activity_id, m.integration_id, m.thread_key, m.vendor_id, m.occurred_at,
         regexp_replace(btrim(a.text), '\\s+', ' ', 'g') AS text
  FROM inbox_message m JOIN activity a ON a.id = m.activity_id
  WHERE m.activity_id = ANY(%(ids)s) AND NOT m.incoming
    AND NOT EXISTS (SELECT FROM inbox_reply r WHERE r.integration_id = m.integration_id
                    AND r.activity_id = m.activity_id)
), waiting AS (
  SELECT r.id, r.integration_id, r.vendor_id, c.thread_key, r.sending_at,
         regexp_replace(btrim(r.text), '\\s+', ' ', 'g') AS text
  FROM inbox_reply r JOIN conversation c ON c.id = r.conversation_id
  WHERE r.activity_id IS NULL AND r.state IN ('sent', 'unknown')
    AND r.integration_id = ANY(SELECT integration_id FROM own)
), by_text AS (
  SELECT w.id, o.activity_id, o.vendor_id,
         row_number() OVER (PARTITION BY w.id ORDER BY o.occurred_at, o.activity_id) AS nth,
         dense_rank() OVER (PARTITION BY w.integration_id, w.thread_key, w.text ORDER BY w.id) AS place
  FROM waiting w
  JOIN own o ON o.integration_id = w.integration_id AND o.thread_key = w.thread_key AND o.text = w.text
            AND o.occurred_at >= w.sending_at - interval '5 minutes'
  WHERE w.vendor_id IS NULL
), matched AS (
  SELECT w.id, o.activity_id, o.vendor_id FROM waiting w
  JOIN own o ON o.integration_id = w.integration_id AND o.vendor_id = w.vendor_id
  UNION ALL
  SELECT id, activity_id, vendor_id FROM by_text WHERE nth = place
)
UPDATE inbox_reply r SET activity_id = m.activity_id, vendor_id = m.vendor_id, state = 'sent', reason = NULL
FROM matched m WHERE r.id = m.id"""


class SendReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reply_id: int


class ReplyDesk:
    """Takes replies down."""

    def __init__(self, database: Database, queue: Queue, connectors: Mapping[str, Connector]) -> None:
        self._database = database
        self._queue = queue
        self._connectors = connectors

    async def reply(
        self,
        org_id: str,
        conversation_id: int,
        text: str,
        by: str,
        *,
        target_id: int | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[Row, bool]:
        """The reply, and whether this call made it. Errors: ApiError 404, 409, 422."""
        async with self._database.transaction() as tx:
            conversation = await locked(tx, org_id, conversation_id)
            if (earlier := await self._earlier(tx, conversation, text, idempotency_key)) is not None:
                return earlier, False
            await self._check_account(tx, conversation)
            target = await self._target(tx, conversation, target_id)
            self._check(conversation, outgoing_of(target, text, "0" * 32))
            row = await tx.fetch_one(
                f"""INSERT INTO inbox_reply (org_id, conversation_id, integration_id, target_id, text, client_token,
                      idempotency_key, requested_by)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
                    ON CONFLICT (org_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
                    RETURNING {_COLUMNS}""",
                (
                    *(org_id, conversation["id"], conversation["integration_id"], target["id"], text, uuid4().hex),
                    *(idempotency_key, by),
                ),
            )
            if row is None:
                raise ApiError(409, "Used elsewhere", "This idempotency key belongs to a reply elsewhere.")
            job = NewJob(REPLY, SendReply(row["id"]), org_id=org_id, unique_key=f"reply:{row['id']}")
            queued = await self._queue.enqueue(job, tx)
            await tx.execute("UPDATE inbox_reply SET job_id = %s WHERE id = %s", (queued.job_id, row["id"]))
            await mark_read(tx, conversation)
            if conversation["unread"]:
                await append_events(tx, [event_of("changed", {**conversation, "unread": 0}, by=by)])
            return row, True

    async def list(self, org_id: str, conversation_id: int, *, before: int | None, limit: int) -> list[Row]:
        """The newest first. Errors: ApiError 404."""
        async with self._database.transaction() as tx:
            conversation = await locked(tx, org_id, conversation_id)
            return await tx.fetch_all(
                f"""SELECT {_COLUMNS} FROM inbox_reply
                    WHERE conversation_id = %s AND (%s::bigint IS NULL OR id < %s) ORDER BY id DESC LIMIT %s""",
                (conversation["id"], before, before, limit),
            )

    async def show(self, org_id: str, reply_id: int) -> Row:
        """Errors: ApiError 404."""
        row = await self._database.fetch_one(
            f"SELECT {_COLUMNS} FROM inbox_reply WHERE org_id = %s AND id = %s", (org_id, reply_id)
        )
        if row is None:
            raise ApiError(404, "No such reply", f"There is no reply {reply_id}.")
        return row

    async def _earlier(self, tx: Transaction, conversation: Row, text: str, key: str | None) -> Row | None:
        row = await tx.fetch_one(_EARLIER, (conversation["org_id"], key)) if key is not None else None
        if row is not None and (row["conversation_id"], row["text"]) != (conversation["id"], text):
            raise ApiError(409, "Used elsewhere", f"This idempotency key belongs to reply {row['id']}, which differs.")
        return row

    async def _check_account(self, tx: Transaction, conversation: Row) -> None:
        found = await tx.fetch_one(
            "SELECT state, reason FROM integration WHERE id = %s", (conversation["integration_id"],)
        )
        assert found is not None
        if found["state"] in ("expired", "deleted"):
            why = found["reason"] or f"It is {found['state']}."
            raise ApiError(409, "The account is not connected", f"{why} Reconnect it before you reply.")

    async def _target(self, tx: Transaction, conversation: Row, target_id: int | None) -> Row:
        values = {"integration": conversation["integration_id"], "key": conversation["thread_key"], "target": target_id}
        row = await tx.fetch_one(_TARGET, values)
        if row is None:
            text = "There is no message of theirs left in this conversation that could be answered."
            raise ApiError(422, "Nothing to answer", text)
        return row

    def _check(self, conversation: Row, outgoing: Outgoing) -> None:
        connector = self._connectors.get(conversation["platform"])
        replies = replies_of(connector)
        if connector is None or replies is None:
            name = connector.title if connector is not None else conversation["platform"]
            raise ApiError(422, "No replies here", f"Sync cannot reply on {name}: answer there.")
        if (why := replies.refuses(outgoing)) is not None:
            raise ApiError(422, "No replies here", why)
        if len(outgoing.text) > replies.most_chars:
            text = f"{connector.title} takes {replies.most_chars:,} characters, these are {len(outgoing.text):,}."
            raise ApiError(422, "The text is too long", text)


def replies_of(connector: Connector | None) -> Replies | None:
    return getattr(connector, "replies", None)


def outgoing_of(target: Row, text: str, token: str) -> Outgoing:
    from connectors.http.replies import Outgoing

    return Outgoing(
        kind=target["kind"],
        text=text,
        token=token,
        target_id=target["vendor_id"],
        thread_id=target["thread_id"] or target["vendor_id"],
        place=target["place"],
        parent_id=target["parent_id"],
        author_id=target["author_id"],
        data=target["data"] or {},
    )


async def match_echoes(tx: Transaction, activity_ids: list[int]) -> None:
    """Join own messages to the replies that they are the echoes of."""
    if activity_ids:
        await tx.execute(_MATCH, {"ids": activity_ids})


def may_resend(remembers: timedelta | None, since: datetime, now: datetime) -> bool:
    """Whether the vendor would still recognise a repetition."""
    return remembers is not None and now - since < remembers
