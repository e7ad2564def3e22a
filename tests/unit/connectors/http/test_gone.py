"""Places that turn us away are left alone for a while: vendors count refusals, and ban for too many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import httpx

from connectors.http import Context, HttpConnector, Partition, Static, Stream, back_walk, get
from connectors.http.times import iso
from connectors.records import ActivityRecord
from tests.fakes.vendor import Script, Shelf, collect


async def rooms(_api: Any, _ctx: Context) -> AsyncIterator[Partition]:
    yield Partition("open")
    yield Partition("closed")


CONNECTOR = HttpConnector(
    platform="rooms",
    title="Rooms",
    base_url="https://rooms.example",
    auth=Static(),
    streams=(
        Stream(
            "messages",
            "Messages",
            every=timedelta(seconds=10),
            partitions=rooms,
            request=lambda ctx: get(f"/{ctx.partition.key}"),
            cursor=back_walk(lambda item: iso(item["at"])),
            map=lambda item, ctx: ActivityRecord(kind="message", vendor_id=item["id"], occurred_at=iso(item["at"])),
        ),
    ),
)


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/closed":
        return httpx.Response(404, json={})
    return httpx.Response(200, json={"data": [{"id": "1", "at": "2026-11-24T11:00:00Z"}]})


async def test_a_closed_room_is_asked_again_after_an_hour() -> None:
    script, shelf = Script(handler=answer), Shelf()

    async def asked(**pull: Any) -> list[str]:
        before = len(script.requests)
        await collect(CONNECTOR, "messages", script, shelf, **pull)
        return [request.url.path for request in script.requests[before:]]

    assert await asked(run=1) == ["/open", "/closed"]
    script.time += timedelta(minutes=59)
    assert await asked(run=2) == ["/open"]
    script.time += timedelta(minutes=61)
    assert await asked(run=3) == ["/open", "/closed"]


async def test_a_backfill_tries_again() -> None:
    script, shelf = Script(handler=answer), Shelf()
    shelf.cursors["closed"] = {"gone": script.time.timestamp(), "run": 1}
    await collect(CONNECTOR, "messages", script, shelf, run=2, start=date(2026, 11, 20))
    assert [request.url.path for request in script.requests] == ["/open", "/closed"]


async def test_a_room_that_opens_again_is_read_from_where_it_was() -> None:
    script, shelf = Script(handler=answer), Shelf()
    await collect(CONNECTOR, "messages", script, shelf, run=1)
    script.time += timedelta(hours=2)
    script.handler = lambda _request: {"data": [{"id": "2", "at": "2026-11-24T12:30:00Z"}]}
    found = await collect(CONNECTOR, "messages", script, shelf, run=2)
    assert [record.vendor_id for record in found] == ["2", "2"]
    assert "gone" not in shelf.cursors["closed"]
