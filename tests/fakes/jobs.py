"""A job that does what its argument says, and a pool member around it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from sync.base.errors import Permanent, Transient
from sync.base.settings import PoolSettings, QueueSettings, StoreSettings
from sync.jobs.catalogue import Catalogue, JobKind
from sync.jobs.context import JobContext
from sync.jobs.member import PoolMember
from sync.jobs.outcome import Cancel, Outcome, Snooze
from sync.jobs.queue import Queue
from sync.jobs.retry import Backoff
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database

FAST = QueueSettings(poll_s=0.05, heartbeat_s=0.1, worker_timeout_s=0.6, rescue_every_s=0.1)
AT_ONCE = Backoff(base_s=0.001, cap_s=0.01, floor_s=0.0)


class Script(msgspec.Struct, frozen=True):
    """do: ok, fail, permanent, snooze, cancel, hang, effect, effect_then_fail, throttled."""

    do: str = "ok"
    key: str = ""
    seconds: float = 0.0


@dataclass
class Stage:
    """Where scripted jobs leave traces, and how tests hold them up."""

    calls: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    peak: int = 0

    async def play(self, script: Script, ctx: JobContext) -> Outcome | None:
        self.calls[script.key or script.do] += 1
        self.order.append(script.key or script.do)
        self.started.set()
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            return await self._act(script, ctx)
        finally:
            self.running -= 1

    async def _act(self, script: Script, ctx: JobContext) -> Outcome | None:
        match script.do:
            case "fail":
                raise Transient("scripted failure")
            case "throttled":
                raise Transient("slow down", retry_after_s=script.seconds)
            case "permanent":
                raise Permanent("scripted refusal")
            case "bug":
                raise ZeroDivisionError("scripted bug")
            case "snooze":
                return Snooze(script.seconds) if self.calls[script.key or script.do] == 1 else None
            case "cancel":
                return Cancel("scripted cancel")
            case "hang":
                await self.gate.wait()
            case "effect" | "effect_then_fail":
                async with ctx.transaction() as tx:
                    await tx.execute("INSERT INTO effect (key) VALUES (%(key)s)", {"key": script.key})
                    if script.do == "effect_then_fail" and self.calls[script.key] == 1:
                        raise Transient("after the write")
        return None


def scripted(stage: Stage, kind: str = "test.script", **options: object) -> JobKind:
    return JobKind(kind, Script, stage.play, **{"backoff": AT_ONCE, "timeout_s": 30.0, **options})  # type: ignore[arg-type]


@dataclass
class FakeRuntime:
    """The part of a runtime that pool members use, over a test database and local signals."""

    database: Database
    relaxed: Database
    signals: Signals
    catalogue: Catalogue
    queue: Queue
    queue_settings: QueueSettings = FAST


@asynccontextmanager
async def job_runtime(
    db: Database, kinds: Iterable[JobKind], settings: QueueSettings = FAST
) -> AsyncIterator[FakeRuntime]:
    catalogue = Catalogue(kinds)
    await catalogue.install(db)
    signals = Signals(LocalTransport())
    await signals.start()
    queue = Queue(db, signals, catalogue)
    await queue.open()
    relaxed = Database(db.url, StoreSettings(), application="test.relaxed", relaxed=True)
    try:
        yield FakeRuntime(db, relaxed, signals, catalogue, queue, settings)
    finally:
        await queue.close()
        await signals.close()


@asynccontextmanager
async def member(
    runtime: FakeRuntime, name: str = "consumer.one-off.0", *, pool: str = "consumer.one-off", concurrency: int = 8
) -> AsyncIterator[PoolMember]:
    one = PoolMember(runtime, pool, name, "test-node", PoolSettings(concurrency=concurrency))
    await one.start()
    failure = asyncio.create_task(one.failure())
    try:
        yield one
        if failure.done():
            failure.result()  # one of its loops died: the process would have ended
    finally:
        failure.cancel()
        await one.drain(5)
        await one.stop()


async def eventually(check, timeout_s: float = 60.0):  # type: ignore[no-untyped-def]
    """Poll an (async) condition until it holds; returns its value."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        value = check()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not within {timeout_s} s: {check}"
        await asyncio.sleep(0.01)
