"""Walks through pages: what ends them, what resumes them, what the vendor's answers do to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import msgspec
import pytest

from connectors.http import (
    ASC,
    GONE,
    NONE,
    RESET_CURSOR,
    Budget,
    Ephemeral,
    Snapshot,
    Watermark,
    back_walk,
    on,
    problem_at,
    sequence,
)
from connectors.http.times import iso
from sync.base.errors import (
    ConfigurationError,
    Permanent,
    RateLimited,
    Transient,
)
from tests.fakes.vendor import NOW, Script, Shelf, collect
from tests.unit.connectors.http.feeds import ROOMS, STREAM, at, connector, ids, item, page

# --- walks


async def test_a_newest_first_walk_moves_its_mark_when_it_closes() -> None:
    shelf = Shelf()
    script = Script(page(5, 4, following="b"), page(3, 2, following="c"), page(1))
    assert ids(await collect(connector(), "posts", script, shelf)) == [5, 4, 3, 2, 1]
    assert [params.get("cursor") for params in script.params] == [None, "b", "c"]
    assert shelf.cursors[""]["mark"] == iso(item(5)["at"]).isoformat(timespec="microseconds")
    assert "walk" not in shelf.cursors[""]

    # Without a filter at the vendor it ends at a page that lies wholly before the mark.
    script = Script(page(6, 5, following="b"), page(4, 3, following="c"))
    assert ids(await collect(connector(), "posts", script, shelf)) == [6, 5, 4, 3]
    assert script.params[0]["since"].startswith(iso(item(5)["at"]).isoformat())


async def test_a_stopped_walk_is_a_known_hole() -> None:
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(5, 4, following="b")), shelf, stop_after=1)
    assert shelf.cursors[""]["mark"] is None
    # Something new came on top meanwhile. First the hole from the token, then what is new.
    script = Script(page(3, 2), page(6, 5, following="x"), page(4, 3))
    assert ids(await collect(connector(), "posts", script, shelf)) == [3, 2, 6, 5, 4, 3]
    assert [params.get("cursor") for params in script.params] == ["b", None, "x"]
    assert shelf.cursors[""]["mark"].startswith(iso(item(6)["at"]).isoformat()[:19])


async def test_a_walk_leaves_the_state_alone_that_it_began_with() -> None:
    """Whoever keeps it compares the next cursor with it, to see that pages advance."""
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(5, 4, following="b")), shelf, stop_after=1)
    begun, copy = shelf.cursors[""], msgspec.json.encode(shelf.cursors[""])
    await collect(connector(), "posts", Script(page(3, 2, following="c")), shelf, stop_after=1)
    assert msgspec.json.encode(begun) == copy
    assert shelf.cursors[""] != begun


async def test_an_old_token_is_not_used_again() -> None:
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(5, 4, following="b")), shelf, stop_after=1)
    script = Script(page(4, 3, 2), page(5))
    script.time += timedelta(hours=2)
    assert ids(await collect(connector(), "posts", script, shelf)) == [4, 3, 2, 5]
    assert "cursor" not in script.params[0]
    assert script.params[0]["until"] > item(4)["at"]


async def test_a_dead_token_restarts_the_walk_once() -> None:
    dead = httpx.Response(400, json={"error": "bad_cursor"})
    made = connector(problem=problem_at("error"), verdicts=(on(code="bad_cursor", then=RESET_CURSOR),))
    script = Script(page(3, 2, following="b"), dead, page(2, 1))
    shelf = Shelf()
    assert ids(await collect(made, "posts", script, shelf)) == [3, 2, 2, 1]
    with pytest.raises(Transient):
        await collect(made, "posts", Script(page(9, following="b"), dead, page(9, following="b"), dead), shelf)


async def test_an_empty_page_with_a_token_goes_on_and_a_repeated_token_is_an_error() -> None:
    script = Script(page(3, following="b"), page(following="c"), page(2))
    assert ids(await collect(connector(), "posts", script)) == [3, 2]
    # The same token again: from the start once more, then it is a fault of the vendor.
    circle = Script(handler=lambda _request: page(3, following="b"))
    with pytest.raises(Permanent, match="do not advance"):
        await collect(connector(), "posts", circle)
    assert len(circle.requests) <= 6


async def test_an_ascending_walk_moves_its_mark_with_every_page() -> None:
    made = connector(replace(STREAM, cursor=Watermark(at, order=ASC)))
    shelf = Shelf()
    await collect(made, "posts", Script(page(1, 2, following="b")), shelf, stop_after=1)
    assert shelf.cursors[""]["mark"].startswith(iso(item(2)["at"]).isoformat()[:19])


async def test_an_unordered_walk_never_passes_its_own_start() -> None:
    made = connector(replace(STREAM, cursor=Watermark(at, order=NONE)))
    shelf = Shelf()
    await collect(made, "posts", Script(page(7, 500, 3)), shelf)  # 500 lies in the future
    assert shelf.cursors[""]["mark"] == NOW.isoformat(timespec="microseconds")


async def test_a_reread_goes_back_now_and_then() -> None:
    cursor = back_walk(at, stop=False, reread=timedelta(days=2), reread_every=timedelta(hours=6))
    made, shelf = connector(replace(STREAM, cursor=cursor)), Shelf()
    await collect(made, "posts", Script(page(90)), shelf)
    script = Script(page(90))
    await collect(made, "posts", script, shelf)
    assert script.params[0]["since"] == iso(item(90)["at"]).isoformat()
    script = Script(page(90))
    script.time += timedelta(hours=7)
    await collect(made, "posts", script, shelf)
    assert script.params[0]["since"] == (script.time - timedelta(days=2)).isoformat()


async def test_growing_ids() -> None:
    cursor = sequence(lambda raw: int(raw["id"]), floor=lambda moment: int(moment.timestamp()))
    made, shelf = connector(replace(STREAM, cursor=cursor)), Shelf()
    await collect(made, "posts", Script(page(1, 2, following="b"), page(3)), shelf)
    assert shelf.cursors[""]["mark"] == 3
    script = Script(page())
    await collect(made, "posts", script, shelf)
    assert script.params[0]["since"] == "3"


async def test_a_backfill_covers_its_days_alone() -> None:
    first = (NOW - timedelta(days=3)).date()
    script = Script(page(99, 60, 40, following="b"), page(30, 1))
    shelf = Shelf()
    found = await collect(connector(), "posts", script, shelf, start=first, end=first)
    day = [number for number in range(101) if iso(item(number)["at"]).date() == first]  # type: ignore[union-attr]
    assert set(ids(found)) == {number for number in (99, 60, 40, 30, 1) if number in day}
    assert shelf.cursors[""]["mark"] is None
    again = Script()
    assert await collect(connector(), "posts", again, shelf, start=first, end=first) == []
    assert again.requests == []


async def test_nothing_new_writes_nothing() -> None:
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(1)), shelf)
    before = dict(shelf.cursors)
    await collect(connector(), "posts", Script(page()), shelf, run=7)
    assert shelf.cursors == before


# --- partitions


async def test_each_partition_has_its_own_cursor_and_a_known_mark_is_passed_over() -> None:
    shelf = Shelf()
    listed = [{"id": "a", "mark": 1}, {"id": "b", "mark": 1}]
    assert ids(await collect(connector(ROOMS), "posts", Script(listed, page(1), page(2)), shelf)) == [1, 2]
    assert set(shelf.cursors) == {"a", "b"}
    script = Script([{"id": "a", "mark": 1}, {"id": "b", "mark": 2}], page(3, 2))
    assert ids(await collect(connector(ROOMS), "posts", script, shelf)) == [3, 2]
    assert script.requests[1].url.path == "/v1/rooms/b"


async def test_a_later_attempt_of_the_run_passes_over_what_is_done() -> None:
    shelf, listed = Shelf(), [{"id": "a"}, {"id": "b"}]
    limited = httpx.Response(429, headers={"retry-after": "30"}, json={})
    with pytest.raises(RateLimited) as parked:
        await collect(connector(ROOMS), "posts", Script(listed, page(1), limited), shelf, run=4)
    assert parked.value.retry_after_s == 30
    script = Script(listed, page(2))
    script.time += timedelta(seconds=31)
    assert ids(await collect(connector(ROOMS), "posts", script, shelf, run=4)) == [2]


async def test_quiet_partitions_are_remembered_when_the_run_parks() -> None:
    """Else a run with more quiet partitions than calls would never get beyond the first ones."""
    shelf, listed = Shelf(), [{"id": "a"}, {"id": "b"}]
    await collect(connector(ROOMS), "posts", Script(listed, page(1), page(1)), shelf, run=1)
    limited = httpx.Response(429, json={})
    with pytest.raises(RateLimited):
        await collect(connector(ROOMS), "posts", Script(listed, page(), limited), shelf, run=2)
    script = Script(listed, page(5, 1))
    assert ids(await collect(connector(ROOMS), "posts", script, shelf, run=2)) == [5, 1]
    assert script.requests[1].url.path == "/v1/rooms/b"


async def test_a_partition_that_is_gone_is_left_out() -> None:
    gone = httpx.Response(404, json={})
    script = Script([{"id": "a"}, {"id": "b"}], gone, page(2))
    assert ids(await collect(connector(ROOMS), "posts", script)) == [2]
    with pytest.raises(Permanent):
        await collect(connector(), "posts", Script(gone))


async def test_a_throttled_partition_lets_the_others_go_on() -> None:
    made = connector(ROOMS, budgets=(Budget("room", per_part=True, endpoints=("room",)),))
    limited = httpx.Response(429, headers={"retry-after": "30"}, json={})
    script = Script([{"id": "a"}, {"id": "b"}], limited, page(2))
    shelf = Shelf()
    with pytest.raises(RateLimited):
        await collect(made, "posts", script, shelf)
    assert set(shelf.cursors) == {"b"}


async def test_parts_of_a_sync_type_run_one_after_another() -> None:
    first = replace(STREAM, part="one")
    second = replace(STREAM, part="two", every=timedelta(hours=1))
    made, shelf = connector(first, second), Shelf()
    assert ids(await collect(made, "posts", Script(page(1), page(2)), shelf)) == [1, 2]
    assert set(shelf.cursors) == {"one:", "two:", "two~"}, "and when the slower one was pulled"
    assert [sync_type.name for sync_type in made.sync_types] == ["posts"]


# --- declarations


def test_contradictory_declarations_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        connector(replace(STREAM, request=None))
    with pytest.raises(ConfigurationError):
        connector(STREAM, STREAM)


def test_sync_types_say_what_they_can() -> None:
    made = connector(
        STREAM, replace(STREAM, name="presence", cursor=Ephemeral()), replace(STREAM, name="p", cursor=Snapshot())
    )
    assert [sync_type.backfills for sync_type in made.sync_types] == [True, False, False]
    assert on(then=GONE).then is GONE
