"""Pool members in real operating-system processes, to be killed. `Pool` keeps them running as a supervisor would.

Processes are forked from one server process that has everything imported, so a restart takes milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess

import msgspec

from sync.base.errors import SyncError, Transient
from sync.base.logs import configure_logging
from sync.base.settings import PoolSettings, QueueSettings, StoreSettings
from sync.jobs.catalogue import Catalogue, JobKind
from sync.jobs.context import JobContext
from sync.jobs.member import PoolMember
from sync.jobs.outcome import Outcome, Snooze
from sync.jobs.queue import Queue
from sync.signals import LocalTransport, PostgresTransport, RedisTransport, Signals, Transport
from sync.store.engine import Database
from tests.fakes.jobs import AT_ONCE, FakeRuntime

QUICK = QueueSettings(poll_s=0.2, heartbeat_s=0.3, worker_timeout_s=1.5, rescue_every_s=0.2)
POOL = "consumer.one-off"

SCHEMA = """
CREATE TABLE effect (key text NOT NULL, pid int NOT NULL);
CREATE TABLE gate (open boolean);
"""


class Deed(msgspec.Struct, frozen=True):
    """do: nothing, effect, fail_first (after the write, at attempt 1), snooze_first, die, wait (for the gate)."""

    do: str = "effect"
    key: str = ""


async def _act(deed: Deed, ctx: JobContext, database: Database) -> Outcome | None:
    if deed.do == "die":
        os._exit(9)
    if deed.do == "nothing":
        await asyncio.sleep(0.001)
        return None
    if deed.do == "snooze_first" and not (ctx.job.meta or {}).get("seen") and await ctx.checkpoint() is None:
        await ctx.progress(50, checkpoint={"seen": True})
        return Snooze(0.01)
    if deed.do == "wait":
        while not await database.fetch_value("SELECT EXISTS (SELECT FROM gate)"):
            await asyncio.sleep(0.02)
    async with ctx.transaction() as tx:
        await tx.execute(
            "INSERT INTO effect (key, pid) VALUES (%(key)s, %(pid)s)", {"key": deed.key, "pid": os.getpid()}
        )
        if deed.do == "fail_first" and ctx.job.attempt == 0:
            raise Transient("after the write, before the commit")
    return None


def kinds(database: Database) -> list[JobKind]:
    async def act(deed: Deed, ctx: JobContext) -> Outcome | None:
        return await _act(deed, ctx, database)

    return [
        JobKind("chaos.deed", Deed, act, backoff=AT_ONCE),
        JobKind("chaos.limited", Deed, act, backoff=AT_ONCE, concurrency=2),
    ]


@dataclass(frozen=True)
class Config:
    """What a member process is told."""

    url: str
    name: str = f"{POOL}.0"
    node: str = "node"
    concurrency: int = 8
    redis_url: str | None = None
    notify: bool = False
    queue: QueueSettings = QUICK


@asynccontextmanager
async def chaos_runtime(config: Config) -> AsyncIterator[FakeRuntime]:
    """A runtime with the kinds above, for members and for the test itself."""
    transport: Transport = LocalTransport()
    if config.redis_url is not None:
        transport = RedisTransport(config.redis_url, "chaos")
    elif config.notify:
        transport = PostgresTransport(config.url)
    async with Database(config.url, StoreSettings(), application="chaos") as database:
        catalogue = Catalogue(kinds(database))
        await catalogue.install(database)
        signals = Signals(transport)
        await signals.start()
        queue = Queue(database, signals, catalogue)
        await queue.open()
        relaxed = Database(config.url, StoreSettings(), application="chaos", relaxed=True)
        try:
            yield FakeRuntime(database, relaxed, signals, catalogue, queue, config.queue)
        finally:
            await queue.close()
            await signals.close()


def run(config: Config) -> None:
    """The whole life of one member process. SIGTERM drains it."""
    os.setpgrp()  # Ctrl-C in the terminal is for pytest
    configure_logging("ERROR")  # warnings of every reconnection would bury what a failed test has to say
    asyncio.run(_live(config))


async def _live(config: Config) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with chaos_runtime(config) as runtime:
        member = PoolMember(runtime, POOL, config.name, config.node, PoolSettings(concurrency=config.concurrency))
        await member.start()
        failure = asyncio.create_task(member.failure())
        await asyncio.wait({failure, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            os._exit(1)
        failure.cancel()
        await member.drain(20)


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


@dataclass
class Pool:
    """Member processes, each replaced when it ends."""

    config: Config
    deaths: int = 0
    processes: dict[str, BaseProcess] = field(default_factory=dict)
    _tending: asyncio.Task[None] | None = None
    _closing: bool = False

    def start(self, name: str, node: str | None = None) -> BaseProcess:
        process = _context.Process(
            target=run, args=(replace(self.config, name=name, node=node or self.config.node),), daemon=True
        )
        process.start()
        self.processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """kill -9, as power or the kernel would."""
        process = self.processes[name]
        process.kill()
        process.join()

    def replace_dead(self) -> None:
        for name, process in list(self.processes.items()):
            if not process.is_alive():
                self.deaths += 1
                self.start(name)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.join()


@asynccontextmanager
async def pool(config: Config, members: int = 1, *, tend: bool = False) -> AsyncIterator[Pool]:
    """Members named `consumer.one-off.<n>`. tend: replace those that end by themselves."""
    one = Pool(config)
    for number in range(members):
        one.start(f"{POOL}.{number}")

    async def tending() -> None:
        while True:
            one.replace_dead()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(tending()) if tend else None
    try:
        yield one
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        one.close()


@asynccontextmanager
async def rescuing(runtime: FakeRuntime) -> AsyncIterator[None]:
    """A rescuer that goes on while PostgreSQL comes and goes."""
    from sync.jobs.rescue import Rescuer

    rescuer = Rescuer(runtime.database, runtime.signals, runtime.queue_settings)

    async def for_ever() -> None:
        while True:
            with contextlib.suppress(SyncError):
                await rescuer.step()
            await asyncio.sleep(runtime.queue_settings.rescue_every_s)

    task = asyncio.create_task(for_ever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
