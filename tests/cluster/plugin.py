"""Job kinds that cluster tests bring, loaded by every actor through `Settings.plugins`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.retry import Backoff

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


AT_ONCE = Backoff(base_s=0.01, cap_s=0.1, floor_s=0)
JOB_KINDS = (
    JobKind("test.effect", Effect, effect, backoff=AT_ONCE),
    JobKind("test.held", Held, held, backoff=AT_ONCE),
    JobKind("test.slow", Slow, slow, backoff=AT_ONCE),
)
