"""Days that are too long, and stops in the middle of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.base import Credentials
from connectors.http import Context, CursorPager, DateWindow, HttpConnector, PagePager, Request, Static, Stream, get
from connectors.http.cursors import Asked
from connectors.http.errors import ShrinkError
from connectors.http.times import day_start
from connectors.records import MetricRecord
from tests.fakes.vendor import NOW, Script, Shelf, account, collect

HOUR = timedelta(hours=1)


def ask(ctx: Context) -> Request:
    assert ctx.span.starts_at is not None and ctx.span.ends_at is not None
    return get("/days", starts=ctx.span.starts_at.isoformat(), ends=ctx.span.ends_at.isoformat(), size=ctx.size)


def point(raw: dict[str, Any], ctx: Context) -> MetricRecord:
    assert ctx.span.starts_at is not None and ctx.span.ends_at is not None
    start, end = ctx.span.starts_at, ctx.span.ends_at
    return MetricRecord(entity=str(raw["id"]), entity_kind="ad", metric="m", value=1, start=start, end=end)


DAYS = Stream(
    "ads-metrics",
    "Ads",
    HOUR,
    map=point,
    request=ask,
    pager=CursorPager("next", "cursor"),
    cursor=DateWindow(step=1, lookback=1, recent=1, first=1),
)


def connector(stream: Stream) -> HttpConnector:
    return HttpConnector("fake", "Fake", "https://api.example.com", Static("token"), streams=(stream,))


def pages(*tokens: str | None) -> list[dict[str, Any]]:
    return [{"data": [{"id": number}], "next": token} for number, token in enumerate(tokens)]


async def test_a_stop_in_a_day_goes_on_from_its_page() -> None:
    made, shelf = connector(DAYS), Shelf()
    first = Script(*pages("b", "c"))
    await collect(made, "ads-metrics", first, shelf, stop_after=2)
    second = Script(*pages("d", None, None))
    await collect(made, "ads-metrics", second, shelf)
    assert [p.get("cursor") for p in first.params + second.params] == [None, "b", "c", "d", None]


@pytest.mark.parametrize("later", [timedelta(minutes=31), timedelta(hours=12)])
async def test_a_page_token_is_for_its_time_only(later: timedelta) -> None:
    """An old one has died; after midnight the last days are not the same any more."""
    made, shelf = connector(DAYS), Shelf()
    await collect(made, "ads-metrics", Script(*pages("b")), shelf, stop_after=1)
    script = Script(handler=lambda _request: {"data": []})
    script.time += later
    await collect(made, "ads-metrics", script, shelf)
    assert "cursor" not in script.params[0]


async def test_pages_that_were_made_shorter_stay_so_while_they_are_counted() -> None:
    """Page three of fifty is not page three of a hundred."""
    made, shelf = connector(replace(DAYS, pager=PagePager("page", pages="pages"))), Shelf()

    def answer(request: httpx.Request) -> dict[str, Any]:
        size, page = int(request.url.params["size"]), int(request.url.params.get("page", 1))
        rows = [{"id": number} for number in range(150)]
        return {"data": rows[(page - 1) * size : page * size], "pages": -(-150 // size)}

    script = Script(handler=answer)
    session_size = 50
    shrunk = connector(replace(made.streams[0], page_size=session_size))
    found = await collect(shrunk, "ads-metrics", script, shelf, stop_after=2)
    # The stream's usual size is a hundred; what was stored counts in fifties.
    found += await collect(made, "ads-metrics", script, shelf)
    first_day = min(record.start for record in found)
    assert {int(record.entity) for record in found if record.start == first_day} == set(range(150))


def spans(kind: DateWindow, zone: str, day: date, *, most: timedelta) -> list[tuple[datetime, datetime]]:
    """How one day is asked for when the vendor bears no more than `most` at a time."""
    walk, found = kind.begin({}, Asked(NOW, zone, day, day)), []
    while (span := walk.span) is not None:
        assert span.starts_at is not None and span.ends_at is not None
        if span.ends_at - span.starts_at > most:
            assert walk.shrink()
            continue
        found.append((span.starts_at, span.ends_at))
        walk.saw([], None)
        walk = kind.begin(walk.dump(), Asked(NOW, zone, day, day))
    return found


@pytest.mark.parametrize("day", [date(2026, 11, 10), date(2026, 10, 25), date(2026, 3, 29)], ids=str)
def test_a_day_that_is_too_much_is_asked_for_in_parts(day: date) -> None:
    """Every instant once, on days of 23 and 25 hours as well; a stop after each part."""
    zone = "Europe/Berlin"
    found = spans(DateWindow(step=1, finest=HOUR), zone, day, most=timedelta(hours=2))
    assert found[0][0] == day_start(day, zone) and found[-1][1] == day_start(day + timedelta(days=1), zone)
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]]
    assert all(end - start <= timedelta(hours=2) for start, end in found)


def test_a_day_is_the_least_unless_said_otherwise() -> None:
    walk = DateWindow(step=4).begin({}, Asked(NOW))
    assert [walk.shrink(), walk.shrink(), walk.shrink()] == [True, True, False]
    fine = DateWindow(step=1, finest=HOUR).begin({}, Asked(NOW))
    assert [fine.shrink() for _ in range(5)] == [True, True, True, True, False], "an hour and a half is the last"


async def test_a_pager_may_ask_for_less() -> None:
    class Thrifty(CursorPager):
        def next(self, reply: Any, items: Any, ctx: Context, token: Any) -> Any:
            assert ctx.span.starts_at is not None and ctx.span.ends_at is not None
            if ctx.span.ends_at - ctx.span.starts_at > timedelta(hours=12):
                raise ShrinkError("too much")
            return super().next(reply, items, ctx, token)

    kind = DateWindow(step=1, lookback=1, recent=1, first=0, finest=HOUR)
    made = connector(replace(DAYS, pager=Thrifty("next", "cursor"), cursor=kind, min_page_size=100))
    script = Script(handler=lambda _request: {"data": [{"id": 1}]})
    found = await collect(made, "ads-metrics", script, owner=account(script, credentials=Credentials({"token": "t"})))
    assert [record.end - record.start for record in found] == [timedelta(hours=12)] * 2
