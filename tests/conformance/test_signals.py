"""One suite for every transport of wake-up hints, against real servers: cut off, killed, restarted, frozen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
import redis

from sync.signals import PostgresTransport, RedisTransport, Signals, Transport
from tests.fakes.jobs import eventually
from tests.fakes.killable import KillablePostgres, KillableRedis, killable_postgres, killable_redis


class RedisBus:
    """What the suite needs of a server and its transport."""

    def __init__(self, server: KillableRedis) -> None:
        self.server = server

    def transport(self, scope: str = "one") -> Transport:
        return RedisTransport(self.server.url, scope)

    def send_raw(self, text: str) -> None:
        with redis.Redis.from_url(self.server.url) as client:
            client.publish("one:signals", text)

    def cut(self) -> None:
        with redis.Redis.from_url(self.server.url) as client:
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)


class PostgresBus:
    def __init__(self, server: KillablePostgres) -> None:
        self.server = server

    def transport(self, scope: str = "sync") -> Transport:
        return PostgresTransport(self.server.url if scope != "other" else self._other())

    def send_raw(self, text: str) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify('sync', %s)", [text])

    def cut(self) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'sync.signals'"
            )

    def _other(self) -> str:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'other'").fetchone():
                connection.execute("CREATE DATABASE other")
        return self.server.url.replace("/sync?", "/other?")


Bus = RedisBus | PostgresBus


@pytest.fixture(scope="module", params=["redis", "postgresql"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    if request.param == "redis":
        with killable_redis() as server:
            yield RedisBus(server)
    else:
        with killable_postgres() as postgres:
            yield PostgresBus(postgres)


class Ear:
    """Keeps what one topic brought."""

    def __init__(self, signals: Signals, topic: str = "queue.pool") -> None:
        self.heard: list[list[str]] = []
        self.stop: Callable[[], None] = signals.subscribe(topic, self.heard.append)

    @property
    def items(self) -> set[str]:
        return {item for message in self.heard for item in message}

    def hears(self, *items: str) -> Callable[[], bool]:
        return lambda: self.items >= set(items)


@asynccontextmanager
async def started(transport: Transport) -> AsyncIterator[Signals]:
    signals = Signals(transport)
    await signals.start()
    try:
        yield signals
    finally:
        async with asyncio.timeout(15):
            await signals.close()


async def test_everybody_hears_also_the_one_who_speaks(bus: Bus) -> None:
    async with started(bus.transport()) as one, started(bus.transport()) as two:
        ears = [Ear(one), Ear(two)]
        one.publish("queue.pool", "1/2/acme")
        two.publish("queue.pool", "1/2/beta")
        for ear in ears:
            await eventually(ear.hears("1/2/acme", "1/2/beta"))


async def test_topics_and_subscriptions_keep_apart(bus: Bus) -> None:
    async with started(bus.transport()) as signals:
        ear, other, gone = Ear(signals), Ear(signals, "cancel"), Ear(signals)
        gone.stop()
        signals.publish("queue.pool", "a")
        signals.publish("cancel", "7")
        await eventually(ear.hears("a"))
        await eventually(other.hears("7"))
        assert (ear.items, other.items, gone.items) == ({"a"}, {"7"}, set())


async def test_installations_keep_apart(bus: Bus) -> None:
    async with started(bus.transport()) as signals, started(bus.transport("other")) as foreign:
        ear, foreign_ear = Ear(signals), Ear(foreign)
        foreign.publish("queue.pool", "foreign")
        await eventually(foreign_ear.hears("foreign"))
        signals.publish("queue.pool", "own")
        await eventually(ear.hears("own"))
        assert ear.items == {"own"}


async def test_a_burst_goes_out_as_one_or_two_messages(bus: Bus) -> None:
    async with started(bus.transport()) as signals:
        ear = Ear(signals)
        for number in range(1000):
            signals.publish("queue.pool", f"item-{number % 50}")
        await eventually(ear.hears(*(f"item-{number}" for number in range(50))))
        assert len(ear.heard) <= 2
        assert sum(len(message) for message in ear.heard) <= 100


@pytest.mark.parametrize(
    "items",
    [(), tuple(f"item-{number}" for number in range(500)), ("x" * 9000,), tuple("ä" * 300 + str(n) for n in range(40))],
    ids=["none", "many", "one that is long", "long together"],
)
async def test_too_much_becomes_look_at_everything(bus: Bus, items: tuple[str, ...]) -> None:
    async with started(bus.transport()) as signals:
        ear = Ear(signals)
        signals.publish("queue.pool", *items)
        await eventually(lambda: ear.heard)
        assert ear.heard == [[]]


async def test_everything_swallows_what_is_named_beside_it(bus: Bus) -> None:
    async with started(bus.transport()) as signals:
        ear = Ear(signals)
        signals.publish("queue.pool", "a")
        signals.publish("queue.pool")
        signals.publish("queue.pool", "b")
        await eventually(lambda: ear.heard)
        assert ear.heard == [[]]


@pytest.mark.parametrize("text", ["rubbish", '{"t": 1}', '{"t": "queue.pool", "p": "no list"}', "[]"])
async def test_a_message_of_another_make_is_passed_over(bus: Bus, text: str) -> None:
    async with started(bus.transport()) as signals:
        ear = Ear(signals)
        bus.send_raw(text)
        bus.send_raw('{"t": "queue.pool", "p": ["from another language"]}')
        await eventually(ear.hears("from another language"))
        assert ear.heard == [["from another language"]]


async def test_a_subscriber_that_fails_silences_nobody(bus: Bus) -> None:
    async with started(bus.transport()) as signals:
        signals.subscribe("queue.pool", lambda items: [int(item) for item in items])
        ear = Ear(signals)
        signals.publish("queue.pool", "no number")
        await eventually(ear.hears("no number"))
        signals.publish("queue.pool", "neither")
        await eventually(ear.hears("neither"))


async def _heard_again(signals: Signals, ear: Ear, word: str) -> None:
    """Hints may be lost while a connection is away; they must come through again by themselves."""

    def arrived() -> bool:
        signals.publish("queue.pool", word)
        return word in ear.items

    await eventually(arrived, timeout_s=20)


async def test_cut_connections_come_back(bus: Bus) -> None:
    async with started(bus.transport()) as one, started(bus.transport()) as two:
        ears = [Ear(one), Ear(two)]
        await _heard_again(one, ears[1], "before")
        await asyncio.to_thread(bus.cut)
        await _heard_again(one, ears[1], "after")
        await _heard_again(two, ears[0], "after too")


async def test_a_killed_server_is_survived_and_found_again(bus: Bus) -> None:
    async with started(bus.transport()) as one, started(bus.transport()) as two:
        ear = Ear(two)
        await _heard_again(one, ear, "before")
        await asyncio.to_thread(bus.server.kill)
        try:
            for number in range(20):
                one.publish("queue.pool", f"lost-{number}")  # never raises
                await asyncio.sleep(0)
        finally:
            await asyncio.to_thread(bus.server.restart)
        await _heard_again(one, ear, "after")


async def test_a_server_that_is_away_at_the_start_is_found_later(bus: Bus) -> None:
    await asyncio.to_thread(bus.server.kill)
    try:
        began = time.monotonic()
        signals = Signals(bus.transport())
        await signals.start()
        assert time.monotonic() - began < 20
    finally:
        await asyncio.to_thread(bus.server.restart)
    ear = Ear(signals)
    await _heard_again(signals, ear, "found")
    await signals.close()


async def test_a_frozen_server_blocks_nobody(bus: Bus) -> None:
    async with started(bus.transport()) as one, started(bus.transport()) as two:
        ear = Ear(two)
        await _heard_again(one, ear, "before")
        bus.server.freeze()
        try:
            began = time.monotonic()
            one.publish("queue.pool", "into the void")
            assert time.monotonic() - began < 2, "the loop was held up"
            async with asyncio.timeout(12):  # and it can still be closed
                frozen = Signals(bus.transport())
                await frozen.start()
                frozen.publish("queue.pool", "nobody")
                await frozen.close()
        finally:
            bus.server.thaw()
        await _heard_again(one, ear, "after")
