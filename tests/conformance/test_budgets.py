"""One suite for every place where rate budgets are counted. Each `Process` is what one process of ours sees of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from connectors.base import Claim
from sync.base.settings import RedisSettings
from sync.pull.budgets import SharedBudgets, shared_budgets
from sync.store.engine import Database

Process = Callable[[], SharedBudgets]
APP = Claim("app", limit=20, window_s=60.0)


@pytest.fixture(params=["postgresql", "redis"])
async def process(request: pytest.FixtureRequest, db: Database) -> AsyncIterator[Process]:
    settings = RedisSettings()
    if request.param == "redis":
        # A prefix of its own for each test: the server is shared.
        settings = RedisSettings(url=request.getfixturevalue("redis_url"), prefix=f"t{time.monotonic_ns()}")
    made: list[SharedBudgets] = []

    def make() -> SharedBudgets:
        made.append(shared_budgets(db, settings))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def granted(takes: list[Awaitable[object]]) -> int:
    return sum(result is None for result in await asyncio.gather(*takes))


async def test_processes_share_a_budget_and_use_it_up(process: Process) -> None:
    both = (process(), process())
    assert sum([await both[number % 2].take([APP]) is None for number in range(40)]) == 20
    for one in both:
        delay = await one.take([APP])
        assert delay is not None and delay.key == "app"
        assert 50 <= delay.seconds <= 63


async def test_a_race_gives_out_no_call_twice(process: Process) -> None:
    processes = [process() for _ in range(4)]
    assert await granted([one.take([APP]) for one in processes for _ in range(15)]) == 20


async def test_a_call_takes_from_every_bucket_or_from_none(process: Process) -> None:
    one, other = process(), process()
    narrow = Claim("account", limit=2, window_s=60.0)
    for _ in range(5):
        await one.take([APP, narrow])
    delay = await other.take([narrow, APP])
    assert delay is not None and delay.key == "account"
    assert sum([await other.take([APP]) is None for _ in range(30)]) == 18


async def test_the_order_of_buckets_locks_nobody_out(process: Process) -> None:
    one, other = process(), process()
    wide = [Claim(name, limit=1000, window_s=60.0) for name in "abcd"]
    async with asyncio.timeout(30):
        takes = [one.take(wide) for _ in range(50)] + [other.take(wide[::-1]) for _ in range(50)]
        assert await granted(list(takes)) == 100


async def test_a_call_that_costs_more_than_the_limit_is_made_alone(process: Process) -> None:
    one = process()
    dear = Claim("points", limit=10, window_s=60.0, cost=25)
    assert await one.take([dear]) is None
    assert await one.take([Claim("points", limit=10, window_s=60.0)]) is not None


async def test_costs_are_counted(process: Process) -> None:
    one, other = process(), process()
    assert await one.take([Claim("points", limit=10, window_s=60.0, cost=7)]) is None
    assert await other.take([Claim("points", limit=10, window_s=60.0, cost=4)]) is not None
    assert await other.take([Claim("points", limit=10, window_s=60.0, cost=3)]) is None


async def test_a_block_stops_everybody_and_the_longest_counts(process: Process) -> None:
    one, other = process(), process()
    assert await other.take([Claim("fresh", limit=5, window_s=1.0)]) is None
    await one.block("app", 300.0)
    await one.block("app", 30.0)
    for claim in (APP, Claim("app")):
        for budgets in (one, process()):
            delay = await budgets.take([Claim("fresh"), claim])
            assert delay is not None and delay.key == "app"
            assert 290 <= delay.seconds <= 300


async def test_no_window_ever_holds_more_than_the_limit(process: Process) -> None:
    limit, window_s, calls = 8, 0.4, list[tuple[float, float]]()

    async def call(budgets: SharedBudgets) -> None:
        began = time.monotonic()
        while len(calls) < 5 * limit:
            delay = await budgets.take([Claim("quick", limit=limit, window_s=window_s)])
            if delay is None:
                calls.append((began, time.monotonic()))
                began = time.monotonic()
            else:
                assert 0 < delay.seconds <= 1.2 * window_s + 0.1
                await asyncio.sleep(delay.seconds)
                began = time.monotonic()

    async with asyncio.timeout(60):
        await asyncio.gather(*(call(budgets) for budgets in (process(), process()) for _ in range(2)))
    # When each was counted lies between the two times noted for it.
    latest = sorted(end for _, end in calls)
    earliest = sorted(begin for begin, _ in calls)
    assert all(later - early >= window_s for early, later in zip(earliest, latest[limit:], strict=False))
