"""Pull the pages of one claimed run: fetch while others are committed; pages that come faster share a transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date

from connectors.base import Connector, Cursor, Page, Pull, find_sync_type
from connectors.registry import find_connector
from sync.base.errors import ConfigurationError, Permanent, Transient
from sync.pull.accounts import Accounts
from sync.pull.model import ClaimedRun
from sync.pull.page import Committed, Pages
from sync.pull.partitions import RunPartitions
from sync.sink import Sink
from sync.store.engine import Database

PageHook = Callable[[ClaimedRun, int], None]

BUFFERED = 10
"""Pages fetched ahead at most, and no further page while those hold SHARED_RECORDS."""
COMPANY_S = 0.01
"""How long a page waits for the next one, to share its transaction. Vendors are slower, but for those next door."""
SHARED_RECORDS = 1000
"""Records after which a transaction takes no further page: it holds the row of the lease."""


@dataclass(slots=True)
class Progress:
    """What one attempt has done so far."""

    pages: int = 0
    records: int = 0
    added: int = 0
    cancel_requested: bool = False


class Puller:
    def __init__(
        self,
        database: Database,
        pages: Pages,
        accounts: Accounts,
        connectors: Mapping[str, Connector],
        sinks: Mapping[str, Sink],
        *,
        page_timeout_s: float,
        shared_pages: int = 5,
        committed: PageHook | None = None,
    ) -> None:
        """`committed` is called after each page that is safe, with its number in this attempt."""
        self._database = database
        self._pages = pages
        self._accounts = accounts
        self._connectors = connectors
        self._sinks = sinks
        self._page_timeout_s = page_timeout_s
        self._shared_pages = shared_pages
        self._committed = committed

    async def pull(self, run: ClaimedRun, progress: Progress) -> None:
        """Until nothing is left or somebody asked to cancel (`progress.cancel_requested`). Raises what happens."""
        connector = find_connector(run.platform, self._connectors)
        sink = self._find_sink(find_sync_type(connector, run.sync_type).stores)
        async with connector.open(self._accounts.open(run)) as session:
            async with aclosing(session.pages(self._request(run))) as pages:
                await self._store_all(run, sink, pages, progress)

    def _find_sink(self, kind: str) -> Sink:
        if kind not in self._sinks:
            raise ConfigurationError(f"There is no store for records of kind {kind!r}.")
        return self._sinks[kind]

    async def _store_all(
        self, run: ClaimedRun, sink: Sink, pages: AsyncGenerator[Page, None], progress: Progress
    ) -> None:
        version = run.cursor_version
        fetch = _Fetch(pages, run.cursor, timeout_s=self._page_timeout_s, shared_pages=self._shared_pages)
        try:
            while batch := await fetch.batch():
                records = [record for page in batch for record in page.records]
                prepared = await asyncio.to_thread(sink.prepare, records)
                done = await self._pages.apply(run, sink, batch, prepared, version=version)
                version = done.cursor_version
                self._note(run, batch, done, progress)
                if done.cancel_requested:
                    return
                fetch.stored(batch)
        finally:
            await fetch.stop()

    def _note(self, run: ClaimedRun, batch: Sequence[Page], done: Committed, progress: Progress) -> None:
        progress.added += done.applied.added
        progress.cancel_requested = done.cancel_requested
        for page in batch:
            progress.pages += 1
            progress.records += len(page.records)
            if self._committed is not None:
                self._committed(run, progress.pages)

    def _request(self, run: ClaimedRun) -> Pull:
        start, end = run.options.get("startDate"), run.options.get("endDate")
        return Pull(
            sync_type=run.sync_type,
            cursor=run.cursor,
            start=date.fromisoformat(start) if start else None,
            end=date.fromisoformat(end) if end else None,
            run=run.id,
            scheduled=run.trigger == "schedule",
            partitions=RunPartitions(self._database, run),
        )


class _Fetch:
    """Reads pages ahead of the one who stores them, into a small buffer."""

    def __init__(
        self, pages: AsyncGenerator[Page, None], cursor: Cursor | None, *, timeout_s: float, shared_pages: int
    ) -> None:
        self._pages = pages
        self._last: tuple[str, Cursor | None] = ("", cursor)
        self._timeout_s = timeout_s
        self._shared_pages = shared_pages
        self._ready: asyncio.Queue[Page | Exception | None] = asyncio.Queue(BUFFERED)
        self._ahead = 0
        self._room = asyncio.Event()
        self._error: Exception | None = None
        self._settled = asyncio.Event()
        self._over = False
        self._task = asyncio.create_task(self._run())

    async def batch(self) -> list[Page]:
        """Pages to store together, at least one; none at the end. Errors: what fetching raised, in its turn."""
        found: list[Page] = []
        records = 0
        try:
            while not self._over:
                async with asyncio.timeout(COMPANY_S if found else None):
                    item = await self._ready.get()
                if not isinstance(item, Page):
                    self._over, self._error = True, item
                    break
                found.append(item)
                records += len(item.records)
                self._ahead -= len(item.records)
                self._room.set()
                if item.settle or len(found) >= self._shared_pages or records >= SHARED_RECORDS:
                    break
        except TimeoutError:
            pass
        if not found and self._error is not None:
            raise self._error
        return found

    def stored(self, batch: Sequence[Page]) -> None:
        if batch[-1].settle:
            self._settled.set()

    async def stop(self) -> None:
        # A generator must not be closed while it runs.
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._task

    async def _run(self) -> None:
        try:
            while (page := await self._next()) is not None:
                self._check(page)
                self._settled.clear()
                self._ahead += len(page.records)
                await self._ready.put(page)
                if not page.more:
                    break
                if page.settle:
                    await self._settled.wait()
                while self._ahead >= SHARED_RECORDS:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            await self._ready.put(error)
        else:
            await self._ready.put(None)

    def _check(self, page: Page) -> None:
        """A connector that repeats a cursor would go round in circles."""
        place = (page.partition, page.cursor)
        if page.more and page.cursor and place == self._last:
            raise Permanent("The pages do not advance: the same cursor came twice in a row.")
        self._last = place

    async def _next(self) -> Page | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await anext(self._pages, None)
        except TimeoutError as error:
            raise Transient(f"A page did not arrive within {self._timeout_s:g} s.") from error
