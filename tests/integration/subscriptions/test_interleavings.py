"""Whatever the order of commits, batches, failures and deaths: each event once, in order per subject."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.base.settings import StoreSettings
from sync.events import LoggedEvent, append_events
from sync.store.engine import Database, Transaction
from sync.subscriptions import readers, retrying
from sync.subscriptions.consumer import Progress, Pulling
from sync.subscriptions.intake import Intake
from sync.subscriptions.model import CodeFeed
from sync.subscriptions.retrying import Retrier
from tests.integration.subscriptions.conftest import AT_ONCE, QUICK, World, happened

SUBJECTS = st.integers(0, 2)
FAILURES = st.sampled_from([0, 0, 0, 0, 1, 2, 5])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.tuples(SUBJECTS, FAILURES), min_size=1, max_size=6)),
        st.tuples(st.just("begin"), st.lists(st.tuples(SUBJECTS, FAILURES), min_size=1, max_size=2)),
        st.tuples(st.just("commit"), st.none()),
        st.tuples(st.just("pull"), st.integers(0, 1)),
        st.tuples(st.just("both"), st.none()),
        st.tuples(st.just("retry"), st.none()),
        st.tuples(st.just("die"), st.sampled_from(["pull", "retry"])),
    ),
    min_size=5,
    max_size=30,
)


@dataclass
class Fragile:
    """Fails so often at an event as its payload says; `dying`: its process ends after its next write."""

    name: str = "fragile"
    patterns: tuple[str, ...] = ("thing.*",)
    dying: bool = False
    failed: dict[int, int] = field(default_factory=dict)

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        await tx.execute(
            "INSERT INTO effect (subscriber, event_id, subject) SELECT %s, * FROM unnest(%s::int8[], %s::text[])",
            (self.name, [event.id for event in events], [event.subject for event in events]),
        )
        if self.dying:
            raise asyncio.CancelledError
        for event in events:
            if self.failed.get(event.id, 0) < event.payload["fails"]:
                self.failed[event.id] = self.failed.get(event.id, 0) + 1
                raise ValueError("not this time")


class Play:
    """Two members and a few writers, moved step by step."""

    def __init__(self, world: World, other: Database) -> None:
        self._world = world
        self._scribe = Fragile()
        feed = CodeFeed(self._scribe)
        self._members = [
            Pulling(Intake(database, QUICK), feed, QUICK.model_copy(update={"batch": batch}), Progress())
            for database, batch in ((world.db, 4), (other, 3))
        ]
        self._feed = feed
        self._retrier = Retrier(world.db, QUICK, AT_ONCE)
        self._open: list[contextlib.AsyncExitStack] = []

    async def step(self, what: str, detail: object) -> None:
        match what, detail:
            case "write", list(events):
                await self._world.write(*(happened(f"thing:{one}", fails=fails) for one, fails in events))
            case "begin", list(events) if len(self._open) < 2:
                await self._begin([(4 + len(self._open), fails) for _, fails in events])
            case "commit", _ if self._open:
                await self._open.pop(0).aclose()
            case "pull", int(number):
                await self._members[number].step()
            case "both", _:
                await asyncio.gather(*(member.step() for member in self._members))
            case "retry", _:
                await self.retry()
            case "die", work:
                self._scribe.dying = True
                with contextlib.suppress(asyncio.CancelledError):
                    await (self._members[0].step() if work == "pull" else self.retry())
                self._scribe.dying = False

    async def _begin(self, events: list[tuple[int, int]]) -> None:
        """A transaction that stays open; its subjects are its own, as if it held their rows."""
        stack = contextlib.AsyncExitStack()
        tx = await stack.enter_async_context(self._world.db.transaction())
        await append_events(tx, [happened(f"thing:{one}", fails=fails) for one, fails in events])
        self._open.append(stack)

    async def retry(self) -> None:
        await self._world.db.execute("UPDATE event_lane SET next_at = now() WHERE state = 'waiting'")
        ids = await readers.register(self._world.db, [self._scribe.name])
        await self._retrier.step({ids[self._scribe.name]: self._feed})

    async def finish(self) -> None:
        """Everything is committed and delivered, what was parked by an operator's hand."""
        while self._open:
            await self._open.pop(0).aclose()
        for _ in range(500):
            for member in self._members:
                while await member.step() == 0:
                    pass
            await self.retry()
            async with self._world.db.transaction() as tx:
                reader = await tx.fetch_value("SELECT id FROM event_reader WHERE name = %s", (self._scribe.name,))
                await retrying.unpark(tx, self._scribe.name, reader)
                left = await tx.fetch_value("SELECT count(*) FROM event_lane")
            if not left:
                return
        raise AssertionError("it never ends")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_each_event_has_its_effect_once_and_in_order(world: World, steps: list[tuple[str, object]]) -> None:
    for table in ("effect", "event", "event_lane", "event_backlog", "alert"):
        await world.db.execute(f"DELETE FROM {table}")
    await world.db.execute("DELETE FROM event_reader")
    await readers.register(world.db, ["fragile"])
    async with Database(world.db.url, StoreSettings(), application="other", pool_size=4) as other:
        play = Play(world, other)
        try:
            for what, detail in steps:
                await play.step(what, detail)
        finally:
            await play.finish()
    assert sorted(await world.effects("fragile")) == await world.ids()
    for order in (await world.subjects("fragile")).values():
        assert order == sorted(order)
