"""Several serving processes, lost signals, and a server that restarts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from sync.base.settings import RedisSettings, StoreSettings
from sync.store.engine import Database
from tests.fakes.jobs import eventually
from tests.fakes.killable import killable_postgres
from tests.fakes.live_client import LiveClient, listening
from tests.integration.realtime.conftest import Replica, busy, happen, live_settings, numbers, replica

_NEVER_S = 3600.0


async def follow(client: LiveClient, count: int) -> list[int]:
    return numbers(await client.events(count))


async def hears(client: LiveClient, writer: Replica) -> None:
    """Until a signal has come through: one that is sent before the other side listens is lost."""
    while True:
        await happen(writer.database, -1, type="alert.raised")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await client.event()
                return


async def follow_from_zero(client: LiveClient) -> list[int]:
    found: list[int] = []
    while len(found) < 20:
        found += [number for number in await follow(client, 1) if number >= 0]
    return found


@pytest.mark.parametrize("transport", ["postgresql", "redis"])
async def test_signals_reach_every_replica(
    pg_url: str, request: pytest.FixtureRequest, transport: str, tmp_path: Any
) -> None:
    """Nobody polls here: what arrives was signalled, across processes."""
    more = {}
    if transport == "redis":
        more["redis"] = RedisSettings(url=request.getfixturevalue("redis_url"), prefix=f"t{tmp_path.name}")
    settings = live_settings(pg_url, poll_s=_NEVER_S, more=more)
    async with replica(settings) as first, replica(settings) as second:
        async with listening(first.port, ["alerts"]) as here, listening(second.port, ["alerts"]) as there:
            for client in (here, there):
                await hears(client, second)
            for number in range(20):
                await happen(second.database, number, type="alert.raised")
            assert await follow_from_zero(here) == await follow_from_zero(there) == list(range(20))


async def test_a_lost_signal_costs_no_more_than_a_poll(pg_url: str, db: Database) -> None:
    settings = live_settings(pg_url, poll_s=0.2)
    deaf = settings.model_copy(update={"store": StoreSettings(url=pg_url, pool_size=4, listen=False)})
    async with replica(deaf) as one, listening(one.port, ["runs"]) as client:
        for number in range(5):
            await happen(db, number)
            assert await follow(client, 1) == [number]


async def test_a_client_moves_between_replicas(pg_url: str, db: Database) -> None:
    settings = live_settings(pg_url, poll_s=0.2)
    async with replica(settings) as first, replica(settings) as second:
        seen: list[int] = []
        cursor: str | None = None
        for step in range(8):
            where = [first, second][step % 2]
            async with listening(where.port, ["runs"], cursor=cursor) as client:
                if cursor is None:
                    await happen(db, -1)
                    assert await follow(client, 1) == [-1]
                await happen(db, 2 * step)
                seen += await follow(client, 1 if step == 0 else 2)
                cursor = client.cursor
            await happen(db, 2 * step + 1)
        assert seen == list(range(15))


async def test_a_cursor_ahead_of_this_replica_brings_nothing_twice(pg_url: str, db: Database) -> None:
    """One that has not looked for a while holds an older position than another's client."""
    quick, slow = live_settings(pg_url, poll_s=0.1), live_settings(pg_url, poll_s=_NEVER_S)
    slow = slow.model_copy(update={"store": StoreSettings(url=pg_url, pool_size=4, listen=False)})
    async with replica(quick) as first, replica(slow) as second:
        async with listening(second.port, ["runs"]) as keeps_it_awake:
            async with listening(first.port, ["runs"]) as client:
                await happen(db, 1, 2)
                assert await follow(client, 2) == [1, 2]
                cursor = client.cursor
            async with listening(second.port, ["runs"], cursor=cursor) as client:
                await happen(second.database, 3)  # its own signals reach it
                assert await follow(client, 1) == [3]
                assert await follow(keeps_it_awake, 3) == [1, 2, 3]


async def test_a_transaction_that_commits_late_is_not_passed_over(pg_url: str, db: Database) -> None:
    async with replica(live_settings(pg_url, poll_s=0.1)) as one, listening(one.port, ["runs"]) as client:
        async with db.transaction() as late:
            await late.execute(
                "INSERT INTO event (org_id, type, subject, payload) VALUES ('acme', 'sync.failed', 'x', %s)",
                ('{"number": 1}',),
            )
            await happen(db, 2)  # has a higher id and is committed first
            await happen(db, 3, org="globex")
        assert await follow(client, 2) == [1, 2]


@pytest.mark.timeout(180)
async def test_after_a_crash_of_postgresql_the_stream_goes_on() -> None:
    with killable_postgres() as server:
        settings = live_settings(server.url, poll_s=0.2)
        settings = settings.model_copy(
            update={"store": StoreSettings(url=server.url, pool_size=4, connect_timeout_s=2)}
        )
        async with replica(settings) as one, listening(one.port, ["runs"]) as client:
            async with Database(server.url, settings.store, application="test") as writer:
                await happen(writer, 1, 2)
            assert await follow(client, 2) == [1, 2]
            cursor = client.cursor
            server.kill()
            late = asyncio.create_task(resumed(one, cursor))  # comes while the database is away
            await asyncio.to_thread(server.restart)
            async with Database(server.url, settings.store, application="test") as writer:
                await happen(writer, 3, 4)
            assert await follow(client, 2) == [3, 4]
            assert await late == [3, 4]
        await eventually(lambda: not busy())


async def resumed(one: Replica, cursor: str | None) -> list[int]:
    async with listening(one.port, ["runs"], cursor=cursor) as client:
        return await follow(client, 2)


async def test_a_client_that_reconnects_through_restarts_misses_nothing(pg_url: str, db: Database) -> None:
    seen: list[int] = []
    cursor: str | None = None
    for step in range(3):
        async with replica(live_settings(pg_url, poll_s=0.2)) as one:
            async with listening(one.port, ["runs"], cursor=cursor) as client:
                await happen(db, *range(10 * step, 10 * step + 5))
                seen += await follow(client, 5 if step == 0 else 10)
                cursor = client.cursor
                one.server.should_exit = True
                with pytest.raises(ConnectionClosed):
                    await client.next()
        await happen(db, *range(10 * step + 5, 10 * step + 10))
    assert seen == list(range(25))
