"""Pull an account of an HTTP platform as its connector declares it: walk partitions and pages, keep cursors honest.

The session yields a page only with the cursor from which a later pull continues after exactly that page. It may stop
anywhere. It never sleeps for long: what has to wait raises RateLimited with the time, and the run parks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.base import Account, Cursor, Page, Pull, find_sync_type
from connectors.http.api import REPEATS, Api, Sleep, utc_now
from connectors.http.cursors import Asked, DateWindow, Walk
from connectors.http.errors import GoneError, ResetError, ShrinkError, UnreadableError
from connectors.http.listed import Census
from connectors.http.pagers import Token
from connectors.http.reports import ReportJob
from connectors.http.request import WHOLE, Context, Partition, Reply, Request, Span
from connectors.http.streams import HttpConnector, Record, Stream, find_items
from connectors.http.times import day_start
from connectors.records import MetricRecord, Rejected, Warned
from sync.base.errors import Permanent, RateLimited, Transient

if TYPE_CHECKING:
    import ssl

    import httpx

Handed = Record | Rejected | Warned
BATCH = 100
"""Partitions whose cursors are loaded together."""
RECOVER = 5
"""Good pages after which a shrunken page size grows again."""
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
        walker = _Walker(self.api, stream, walk, ctx, census)
        try:
            while (span := walk.span) is not None:
                ctx.span = span
                async for records in walker.step():
                    if walk.span is None and not records and walk.idle and partition.mark is None and census is None:
                        return
                    cursor = walk.dump()
                    if census is not None and cursor is not None:
                        if walk.span is None:
                            records.extend(await census.close())
                        cursor |= census.state
                    if cursor is not None and "walk" in cursor:
                        cursor["walk"] |= {"size": ctx.size}
                    if cursor is not None and walk.span is None and partition.mark is not None:
                        cursor["seen"] = partition.mark
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


class _Walker:
    """Reads pages of one partition, adapting to what the vendor can bear."""

    def __init__(self, api: Api, stream: Stream, walk: Walk, ctx: Context, census: Census | None = None) -> None:
        self._api, self._stream, self._walk, self._ctx, self._census = api, stream, walk, ctx, census
        self._job = ReportJob(api, stream.report, walk, ctx) if stream.report else None
        self._span: Span | None = None
        self._first: Request | None = None
        self._tokens: set[str] = set()
        self._repeats = 0
        self._pages = 0
        self._resets = 0
        self._good = 0

    async def step(self) -> AsyncIterator[list[Handed]]:
        """Read one page (or move a report on) and give its records; the walk is at the place after it."""
        if self._walk.span != self._span:
            self._span, self._first, self._tokens = self._walk.span, None, set()
        if self._job is not None and self._first is None:
            async for _ in self._job.advance():
                yield []
                if self._walk.span != self._span:
                    return
            self._first = self._job.request
        token = self._walk.token
        try:
            reply = await self._read()
            items = find_items(self._stream.items, reply)
            following = self._stream.pager.next(reply, items, self._ctx, token)
        except ShrinkError as error:
            self._shrink(error)
            return
        except ResetError as error:
            self._reset(error)
            return
        if following is not None and not self._advances(following, token, items):
            return
        records = self._records(items, reply)
        self._walk.saw(items, following)
        if self._census is not None:
            self._census.saw(items, following)
        self._grow()
        self._pages += 1
        if self._pages > self._stream.max_pages:
            raise Permanent(f"{self._stream.name} has more than {self._stream.max_pages} pages.")
        yield records

    async def _read(self) -> Reply:
        if self._first is None:
            assert self._stream.request is not None
            self._first = self._stream.request(self._ctx)
        token = self._walk.token
        request = self._first if token is None else self._stream.pager.apply(self._first, token)
        return await self._api.call(request, self._ctx, self._stream.verdicts)

    def _advances(self, following: Token, token: Token | None, items: Sequence[Any]) -> bool:
        """Whether the next token leads on. An empty page may lead to itself for a while: it is asked for again."""
        name = msgspec.json.encode(following).decode()
        if following == token and not items and self._repeats < REPEATS:
            self._repeats += 1
            return False
        if name in self._tokens or following == token:
            self._reset(Permanent("The pages do not advance: the same page token came twice.", code="repeated_page"))
            return False
        self._tokens.add(name)
        self._repeats = 0
        return True

    def _reset(self, error: Exception) -> None:
        """Walk again from the last mark, once."""
        self._resets += 1
        if self._resets > 1:
            raise error if isinstance(error, Permanent) else Transient(str(error), code="reset_cursor")
        self._walk.restart()
        if self._census is not None:
            self._census.spoil()
        self._first, self._tokens, self._ctx.span = None, set(), self._walk.span or Span()

    def _shrink(self, error: ShrinkError) -> None:
        """Fewer items, then fewer days."""
        stream = self._stream
        at_start = self._walk.token is None
        if self._ctx.size > stream.min_page_size and (at_start or stream.pager.resizable):
            self._ctx.size = max(self._ctx.size // 2, stream.min_page_size)
        elif not self._walk.shrink():
            raise Transient(error.message, **error.fields)
        self._good = 0
        self._first, self._ctx.span = None, self._walk.span or Span()

    def _grow(self) -> None:
        """Back towards the usual page size, some pages after the vendor could not bear it."""
        self._good += 1
        if self._ctx.size < self._stream.page_size and self._good >= RECOVER and self._stream.pager.resizable:
            self._ctx.size, self._good = min(self._ctx.size * 2, self._stream.page_size), 0
            self._first = None if self._job is None else self._first

    def _records(self, items: Iterable[Any], reply: Reply) -> list[Handed]:
        ctx, mapper = self._ctx, self._stream.map
        ctx.body = None if reply.request.raw else reply.data
        final_before = self._final_before()
        out: list[Handed] = []
        for item in items:
            try:
                if not self._walk.wants(item):
                    continue
                found = mapper(item, ctx)
                for record in (found,) if isinstance(found, msgspec.Struct) else found or ():
                    if isinstance(record, MetricRecord):
                        if record.is_final is None:
                            record.is_final = final_before is not None and record.end <= final_before
                    elif record.raw is None:
                        record.raw = item
                    out.append(record)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"[:500]
                out.append(Rejected(error=text, raw=item, place=ctx.partition.key or None))
        ctx.body = None
        return out

    def _final_before(self) -> datetime | None:
        kind = self._stream.cursor
        if isinstance(kind, DateWindow) and kind.settle is not None:
            return self._ctx.now - kind.settle
        return None


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
