"""What every benchmark needs: servers of its own, member processes, a recorder that survives kill -9, CPU accounting.

The job body, the payload and the way of counting are those of the peer benchmarks that the figures are compared with:
a job costs the recorder about a microsecond, drain runs from the first to the last execution as the jobs themselves
note it, and CPU seconds are those of all members and of the whole database server over that window.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from sync.store.embedded import EmbeddedPostgres
from sync.store.migrate import upgrade

ROOT = Path(__file__).resolve().parent.parent
_HEAD = struct.Struct("<QQQQQ")
_MARKS = 16_384
"""Kept of each sort: numbers that jobs left (such as their latency), and times of claims."""

_QUIET_CORES = 0.15
_WORST = {"lost", "doubled", "disorder", "cycles_max"}


def log(*parts: object) -> None:
    print(time.strftime("%H:%M:%S"), *parts, file=sys.stderr, flush=True)


class Recorder:
    """Counts executions in a memory-mapped file: (count, first, last, marks, claims), then the marks, then the
    times of claims.

    Times are CLOCK_MONOTONIC nanoseconds, which all processes of one machine share.
    """

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_HEAD.size + 16 * _MARKS)
            self._map = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._map).cast("Q")

    def hit(self) -> None:
        words = self._words
        now = time.monotonic_ns()
        if not words[0]:
            words[1] = now
        words[2] = now
        words[0] += 1

    def mark(self, value: int) -> None:
        """One execution together with a number, such as its latency."""
        words = self._words
        if words[3] < _MARKS:
            words[5 + words[3]] = value
        words[3] += 1
        self.hit()

    def claim(self) -> None:
        words = self._words
        if words[4] < _MARKS:
            words[5 + _MARKS + words[4]] = time.monotonic_ns()
        words[4] += 1


@dataclass
class Records:
    """What the recorders of all members hold together."""

    count: int = 0
    first: int = 0
    last: int = 0
    marks: list[int] = field(default_factory=list)
    claims: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / 1e9


def read_records(folder: Path, *, details: bool = False) -> Records:
    found = Records()
    for path in folder.glob("*.rec"):
        raw = path.read_bytes() if details else path.open("rb").read(_HEAD.size)
        if len(raw) < _HEAD.size:  # just created
            continue
        count, first, last, marks, claims = _HEAD.unpack_from(raw)
        if details:
            words = memoryview(raw)[_HEAD.size :].cast("Q")
            found.marks += words[: min(marks, _MARKS)].tolist()
            found.claims += words[_MARKS : _MARKS + min(claims, _MARKS)].tolist()
        if count:
            found.count += count
            found.first = min(found.first, first) if found.first else first
            found.last = max(found.last, last)
    return found


@dataclass(frozen=True)
class Shape:
    """How many member processes run, and how many jobs each runs at a time."""

    members: int
    concurrency: int

    def __str__(self) -> str:
        return f"{self.members} x {self.concurrency}"


class Members:
    """Pool members as processes of their own."""

    def __init__(self, python: str, folder: Path, config: dict[str, Any]) -> None:
        self._python = python
        self._folder = folder
        self._config = config
        self._started = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, shape: Shape) -> None:
        for number in range(shape.members):
            self._started += 1
            config = {
                **self._config,
                "name": f"consumer.one-off.{number}",
                "concurrency": shape.concurrency,
                "record": str(self._folder / f"{self._started}.rec"),
            }
            with (self._folder / f"{self._started}.log").open("wb") as output:
                self.processes.append(
                    subprocess.Popen(
                        [self._python, "-m", "bench.worker", json.dumps(config)],
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                    )
                )

    def kill(self) -> None:
        """kill -9, as a crash would."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes = []

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def check(self) -> None:
        """Errors: RuntimeError with the last words of a member that ended by itself."""
        for process in self.processes:
            if process.poll() is not None:
                logs = sorted(self._folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
                raise RuntimeError(f"A member ended with {process.returncode}: {logs[-1].read_text()[-2000:]}")

    def wait(self, jobs: int, timeout_s: float, step_s: float = 0.02) -> Records:
        """Until so many jobs have run. Errors: RuntimeError when they have not."""
        deadline = time.monotonic() + timeout_s
        while True:
            records = read_records(self._folder)
            if records.count >= jobs:
                return records
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{records.count} of {jobs} jobs ran within {timeout_s:g} s")
            time.sleep(step_s)


class Servers:
    """An embedded PostgreSQL with the settings of production (fsync on) and a Redis, both ended by `stop`."""

    def __init__(self, patience_s: float = 0) -> None:
        self.patience_s = patience_s
        """How long a run may wait for other work on the machine to pause."""
        self.work = Path(tempfile.mkdtemp(prefix="sync-bench-"))
        self._postgres = EmbeddedPostgres(self.work / "home")
        self._redis: subprocess.Popen[bytes] | None = None
        self._redis_port = 0
        self._number = 0

    def start(self) -> None:
        self._postgres.start()
        with self._admin() as connection:
            connection.execute("CREATE DATABASE bench_template OWNER sync")
        upgrade(self._postgres.url_of("bench_template"))

    def stop(self) -> None:
        if self._redis is not None:
            self._redis.terminate()
            self._redis.wait()
        self._postgres.stop(immediate=True)
        shutil.rmtree(self.work, ignore_errors=True)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A fresh, migrated database and its URL."""
        self._number += 1
        name = f"bench_{self._number}"
        with self._admin() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE bench_template OWNER sync").format(_name(name)))
            connection.execute("CHECKPOINT")
        try:
            yield self._postgres.url_of(name)
        finally:
            with self._admin() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_name(name)))

    def settle(self, url: str) -> None:
        """Statistics as a table in use has them, and no checkpoint in the coming run."""
        with self._admin(str(conninfo_to_dict(url)["dbname"])) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    @property
    def redis_url(self) -> str:
        if self._redis is None:
            program = shutil.which("redis-server")
            if program is None:
                raise RuntimeError("redis-server is not installed.")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._redis_port = probe.getsockname()[1]
            command = [program, "--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "", "--dir"]
            self._redis = subprocess.Popen([*command, str(self.work)], stdout=subprocess.DEVNULL)
            while socket.socket().connect_ex(("127.0.0.1", self._redis_port)) != 0:
                time.sleep(0.02)
        return f"redis://127.0.0.1:{self._redis_port}/0"

    @property
    def pids(self) -> list[int]:
        """The roots of the process trees that serve: PostgreSQL, and Redis where it runs."""
        return [pid for pid in (self._postgres.pid, self._redis and self._redis.pid) if pid]

    def _admin(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self._postgres.url_of(database, role="postgres"), autocommit=True)


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)


# -- CPU -----------------------------------------------------------------------------------------------------------


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU used so far by these processes and everything below them, children that ended included."""
    total = 0.0
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    total += times.user + times.system + times.children_user + times.children_system
    return total


class Disturbance:
    """CPU that others took while a measurement ran: processes outside the benchmark, and the hypervisor."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._start = self._now()

    def end(self) -> dict[str, float]:
        wall, busy, own, steal = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return {
            "foreign_cores": round(max(0.0, busy - own) / wall, 2),
            "steal_cores": round(steal / wall, 2),
        }

    def _now(self) -> tuple[float, float, float, float]:
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq
        kernel = cpu_seconds([2])
        # PostgreSQL runs in a session of its own but is still our child.
        return time.monotonic(), busy, cpu_seconds([os.getpid()]) + kernel, times.steal


def wait_quiet(servers: Servers, patience_s: float) -> None:
    """Until others leave the processors alone for a second, or the patience is used up."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        disturbance = Disturbance(servers)
        time.sleep(1)
        if disturbance.end()["foreign_cores"] < _QUIET_CORES:
            return


def median_of(
    servers: Servers, name: str, runs: int, once: Callable[[], dict[str, Any]], *, foreign_limit: float = 0.35
) -> dict[str, Any]:
    """Medians over `runs` runs of every number that `once` returns; of `_WORST` the worst of all runs.

    Runs disturbed by other work are repeated, at most twice; the least disturbed are kept.
    """
    kept: list[dict[str, Any]] = []
    for _ in range(runs + 2):
        wait_quiet(servers, servers.patience_s)
        disturbance = Disturbance(servers)
        result = {**once(), **disturbance.end()}
        kept.append(result)
        log(name, json.dumps({key: _brief(value) for key, value in result.items()}))
        if sum(run["foreign_cores"] <= foreign_limit for run in kept) >= runs:
            break
    worst = {key: max(run[key] for run in kept) for key in _WORST & kept[0].keys()}
    kept = sorted(kept, key=lambda run: run["foreign_cores"])[:runs]
    numbers = [key for key, value in kept[0].items() if isinstance(value, int | float)]
    medians = {key: statistics.median(run[key] for run in kept) for key in numbers}
    return {**kept[0], **medians, **worst, "runs": len(kept)}


def _brief(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def percentile(values: list[int], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def die_with_parent() -> None:
    """The kernel ends this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def machine() -> dict[str, Any]:
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return {
        "cores": os.cpu_count(),
        "cpu": model.partition(":")[2].strip(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": sys.version.split()[0],
        "load_average": round(os.getloadavg()[0], 2),
    }
