"""Job kinds and a platform that cluster tests bring, loaded by every actor through `Settings.plugins`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from connectors.base import Account, Field, Page, Pull, Session, SyncType
from connectors.records import MAIL
from sync.events import LoggedEvent
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.retry import Backoff
from sync.store.engine import Transaction
from tests.fakes.platform import record

TABLES = "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL, pid int NOT NULL)"


class Effect(msgspec.Struct, frozen=True):
    key: str


class Held(msgspec.Struct, frozen=True):
    key: str
    folder: str


class Slow(msgspec.Struct, frozen=True):
    seconds: float


async def effect(args: Effect | Held, ctx: JobContext) -> None:
    """A row, exactly once."""
    async with ctx.transaction() as tx:
        await tx.execute(
            "INSERT INTO effect (key, pid) VALUES (%(key)s, %(pid)s)", {"key": args.key, "pid": os.getpid()}
        )


async def held(args: Held, ctx: JobContext) -> None:
    """Leaves a file named after its process, waits for the file `open`, then leaves its row."""
    folder = Path(args.folder)
    (folder / str(os.getpid())).touch()
    while not (folder / "open").exists():
        await asyncio.sleep(0.02)
    await effect(args, ctx)


async def slow(args: Slow, ctx: JobContext) -> None:
    await asyncio.sleep(args.seconds)


class Follower:
    """A subscriber of the event log: one row per event."""

    name = "test.follower"
    patterns = ("thing.*",)

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            await tx.execute("INSERT INTO effect (key, pid) VALUES (%s, %s)", (str(event.id), os.getpid()))
        await asyncio.sleep(0.01)


SUBSCRIBERS = (Follower(),)
AT_ONCE = Backoff(base_s=0.01, cap_s=0.1, floor_s=0)
JOB_KINDS = (
    JobKind("test.effect", Effect, effect, backoff=AT_ONCE),
    JobKind("test.held", Held, held, backoff=AT_ONCE),
    JobKind("test.slow", Slow, slow, backoff=AT_ONCE),
)


class StagedPlatform:
    """An account of PAGES pages. Before each one a process leaves `at-<page>-<pid>` in the account's folder, and where
    `shut-<page>` lies there it waits until that file is gone or `pass-<pid>` lets this process through.
    """

    platform = "staged"
    title = "Staged mail"
    fields = (Field("folder", "Where the doors are.", required=True),)
    sync_types = (SyncType("messages", "Mail", MAIL, timedelta(hours=1)),)

    PAGES = 5
    PAGE_SIZE = 10

    def open(self, account: Account) -> AbstractAsyncContextManager[Session]:
        return self._session(Path(account.config["folder"]))

    @asynccontextmanager
    async def _session(self, folder: Path) -> AsyncIterator[Session]:
        yield StagedSession(folder)


class StagedSession:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def check(self) -> None:
        pass

    async def pages(self, pull: Pull) -> AsyncGenerator[Page, None]:
        first = (pull.cursor or {}).get("page", 0) + 1
        for page in range(first, StagedPlatform.PAGES + 1):
            await self._door(page)
            start = (page - 1) * StagedPlatform.PAGE_SIZE
            records = [record(start + number) for number in range(1, StagedPlatform.PAGE_SIZE + 1)]
            yield Page(records, {"page": page}, more=page < StagedPlatform.PAGES)

    async def _door(self, page: int) -> None:
        (self._folder / f"at-{page}-{os.getpid()}").touch()
        while (self._folder / f"shut-{page}").exists() and not (self._folder / f"pass-{os.getpid()}").exists():
            await asyncio.sleep(0.02)


CONNECTORS = (StagedPlatform(),)
