from __future__ import annotations

import asyncio
import threading
import time

import pytest

from actors.watchdog import Watchdog


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def exits() -> list[int]:
    return []


def watchdog(clock: FakeTime, exits: list[int], dumps: list[str] | None = None) -> Watchdog:
    return Watchdog(20, clock=clock, exit=exits.append, dump=(dumps if dumps is not None else []).append)


def look_for(seconds: float, dog: Watchdog, clock: FakeTime) -> None:
    """What the thread does while the loop stands still: a look every quarter of the limit."""
    for _ in range(int(seconds / 5)):
        clock.now += 5
        dog.check()


def test_a_loop_that_stands_still_ends_the_process_and_says_why(clock: FakeTime, exits: list[int]) -> None:
    dumps: list[str] = []
    dog = watchdog(clock, exits, dumps)
    look_for(20, dog, clock)
    assert (exits, dumps) == ([], [])
    look_for(5, dog, clock)
    assert exits == [1]
    assert dumps == ["The event loop has stood still for 25 s; ending this process."]


async def test_a_ticking_loop_is_left_alone(clock: FakeTime, exits: list[int]) -> None:
    dog = watchdog(clock, exits)
    for _ in range(20):
        dog._tick(asyncio.get_running_loop())
        look_for(10, dog, clock)
    dog.stop()
    assert exits == []


def test_a_pause_of_the_whole_process_is_not_a_blocked_loop(clock: FakeTime, exits: list[int]) -> None:
    dog = watchdog(clock, exits)
    clock.now += 3600
    dog.check()
    look_for(20, dog, clock)
    assert exits == []
    look_for(5, dog, clock)
    assert exits == [1]


def test_the_age_of_the_last_tick_is_told(clock: FakeTime, exits: list[int]) -> None:
    dog = watchdog(clock, exits)
    clock.now += 7
    assert dog.loop_age_s() == 7


async def test_a_really_blocked_loop_is_noticed_by_the_thread() -> None:
    noticed = threading.Event()

    def leave(_code: int) -> None:
        noticed.set()

    dog = Watchdog(0.1, exit=leave, dump=lambda _reason: None)
    dog.start(asyncio.get_running_loop())
    assert not noticed.is_set()
    deadline = time.monotonic() + 5
    noticed.wait(deadline - time.monotonic())  # blocks this very loop
    dog.stop()
    assert noticed.is_set()
