"""Pull the pages of one claimed run: fetch the next while one is committed, two in memory at most."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date

from connectors.base import Connector, Page, Pull, find_sync_type
from connectors.registry import find_connector
from sync.base.errors import ConfigurationError, Permanent, Transient
from sync.base.sealing import Sealer
from sync.pull.integrations import open_account
from sync.pull.model import ClaimedRun
from sync.pull.page import Pages
from sync.sink import Sink

PageHook = Callable[[ClaimedRun, int], None]


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
        pages: Pages,
        sealer: Sealer,
        connectors: Mapping[str, Connector],
        sinks: Mapping[str, Sink],
        *,
        page_timeout_s: float,
        committed: PageHook | None = None,
    ) -> None:
        """`committed` is called after each page that is safe, with its number in this attempt."""
        self._pages = pages
        self._sealer = sealer
        self._connectors = connectors
        self._sinks = sinks
        self._page_timeout_s = page_timeout_s
        self._committed = committed

    async def pull(self, run: ClaimedRun, progress: Progress) -> None:
        """Until nothing is left or somebody asked to cancel (`progress.cancel_requested`). Raises what happens."""
        connector = find_connector(run.platform, self._connectors)
        sink = self._find_sink(find_sync_type(connector, run.sync_type).stores)
        async with connector.open(open_account(self._sealer, run)) as session:
            async with aclosing(session.pages(_request(run))) as pages:
                await self._store_all(run, sink, pages, progress)

    def _find_sink(self, kind: str) -> Sink:
        if kind not in self._sinks:
            raise ConfigurationError(f"There is no store for records of kind {kind!r}.")
        return self._sinks[kind]

    async def _store_all(
        self, run: ClaimedRun, sink: Sink, pages: AsyncGenerator[Page, None], progress: Progress
    ) -> None:
        version, cursor = run.cursor_version, run.cursor
        fetch = asyncio.create_task(self._next(pages))
        try:
            while (page := await fetch) is not None:
                if page.more and page.cursor == cursor:
                    raise Permanent("The pages do not advance: the same cursor came twice in a row.")
                cursor = page.cursor
                if page.more:
                    fetch = asyncio.create_task(self._next(pages))
                prepared = await asyncio.to_thread(sink.prepare, page.records)
                done = await self._pages.apply(run, sink, page, prepared, version=version)
                version = done.cursor_version
                progress.pages += 1
                progress.records += len(page.records)
                progress.added += done.applied.added
                progress.cancel_requested = done.cancel_requested
                if self._committed is not None:
                    self._committed(run, progress.pages)
                if done.cancel_requested or not page.more:
                    return
        finally:
            # A generator must not be closed while it runs.
            fetch.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await fetch

    async def _next(self, pages: AsyncGenerator[Page, None]) -> Page | None:
        try:
            async with asyncio.timeout(self._page_timeout_s):
                return await anext(pages, None)
        except TimeoutError as error:
            raise Transient(f"A page did not arrive within {self._page_timeout_s:g} s.") from error


def _request(run: ClaimedRun) -> Pull:
    start, end = run.options.get("startDate"), run.options.get("endDate")
    return Pull(
        sync_type=run.sync_type,
        cursor=run.cursor,
        start=date.fromisoformat(start) if start else None,
        end=date.fromisoformat(end) if end else None,
    )
