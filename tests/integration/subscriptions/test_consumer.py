"""Subscribers of the code: exactly once, in order per subject, each at its own pace."""

from __future__ import annotations

import asyncio

from sync.jobs.operations import QueueOperations
from sync.subscriptions import readers, retrying
from sync.subscriptions.intake import Intake
from sync.subscriptions.model import CodeFeed
from tests.fakes.jobs import eventually
from tests.integration.subscriptions.conftest import QUICK, Scribe, World, happened


async def all_taken(world: World, name: str) -> bool:
    return len(await world.effects(name)) == len(await world.ids())


async def test_everybody_gets_everything_once_and_in_order(world: World) -> None:
    await world.write(*(happened(f"thing:{n % 3}") for n in range(100)))
    first, second = Scribe("first"), Scribe("second")
    async with world.consumer(first, second):
        await eventually(lambda: all_taken(world, "first"))
        await world.write(*(happened(f"thing:{n % 3}") for n in range(100)))
        for name in ("first", "second"):
            await eventually(lambda name=name: all_taken(world, name))
    for scribe in (first, second):
        assert await world.effects(scribe.name) == await world.ids()
        assert set(scribe.calls.values()) == {1}


async def test_one_that_comes_later_begins_at_the_beginning_and_goes_on_where_it_was(world: World) -> None:
    await world.write(happened())
    async with world.consumer(Scribe("late")):
        await eventually(lambda: all_taken(world, "late"))
    await world.write(happened(), happened())
    again = Scribe("late")
    async with world.consumer(again):
        await eventually(lambda: all_taken(world, "late"))
    assert len(again.calls) == 2


async def test_only_what_fits(world: World) -> None:
    await world.write(*(happened(type=name) for name in ("a.b", "a.c", "b.b", "a.b.c")))
    async with world.consumer(Scribe("some", patterns=("a.b", "b.*"))):
        await eventually(lambda: world_has(world, "some", 2))
        await world.write(happened(type="a.c"), happened(type="b.d"))
        await eventually(lambda: world_has(world, "some", 3))


async def world_has(world: World, name: str, count: int) -> bool:
    return len(await world.effects(name)) == count


async def test_a_stuck_subscriber_delays_no_other(world: World) -> None:
    stuck, other = Scribe("stuck"), Scribe("other")
    stuck.gate.clear()
    async with world.consumer(stuck, other):
        await world.write(happened())
        await stuck.started.wait()
        await eventually(lambda: all_taken(world, "other"))
        await world.write(*(happened() for _ in range(200)))
        await eventually(lambda: all_taken(world, "other"))
        assert await world.effects("stuck") == []
        stuck.gate.set()
        await eventually(lambda: all_taken(world, "stuck"))


async def test_a_poison_event_blocks_only_its_subject_until_somebody_decides(world: World) -> None:
    scribe = Scribe("careful", poison={"arsenic"})
    await world.write(*(happened(f"thing:{n % 4}") for n in range(40)), happened("thing:1", poison="arsenic"))
    await world.write(*(happened(f"thing:{n % 4}") for n in range(40)))
    ids = await world.ids()
    bad = ids[40]
    async with world.consumer(scribe):
        await eventually(lambda: parked(world, 1))
        await world.write(*(happened(f"thing:{n % 4}") for n in range(4)))
        await eventually(lambda: world_has(world, "careful", 40 + 30 + 3))
        [lag] = await readers.lags(world.db)
        assert (lag.parked, lag.backlog, lag.behind) == (1, 1 + 10 + 1, 0)
        assert await world.db.fetch_value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 1
        assert scribe.calls[bad] >= world.settings.events.attempts
        scribe.poison.clear()
        async with world.db.transaction() as tx:
            reader = await tx.fetch_value("SELECT id FROM event_reader WHERE name = 'careful'")
            assert await retrying.unpark(tx, "careful", reader) == 1
        await eventually(lambda: all_taken(world, "careful"))
    assert await world.db.fetch_value("SELECT count(*) FROM event_lane") == 0
    assert await world.db.fetch_value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0
    for order in (await world.subjects("careful")).values():
        assert order == sorted(order)


async def test_a_poison_event_can_be_given_up(world: World) -> None:
    scribe = Scribe("careful", poison={"arsenic"})
    await world.write(happened(poison="arsenic"), happened(), happened())
    async with world.consumer(scribe):
        await eventually(lambda: parked(world, 1))
        async with world.db.transaction() as tx:
            reader = await tx.fetch_value("SELECT id FROM event_reader WHERE name = 'careful'")
            assert not await retrying.discard(tx, "careful", reader, "globex", "thing:1")
            assert await retrying.discard(tx, "careful", reader, "acme", "thing:1")
        await eventually(lambda: world_has(world, "careful", 2))
    assert await world.effects("careful") == (await world.ids())[1:]
    assert await world.db.fetch_value("SELECT count(*) FROM event_lane") == 0


async def parked(world: World, count: int) -> bool:
    return await world.db.fetch_value("SELECT count(*) FROM event_lane WHERE state = 'parked'") == count


async def test_bad_weather_suspects_no_event(world: World) -> None:
    scribe = Scribe("patient", weather=2)
    await world.write(*(happened() for _ in range(10)))
    async with world.consumer(scribe):
        await eventually(lambda: all_taken(world, "patient"))
    assert set(scribe.calls.values()) == {3}
    assert await world.db.fetch_value("SELECT count(*) FROM event_lane") == 0


async def test_a_paused_pool_delivers_nothing_anywhere(world: World) -> None:
    operations = QueueOperations(world.db, world.signals)
    scribe = Scribe("first")
    await world.write(happened())
    await operations.pause("consumer.datatype", "ada")
    intake = Intake(world.db, QUICK)
    await readers.register(world.db, ["first"])
    assert await intake.take(CodeFeed(scribe), 10) is None
    async with world.consumer(scribe), world.consumer(scribe):
        await operations.resume("consumer.datatype", "ada")
        await eventually(lambda: all_taken(world, "first"))


async def test_a_drain_lets_the_batch_end(world: World) -> None:
    scribe = Scribe("busy")
    scribe.gate.clear()
    await world.write(happened())
    async with world.consumer(scribe) as consumer:
        await scribe.started.wait()
        draining = asyncio.create_task(consumer.drain(60))
        await asyncio.sleep(0)
        scribe.gate.set()
        await draining
        assert await all_taken(world, "busy")


async def test_several_members_share_the_work(world: World) -> None:
    scribes = [Scribe("shared") for _ in range(3)]
    async with world.consumer(scribes[0]), world.consumer(scribes[1]), world.consumer(scribes[2]):
        for _ in range(20):
            await world.write(*(happened(f"thing:{n}") for n in range(30)))
        await eventually(lambda: all_taken(world, "shared"))
    assert await world.effects("shared") == await world.ids()


def with_poll(world: World, seconds: float) -> World:
    events = world.settings.events.model_copy(update={"poll_s": seconds})
    world.settings = world.settings.model_copy(update={"events": events})
    return world


async def test_a_commit_wakes_it(world: World) -> None:
    """With a poll that never comes."""
    with_poll(world, 3600)
    async with world.consumer(Scribe("first")):
        for count in range(1, 4):
            await world.write(happened())
            await eventually(lambda count=count: world_has(world, "first", count))


async def test_without_any_signal_it_finds_everything_by_itself(world: World) -> None:
    world.db.publish = None
    async with world.consumer(Scribe("first")):
        for count in range(1, 4):
            await world.write(happened())
            await eventually(lambda count=count: world_has(world, "first", count))


async def test_lost_connections_lose_and_double_nothing(world: World) -> None:
    scribe = Scribe("first")
    async with world.consumer(scribe, Scribe("second")):
        for round_ in range(5):
            await world.write(*(happened(f"thing:{n % 7}") for n in range(60)))
            await world.db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'consumer.datatype' AND pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
            await eventually(lambda round_=round_: world_has_more(world, "first", 60 * round_))
        for name in ("first", "second"):
            await eventually(lambda name=name: all_taken(world, name))
    for name in ("first", "second"):
        assert await world.effects(name) == await world.ids()


async def world_has_more(world: World, name: str, count: int) -> bool:
    return len(await world.effects(name)) >= count


async def test_one_that_hangs_is_cut_off_and_its_events_are_set_aside(world: World) -> None:
    events = world.settings.events.model_copy(update={"handler_timeout_s": 0.2})
    world.settings = world.settings.model_copy(update={"events": events})
    stuck = Scribe("stuck")
    stuck.gate.clear()
    await world.write(happened("thing:1"), happened("thing:2"))
    async with world.consumer(stuck):
        await eventually(lambda: parked(world, 2))
        assert await world.effects("stuck") == []
        stuck.gate.set()
        async with world.db.transaction() as tx:
            reader = await tx.fetch_value("SELECT id FROM event_reader WHERE name = 'stuck'")
            assert await retrying.unpark(tx, "stuck", reader) == 2
        await eventually(lambda: all_taken(world, "stuck"))
