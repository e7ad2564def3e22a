"""Reading the event log while transactions begin and commit in any order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.base.errors import ConfigurationError
from sync.events import Event, EventLog, LoggedEvent, Position, append_events
from sync.store.engine import Database, Transaction


def happened(name: str, *, subject: str = "thing:1", org_id: str = "acme") -> Event:
    return Event(org_id, "thing.happened", subject, {"name": name})


async def read_all(
    db: Database, position: Position, *, limit: int = 100, org_id: str | None = None
) -> tuple[list[LoggedEvent], Position]:
    found: list[LoggedEvent] = []
    while True:
        events, after = await EventLog.read(db, position, limit=limit, org_id=org_id)
        if not events:
            return found, position
        found += events
        position = after


def names(events: list[LoggedEvent]) -> list[str]:
    return [event.payload["name"] for event in events]


async def write(db: Database, *events: Event) -> None:
    async with db.transaction() as tx:
        await append_events(tx, events)


async def test_a_slow_transaction_is_not_skipped(db: Database) -> None:
    begin = await EventLog.end(db)
    async with db.transaction() as slow:
        await append_events(slow, [happened("slow")])
        await write(db, happened("fast"))
        early, position = await read_all(db, begin)
        assert names(early) == [], "what lies above an open transaction waits for it"
    late, position = await read_all(db, position)
    assert names(late) == ["slow", "fast"]
    assert (await read_all(db, position))[0] == []


async def test_writers_of_one_subject_keep_their_order(db: Database) -> None:
    """The one that began first (and so has the lower transaction id) writes the subject last."""
    begin = await EventLog.end(db)
    async with db.transaction() as first:
        await append_events(first, [happened("other", subject="thing:2")])
        await write(db, happened("one"))
        await append_events(first, [happened("two")])
    for limit in (1, 2, 100):
        found, _ = await read_all(db, begin, limit=limit)
        assert [name for name in names(found) if name != "other"] == ["one", "two"]


async def test_an_event_has_its_context(db: Database) -> None:
    begin = await EventLog.end(db)
    event = Event("acme", "thing.happened", "thing:1", {"name": "x"}, version=2, causation_id=7, correlation_id="run:9")
    await write(db, event)
    [read], _ = await read_all(db, begin)
    assert (read.version, read.causation_id, read.correlation_id) == (2, 7, "run:9")
    assert read.created_at <= datetime.now(UTC)


async def test_one_org_reads_its_own(db: Database) -> None:
    begin = await EventLog.end(db)
    await write(db, happened("ours"), happened("theirs", org_id="globex"))
    found, _ = await read_all(db, begin, org_id="acme")
    assert names(found) == ["ours"]


async def test_a_replay_begins_where_it_is_told(db: Database) -> None:
    await write(db, *(happened(str(number)) for number in range(5)))
    everything, _ = await read_all(db, await EventLog.start(db), limit=2)
    assert names(everything) == ["0", "1", "2", "3", "4"]
    some, position = await read_all(db, await EventLog.start(db, after_id=everything[2].id))
    assert names(some) == ["3", "4"]
    await write(db, happened("5"))
    assert names((await read_all(db, position))[0]) == ["5"]
    recent = await EventLog.start(db, since=datetime.now(UTC) - timedelta(hours=1))
    assert len((await read_all(db, recent))[0]) == 6
    none_yet = await EventLog.start(db, since=datetime.now(UTC) + timedelta(hours=1))
    assert (await read_all(db, none_yet))[0] == []


def test_positions_are_text() -> None:
    assert Position.parse(str(Position(379))) == Position(379)
    for nonsense in ("", "1.2", "abc", "-3", "99999999999999999999", "²1"):
        with pytest.raises(ConfigurationError):
            Position.parse(nonsense)


# Each writer: does it begin by writing elsewhere, and how long (in steps) does it stay open.
WRITERS = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITERS, st.integers(1, 4))
async def test_whatever_the_order_of_commits_everything_is_read_once(
    db: Database, writers: list[tuple[bool, int]], limit: int
) -> None:
    position = await EventLog.end(db)
    gates = [asyncio.Event() for _ in writers]
    seen: list[LoggedEvent] = []

    async def writer(number: int, early: bool) -> None:
        async with db.transaction() as tx:
            if early:
                await append_events(tx, [happened(f"{number}-early", subject=f"other:{number}")])
            await _lock(tx)
            await append_events(tx, [happened(f"{number}")])
            await gates[number].wait()

    tasks = []
    for number, (early, _) in enumerate(writers):
        tasks.append(asyncio.create_task(writer(number, early)))
    for number in sorted(range(len(writers)), key=lambda one: writers[one][1]):
        gates[number].set()
        found, position = await read_all(db, position, limit=limit)
        seen += found
    await asyncio.gather(*tasks)
    found, _ = await read_all(db, position, limit=limit)
    seen += found
    assert len(seen) == len({event.id for event in seen}) == len(writers) + sum(early for early, _ in writers)
    of_one = [event.id for event in seen if event.subject == "thing:1"]
    assert of_one == sorted(of_one)


async def _lock(tx: Transaction) -> None:
    """Writers of one subject hold a row of it."""
    await tx.execute("SELECT pg_advisory_xact_lock(4711)")


async def test_a_long_transaction_elsewhere_delays_nobody(db: Database) -> None:
    begin = await EventLog.end(db)
    async with db.transaction() as long:
        await long.execute("CREATE TABLE something (id int)")
        await write(db, happened("now"))
        found, _ = await read_all(db, begin)
        assert names(found) == ["now"]
        await append_events(long, [happened("later")])
        await write(db, happened("behind"))
        found, position = await read_all(db, begin)
        assert names(found) == ["now"]
    assert names((await read_all(db, position))[0]) == ["later", "behind"]


async def test_a_savepoint_that_is_undone_announces_nothing_and_hides_nothing(db: Database) -> None:
    begin = await EventLog.end(db)
    async with db.transaction() as tx:
        await tx.execute("SAVEPOINT before")
        await append_events(tx, [happened("undone")])
        await tx.execute("ROLLBACK TO before")
        await write(db, happened("other"))
        assert names((await read_all(db, begin))[0]) == ["other"]
        await append_events(tx, [happened("mine")])
        await write(db, happened("third"))
        assert names((await read_all(db, begin))[0]) == ["other"]
    assert names((await read_all(db, begin))[0]) == ["other", "mine", "third"]


async def test_ids_beyond_31_bits(db: Database) -> None:
    for start in (2**31 - 2, 2**33 - 2):
        await db.execute("SELECT setval('event_id_seq', %s)", (start,))
        position = await EventLog.end(db)
        async with db.transaction() as slow:
            await append_events(slow, [happened("slow")])
            await write(db, happened("one"), happened("two"), happened("three"))
            assert (await read_all(db, position))[0] == []
        assert names((await read_all(db, position))[0]) == ["slow", "one", "two", "three"]


async def test_only_some_types(db: Database) -> None:
    begin = await EventLog.end(db)
    types = ["activity.added", "activity.changed", "activityXadded", "a_b.c"]
    await write(db, *(Event("acme", name, "x", {}) for name in types))
    for pattern, expected in (("activity.*", types[:2]), ("*", types), ("a_b.*", types[3:]), ("*.added", types[:1])):
        found, position = await EventLog.read(db, begin, types=[pattern])
        assert [event.type for event in found] == expected
        assert await EventLog.read(db, position, types=[pattern]) == ([], position)
