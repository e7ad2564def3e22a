"""Stored mail, read back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sync.base.errors import ApiError
from sync.store.engine import Database

Row = dict[str, Any]
_LIST = """m.id, m.integration_id, m.state, m.error, m.duplicate_of, m.received_at, m.sent_at, m.message_id,
       m.from_name, m.from_address, m.recipients, m.subject, jsonb_array_length(m.attachments) AS attachment_count,
       m.size"""
_MORE = "m.in_reply_to, m.refs, m.headers, m.body_text, m.body_html IS NOT NULL AS has_html, m.attachments, m.defects"


class MailReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def messages(
        self,
        org_id: str,
        *,
        integration_id: int | None = None,
        states: Sequence[str] | None = None,
        message_id: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Row]:
        """Latest stored first; `before` is the last id of the page before, `since` a time of arrival."""
        return await self._database.fetch_all(
            f"""SELECT {_LIST} FROM mail_message m
                WHERE m.org_id = %(org)s
                  AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
                  AND (%(integration)s::bigint IS NULL OR m.integration_id = %(integration)s)
                  AND (%(states)s::text[] IS NULL OR m.state = ANY(%(states)s))
                  AND (%(message_id)s::text IS NULL OR m.message_id = %(message_id)s)
                  AND (%(since)s::timestamptz IS NULL OR m.received_at >= %(since)s)
                ORDER BY m.id DESC LIMIT %(limit)s""",
            {
                "org": org_id,
                "before": before,
                "integration": integration_id,
                "states": None if states is None else list(states),
                "message_id": message_id,
                "since": since,
                "limit": limit,
            },
        )

    async def message(self, org_id: str, mail_id: int) -> Row:
        """With headers, text, attachments and where it lies. Errors: ApiError 404."""
        row = await self._database.fetch_one(
            f"""SELECT {_LIST}, {_MORE},
                       (SELECT coalesce(jsonb_agg(jsonb_build_object('folder', l.folder, 'uid', l.uid, 'flags', l.flags)
                                                  ORDER BY l.folder, l.uidvalidity, l.uid), '[]')
                        FROM mail_location l WHERE l.message_id = m.id) AS places
                FROM mail_message m WHERE m.org_id = %s AND m.id = %s""",
            (org_id, mail_id),
        )
        if row is None:
            raise ApiError(404, "No such mail", f"There is no mail {mail_id}.")
        return row
