"""A made-up platform: a feed, its pages, and what becomes of an item."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connectors.http import (
    Context,
    CursorPager,
    HttpConnector,
    Partition,
    Static,
    Stream,
    back_walk,
    get,
)
from connectors.http.times import iso
from connectors.records import ActivityRecord
from tests.fakes.vendor import NOW

PAGER = CursorPager("next", "cursor")


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "at": (NOW - timedelta(hours=100) + timedelta(hours=number)).isoformat(), **more}


def page(*numbers: int, following: str | None = None) -> dict[str, Any]:
    return {"data": [item(number) for number in numbers], "next": following}


def record(raw: dict[str, Any], _ctx: Context) -> ActivityRecord:
    return ActivityRecord(kind="post", vendor_id=raw["id"], occurred_at=iso(raw["at"]))


def at(raw: dict[str, Any]) -> datetime | None:
    return iso(raw["at"])


def list_request(ctx: Context) -> Any:
    since = ctx.since.isoformat() if isinstance(ctx.since, datetime) else ctx.since
    until = ctx.until.isoformat() if isinstance(ctx.until, datetime) else ctx.until
    return get("/items", endpoint="items", since=since, until=until, limit=ctx.size)


STREAM = Stream(
    "posts", "Posts", timedelta(minutes=1), map=record, request=list_request, pager=PAGER, cursor=back_walk(at)
)


def connector(*streams: Stream, **options: Any) -> HttpConnector:
    return HttpConnector(
        "fake", "Fake", "https://api.example.com/v1", Static("token"), streams=streams or (STREAM,), **options
    )


def ids(records: list[Any]) -> list[int]:
    return [int(found.vendor_id) for found in records]


async def rooms(api: Any, _ctx: Context) -> Any:
    reply = await api.call(get("/rooms"))
    for room in reply.data:
        yield Partition(room["id"], {"room": room["id"]}, mark=room.get("mark"))


ROOMS = replace(
    STREAM, partitions=rooms, request=lambda ctx: get(f"/rooms/{ctx.vars['room']}", endpoint="room", limit=ctx.size)
)
