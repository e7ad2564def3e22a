"""Answers of very many records are handed over in parts, and only the last part moves the cursor."""

from __future__ import annotations

from datetime import timedelta

import httpx

from connectors.base import Page, Pull
from connectors.http import Context, HttpConnector, Snapshot, Static, Stream, get
from connectors.http.session import MOST_RECORDS, open_session
from connectors.records import ActivityRecord
from tests.fakes.vendor import Script, account


def connector(count: int) -> HttpConnector:
    def many(item: dict[str, int], ctx: Context) -> list[ActivityRecord]:
        return [ActivityRecord(kind="post", vendor_id=str(n), occurred_at=ctx.now) for n in range(count)]

    stream = Stream(
        "posts",
        "Posts",
        every=timedelta(minutes=1),
        request=lambda ctx: get("/posts"),
        cursor=Snapshot(),
        map=many,
    )
    return HttpConnector(
        platform="many", title="Many", base_url="https://many.example", auth=Static(), streams=(stream,)
    )


async def pages(count: int) -> list[Page]:
    script = Script({"data": [{}]})
    transport = httpx.MockTransport(script)
    async with open_session(connector(count), account(script), transport=transport, now=script.now) as session:
        return [page async for page in session.pages(Pull("posts", None))]


async def test_a_large_answer_comes_in_parts() -> None:
    found = await pages(2 * MOST_RECORDS + 1)
    assert [len(page.records) for page in found] == [MOST_RECORDS, MOST_RECORDS, 1]
    assert [page.cursor is None for page in found] == [True, True, False]
    ids = [record.vendor_id for page in found for record in page.records]
    assert ids == [str(number) for number in range(2 * MOST_RECORDS + 1)]


async def test_the_last_part_is_never_empty_and_an_empty_answer_still_moves_the_cursor() -> None:
    full = await pages(MOST_RECORDS)
    assert [(len(page.records), page.cursor is None) for page in full] == [(MOST_RECORDS, False)]
    empty = await pages(0)
    assert [(len(page.records), page.cursor is None) for page in empty] == [(0, False)]
