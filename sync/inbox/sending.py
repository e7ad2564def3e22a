"""Sends one reply: decides by its row, calls the vendor once, writes down what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.base import Connector
from connectors.http import HttpConnector
from connectors.http.errors import ShrinkError
from connectors.http.replies import LostAnswerError, Outgoing, Replies, Sent, send_once
from connectors.http.session import open_session
from connectors.records import ActivityRecord
from sync.base.errors import Permanent, RateLimited, Skippable, SyncError, Transient
from sync.base.logs import get_logger
from sync.events import append_events
from sync.inbox.replies import match_echoes, may_resend, outgoing_of, replies_of
from sync.inbox.summing import event_of
from sync.jobs.outcome import Cancel, Done, Outcome, Snooze
from sync.pull.accounts import Accounts
from sync.sink import Source
from sync.social.own import keep_own
from sync.store.engine import Database, Transaction

log = get_logger(__name__)
Row = dict[str, Any]

_TRIES = 5
"""To write down that something was sent, while the database is away."""
_BEGIN = """
SELECT r.id, r.org_id, r.state, r.text, r.client_token, r.sending_at, r.conversation_id, r.integration_id,
       clock_timestamp() AS now, c.thread_key, a.kind, a.vendor_id, a.thread_id, a.parent_id, a.place, a.author_id,
       a.data, i.platform, i.account, i.config, i.credentials, i.facts
FROM inbox_reply r
JOIN conversation c ON c.id = r.conversation_id
JOIN integration i ON i.id = r.integration_id
LEFT JOIN activity a ON a.id = r.target_id
WHERE r.id = %s AND r.org_id = %s FOR UPDATE OF r"""
_OWN = """
SELECT activity_id FROM inbox_message
WHERE integration_id = %s AND thread_key = %s AND NOT incoming AND occurred_at >= %s - interval '5 minutes'"""
_END = """
UPDATE inbox_reply SET state = %(state)s, reason = %(reason)s, vendor_id = coalesce(%(vendor_id)s, vendor_id),
  finished_at = now() WHERE id = %(id)s AND state IN ('sending', 'unknown')"""


@dataclass(frozen=True, slots=True)
class _Stored:
    """`sync.pull.model.StoredAccount`."""

    org_id: str
    platform: str
    integration_id: int
    account: str
    config: dict[str, Any]
    credentials: bytes | None
    facts: dict[str, Any]


class ReplySender:
    def __init__(self, database: Database, accounts: Accounts, connectors: Mapping[str, Connector]) -> None:
        self._database = database
        self._accounts = accounts
        self._connectors = connectors

    async def send(self, org_id: str, reply_id: int, *, last_attempt: bool) -> Outcome:
        """Errors: Transient, when it surely was not sent and may be tried again."""
        row = await self._begin(org_id, reply_id)
        if row is None:
            return Done()
        try:
            sent = await self._call(row)
        except LostAnswerError as error:
            return await self._lost(row, error, last_attempt=last_attempt)
        except RateLimited as error:
            await self._not_sent(row)
            return Snooze(error.retry_after_s or 60.0, error.message)
        except Transient as error:
            await self._not_sent(row)
            if not last_attempt:
                raise
            return await self._failed(row, error)
        except (Permanent, Skippable, ShrinkError) as error:
            return await self._failed(row, error)
        await self._sent(row, sent)
        return Done()

    async def _begin(self, org_id: str, reply_id: int) -> Row | None:
        """The reply, marked as being sent; None if there is nothing (more) to send."""
        async with self._database.transaction() as tx:
            row = await tx.fetch_one(_BEGIN, (reply_id, org_id))
            if row is None or row["state"] not in ("queued", "sending"):
                return None
            if row["state"] == "sending" and not may_resend(self._remembers(row), row["sending_at"], row["now"]):
                await self._give_up(tx, row, "It was cut off while it was being sent, and may have arrived.")
                return None
            if row["vendor_id"] is None:
                await tx.execute("UPDATE inbox_reply SET state = 'sending' WHERE id = %s", (row["id"],))
                await self._end(tx, row, "failed", "The message that it answers is gone.")
                return None
            await tx.execute(
                """UPDATE inbox_reply SET state = 'sending', sending_at = coalesce(sending_at, clock_timestamp())
                   WHERE id = %s""",
                (row["id"],),
            )
            return row

    async def _call(self, row: Row) -> Sent:
        connector = self._connectors.get(row["platform"])
        replies = replies_of(connector)
        if not isinstance(connector, HttpConnector) or replies is None:
            raise Permanent(f"Sync cannot reply on {row['platform']}.")
        outgoing = self._outgoing(row, replies)
        stored = _Stored(**{name: row[name] for name in _Stored.__dataclass_fields__})
        async with open_session(connector, self._accounts.open(stored)) as session:
            return await send_once(session.api, replies, outgoing)

    @staticmethod
    def _outgoing(row: Row, replies: Replies) -> Outgoing:
        outgoing = outgoing_of(row, row["text"], row["client_token"])
        if (why := replies.refuses(outgoing)) is not None:
            raise Permanent(why)
        return outgoing

    def _remembers(self, row: Row) -> Any:
        replies = replies_of(self._connectors.get(row["platform"]))
        return replies.remembers if replies is not None else None

    # --- what came of it

    async def _sent(self, row: Row, sent: Sent) -> None:
        """Written down through an outage of the database, as far as possible: nobody else knows it."""
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._database.transaction() as tx:
                    await self._end(tx, row, "sent", None, vendor_id=sent.vendor_id)
                    await self._keep(tx, row, sent)
                return
            except Transient as error:
                log.warning("inbox.sent_not_written", reply_id=row["id"], error=error.message)
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(attempt)

    async def _keep(self, tx: Transaction, row: Row, sent: Sent) -> None:
        """The activity that it is from now on; without an id of the vendor's, the next pull brings it."""
        if sent.vendor_id is None:
            await self._match(tx, row)
            return
        source = Source(row["org_id"], row["platform"], row["integration_id"], row["account"], "replies")
        record = ActivityRecord(
            kind=sent.kind,
            vendor_id=sent.vendor_id,
            occurred_at=sent.occurred_at,
            parent_id=row["vendor_id"],
            thread_id=row["thread_id"],
            place=row["place"],
            direction="out",
            text=row["text"],
            data=None if row["thread_id"] else {"to": row["author_id"]},
        )
        activity = await keep_own(tx, source, record)
        await tx.execute("UPDATE inbox_reply SET activity_id = %s WHERE id = %s", (activity, row["id"]))

    async def _lost(self, row: Row, error: LostAnswerError, *, last_attempt: bool) -> Outcome:
        now = await self._database.fetch_value("SELECT clock_timestamp()")
        since: datetime = row["sending_at"] or row["now"]
        if not last_attempt and may_resend(self._remembers(row), since, now):
            raise Transient(error.message, retry_after_s=1.0) from error
        async with self._database.transaction() as tx:
            await self._give_up(tx, row, f"{error.message} It may have arrived, so it is not sent again.")
        return Done()

    async def _failed(self, row: Row, error: SyncError) -> Outcome:
        async with self._database.transaction() as tx:
            await tx.execute(
                "UPDATE inbox_reply SET state = 'sending' WHERE id = %s AND state = 'queued'", (row["id"],)
            )
            await self._end(tx, row, "failed", error.message)
        return Cancel(error.message)

    async def _not_sent(self, row: Row) -> None:
        await self._database.execute(
            "UPDATE inbox_reply SET state = 'queued', sending_at = NULL WHERE id = %s AND state = 'sending'",
            (row["id"],),
        )

    async def _give_up(self, tx: Transaction, row: Row, reason: str) -> None:
        await self._end(tx, row, "unknown", reason)
        await self._match(tx, row)

    async def _match(self, tx: Transaction, row: Row) -> None:
        """Its echo may be here already."""
        since = row["sending_at"] or row["now"]
        found = await tx.fetch_all(_OWN, (row["integration_id"], row["thread_key"], since))
        await match_echoes(tx, [one["activity_id"] for one in found])

    async def _end(
        self, tx: Transaction, row: Row, state: str, reason: str | None, *, vendor_id: str | None = None
    ) -> None:
        values = {"id": row["id"], "state": state, "reason": reason and reason[:1000], "vendor_id": vendor_id}
        await tx.execute(_END, values)
        conversation = await tx.fetch_one("SELECT * FROM conversation WHERE id = %s", (row["conversation_id"],))
        assert conversation is not None
        told = {"id": row["id"], "state": state, "reason": reason}
        await append_events(tx, [event_of("changed", conversation, reply=told)])
