"""Mail into PostgreSQL: each mail of a mailbox once, each place where it was seen once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from psycopg.types.json import Jsonb

from connectors.records import MailRecord
from sync.base.logs import get_logger
from sync.events import Event
from sync.mail.identity import content_key
from sync.mail.parse import ParsedMail, parse_mail
from sync.mail.text import clean
from sync.sink import Applied, Source
from sync.store.engine import StoreError, Transaction, translated

log = get_logger(__name__)

_COLUMNS = {
    "id": "int8",
    "org_id": "text",
    "integration_id": "int8",
    "content_key": "bytea",
    "copy": "int4",
    "duplicate_of": "int8",
    "state": "text",
    "error": "text",
    "received_at": "timestamptz",
    "sent_at": "timestamptz",
    "message_id": "text",
    "in_reply_to": "text[]",
    "refs": "text[]",
    "from_name": "text",
    "from_address": "text",
    "recipients": "jsonb",
    "subject": "text",
    "body_text": "text",
    "body_html": "text",
    "headers": "jsonb",
    "attachments": "jsonb",
    "defects": "text[]",
    "size": "int8",
    "raw": "bytea",
    "raw_complete": "bool",
}
_COPY = f"COPY mail_message ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_LOCATED = """
SELECT uid, message_id FROM mail_location
WHERE integration_id = %s AND folder = %s AND uidvalidity = %s AND uid = ANY(%s)"""
# Copies of a content, and whether each has a place under this numbering of this folder.
_COPIES = """
SELECT m.id, m.content_key, m.copy,
       EXISTS (SELECT FROM mail_location l
               WHERE l.message_id = m.id AND l.folder = %s AND l.uidvalidity = %s) AS placed
FROM mail_message m WHERE m.integration_id = %s AND m.content_key = ANY(%s)"""
_PLACE = """
INSERT INTO mail_location (integration_id, folder, uidvalidity, uid, message_id, flags)
SELECT %s, %s, %s, place.uid, place.message_id, string_to_array(place.flags, ' ')
FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS place (uid, message_id, flags)"""
_IDS = "SELECT nextval(pg_get_serial_sequence('mail_message', 'id')) AS id FROM generate_series(1, %s)"


@dataclass(slots=True)
class PreparedMail:
    record: MailRecord
    key: bytes
    parsed: ParsedMail | None
    error: str | None = None
    """Why it is kept aside, if it is."""


@dataclass(slots=True)
class _New:
    """A mail that gets a row."""

    id: int
    copy: int
    duplicate_of: int | None
    mail: PreparedMail


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder of an account under one numbering."""

    source: Source
    name: str
    uidvalidity: int


class MailSink:
    """`sync.sink.Sink` for MailRecord."""

    def prepare(self, records: Sequence[MailRecord]) -> list[PreparedMail]:
        return [_prepare(record) for record in records]

    async def apply(
        self, tx: Transaction, source: Source, prepared: Sequence[PreparedMail], *, force: bool = False
    ) -> Applied:
        total = Applied()
        for (name, uidvalidity), mails in groupby(prepared, key=lambda m: (m.record.folder, m.record.uidvalidity)):
            total.include(await self._apply_folder(tx, _Folder(source, name, uidvalidity), list(mails), force))
        return total

    async def _apply_folder(self, tx: Transaction, folder: _Folder, mails: list[PreparedMail], force: bool) -> Applied:
        source = folder.source
        uids = [mail.record.uid for mail in mails]
        places = (source.integration_id, folder.name, folder.uidvalidity)
        held = {row["uid"]: row["message_id"] for row in await tx.fetch_all(_LOCATED, (*places, uids))}
        unplaced = [mail for mail in mails if mail.record.uid not in held]
        assigned = await self._assign(tx, folder, unplaced)
        new = [item for item in assigned.values() if isinstance(item, _New)]
        await self._insert(tx, source, new)
        await self._place(tx, folder, unplaced, assigned)
        events = [_event(source, item.id, item.mail, item.duplicate_of) for item in new]
        if force:
            held |= {uid: item for uid, item in assigned.items() if isinstance(item, int)}
            old = [mail for mail in mails if mail.record.uid in held]
            events += [_event(source, held[mail.record.uid], mail, None, forced=True) for mail in old]
        parked = sum(item.mail.error is not None for item in new)
        return Applied(added=len(new), unchanged=len(mails) - len(new), skipped=parked, events=events)

    async def _assign(self, tx: Transaction, folder: _Folder, mails: list[PreparedMail]) -> dict[int, int | _New]:
        """By UID: the row that already holds this mail, or a new one.

        The n-th mail of a content under one numbering is its n-th copy. So a renumbered folder finds the rows it had,
        while two identical mails that lie in it side by side stay two.
        """
        if not mails:
            return {}
        copies: dict[bytes, dict[int, int]] = {}
        placed: dict[bytes, int] = {}
        keys = list({mail.key for mail in mails})
        for row in await tx.fetch_all(_COPIES, (folder.name, folder.uidvalidity, folder.source.integration_id, keys)):
            copies.setdefault(row["content_key"], {})[row["copy"]] = row["id"]
            placed[row["content_key"]] = placed.get(row["content_key"], 0) + row["placed"]
        ids = iter([row["id"] for row in await tx.fetch_all(_IDS, (len(mails),))])
        assigned: dict[int, int | _New] = {}
        for mail in mails:
            copy = placed[mail.key] = placed.get(mail.key, 0) + 1
            held = copies.setdefault(mail.key, {})
            if copy in held:
                assigned[mail.record.uid] = held[copy]
            else:
                held[copy] = next(ids)
                assigned[mail.record.uid] = _New(held[copy], copy, held.get(1) if copy > 1 else None, mail)
        return assigned

    async def _insert(self, tx: Transaction, source: Source, new: list[_New]) -> None:
        if not new:
            return
        try:
            await _copy_in(tx, source, new)
        except StoreError as error:
            log.warning("mail.page_refused", integration_id=source.integration_id, error=str(error))
            for item in new:
                await self._insert_alone(tx, source, item)

    async def _insert_alone(self, tx: Transaction, source: Source, item: _New) -> None:
        """One mail that PostgreSQL will not take as read must not hold up its neighbours: only its bytes are kept."""
        try:
            await _copy_in(tx, source, [item])
        except StoreError as error:
            item.mail.parsed, item.mail.error = None, clean(f"could not be stored: {error}")[:1000]
            await _copy_in(tx, source, [item])

    async def _place(
        self, tx: Transaction, folder: _Folder, mails: list[PreparedMail], assigned: dict[int, int | _New]
    ) -> None:
        if not mails:
            return
        uids = [mail.record.uid for mail in mails]
        ids = [item.id if isinstance(item, _New) else item for item in (assigned[uid] for uid in uids)]
        flags = [clean(" ".join(mail.record.flags)) for mail in mails]
        await tx.execute(_PLACE, (folder.source.integration_id, folder.name, folder.uidvalidity, uids, ids, flags))


def _prepare(record: MailRecord) -> PreparedMail:
    key = content_key(record)
    if record.raw is None:
        return PreparedMail(record, key, None, "The server did not hand out this mail.")
    try:
        return PreparedMail(record, key, parse_mail(record.raw))
    except Exception as error:  # parse_mail promises not to raise; a mail must not stop its mailbox if it does
        log.exception("mail.unreadable", folder=record.folder, uid=record.uid)
        return PreparedMail(record, key, None, clean(f"could not be read: {type(error).__name__}: {error}")[:1000])


async def _copy_in(tx: Transaction, source: Source, new: Iterable[_New]) -> None:
    """All or nothing, leaving the transaction usable. Errors: StoreError."""
    with translated():
        async with tx.connection.transaction(), tx.connection.cursor() as cursor:
            async with cursor.copy(_COPY) as copy:
                copy.set_types(list(_COLUMNS.values()))
                for item in new:
                    await copy.write_row(list(_row(source, item).values()))


def _row(source: Source, item: _New) -> dict[str, Any]:
    record, parsed = item.mail.record, item.mail.parsed or ParsedMail()
    values = {
        "id": item.id,
        "org_id": source.org_id,
        "integration_id": source.integration_id,
        "content_key": item.mail.key,
        "copy": item.copy,
        "duplicate_of": item.duplicate_of,
        "state": "parked" if item.mail.error else "stored",
        "error": item.mail.error,
        "received_at": record.received_at or parsed.sent_at or datetime.now(UTC),
        "sent_at": parsed.sent_at,
        "message_id": parsed.message_id,
        "in_reply_to": parsed.in_reply_to,
        "refs": parsed.refs,
        "from_name": parsed.sender.name if parsed.sender else None,
        "from_address": parsed.sender.address if parsed.sender else None,
        "recipients": Jsonb({key: [asdict(a) for a in found] for key, found in parsed.recipients.items()}),
        "subject": parsed.subject,
        "body_text": parsed.body_text,
        "body_html": parsed.body_html,
        "headers": Jsonb(parsed.headers),
        "attachments": Jsonb([asdict(attachment) for attachment in parsed.attachments]),
        "defects": parsed.defects,
        "size": record.size,
        "raw": record.raw,
        "raw_complete": record.complete,
    }
    return {name: values[name] for name in _COLUMNS}


def _event(
    source: Source, message_id: int, mail: PreparedMail, duplicate_of: int | None, *, forced: bool = False
) -> Event:
    payload: dict[str, Any] = {
        "id": message_id,
        "integration_id": source.integration_id,
        "account": source.account,
        "folder": mail.record.folder,
    }
    if mail.error:
        return Event(
            source.org_id, "mail.parked", f"integration:{source.integration_id}", payload | {"error": mail.error}
        )
    if mail.parsed is not None:
        sender = mail.parsed.sender
        payload |= {
            "message_id": mail.parsed.message_id,
            "from": sender.address if sender else None,
            "subject": mail.parsed.subject[:500],
        }
    if duplicate_of is not None:
        payload["duplicate_of"] = duplicate_of
    if forced:
        payload["forced"] = True
    return Event(source.org_id, "mail.received", f"integration:{source.integration_id}", payload)
