"""One measurement's surroundings: a fresh database, a folder for records, members, and a producer."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import uvloop

from bench.common import Members, Recorder, Records, Servers, Shape, cpu_seconds, read_records
from bench.kinds import bench_kinds, new_job
from bench.worker import bench_settings
from sync.wiring import Runtime, open_runtime

T = TypeVar("T")

BATCH = 1000
"""Jobs per bulk call, as the peers do it."""


@dataclass
class Options:
    """What the command line asks for."""

    servers: Servers
    python: str
    runs: int
    quick: bool
    shape: Shape
    """Members and concurrency of drains: what serves two cores best (docs/benchmarks.md)."""
    fanout: Shape

    def scaled(self, full: int, quick: int) -> int:
        return quick if self.quick else full


class Stage:
    def __init__(self, options: Options, url: str, redis_url: str | None, folder: Path, config: dict[str, Any]) -> None:
        self.options = options
        self.url = url
        self.file = folder / "appended.txt"
        self.folder = folder
        self._redis_url = redis_url
        config = {"url": url, "redis_url": redis_url, "file": str(self.file), **config}
        self.members = Members(options.python, folder, config)

    def produce(self, work: Callable[[Runtime], Awaitable[T]]) -> T:
        """Run `work` in this process with a runtime of its own."""

        async def run() -> T:
            async with self.runtime() as runtime:
                return await work(runtime)

        return uvloop.run(run())

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[Runtime]:
        """What a process that only enqueues has."""
        kinds = bench_kinds(Recorder(self.folder / "producer.rec"), self.file)
        settings = bench_settings(self.url, self._redis_url)
        async with open_runtime(settings, application="bench", extra_kinds=kinds) as runtime:
            yield runtime

    def preload(self, kind: str, jobs: int) -> float:
        """Enqueue in bulk; jobs per second."""

        async def work(runtime: Runtime) -> float:
            return await enqueue_bulk(runtime, kind, range(jobs))

        rate = self.produce(work)
        self.options.servers.settle(self.url)
        time.sleep(0.5)
        return rate

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def wait_registered(self, members: int, timeout_s: float = 30) -> None:
        """Until so many members are there and look for work."""
        deadline = time.monotonic() + timeout_s
        while self.query("SELECT count(*) FROM worker")[0][0] < members:
            self.members.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{members} members did not register within {timeout_s:g} s")
            time.sleep(0.02)

    def wait_written(self, timeout_s: float = 60) -> None:
        """Until no job waits or runs any more."""
        deadline = time.monotonic() + timeout_s
        left = "SELECT EXISTS (SELECT FROM job) OR EXISTS (SELECT FROM job_lease) OR EXISTS (SELECT FROM job_scheduled)"
        while self.query(left)[0][0]:
            self.members.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"Jobs are left after {timeout_s:g} s")
            time.sleep(0.05)

    def delivery(self, jobs: int) -> dict[str, int]:
        """Every job executed and recorded exactly once? Call after `wait_written`."""
        ((rows, distinct),) = self.query("SELECT count(*), count(DISTINCT job_id) FROM job_run WHERE outcome = 0")
        executions = read_records(self.folder).count
        return {"lost": jobs - distinct, "doubled": rows - distinct + max(0, executions - jobs)}

    @property
    def roots(self) -> tuple[list[int], list[int]]:
        return self.members.pids, self.options.servers.pids


@contextmanager
def open_stage(options: Options, *, redis: bool = True, **config: Any) -> Iterator[Stage]:
    redis_url = options.servers.redis_url if redis else None
    with options.servers.database() as url, tempfile.TemporaryDirectory(dir=options.servers.work) as folder:
        stage = Stage(options, url, redis_url, Path(folder), config)
        try:
            yield stage
        finally:
            stage.members.kill()


async def enqueue_bulk(runtime: Runtime, kind: str, numbers: range, org_id: str | None = None) -> float:
    """Jobs per second."""
    started = time.perf_counter()
    for start in range(numbers.start, numbers.stop, BATCH):
        part = range(start, min(start + BATCH, numbers.stop))
        await runtime.queue.enqueue_many([new_job(kind, number, org_id=org_id) for number in part])
    return len(numbers) / (time.perf_counter() - started)


async def wait_jobs(stage: Stage, jobs: int, timeout_s: float = 120, step_s: float = 0.01) -> Records:
    """Like `Members.wait`, for a loop that has other work."""
    return await asyncio.to_thread(stage.members.wait, jobs, timeout_s, step_s)


class CpuWindow:
    """CPU seconds of members and servers between two moments."""

    def __init__(self, stage: Stage) -> None:
        self._members, self._servers = stage.roots
        self._before = cpu_seconds(self._members), cpu_seconds(self._servers)

    def end(self) -> tuple[float, float]:
        return cpu_seconds(self._members) - self._before[0], cpu_seconds(self._servers) - self._before[1]
