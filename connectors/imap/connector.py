"""Pull a folder of an IMAP mailbox: new mail by UID, in pages bounded by count and bytes, never setting a flag."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING

from connectors.base import BACKFILL_OPTIONS, Account, Field, Page, Pull, Session, SyncType
from connectors.imap.cursor import Position, new_uids, search_key
from connectors.records import MAIL, MailRecord
from sync.base.errors import Transient

if TYPE_CHECKING:
    from connectors.imap.answers import Fetched
    from connectors.imap.client import ImapClient

PAGE_MAILS = 100
PAGE_BYTES = 8_000_000
MAX_MAIL_BYTES = 35_000_000
"""Larger mails are kept by their beginning; Gmail takes 25 MB, Exchange Online 35 MB unless told otherwise."""
BEGINNING_BYTES = 262_144


class ImapConnector:
    platform = "email"
    title = "Email (IMAP)"
    fields = (
        Field("host", "Name of the IMAP server, such as imap.example.com.", required=True),
        Field("port", "Its port.", kind="integer", default=993),
        Field("security", "How to connect.", kind="choice", choices=("tls", "plain"), default="tls"),
        Field("user", "Login name, if it is not the mailbox address."),
        Field("password", "Password, or app password where the provider wants one.", secret=True),
        Field("access_token", "OAuth token (XOAUTH2) instead of a password.", secret=True),
        Field("folder", "Folder to read.", default="INBOX"),
        Field("since", "Leave mail alone that arrived before this day.", kind="date"),
        Field("ca_pem", "Certificate to trust besides the usual ones, as PEM.", operator_only=True),
        Field(
            "private_host",
            "Allow a server inside our own network.",
            kind="boolean",
            default=False,
            operator_only=True,
        ),
    )
    sync_types = (SyncType("messages", "New mail", stores=MAIL, every=timedelta(seconds=60), options=BACKFILL_OPTIONS),)

    def __init__(self, timeout_s: float = 60.0) -> None:
        """`timeout_s`: the longest silence of a server."""
        self._timeout_s = timeout_s

    def open(self, account: Account) -> AbstractAsyncContextManager[Session]:
        return _session(account, self._timeout_s)


@asynccontextmanager
async def _session(account: Account, timeout_s: float) -> AsyncIterator[Session]:
    from connectors.imap.client import Endpoint, ImapClient

    config = account.config
    client = ImapClient(
        Endpoint(
            host=config["host"],
            port=config.get("port", 993),
            tls=config.get("security", "tls") == "tls",
            ca_pem=config.get("ca_pem"),
            private=config.get("private_host", False),
            timeout_s=timeout_s,
        )
    )
    try:
        await client.connect()
        user = config.get("user") or account.account
        if token := account.credentials.get("access_token"):
            await client.xoauth2(user, token)
        else:
            await client.login(user, account.credentials.get("password", ""))
        since = config.get("since")
        yield ImapSession(client, config.get("folder", "INBOX"), date.fromisoformat(since) if since else None)
    finally:
        await client.close()


class ImapSession:
    """A logged-in connection. One `pages()` at a time."""

    def __init__(self, client: ImapClient, folder: str, since: date | None = None) -> None:
        self._client = client
        self._folder = folder
        self._since = since

    async def check(self) -> None:
        await self._client.examine(self._folder)

    async def pages(self, pull: Pull) -> AsyncGenerator[Page, None]:
        opened = await self._client.examine(self._folder)
        if opened.uidvalidity is None:
            raise Transient(f"The mail server did not tell the UIDVALIDITY of {self._folder}.")
        position = Position.load(pull.cursor).opened(opened.uidvalidity)
        # Days are the server's own, so the range is widened by one on either side.
        since = max((day for day in (self._since, position.since, _day_before(pull.start)) if day), default=None)
        before = pull.end + timedelta(days=2) if pull.end else None
        uids = new_uids(await self._client.search(search_key(position, since, before)), position)
        for start in range(0, len(uids), PAGE_MAILS):
            batch = uids[start : start + PAGE_MAILS]
            sizes = await self._client.sizes(batch)
            for part in _by_bytes(batch, sizes):
                records = await self._fetch(part, sizes, opened.uidvalidity)
                position = position.after(part[-1], (r.received_at for r in records if r.received_at))
                yield Page(records, position.dump(), more=part[-1] != uids[-1])

    async def _fetch(self, uids: Sequence[int], sizes: dict[int, int], uidvalidity: int) -> list[MailRecord]:
        """Records of the UIDs that still exist. A mail the server will not hand out becomes a record without `raw`."""
        large = [uid for uid in uids if sizes.get(uid, 0) > MAX_MAIL_BYTES]
        normal = [uid for uid in uids if uid in sizes and uid not in large]
        found = await self._client.messages(normal) if normal else {}
        # Some servers leave a body out of a long answer: asked for alone it may come.
        for uid in [uid for uid in normal if uid not in found or found[uid].body is None]:
            found.update(await self._client.messages([uid]))
        if large:
            found.update(await self._client.messages(large, limit=BEGINNING_BYTES))
        return [self._record(found[uid], uidvalidity, sizes[uid], uid not in large) for uid in uids if uid in found]

    def _record(self, mail: Fetched, uidvalidity: int, size: int, complete: bool) -> MailRecord:
        return MailRecord(
            folder=self._folder,
            uidvalidity=uidvalidity,
            uid=mail.uid,
            flags=mail.flags,
            received_at=mail.received_at,
            size=mail.size or size,
            raw=mail.body,
            complete=complete,
        )


def _by_bytes(uids: Sequence[int], sizes: dict[int, int]) -> Iterable[list[int]]:
    """Split so that no part but a single mail exceeds PAGE_BYTES; large mails count by what is fetched of them."""
    part: list[int] = []
    total = 0
    for uid in uids:
        size = sizes.get(uid, 0)
        size = BEGINNING_BYTES if size > MAX_MAIL_BYTES else size
        if part and total + size > PAGE_BYTES:
            yield part
            part, total = [], 0
        part.append(uid)
        total += size
    if part:
        yield part


def _day_before(day: date | None) -> date | None:
    return day - timedelta(days=1) if day else None


IMAP = ImapConnector()
