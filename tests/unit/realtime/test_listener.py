"""What waits for a client, and what becomes of one that does not keep up."""

from __future__ import annotations

import asyncio
import math

import pytest

from sync.realtime.listener import Buffer, Limits, Listener
from sync.realtime.protocol import Frame, restarting

LIMITS = Limits(messages=8, bytes=10_000)


def frame(text: str = "x") -> Frame:
    return Frame(text)


def listener(limits: Limits = LIMITS) -> Listener:
    return Listener("acme", "ada", math.inf, limits)


def numbered(count: int) -> list[Frame]:
    return [frame(str(number)) for number in range(count)]


async def everything(one: Listener) -> list[str]:
    found: list[str] = []
    while one.waiting:
        found += [taken.text for taken in await one.take()]
    return found


def test_a_buffer_has_room_for_so_many() -> None:
    buffer = Buffer(LIMITS)
    assert [buffer.put(frame()) for _ in range(9)] == [True] * 8 + [False]
    assert len(buffer.take(3)) == 3 and buffer.put(frame())


def test_and_for_so_many_bytes() -> None:
    buffer = Buffer(LIMITS)
    assert buffer.put(frame("x" * 6000)) and not buffer.put(frame("x" * 6000))
    buffer.take()
    assert buffer.put(frame("x" * 6000))


def test_a_single_frame_may_be_of_any_size() -> None:
    buffer = Buffer(LIMITS)
    assert buffer.put(frame("x" * 50_000)) and not buffer.put(frame())


async def test_frames_are_taken_in_order() -> None:
    one = listener()
    for each in numbered(5):
        one.offer(each)
    assert await everything(one) == ["0", "1", "2", "3", "4"]


async def test_a_taker_waits_for_the_next_frame() -> None:
    one = listener()
    taking = asyncio.create_task(one.take())
    await asyncio.sleep(0)
    one.offer(frame("late"))
    assert [taken.text for taken in await taking] == ["late"]


async def test_what_does_not_fit_is_not_taken_and_the_rest_stays() -> None:
    one = listener()
    assert [one.offer(each) for each in numbered(9)] == [True] * 8 + [False]
    one.fall_behind()
    assert one.offer(frame("passed")) and not one.live
    assert await everything(one) == [str(number) for number in range(8)]


async def test_one_that_asks_and_does_not_listen_is_ended_and_keeps_nothing() -> None:
    one = listener()
    for each in numbered(9):
        one.push(each)
    assert one.closed is not None and (one.closed.code, one.closed.reason) == (4420, "slow-consumer")
    assert one.waiting == 0 and await one.take() == []


async def test_the_end_wakes_whoever_waits() -> None:
    one = listener()
    taking = asyncio.create_task(one.take())
    await asyncio.sleep(0)
    one.close(restarting())
    assert await taking == [] and one.closed == restarting()


async def test_the_first_reason_stays() -> None:
    one = listener()
    for each in numbered(9):
        one.push(each)
    one.close(restarting())
    assert one.closed is not None and one.closed.code == 4420


async def test_what_is_held_follows_what_was_read() -> None:
    one = listener()
    one.hold()
    one.offer(frame("live"))
    one.push(frame("read"))
    assert not one.live
    assert await one.release()
    assert one.live and await everything(one) == ["read", "live"]


async def test_too_much_to_hold_is_read_again_later() -> None:
    one = listener()
    one.hold()
    for each in numbered(9):
        one.offer(each)
    assert not await one.release() and one.closed is None and not one.live
    one.hold()
    one.offer(frame("live"))
    assert await one.release() and await everything(one) == ["live"]


async def test_more_may_be_held_than_fits_beside_what_waits() -> None:
    """What was held enters at the pace of the client, and what comes meanwhile stays behind it."""
    one = listener()
    one.hold()
    for each in numbered(8):
        one.offer(each)
    for each in numbered(8):
        one.push(each)
    releasing = asyncio.create_task(one.release())
    found: list[str] = []
    while len(found) < 16:
        found += [taken.text for taken in await one.take()]
    assert await releasing and one.closed is None
    assert found == [str(number) for number in [*range(8), *range(8)]]


async def test_room_is_what_the_client_makes() -> None:
    one = listener()
    for each in numbered(8):
        one.push(each)
    waiting = asyncio.create_task(one.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await one.take()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("method", ["room", "release"])
async def test_nobody_waits_for_a_client_that_has_gone(method: str) -> None:
    one = listener()
    one.hold()
    one.offer(frame())
    for each in numbered(8):
        one.push(each)
    waiting = asyncio.create_task(getattr(one, method)())
    await asyncio.sleep(0)
    one.close(restarting())
    assert await asyncio.wait_for(waiting, 5) in {None, True}
