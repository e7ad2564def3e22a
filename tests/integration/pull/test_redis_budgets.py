"""Budgets in Redis when Redis is killed, emptied, frozen and comes back: nothing stops, and no limit is forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from connectors.base import Claim
from sync.pull.budgets import PostgresBudgets
from sync.pull.redis_budgets import RETRY_S, RedisBudgets
from sync.store.engine import Database
from tests.fakes.killable import KillableRedis, killable_redis

MINUTE = Claim("minute", limit=20, window_s=60.0)
DAY = Claim("day", limit=20, window_s=86_400.0)


class Clock:
    """The processes' own: what they remember is as old as it says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def server() -> Iterator[KillableRedis]:
    with killable_redis() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


Process = Callable[[], RedisBudgets]


@pytest.fixture
async def process(server: KillableRedis, db: Database, clock: Clock) -> AsyncIterator[Process]:
    made: list[RedisBudgets] = []

    def make() -> RedisBudgets:
        made.append(RedisBudgets(server.url, "test", PostgresBudgets(db), monotonic=clock))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def take(budgets: RedisBudgets, claim: Claim, times: int) -> int:
    return sum([await budgets.take([claim]) is None for _ in range(times)])


async def test_without_redis_the_database_counts_for_all(process: Process, server: KillableRedis) -> None:
    server.kill()
    one, other = process(), process()
    assert await take(one, MINUTE, 12) + await take(other, MINUTE, 12) == 20


async def test_after_a_kill_a_short_window_is_waited_out(process: Process, server: KillableRedis) -> None:
    one, other = process(), process()
    assert await take(one, MINUTE, 5) == 5
    server.kill()
    for budgets in (one, other):
        delay = await budgets.take([MINUTE])
        assert delay is not None and delay.key == "minute"
        assert 0 < delay.seconds <= 62
    assert await take(other, Claim("another", limit=5, window_s=60.0), 9) == 5


async def test_after_a_kill_the_calls_of_a_long_window_still_count(process: Process, server: KillableRedis) -> None:
    one, other = process(), process()
    assert await take(one, DAY, 8) == 8
    assert await take(other, DAY, 4) == 4
    server.kill()
    assert await one.take([DAY]) is None
    assert await other.take([DAY]) is None
    assert await take(one, DAY, 10) + await take(other, DAY, 10) == 6


async def test_calls_made_meanwhile_count_when_redis_is_back(
    process: Process, server: KillableRedis, clock: Clock
) -> None:
    one, other = process(), process()
    server.kill()
    assert await take(one, DAY, 8) == 8
    server.restart()
    clock.ahead += RETRY_S
    assert await one.take([DAY]) is None
    assert await take(other, DAY, 20) == 11


async def test_a_redis_that_was_emptied_is_told_again(process: Process, server: KillableRedis) -> None:
    one, other = process(), process()
    assert await take(one, DAY, 8) == 8
    assert await take(one, MINUTE, 1) == 1
    server.kill()
    server.restart()
    assert await one.take([DAY]) is None
    assert await take(other, DAY, 20) == 11
    assert await one.take([MINUTE]) is not None
    assert await other.take([MINUTE]) is not None


async def test_what_a_vendor_forbade_outlives_redis(process: Process, server: KillableRedis, clock: Clock) -> None:
    one, other = process(), process()
    await one.block("minute", 600.0)
    assert await other.take([MINUTE]) is not None
    server.kill()
    for budgets in (one, other, process()):
        delay = await budgets.take([MINUTE])
        assert delay is not None and delay.seconds > 500
    server.restart()
    clock.ahead += RETRY_S
    for budgets in (one, other, process()):
        delay = await budgets.take([MINUTE])
        assert delay is not None and delay.seconds > 500


async def test_a_frozen_redis_holds_nobody_up_for_long(process: Process, server: KillableRedis) -> None:
    one = process()
    assert await one.take([MINUTE]) is None
    server.freeze()
    try:
        async with asyncio.timeout(20):
            assert await take(one, DAY, 5) == 5
    finally:
        server.thaw()
