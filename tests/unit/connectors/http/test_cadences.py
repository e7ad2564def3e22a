"""Parts of a sync type that are pulled less often than the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.http import Context, HttpConnector, Partition, Snapshot, Static, Stream, get, on
from connectors.http.verdicts import THROTTLED
from connectors.records import ActivityRecord
from sync.base.errors import RateLimited
from tests.fakes.vendor import Script, Shelf, account, collect

HOUR = timedelta(hours=1)


def record(raw: dict[str, Any], _ctx: Context) -> ActivityRecord:
    return ActivityRecord(kind="profile", vendor_id=str(raw["id"]), occurred_at=None)


async def places(_api: Any, _ctx: Context) -> Any:
    yield Partition("a")
    yield Partition("b")


def stream(part: str, every: timedelta, **more: Any) -> Stream:
    def request(ctx: Context) -> Any:
        return get(f"/{part}/{ctx.partition.key}", endpoint=part)

    return Stream("profile", part, every, part=part, map=record, request=request, cursor=Snapshot(), **more)


FAST, SLOW = stream("fast", HOUR), stream("slow", 6 * HOUR, partitions=places)


def connector(*streams: Stream) -> HttpConnector:
    return HttpConnector("fake", "Fake", "https://api.example.com", Static("token"), streams=streams)


async def asked(made: HttpConnector, shelf: Shelf, after: timedelta, run: int, **pull: Any) -> list[str]:
    script = Script(handler=lambda request: {"data": [{"id": request.url.path}]})
    script.time += after
    await collect(made, "profile", script, shelf, run=run, **pull)
    return [request.url.path for request in script.requests]


async def test_a_slow_part_is_passed_over_until_its_time() -> None:
    made, shelf = connector(FAST, SLOW), Shelf()
    assert next(iter(made.sync_types)).every == HOUR
    everything = ["/fast/", "/slow/a", "/slow/b"]
    assert await asked(made, shelf, 0 * HOUR, 1, scheduled=True) == everything
    assert await asked(made, shelf, 1 * HOUR, 2, scheduled=True) == ["/fast/"]
    assert await asked(made, shelf, 2 * HOUR, 3) == everything, "somebody asked for it"
    assert await asked(made, shelf, 7 * HOUR, 4, scheduled=True) == ["/fast/"]
    assert await asked(made, shelf, 8 * HOUR, 5, scheduled=True) == everything


async def test_a_part_that_had_to_wait_is_not_done() -> None:
    made = connector(FAST, replace(SLOW, verdicts=(on(status=429, then=THROTTLED, after=60.0),)))
    shelf = Shelf()

    def answer(request: httpx.Request) -> Any:
        return httpx.Response(429) if request.url.path == "/slow/b" else {"data": []}

    with pytest.raises(RateLimited):
        script = Script(handler=answer)
        await collect(made, "profile", script, shelf, run=1, scheduled=True, owner=account(script))
    # Its run comes back for what is left.
    assert await asked(made, shelf, HOUR, 1, scheduled=True) == ["/slow/b"]
    assert await asked(made, shelf, HOUR, 1, scheduled=True) == [], "and has nothing more to do"
