"""A vendor that does what a test says: pages from a list, failures on cue, doors that stay shut until opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

from connectors.base import BACKFILL_OPTIONS, Account, Field, Page, Pull, Session, SyncType
from connectors.records import MAIL, MailRecord
from tests.fakes.mailbox import ordinary


class FakePlatform:
    """Mails numbered from 1, `size` to a page, the number as the cursor. `before_page(n)` runs before page n."""

    platform = "email"
    title = "Fake mail"
    fields = (Field("host", "Where."), Field("password", "Secret.", secret=True))

    def __init__(self, mails: int = 0, size: int = 10) -> None:
        self.mails = mails
        self.size = size
        self.sync_types = (
            SyncType("messages", "Mail", MAIL, timedelta(seconds=60), BACKFILL_OPTIONS),
            SyncType("sent", "Sent mail", MAIL, timedelta(seconds=60)),
        )
        self.before_page: Callable[[int], None] = lambda _page: None
        self.on_open: Callable[[Account], None] = lambda _account: None
        self.door: asyncio.Event | None = None
        """When set, a page waits until it opens."""
        self.waiting = asyncio.Event()
        """Somebody waits at the door."""
        self.opened = 0

    def open(self, account: Account) -> AbstractAsyncContextManager[Session]:
        return self._session(account)

    @asynccontextmanager
    async def _session(self, account: Account) -> AsyncIterator[Session]:
        self.opened += 1
        self.on_open(account)
        yield FakeSession(self)


class FakeSession:
    def __init__(self, platform: FakePlatform) -> None:
        self._platform = platform

    async def check(self) -> None:
        pass

    async def pages(self, pull: Pull) -> AsyncGenerator[Page, None]:
        platform, number = self._platform, (pull.cursor or {}).get("number", 0)
        page = 0
        while number < platform.mails:
            page += 1
            platform.before_page(page)
            if platform.door is not None:
                platform.waiting.set()
                await platform.door.wait()
            last = min(number + platform.size, platform.mails)
            records = [record(n, folder=pull.sync_type) for n in range(number + 1, last + 1)]
            number = last
            yield Page(records, {"number": number}, more=number < platform.mails)


def record(number: int, *, folder: str = "INBOX", raw: bytes | None = None, uidvalidity: int = 1) -> MailRecord:
    raw = ordinary(number) if raw is None else raw
    received_at = datetime(2026, 11, 24, 10, tzinfo=UTC) + timedelta(seconds=number)
    return MailRecord(folder, uidvalidity, number, ("\\Seen",), received_at, len(raw), raw)
