"""Whatever interrupts a walk, and however the feed grows meanwhile, nothing is missed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http import ASC, NONE, Context, CursorPager, HttpConnector, Static, Stream, Watermark, back_walk, get
from connectors.http.times import iso
from connectors.records import ActivityRecord
from sync.base.errors import Transient
from tests.fakes.vendor import Script, Shelf, collect

SIZE = 2


class Feed:
    """A vendor's list: newest first, oldest first, or by id; with or without a filter by time."""

    def __init__(self, order: str, *, filters: bool) -> None:
        self.order, self.filters = order, filters
        self.times: list[datetime] = []

    def grow(self, count: int, script: Script) -> None:
        for number in range(count):
            if number % 2:  # two at the same moment
                script.time += timedelta(seconds=2)
            self.times.append(script.time)

    def answer(self, request: httpx.Request) -> dict[str, Any]:
        params = request.url.params
        numbers = list(range(len(self.times)))
        if self.order == "desc":
            numbers.reverse()
        elif self.order == "none":
            numbers.sort(key=lambda number: (number * 7919) % 101)
        if self.filters:
            since, until = iso(params.get("since")), iso(params.get("until"))
            numbers = [n for n in numbers if since is None or self.times[n] >= since]
            numbers = [n for n in numbers if until is None or self.times[n] < until]
        cursor = params.get("cursor")
        if cursor is not None:
            place = int(cursor)
            if self.order == "none":
                numbers = numbers[numbers.index(place) + 1 :] if place in numbers else []
            else:
                numbers = [n for n in numbers if (n < place if self.order == "desc" else n > place)]
        page = numbers[:SIZE]
        following = str(page[-1]) if len(numbers) > SIZE else None
        return {"data": [{"id": n, "at": self.times[n].isoformat()} for n in page], "next": following}


def request(ctx: Context) -> Any:
    since = ctx.since.isoformat() if isinstance(ctx.since, datetime) else None
    until = ctx.until.isoformat() if isinstance(ctx.until, datetime) else None
    return get("/feed", since=since, until=until)


def record(raw: dict[str, Any], _ctx: Context) -> ActivityRecord:
    return ActivityRecord(kind="post", vendor_id=str(raw["id"]), occurred_at=iso(raw["at"]))


def read_at(raw: dict[str, Any]) -> datetime | None:
    return iso(raw["at"])


STREAM = Stream(
    "posts",
    "Posts",
    timedelta(minutes=1),
    map=record,
    request=request,
    pager=CursorPager("next", "cursor"),
    page_size=SIZE,
)
KINDS = {
    "desc": back_walk(read_at, overlap=timedelta(seconds=1)),
    "asc": Watermark(read_at, order=ASC, overlap=timedelta(seconds=1)),
    "none": Watermark(read_at, order=NONE, overlap=timedelta(minutes=5)),
}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(1, 8)),
        st.tuples(st.just("pull"), st.integers(1, 4)),
        st.tuples(st.just("fail"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 60, 7200])),
    ),
    max_size=14,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.booleans(), steps)
def test_nothing_is_missed(order: str, filters: bool, plan: list[tuple[str, int]]) -> None:
    asyncio.run(_play(order, filters, plan))


async def _play(order: str, filters: bool, plan: list[tuple[str, int]]) -> None:
    feed, shelf, script = Feed(order, filters=filters), Shelf(), Script()
    connector = HttpConnector(
        "fake", "Fake", "https://x.example", Static(), streams=(replace(STREAM, cursor=KINDS[order]),)
    )
    found: list[Any] = []
    left = [1_000_000]

    def handler(asked: httpx.Request) -> Any:
        left[0] -= 1
        if left[0] < 0:
            return httpx.ConnectError("gone")
        if order != "none" and len(script.requests) % 3 == 0:
            feed.grow(1, script)  # while it is read
        return feed.answer(asked)

    script.handler = handler
    for what, number in plan:
        script.time += timedelta(seconds=3)
        if what == "grow":
            feed.grow(number, script)
        elif what == "wait":
            script.time += timedelta(seconds=number)
        else:
            left[0] = number if what == "fail" else 1_000_000
            stop_after = number if what == "pull" else None
            with suppress(Transient):
                await collect(connector, "posts", script, shelf, stop_after=stop_after, into=found)
    left[0] = 1_000_000
    everything = {str(number) for number in range(len(feed.times))}
    script.time += timedelta(seconds=3)
    await collect(connector, "posts", script, shelf, into=found)
    assert {one.vendor_id for one in found} >= everything
