"""The datatype consumer: one member of its pool. A plain class; the actor around it only delegates.

look      one statement per wake-up and per second: has the log grown, is a lane due?
pull.*    one loop per subscriber of the code
rows      a few workers for all subscriptions that have news
retry.*   lanes of subscribers that write to the database: a loop for each of the code, one for all rows
send      lanes of webhooks
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sync.base.errors import SyncError, Transient
from sync.base.logs import get_logger
from sync.base.sealing import Sealer
from sync.base.settings import EventSettings, Settings
from sync.events.outbox import TOPIC
from sync.jobs.catalogue import Catalogue
from sync.jobs.heartbeat import Vitals
from sync.jobs.queue import Queue
from sync.jobs.retry import Backoff
from sync.signals import Signals
from sync.store.engine import Database
from sync.subscriptions import readers
from sync.subscriptions.feeds import RowFeeds
from sync.subscriptions.intake import HandlerFailed, Intake
from sync.subscriptions.model import CodeFeed, Feed, Subscriber
from sync.subscriptions.retrying import BACKOFF, Retrier, describe
from sync.subscriptions.sending import BACKOFF as WEBHOOK_BACKOFF
from sync.subscriptions.sending import Postman, Sender
from sync.subscriptions.targets import Effects

log = get_logger(__name__)

_LOOK = """
SELECT sync_event_horizon() AS horizon,
  EXISTS (SELECT FROM event_lane WHERE state = 'waiting' AND next_at <= now()) AS due
"""
_SWEEP_S = 30.0
"""How often everything is looked at, whatever the news: a member may have died with what it had noted."""
_GAP_S = 0.01
"""Least time between two looks for news: a busy log is read in batches, not commit by commit."""
_WEATHER_PAUSE_S = 0.5
_MAX_WEATHER = 5
"""So often in a row a subscriber may fail as if the database were to blame, before its events are suspected."""


class ConsumerRuntime(Protocol):
    """What a consumer needs of its process (sync.wiring.Runtime has it)."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def signals(self) -> Signals: ...


class OutletRuntime(ConsumerRuntime, Protocol):
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def sealer(self) -> Sealer: ...


@dataclass(frozen=True, slots=True)
class Outlets:
    """What rows of `subscription` need; without it a consumer serves the code only."""

    effects: Effects
    postman: Postman


@dataclass(slots=True)
class Progress:
    """What this member has done since it started."""

    state: str = "active"
    running: int = 0
    done: int = 0
    failed: int = 0

    def vitals(self) -> Vitals:
        return Vitals(self.running, self.done, self.failed, self.state, [])

    def as_dict(self) -> dict[str, str | int]:
        return {"state": self.state, "running": self.running, "done": self.done, "failed": self.failed}


class Pulling:
    """Brings one subscriber up to date, batch by batch; remembers only how large a batch it dares."""

    def __init__(self, intake: Intake, feed: Feed, settings: EventSettings, progress: Progress) -> None:
        self._intake = intake
        self.feed = feed
        self._batch = settings.batch
        self._retry_s = settings.poll_s
        self._progress = progress
        self._limit = settings.batch
        self._weather = 0

    async def step(self) -> float | None:
        """One batch; after how many seconds to look again, None: when there is news.

        Errors: SyncError when the store is to blame.
        """
        self._progress.running += 1
        try:
            taken = await self._intake.take(self.feed, self._limit)
        except HandlerFailed as failed:
            self._progress.failed += 1
            return await self._failed(failed)
        finally:
            self._progress.running -= 1
        if taken is None:
            return self._retry_s
        self._weather = 0
        if taken.events:
            self._limit = min(2 * self._limit, self._batch)
        self._progress.done += taken.delivered
        return 0 if taken.more else None

    async def _failed(self, failed: HandlerFailed) -> float:
        cause = failed.__cause__
        if isinstance(cause, Transient) and self._weather < _MAX_WEATHER:
            self._weather += 1
            log.warning("subscriber.again", subscriber=self.feed.name, error=describe(cause))
            return _WEATHER_PAUSE_S * self._weather * random.uniform(0.5, 1.5)
        if self._limit > 1:
            self._limit = max(1, min(self._limit, failed.count) // 2)
        elif await self._intake.set_aside(self.feed, failed.first_id, describe(cause)):
            self._weather = 0
            log.warning("event.set_aside", subscriber=self.feed.name, event_id=failed.first_id, exc_info=cause)
        return 0


class DatatypeConsumer:
    """Serves every subscriber it is given, each in a task of its own.

    Safe to run in many places at once, and to kill at any point (see the package's docstring).
    """

    def __init__(
        self,
        runtime: ConsumerRuntime,
        subscribers: Sequence[Subscriber],
        *,
        outlets: Outlets | None = None,
        application: str = "consumer.datatype",
        backoff: Backoff = BACKOFF,
        webhook_backoff: Backoff = WEBHOOK_BACKOFF,
    ) -> None:
        self._settings: EventSettings = runtime.settings.events
        self._signals = runtime.signals
        self._feeds = [CodeFeed(subscriber) for subscriber in subscribers]
        # Connections of its own, one for everything that may be busy: nobody waits for a slow subscriber's.
        size = 2 * len(self._feeds) + self._settings.workers + 4
        self._database = Database(runtime.database.url, runtime.settings.store, application=application, pool_size=size)
        self._database.publish = runtime.signals.publish
        self._intake = Intake(self._database, self._settings)
        self._retrier = Retrier(self._database, self._settings, backoff)
        self._rows: RowFeeds | None = None
        self._sender: Sender | None = None
        if outlets is not None:
            self._rows = RowFeeds(self._database, outlets.effects)
            self._sender = Sender(
                self._database, outlets.postman, self._settings, wake=self._look_soon, backoff=webhook_backoff
            )
        self._pulling: dict[int, Pulling] = {}
        self._fresh: asyncio.Queue[int] = asyncio.Queue()
        self._queued: set[int] = set()
        self._progress = Progress()
        self._looked = asyncio.Event()
        self._looked.set()
        self._wakes: list[asyncio.Event] = []
        self._due_wakes: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._seen = -1
        self._sweep_at = 0.0
        self._unsubscribe: list[Callable[[], None]] = []

    @property
    def progress(self) -> Progress:
        return self._progress

    async def start(self) -> None:
        """Errors: Transient when PostgreSQL cannot be reached."""
        await self._database.open()
        by_name = await readers.register(self._database, [feed.name for feed in self._feeds])
        for feed in self._feeds:
            pulling = Pulling(self._intake, feed, self._settings, self._progress)
            self._serve(f"pull.{feed.name}", pulling.step)
            self._serve(f"retry.{feed.name}", partial(self._retry, {by_name[feed.name]: feed}), due=True)
        if self._sender is not None:
            self._serve("retry.rows", self._retry_rows, due=True)
            self._serve("send", partial(_send, self._sender), due=True)
            for number in range(self._settings.workers):
                self._tasks.append(asyncio.create_task(self._serve_rows(), name=f"datatype.rows.{number}"))
        self._unsubscribe = [
            self._signals.subscribe(TOPIC, lambda _orgs: self._look_soon()),
            self._signals.subscribe(readers.CHANGED, lambda _ids: self._look_soon(sweep=True)),
        ]
        self._tasks.append(asyncio.create_task(self._look_for_news(), name="datatype.look"))

    async def drain(self, timeout_s: float) -> None:
        """Let batches under way end within `timeout_s`; begin no other."""
        self._progress.state = "draining"
        self._stop.set()
        for wake in self._wakes:
            wake.set()
        for _ in range(self._settings.workers):
            self._fresh.put_nowait(0)
        self._looked.set()
        under_way = [*self._tasks]
        if self._sender is not None:
            under_way.append(asyncio.create_task(self._sender.drained()))
        if under_way:
            await asyncio.wait(under_way, timeout=timeout_s)
        await self.stop()

    async def stop(self) -> None:
        """End at once: batches under way are rolled back."""
        self._stop.set()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.stop()
        await self._database.close()

    async def failure(self) -> None:
        """Wait until one of the loops has failed, and raise what it raised: a bug, not weather."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task

    def _look_soon(self, *, sweep: bool = False) -> None:
        if sweep:
            self._sweep_at = 0.0
        self._looked.set()

    def _row_has_news(self, subscription_id: int) -> None:
        if subscription_id not in self._queued and not self._stop.is_set():
            self._queued.add(subscription_id)
            self._fresh.put_nowait(subscription_id)

    async def _serve_rows(self) -> None:
        """Batch after batch, each time of the subscription that has waited longest."""
        while not self._stop.is_set():
            subscription_id = await self._fresh.get()
            self._queued.discard(subscription_id)
            if self._stop.is_set():
                return
            try:
                pause_s = await self._serve_row(subscription_id)
            except SyncError as error:
                log.warning("datatype.failed", loop=f"subscription.{subscription_id}", error=str(error))
                pause_s = self._settings.poll_s * random.uniform(0.5, 1.0)
            if pause_s is not None:
                asyncio.get_running_loop().call_later(pause_s, self._row_has_news, subscription_id)

    async def _serve_row(self, subscription_id: int) -> float | None:
        assert self._rows is not None
        feed = await self._rows.find(subscription_id)
        if feed is None:
            self._pulling.pop(subscription_id, None)
            return None
        pulling = self._pulling.setdefault(subscription_id, Pulling(self._intake, feed, self._settings, self._progress))
        pulling.feed = feed
        pause_s = await pulling.step()
        if feed.is_webhook:
            for wake in self._due_wakes:
                wake.set()
        return pause_s

    async def _retry(self, feeds: Mapping[int, Feed]) -> float | None:
        return 0 if await self._retrier.step(feeds) else None

    async def _retry_rows(self) -> float | None:
        assert self._rows is not None
        return await self._retry(await self._rows.with_lanes())

    def _serve(self, name: str, step: Callable[[], Awaitable[float | None]], *, due: bool = False) -> None:
        """Run `step` in a loop that wakes when the log has grown, and when a lane is due if that concerns it."""
        wake = asyncio.Event()
        wake.set()
        self._wakes.append(wake)
        if due:
            self._due_wakes.append(wake)
        self._tasks.append(asyncio.create_task(self._loop(name, step, wake), name=f"datatype.{name}"))

    async def _loop(self, name: str, step: Callable[[], Awaitable[float | None]], wake: asyncio.Event) -> None:
        """Run `step` again after the pause it asks for, or when a look has found something."""
        pause_s: float | None = None
        while not self._stop.is_set():
            if pause_s is None:
                await wake.wait()
            elif pause_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause_s)
            wake.clear()
            if self._stop.is_set():
                return
            try:
                pause_s = await step()
            except SyncError as error:
                log.warning("datatype.failed", loop=name, error=str(error))
                pause_s = self._settings.poll_s * random.uniform(0.5, 1.0)

    async def _look_for_news(self) -> None:
        """One cheap statement per wake-up and per `poll_s`; everybody is woken when the log has grown."""
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_s * random.uniform(0.9, 1.1)):
                    await self._looked.wait()
            self._looked.clear()
            try:
                await self._look()
            except SyncError as error:
                log.warning("datatype.blind", error=str(error))
            await asyncio.sleep(_GAP_S)

    async def _look(self) -> None:
        row = await self._database.fetch_one(_LOOK)
        assert row is not None
        horizon: int = row["horizon"]
        sweep = time.monotonic() >= self._sweep_at
        if self._rows is not None and (sweep or horizon > self._seen):
            for subscription_id in await self._rows.with_news(-1 if sweep else self._seen, horizon):
                self._row_has_news(subscription_id)
        if sweep or horizon > self._seen:
            for wake in self._wakes:
                wake.set()
        self._seen = horizon
        if sweep:
            self._sweep_at = time.monotonic() + _SWEEP_S
        if row["due"]:
            for wake in self._due_wakes:
                wake.set()


async def _send(sender: Sender) -> float | None:
    return 0 if await sender.step() else None


def open_outlets(runtime: OutletRuntime) -> Outlets:
    """Close its `postman` at the end."""
    from connectors.registry import PLATFORMS
    from sync.plugins import plugin_connectors
    from sync.pull.runs import SyncRuns

    settings = runtime.settings
    platforms = {**PLATFORMS, **plugin_connectors(settings.plugins)}
    runs = SyncRuns(runtime.database, runtime.signals, platforms)
    postman = Postman(runtime.database, runtime.sealer, settings.outbound)
    return Outlets(Effects(runtime.queue, runtime.catalogue, runs), postman)
