"""Read the pages of one partition and make records of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from connectors.http.api import REPEATS, Api
from connectors.http.cursors import DateWindow, Walk
from connectors.http.errors import ResetError, ShrinkError
from connectors.http.listed import Census
from connectors.http.pagers import Token
from connectors.http.reports import ReportJob
from connectors.http.request import Context, Reply, Request, Span
from connectors.http.streams import Record, Stream, find_items
from connectors.records import MetricRecord, Rejected, Warned
from sync.base.errors import Permanent, Transient

Handed = Record | Rejected | Warned
RECOVER = 5
"""Good pages after which a shrunken page size grows again."""


class Walker:
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
