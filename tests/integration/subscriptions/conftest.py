"""Subscribers that write down what they get, and a consumer around them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from sync.base.errors import Transient
from sync.base.sealing import Sealer, new_key
from sync.base.settings import EventSettings, OutboundSettings, SecretsSettings, Settings
from sync.events import Event, LoggedEvent, append_events
from sync.jobs.catalogue import Catalogue, JobKind
from sync.jobs.queue import Queue
from sync.jobs.retry import Backoff
from sync.pull.runs import SyncRuns
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database, Transaction
from sync.subscriptions.consumer import DatatypeConsumer, Outlets
from sync.subscriptions.model import Subscriber
from sync.subscriptions.rows import Subscription, Subscriptions
from sync.subscriptions.sending import Postman
from sync.subscriptions.targets import Effects

QUICK = EventSettings(poll_s=0.05, batch=50, handler_timeout_s=10, attempts=3)
AT_ONCE = Backoff(base_s=0.001, cap_s=0.01, floor_s=0.0)

SCHEMA = """
CREATE TABLE effect (
  n bigint GENERATED ALWAYS AS IDENTITY, subscriber text, event_id bigint, subject text,
  PRIMARY KEY (subscriber, event_id)
)"""


@dataclass
class Scribe:
    """Writes one row per event; raises for subjects in `poison`, hangs while `gate` is closed."""

    name: str
    patterns: tuple[str, ...] = ("thing.*",)
    poison: set[str] = field(default_factory=set)
    weather: int = 0
    calls: Counter[int] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        self.started.set()
        self.calls.update(event.id for event in events)
        await tx.execute(
            "INSERT INTO effect (subscriber, event_id, subject) SELECT %s, * FROM unnest(%s::int8[], %s::text[])",
            (self.name, [event.id for event in events], [event.subject for event in events]),
        )
        await self.gate.wait()
        if self.weather:
            self.weather -= 1
            raise Transient("The database is away.")
        for event in events:
            if event.payload.get("poison") in self.poison:
                raise ValueError(f"I cannot take {event.payload['poison']}.")


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    event: dict[str, Any]


async def _unused(_args: Any, _ctx: Any) -> None:
    raise AssertionError("No worker runs in these tests.")


@dataclass
class World:
    db: Database
    signals: Signals
    settings: Settings
    queue: Queue
    catalogue: Catalogue
    sealer: Sealer

    def __post_init__(self) -> None:
        runs = SyncRuns(self.db, self.signals)
        self.outlet = Effects(self.queue, self.catalogue, runs)
        self.subscriptions = Subscriptions(self.db, self.sealer, self.outlet)

    async def subscribe(
        self,
        target: dict[str, Any],
        *patterns: str,
        org: str = "acme",
        name: str = "one",
        wanted: dict[str, Any] | None = None,
    ) -> Subscription:
        async with self.db.transaction() as tx:
            row, self.secret = await self.subscriptions.create(
                tx, org, name, patterns or ("*",), wanted or {}, target, "ada"
            )
        return row

    @property
    def database(self) -> Database:
        return self.db

    @asynccontextmanager
    async def consumer(self, *subscribers: Subscriber) -> AsyncIterator[DatatypeConsumer]:
        postman = Postman(self.db, self.sealer, self.settings.outbound)
        outlets = Outlets(self.outlet, postman)
        consumer = DatatypeConsumer(self, subscribers, outlets=outlets, backoff=AT_ONCE, webhook_backoff=AT_ONCE)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()
            await postman.close()

    async def write(self, *events: Event) -> None:
        async with self.db.transaction() as tx:
            await append_events(tx, events)

    async def effects(self, name: str) -> list[int]:
        """Ids of the events that a scribe got, in the order of its effects."""
        rows = await self.db.fetch_all("SELECT event_id FROM effect WHERE subscriber = %s ORDER BY n", (name,))
        return [row["event_id"] for row in rows]

    async def subjects(self, name: str) -> dict[str, list[int]]:
        rows = await self.db.fetch_all("SELECT subject, event_id FROM effect WHERE subscriber = %s ORDER BY n", (name,))
        found: dict[str, list[int]] = {}
        for row in rows:
            found.setdefault(row["subject"], []).append(row["event_id"])
        return found

    async def ids(self) -> list[int]:
        rows = await self.db.fetch_all("SELECT id FROM event WHERE type LIKE 'thing.%' ORDER BY id")
        return [row["id"] for row in rows]


def happened(
    subject: str = "thing:1", *, org_id: str = "acme", type: str = "thing.happened", **payload: object
) -> Event:
    return Event(org_id, type, subject, payload)


@pytest.fixture
async def world(db: Database) -> AsyncIterator[World]:
    signals = Signals(LocalTransport())
    await signals.start()
    db.publish = signals.publish
    await db.execute(SCHEMA)
    catalogue = Catalogue([JobKind("note.taken", Note, _unused)])
    await catalogue.install(db)
    queue = Queue(db, signals, catalogue)
    await queue.open()
    sealer = Sealer(SecretsSettings(keys={"k": SecretStr(new_key())}, current="k"))
    settings = Settings(events=QUICK, outbound=OutboundSettings(allow="127.0.0.1/32"))
    yield World(db, signals, settings, queue, catalogue, sealer)
    await queue.close()
    await signals.close()
