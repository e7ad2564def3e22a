"""Deletions that show only by absence from a complete list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.http import Context, CursorPager, HttpConnector, Listed, Snapshot, Static, Stream, back_walk, get
from connectors.http import listed as module
from connectors.http.times import iso
from connectors.records import ActivityRecord, Warned
from sync.base.errors import RateLimited
from tests.fakes.vendor import NOW, Script, Shelf, account, collect


class Store:
    """Holds what pulls bring, as the runtime does."""

    def __init__(self) -> None:
        self.living_ids: set[str] = {"other:9"}
        self.warned: list[Warned] = []

    async def recent(self, kinds: Sequence[str], since: datetime) -> AsyncIterator[list[str]]:
        yield []

    async def living(self, kind: str, prefix: str, data: Mapping[str, str]) -> AsyncIterator[list[str]]:
        assert (kind, dict(data)) == ("profile", {"what": "friend"})
        found = sorted(it for it in self.living_ids if it.startswith(prefix))
        for at in range(0, len(found), 2):
            yield found[at : at + 2]

    def keep(self, records: list[Any]) -> list[str]:
        """What was marked as deleted."""
        marked = []
        for record in records:
            if isinstance(record, Warned):
                self.warned.append(record)
            elif record.deleted:
                marked.append(record.vendor_id)
                self.living_ids.discard(record.vendor_id)
            else:
                self.living_ids.add(record.vendor_id)
        return marked


def friend(raw: dict[str, Any], _ctx: Context) -> ActivityRecord:
    return ActivityRecord(kind="profile", vendor_id=f"friend:{raw['id']}", occurred_at=None, data={"what": "friend"})


FRIENDS = Stream(
    "profile",
    "Friends",
    timedelta(hours=1),
    map=friend,
    request=lambda ctx: get("/friends"),
    pager=CursorPager("next", "cursor"),
    cursor=Snapshot(),
    listed=Listed("profile", lambda item, _ctx: f"friend:{item['id']}", prefix="friend:", data={"what": "friend"}),
)


class Account:
    """One account, pulled again and again."""

    def __init__(self, stream: Stream = FRIENDS) -> None:
        self.made = HttpConnector("fake", "Fake", "https://api.example.com", Static("token"), streams=(stream,))
        self.store, self.shelf, self.runs = Store(), Shelf(), 0
        self.time = NOW

    async def pull(self, *pages: Any, stop_after: int | None = None) -> list[str]:
        answers = [
            {"data": page, "next": str(number) if number < len(pages) else None} if isinstance(page, list) else page
            for number, page in enumerate(pages, 1)
        ]
        script = Script(*answers)
        script.time, self.runs = self.time, self.runs + 1
        owner, into = account(script, known=self.store), list[Any]()
        try:
            await collect(
                self.made, "profile", script, self.shelf, stop_after=stop_after, owner=owner, into=into, run=self.runs
            )
        finally:
            marked = self.store.keep(into)
        return marked


def people(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in ids]


async def test_who_is_missing_twice_is_gone_and_may_come_back() -> None:
    me = Account()
    assert await me.pull(people(1, 2, 3), people(4, 5)) == []
    assert await me.pull(people(1, 2, 3), people(5)) == []
    assert await me.pull(people(1, 2), people(5)) == ["friend:4"], "the third is missing for the first time"
    assert await me.pull(people(1, 2, 3), people(4, 5)) == []
    assert me.store.living_ids == {"other:9", *(f"friend:{n}" for n in range(1, 6))}
    assert await me.pull(people(1, 2, 3, 4)) == []
    assert await me.pull(people(1, 2, 3, 4)) == ["friend:5"]
    assert not me.store.warned


async def test_what_is_not_complete_says_nothing() -> None:
    me = Account()
    await me.pull(people(1, 2), people(3))
    assert await me.pull(people(1, 2)) == []
    # Parked on the way, and then taken up from the stored page: neither for nor against it.
    with pytest.raises(RateLimited):
        await me.pull(people(1), httpx.Response(429, headers={"retry-after": "600"}))
    assert await me.pull(people(2)) == []
    assert await me.pull(people(1, 2)) == ["friend:3"], "twice in a row, without those in between"


async def test_an_item_that_cannot_be_read_spoils_the_count() -> None:
    me = Account(replace(FRIENDS, map=lambda item, ctx: friend(item, ctx) if "id" in item else None))
    await me.pull(people(1, 2))
    await me.pull(people(1))
    assert await me.pull([*people(1), {"name": "?"}]) == []
    assert await me.pull(people(1)) == ["friend:2"]


async def test_so_many_do_not_vanish_at_once() -> None:
    me = Account()
    everybody = people(*range(20))
    await me.pull(everybody)
    for _ in range(3):
        assert await me.pull(everybody[:13]) == []
    assert {(warned.over, "7 of 20" in warned.title) for warned in me.store.warned} == {(False, True)}
    me.store.warned.clear()
    assert await me.pull(everybody[:14]) == []
    assert [warned.over for warned in me.store.warned] == [True]
    assert await me.pull(everybody[:14]) == [f"friend:{n}" for n in range(14, 20)]
    assert len(me.store.warned) == 1


async def test_a_few_may_vanish_together_but_an_empty_list_may_be_closed_to_us() -> None:
    me = Account()
    await me.pull(people(1, 2, 3, 4))
    assert await me.pull(people(4)) == []
    assert await me.pull(people(4)) == ["friend:1", "friend:2", "friend:3"]
    for _ in range(3):
        assert await me.pull([]) == []
    assert not me.store.warned


async def test_a_list_that_is_too_long_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 3)
    me = Account()
    await me.pull(people(1, 2, 3, 4, 5))
    for _ in range(3):
        assert await me.pull(people(1, 2, 3, 4)) == []


async def test_a_walk_that_ends_at_what_is_known_says_nothing_until_it_goes_to_the_end() -> None:
    def at(item: dict[str, Any]) -> datetime | None:
        return iso(item["at"])

    walk = back_walk(at, reread=timedelta(days=900), reread_every=timedelta(hours=24))
    me = Account(replace(FRIENDS, cursor=walk))

    def listed(*ids: int) -> list[dict[str, Any]]:
        return [{"id": n, "at": (NOW - timedelta(days=100 - n)).isoformat()} for n in ids]

    await me.pull(listed(9, 8, 7), listed(6, 5, 4))
    for hours in (1, 2):
        me.time = NOW + timedelta(hours=hours)
        assert await me.pull(listed(9, 8), listed(7, 6), listed(5)) == [], "the last page is not asked for"
    for hours, gone in ((25, []), (50, ["friend:4"])):
        me.time = NOW + timedelta(hours=hours)
        assert await me.pull(listed(9, 8, 7), listed(6, 5)) == gone
