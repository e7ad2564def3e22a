"""Whatever is committed when, and however often a client comes and goes: everything once, and in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.base.settings import RealtimeSettings
from sync.events import Event, append_events
from sync.realtime import Hub, Listener
from sync.realtime.topics import Filter, Selection
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database, Transaction

RUNS = Selection({"runs": Filter()})
SMALL = RealtimeSettings(poll_s=0.05, buffer_messages=16, buffer_bytes=65_536)


@dataclass
class Client:
    """Takes frames from one hub after the other, and keeps its cursor."""

    org_id: str
    cursor: str | None = None
    seen: list[int] = field(default_factory=list)
    hub: Hub | None = None
    listener: Listener | None = None
    joining: asyncio.Task[None] | None = None

    async def arrive(self, hub: Hub) -> None:
        self.hub, self.listener = hub, hub.enter(self.org_id, "ada", 1e12)
        self.joining = asyncio.create_task(hub.join(self.listener, RUNS, self.cursor))
        if self.cursor is None:  # until it has one, what happens is not promised to it
            while self.cursor is None:
                await self.take()

    async def take(self) -> None:
        assert self.listener is not None
        async with asyncio.timeout(60):
            frames = await self.listener.take()
        for frame in frames:
            message = json.loads(frame.text)
            assert message["type"] in {"subscribed", "event", "ping"}, message
            self.cursor = message.get("cursor", self.cursor)
            if message["type"] == "event":
                self.seen.append(message["event"]["payload"]["number"])

    async def depart(self) -> None:
        if self.hub is None or self.listener is None or self.joining is None:
            return
        self.hub.leave(self.listener)
        self.joining.cancel()
        await asyncio.gather(self.joining, return_exceptions=True)
        self.hub = self.listener = self.joining = None


class World:
    """Two hubs on one log, and transactions that write to it and stay open for a while."""

    def __init__(self, db: Database, hubs: list[Hub]) -> None:
        self.db = db
        self.hubs = hubs
        self.numbers = 0
        self.open: list[tuple[Transaction, contextlib.AsyncExitStack, bool]] = []
        self.client = Client("acme")

    async def begin(self) -> None:
        if len(self.open) == 3:
            return
        stack = contextlib.AsyncExitStack()
        self.open.append((await stack.enter_async_context(self.db.transaction()), stack, False))

    async def write(self, which: int, count: int) -> None:
        if self.open:
            transaction, _, _ = self.open[which % len(self.open)]
            await append_events(transaction, self._events(count))

    async def commit(self, which: int, rolled_back: bool) -> None:
        if not self.open:
            return
        _, stack, _ = self.open.pop(which % len(self.open))
        if rolled_back:
            with contextlib.suppress(_RollBack):
                await stack.__aexit__(_RollBack, _RollBack(), None)
        else:
            await stack.aclose()

    async def happen(self, count: int) -> None:
        async with self.db.transaction() as tx:
            await append_events(tx, self._events(count))

    async def move(self, which: int) -> None:
        await self.client.depart()
        await self.client.arrive(self.hubs[which])

    async def vanish(self) -> None:
        await self.client.depart()

    async def take(self) -> None:
        listener = self.client.listener
        if listener is not None and listener.waiting:
            await self.client.take()

    async def settle(self) -> None:
        """Commit everything, then read to the end."""
        while self.open:
            await self.commit(0, False)
        if self.client.listener is None:
            await self.move(0)
        await self.happen(1)
        while self.numbers not in self.client.seen:
            await self.client.take()
        await self.client.depart()

    def _events(self, count: int) -> list[Event]:
        events = []
        for _ in range(count):
            self.numbers += 1
            events.append(Event("acme", "sync.completed", "thing:1", {"number": self.numbers}))
            events.append(Event("globex", "sync.completed", "thing:1", {"number": -1}))
        return events


class _RollBack(Exception):
    pass


@contextlib.asynccontextmanager
async def two_hubs(db: Database) -> AsyncIterator[list[Hub]]:
    hubs = []
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            signals = Signals(LocalTransport())
            await signals.start()
            stack.push_async_callback(signals.close)
            hub = Hub(db, signals, SMALL)
            stack.push_async_callback(hub.close)
            hubs.append(hub)
        yield hubs


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin")),
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 30)),
        st.tuples(st.just("commit"), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("happen"), st.integers(1, 60)),
        st.tuples(st.just("move"), st.integers(0, 1)),
        st.tuples(st.just("vanish")),
        st.tuples(st.just("take")),
        st.tuples(st.just("take")),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_everything_once_and_in_order(db: Database, steps: list[tuple[Any, ...]]) -> None:
    await db.execute("TRUNCATE event RESTART IDENTITY")
    async with two_hubs(db) as hubs:
        world = World(db, hubs)
        await world.move(0)
        for name, *arguments in steps:
            await getattr(world, name)(*arguments)
            await asyncio.sleep(0)
        await world.settle()
    rows = await db.fetch_all("SELECT (payload->>'number')::int AS number FROM event WHERE org_id = 'acme' ORDER BY id")
    assert world.client.seen == [row["number"] for row in rows]
