"""The jobs that benchmarks run; the body and the payload are those of the peer benchmarks."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec

from bench.common import Recorder
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.model import NewJob

SLEEP_S = 0.005
_PAD = "x" * 92
_NO_TIME = 1_000_000_000_000  # as many digits as a real time stamp has
ORGS = 10


class Payload(msgspec.Struct, frozen=True):
    """About 150 bytes of JSON."""

    id: int
    kind: str
    t: int
    pad: str


def new_job(kind: str, number: int, *, org_id: str | None = None, sent_at: int = _NO_TIME) -> NewJob:
    return NewJob(f"bench.{kind}", Payload(number, kind, sent_at, _PAD), org_id=org_id or f"org-{number % ORGS}")


class Handlers:
    """Handlers of one member process."""

    def __init__(self, recorder: Recorder, file: Path) -> None:
        self._recorder = recorder
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def noop(self, _args: Payload, _ctx: JobContext) -> None:
        self._recorder.hit()

    async def sleep(self, _args: Payload, _ctx: JobContext) -> None:
        await asyncio.sleep(SLEEP_S)
        self._recorder.hit()

    async def latency(self, args: Payload, _ctx: JobContext) -> None:
        self._recorder.mark(time.monotonic_ns() - args.t)

    async def start(self, _args: Payload, _ctx: JobContext) -> None:
        """Leaves the time at which it started."""
        self._recorder.mark(time.monotonic_ns())

    async def row(self, args: Payload, ctx: JobContext) -> None:
        async with ctx.transaction() as tx:
            await tx.execute("INSERT INTO bench_effect (id) VALUES (%(id)s)", {"id": args.id})
        self._recorder.hit()

    async def append(self, args: Payload, _ctx: JobContext) -> None:
        await asyncio.sleep(SLEEP_S)
        os.write(self._file, b"%d\n" % args.id)
        self._recorder.hit()

    async def weigh(self, args: Payload, ctx: JobContext) -> None:
        """Leaves 1 for a job of org `heavy`, 0 for another's."""
        self._recorder.mark(int(ctx.job.org_id == "heavy"))


def bench_kinds(recorder: Recorder, file: Path) -> list[JobKind]:
    handlers = Handlers(recorder, file)
    named = ("noop", "sleep", "latency", "start", "row", "append", "weigh")
    return [JobKind(f"bench.{name}", Payload, getattr(handlers, name)) for name in named]
