"""Which pages share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from connectors.base import Page
from sync.pull.pulling import SHARED_RECORDS, _Fetch


def _page(number: int, *, records: int = 1, settle: bool = False) -> Page:
    return Page([number] * records, {"at": number}, more=True, settle=settle)


def _fetch(pages: AsyncGenerator[Page, None], shared_pages: int = 10) -> _Fetch:
    return _Fetch(pages, None, timeout_s=30.0, shared_pages=shared_pages)


async def _numbers(fetch: _Fetch) -> list[int]:
    return [page.records[0] for page in await fetch.batch()]


async def test_pages_that_come_fast_share() -> None:
    async def pages() -> AsyncGenerator[Page, None]:
        for number in range(7):
            yield _page(number)

    fetch = _fetch(pages(), shared_pages=3)
    assert [await _numbers(fetch) for _ in range(4)] == [[0, 1, 2], [3, 4, 5], [6], []]
    await fetch.stop()


async def test_a_page_is_not_held_back_for_a_slow_one() -> None:
    gate = asyncio.Event()

    async def pages() -> AsyncGenerator[Page, None]:
        yield _page(1)
        await gate.wait()
        yield _page(2)

    fetch = _fetch(pages())
    assert await _numbers(fetch) == [1]
    gate.set()
    assert await _numbers(fetch) == [2]
    await fetch.stop()


async def test_a_page_that_must_settle_ends_its_transaction() -> None:
    async def pages() -> AsyncGenerator[Page, None]:
        yield _page(1)
        yield _page(2, settle=True)
        yield _page(3)

    fetch = _fetch(pages())
    first = await fetch.batch()
    assert [page.records[0] for page in first] == [1, 2]
    fetch.stored(first)
    assert await _numbers(fetch) == [3]
    await fetch.stop()


async def test_a_transaction_stays_short() -> None:
    async def pages() -> AsyncGenerator[Page, None]:
        for number in range(4):
            yield _page(number, records=SHARED_RECORDS // 2)

    fetch = _fetch(pages())
    assert [await _numbers(fetch) for _ in range(3)] == [[0, 1], [2, 3], []]
    await fetch.stop()


async def test_what_is_read_ahead_is_bounded_by_records() -> None:
    fetched: list[int] = []

    async def pages() -> AsyncGenerator[Page, None]:
        for number in range(6):
            fetched.append(number)
            yield _page(number, records=SHARED_RECORDS)

    fetch = _fetch(pages())
    assert await _numbers(fetch) == [0]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(fetched) <= 2
    assert [await _numbers(fetch) for _ in range(6)] == [[1], [2], [3], [4], [5], []]
    await fetch.stop()
