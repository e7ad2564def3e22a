"""Pull an account of an HTTP platform as its connector declares it: walk partitions and pages, keep cursors honest.

The session yields a page only with the cursor from which a later pull continues after exactly that page. It may stop
anywhere. It never sleeps for long: what has to wait raises RateLimited with the time, and the run parks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from connectors.base import Account, Cursor, Page, Pull, find_sync_type
from connectors.http.api import Api, Sleep, utc_now
from connectors.http.cursors import Asked, Walk
from connectors.http.errors import GoneError, UnreadableError
from connectors.http.listed import Census
from connectors.http.request import WHOLE, Context, Partition, Span
from connectors.http.streams import HttpConnector, Stream
from connectors.http.times import day_start
from connectors.http.walker import Walker
from connectors.records import Rejected
from sync.base.errors import Permanent, RateLimited

if TYPE_CHECKING:
    import ssl

    import httpx

BATCH = 100
"""Partitions whose cursors are loaded together."""
AWAY = timedelta(hours=1)
"""How long a partition that is gone, or not for us, is left alone."""
NEARLY = 0.9
"""Of its cadence: a part that was pulled a little late last time is not passed over for it."""
MOST_RECORDS = 1000
"""In one page: an answer of more (a month of a big ad account) comes in parts, so that no transaction is long."""


@asynccontextmanager
async def open_session(
    connector: HttpConnector,
    account: Account,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = utc_now,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[HttpSession]:
    """A session over a client of its own. Tests bring a transport, a clock and a sleep."""
    import httpx

    secure = any(url.startswith("https") for url in connector.urls(account).values())
    async with httpx.AsyncClient(
        transport=transport,
        verify=_tls() if secure and transport is None else False,
        timeout=httpx.Timeout(connector.timeout_s, connect=10.0),
        limits=httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=30.0),
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield HttpSession(Api(connector, account, client, now=now, sleep=sleep), now)


@cache
def _tls() -> ssl.SSLContext:
    """One per process: reading the certificates takes longer than a call."""
    import httpx

    return httpx.create_ssl_context()


class HttpSession:
    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self.api = api
        self._now = now

    async def check(self) -> None:
        """Ask the vendor whose credentials these are."""
        if self.api.connector.identify is not None:
            await self.api.connector.identify(self.api)

    async def pages(self, pull: Pull) -> AsyncGenerator[Page, None]:
        connector = self.api.connector
        usual = find_sync_type(connector, pull.sync_type).every
        await self.api.identify()
        waits = _Waits()
        for stream in connector.streams_of(pull.sync_type):
            slow = stream.every > usual
            if slow and await self._rests(stream, pull):
                continue
            parked = waits.count
            async for page in self._stream(stream, pull, waits):
                yield page
            if slow and pull.start is None and waits.count == parked:
                yield Page((), {"at": self._now().timestamp(), "run": pull.run}, more=True, partition=_clock(stream))
        if (error := waits.error()) is not None:
            raise error

    async def _rests(self, stream: Stream, pull: Pull) -> bool:
        """Whether a part that is slower than its sync type has been pulled not long ago, or earlier in this run."""
        if pull.partitions is None or pull.start is not None:
            return False
        state = (await pull.partitions.load([_clock(stream)])).get(_clock(stream)) or {}
        early = self._now().timestamp() - state.get("at", 0.0) < stream.every.total_seconds() * NEARLY
        return (pull.scheduled and early) or _finished(state, pull)

    async def _stream(self, stream: Stream, pull: Pull, waits: _Waits) -> AsyncIterator[Page]:
        if stream.partitions is None and not stream.part:
            if not _finished(pull.cursor, pull):
                async for page in self._walk(stream, WHOLE, "", pull.cursor, pull):
                    yield page
            return
        quiet: list[Page] = []
        try:
            async for batch in self._partitions(stream, pull):
                for partition, state in batch:
                    key = _key(stream, partition)
                    try:
                        count = 0
                        async for page in self._walk(stream, partition, key, state, pull):
                            count += 1
                            yield page
                        if not count:
                            quiet.append(Page((), {**(state or {}), "run": pull.run}, more=True, partition=key))
                    except RateLimited as error:
                        if not waits.note(error):
                            raise
        except RateLimited:
            # The run comes back: what had nothing new need not be asked again then.
            for page in quiet:
                yield page
            raise

    async def _partitions(self, stream: Stream, pull: Pull) -> AsyncIterator[list[tuple[Partition, Cursor | None]]]:
        """Partitions worth a walk, with their cursors."""
        ctx = self.api.context()
        if pull.start is not None:
            until = day_start(pull.end + timedelta(days=1)) if pull.end else None
            ctx.span = Span(day_start(pull.start), until)
        async for batch in _batched(self._found(stream, ctx), BATCH):
            keys = [_key(stream, partition) for partition in batch]
            states = await pull.partitions.load(keys) if pull.partitions is not None else {}
            wanted = []
            for partition, key in zip(batch, keys, strict=True):
                state = states.get(key)
                known = _unchanged(partition, state, pull) or self._gone(state, pull)
                ctx.unchanged = ctx.unchanged + 1 if known else 0
                if not known and not _finished(state, pull):
                    wanted.append((partition, state))
            yield wanted

    def _gone(self, state: Cursor | None, pull: Pull) -> bool:
        """Whether the vendor turned us away from there not long ago. Vendors count refusals, too."""
        if state is None or pull.start is not None:
            return False
        return self._now().timestamp() - float(state.get("gone", 0.0)) < AWAY.total_seconds()

    async def _found(self, stream: Stream, ctx: Context) -> AsyncIterator[Partition]:
        if stream.partitions is None:
            yield WHOLE
            return
        async for partition in stream.partitions(self.api, ctx):
            yield partition

    async def _walk(
        self, stream: Stream, partition: Partition, key: str, state: Cursor | None, pull: Pull
    ) -> AsyncIterator[Page]:
        """The pages of one partition."""
        now = self._now()
        walk = stream.cursor.begin(state, Asked(now, partition.zone, pull.start, pull.end, pull.run))
        size = stream.page_size if walk.token is None else _size_of(state, stream)
        ctx = Context(self.api.account, self.api.facts, now, partition, size=size)
        census = None
        if stream.listed is not None and pull.start is None:
            census = Census(stream.listed, self.api, ctx, state, begun="walk" in (state or {}))
        walker = Walker(self.api, stream, walk, ctx, census)
        try:
            while (span := walk.span) is not None:
                ctx.span = span
                async for records in walker.step():
                    if walk.span is None and not records and walk.idle and partition.mark is None and census is None:
                        return
                    if census is not None and walk.span is None:
                        records.extend(await census.close())
                    cursor = _dump(walk, ctx, census)
                    last = max(len(records) - 1, 0) // MOST_RECORDS * MOST_RECORDS
                    for at in range(0, last, MOST_RECORDS):
                        # Stored ahead without a cursor: after a stop they are read again, which changes nothing.
                        yield Page(records[at : at + MOST_RECORDS], None, more=True, partition=key)
                    yield Page(records[last:], cursor, more=True, partition=key, settle=stream.destructive)
        except GoneError as error:
            if partition is WHOLE:
                raise Permanent(error.message, **error.fields) from error
            yield Page((), {**(state or {}), "gone": now.timestamp(), "run": pull.run}, more=True, partition=key)
        except UnreadableError as error:
            rejected = Rejected(error=error.message, raw=error.fields.get("raw"), place=key or None)
            yield Page((rejected,), {**(state or {}), "run": pull.run}, more=True, partition=key)


class _Waits:
    """Partitions that have to wait while the others go on."""

    def __init__(self) -> None:
        self._first: RateLimited | None = None
        self.count = 0

    def note(self, error: RateLimited) -> bool:
        """False if it concerns them all."""
        if not error.fields.get("part"):
            return False
        self.count += 1
        if self._first is None or (error.retry_after_s or 0) < (self._first.retry_after_s or 0):
            self._first = error
        return True

    def error(self) -> RateLimited | None:
        return self._first


def _clock(stream: Stream) -> str:
    """Where it is kept when a slow part was last pulled. No partition is called so."""
    return f"{stream.part}~"


def _key(stream: Stream, partition: Partition) -> str:
    return f"{stream.part}:{partition.key}" if stream.part else partition.key


def _finished(state: Cursor | None, pull: Pull) -> bool:
    """Whether an earlier attempt of this run has come to the end of it."""
    if state is None or "walk" in state:
        return False
    return bool(state.get("done")) or (pull.run is not None and state.get("run") == pull.run)


def _dump(walk: Walk, ctx: Context, census: Census | None) -> Cursor | None:
    """The walk's state, with what the session has to know besides."""
    cursor = walk.dump()
    if cursor is None:
        return None
    if "walk" in cursor:
        cursor["walk"] |= {"size": ctx.size}
    if walk.span is None and ctx.partition.mark is not None:
        cursor["seen"] = ctx.partition.mark
    return cursor | (census.state if census is not None else {})


def _size_of(state: Cursor | None, stream: Stream) -> int:
    """How long the pages were that a stored token counts."""
    return int(((state or {}).get("walk") or {}).get("size") or stream.page_size)


def _unchanged(partition: Partition, state: Cursor | None, pull: Pull) -> bool:
    if state is None or partition.mark is None or pull.start is not None or "walk" in state:
        return False
    return bool(state.get("seen") == partition.mark)


async def _batched(found: AsyncIterator[Partition], size: int) -> AsyncIterator[list[Partition]]:
    batch: list[Partition] = []
    async for partition in found:
        batch.append(partition)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
