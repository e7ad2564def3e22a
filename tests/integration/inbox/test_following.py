"""The inbox behind the datatype consumer, as an installation runs it."""

from __future__ import annotations

import asyncio

from sync.base.settings import Settings
from sync.catalogue import build_subscribers
from sync.inbox.projector import InboxProjector, rebuild
from tests.fakes.jobs import eventually
from tests.integration.inbox.conftest import at, comment, message, open_desk
from tests.integration.subscriptions.conftest import World, world

__all__ = ["world"]


async def test_what_syncs_store_is_in_the_inbox_at_once(world: World) -> None:
    desk = await open_desk(world.db)
    await desk.store(message("m1"), comment("c1", occurred_at=at(1)))
    async with world.consumer(*build_subscribers(Settings())):

        async def listed(count: int) -> bool:
            return len(await desk.list()) == count

        await eventually(lambda: listed(2))
        await desk.store(message("m2", "t2", occurred_at=at(2)))
        await eventually(lambda: listed(3))
    assert await desk.told() == ["opened", "opened", "opened"]


async def test_projectors_at_the_same_time_do_not_get_in_each_others_way(world: World) -> None:
    desks = [await open_desk(world.db) for _ in range(3)]
    for desk in desks:
        await desk.store(*(comment(f"c{n}", f"c{n // 2}", occurred_at=at(n)) for n in range(1, 40)))
    rows = await world.db.fetch_all("SELECT id FROM activity ORDER BY id")

    async def project(step: int) -> None:
        async with world.db.transaction() as tx:
            await InboxProjector().project(tx, [row["id"] for row in rows][::step])

    await asyncio.gather(project(1), project(-1), project(2), rebuild(world.db))
    for desk in desks:
        found = await desk.list()
        assert len(found) == 1 and len(await desk.texts(found[0]["id"])) == 39
