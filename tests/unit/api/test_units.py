"""Work that outlives its request, and nudges that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest

from sync.api.control import Nudger
from sync.api.units import Units


@pytest.fixture
def units() -> Units:
    return Units(None)  # type: ignore[arg-type]


async def test_a_cancelled_caller_does_not_cancel_the_work(units: Units) -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    caller = asyncio.create_task(units.run(work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not ended.is_set()
    may_end.set()
    await units.close()
    assert ended.is_set()


async def test_results_and_errors_come_through(units: Units) -> None:
    async def answer() -> int:
        return 17

    async def fail() -> None:
        raise ValueError("no")

    assert await units.run(answer()) == 17
    with pytest.raises(ValueError, match="no"):
        await units.run(fail())


class SlowControl:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.begun = asyncio.Event()
        self.release = asyncio.Event()

    async def nudge_sync(self, org_id: str, platform: str) -> None:
        self.calls.append((org_id, platform))
        self.begun.set()
        await self.release.wait()


async def test_nudges_are_not_awaited_and_join_while_one_is_under_way(units: Units) -> None:
    control = SlowControl()
    nudger = Nudger(control, units)
    nudger.sync("acme", "email")
    await control.begun.wait()
    for _ in range(50):
        nudger.sync("acme", "email")
    nudger.sync("globex", "email")
    control.release.set()
    await units.close()
    assert control.calls.count(("acme", "email")) == 2, "one under way, one for all that came meanwhile"
    assert control.calls.count(("globex", "email")) == 1


async def test_a_hanging_or_failing_actor_costs_nobody_anything(units: Units) -> None:
    class Dead:
        async def nudge_sync(self, org_id: str, platform: str) -> None:
            raise ConnectionError("actor died")

    Nudger(SlowControl(), units, timeout_s=0.01).sync("acme", "email")
    Nudger(Dead(), units).sync("acme", "email")
    await units.close()
