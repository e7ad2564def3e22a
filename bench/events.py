"""Measure the fan-out of events to five subscribers; one JSON object is the last line.

python -m bench.events                drain, crash and lag; about two minutes
python -m bench.events --quick        smaller numbers, one run
python -m bench.events --only lag     lag alone, at the rate given by --rate

drain  events wait in the log; a consumer process starts. From the first to the last effect as the subscribers note it.
crash  events are written all the while; kill -9 of the consumer in the middle, then another one starts.
lag    events are written at a tenth of the drain's rate, as pages of a sync are: some in one transaction. From before
       the transaction that writes an event until the transaction that holds its effect is committed.

Each subscriber writes one row per event, in the transaction that moves its position; what is lost, doubled or out of
order is counted in these rows. The consumer is a process of its own, as in production, with uvloop and without Ray.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from bench.common import (
    ROOT,
    Recorder,
    Servers,
    cpu_seconds,
    die_with_parent,
    machine,
    median_of,
    percentile,
    read_records,
)
from bench.worker import bench_settings
from sync.events import Event, LoggedEvent, append_events
from sync.store.engine import Transaction
from sync.subscriptions.consumer import DatatypeConsumer
from sync.wiring import Runtime, open_runtime

SUBSCRIBERS = 5
ORGS = 10
SUBJECTS = 500
_PAD = "x" * 60
_PAGE = 20
"""Events of one transaction in the lag run."""

SCHEMA = """
CREATE TABLE bench_effect (
  subscriber int NOT NULL, event_id bigint NOT NULL, n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT clock_timestamp())"""
_SUMS = """
SELECT count(*) AS rows, count(DISTINCT (subscriber, event_id)) AS deliveries,
  date_part('epoch', max(at) - min(at)) AS seconds
FROM bench_effect
"""
_DISORDER = """
SELECT count(*) FROM (
  SELECT f.event_id, lag(f.event_id) OVER (PARTITION BY f.subscriber, e.org_id, e.subject ORDER BY f.n) AS before
  FROM bench_effect f JOIN event e ON e.id = f.event_id) x
WHERE before > event_id
"""


class Counting:
    """One row per event; notes in shared memory how old each event was when its effect was committed."""

    patterns = ("bench.*",)

    def __init__(self, number: int, recorder: Recorder) -> None:
        self.name = f"bench-{number}"
        self._number = number
        self._recorder = recorder

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        await tx.execute(
            "INSERT INTO bench_effect (subscriber, event_id) SELECT %s, unnest(%s::int8[])",
            (self._number, [event.id for event in events]),
        )
        sent = [event.payload["t"] for event in events]

        async def committed() -> None:
            now = time.monotonic_ns()
            for at in sent:
                self._recorder.mark(now - at)

        tx.after_commit(committed)


async def consume(config: dict[str, Any]) -> None:
    """The whole life of the consumer process."""
    recorder = Recorder(Path(config["record"]))
    async with open_runtime(bench_settings(config["url"], None), application="consumer.datatype.0") as runtime:
        consumer = DatatypeConsumer(runtime, [Counting(number, recorder) for number in range(SUBSCRIBERS)])
        await consumer.start()
        await asyncio.Event().wait()


class Consumer:
    def __init__(self, url: str, folder: Path) -> None:
        self._url, self.folder = url, folder
        self._started = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._started += 1
        config = {"url": self._url, "record": str(self.folder / f"{self._started}.rec")}
        with (self.folder / f"{self._started}.log").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.events", "--consumer", json.dumps(config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            words = (self.folder / f"{self._started}.log").read_text()[-2000:]
            raise RuntimeError(f"The consumer ended with {self.process.returncode}: {words}")


@contextlib.contextmanager
def stage(servers: Servers) -> Iterator[tuple[str, Consumer, psycopg.Connection[Any]]]:
    with servers.database() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        folder = servers.work / f"events-{time.monotonic_ns()}"
        folder.mkdir()
        consumer = Consumer(url, folder)
        try:
            yield url, consumer, connection
        finally:
            consumer.kill()


@contextlib.asynccontextmanager
async def writing(url: str) -> AsyncIterator[Runtime]:
    async with open_runtime(bench_settings(url, None), application="bench") as runtime:
        yield runtime


async def write(runtime: Runtime, first: int, count: int) -> None:
    now = time.monotonic_ns()
    events = [
        Event(f"org-{n % ORGS}", "bench.happened", f"thing:{n % SUBJECTS}", {"n": n, "t": now, "pad": _PAD})
        for n in range(first, first + count)
    ]
    async with runtime.database.transaction() as tx:
        await append_events(tx, events)


def wait_for(connection: psycopg.Connection[Any], consumer: Consumer, effects: int, limit_s: float) -> int:
    """Until there are so many effects; how many there are."""
    deadline = time.monotonic() + limit_s
    while True:
        found = connection.execute("SELECT count(*) FROM bench_effect").fetchone()
        assert found is not None
        if found[0] >= effects or time.monotonic() > deadline:
            return int(found[0])
        consumer.check()
        time.sleep(0.1)


def sums(connection: psycopg.Connection[Any], events: int) -> dict[str, Any]:
    rows, deliveries, seconds = connection.execute(_SUMS).fetchone() or (0, 0, 0)
    (disorder,) = connection.execute(_DISORDER).fetchone() or (0,)
    return {
        "lost": events * SUBSCRIBERS - deliveries,
        "doubled": rows - deliveries,
        "disorder": disorder,
        "seconds": float(seconds or 0),
        "deliveries": deliveries,
    }


def drain(servers: Servers, events: int) -> dict[str, Any]:
    with stage(servers) as (url, consumer, connection):

        async def preload() -> None:
            async with writing(url) as runtime:
                for first in range(0, events, 1000):
                    await write(runtime, first, 1000)

        uvloop.run(preload())
        servers.settle(url)
        before = cpu_seconds([*servers.pids])
        consumer.start()
        assert consumer.process is not None
        wait_for(connection, consumer, events * SUBSCRIBERS, 300)
        used = cpu_seconds([*servers.pids]) - before + cpu_seconds([consumer.process.pid])
        found = sums(connection, events)
        return {
            **found,
            "deliveries_per_s": found["deliveries"] / found["seconds"],
            "deliveries_per_cpu_s": found["deliveries"] / used,
        }


def crash(servers: Servers, events: int) -> dict[str, Any]:
    with stage(servers) as (url, consumer, connection):

        async def keep_writing() -> None:
            async with writing(url) as runtime:
                for first in range(0, events, 100):
                    await write(runtime, first, 100)
                    if first == events // 2 // 100 * 100:
                        await asyncio.to_thread(wait_for, connection, consumer, events * SUBSCRIBERS // 5, 120)
                        consumer.kill()
                        consumer.start()

        consumer.start()
        uvloop.run(keep_writing())
        wait_for(connection, consumer, events * SUBSCRIBERS, 120)
        time.sleep(2)  # for what might still come a second time
        return sums(connection, events)


def lag(servers: Servers, rate: float, seconds: float) -> dict[str, Any]:
    per_s = rate / SUBSCRIBERS
    with stage(servers) as (url, consumer, connection):

        async def paced(runtime: Runtime, first: int, pages: int) -> int:
            loop = asyncio.get_running_loop()
            start = loop.time()
            for page in range(pages):
                await asyncio.sleep(max(0.0, start + page * _PAGE / per_s - loop.time()))
                await write(runtime, first + page * _PAGE, _PAGE)
            return pages * _PAGE

        async def run() -> tuple[int, float]:
            async with writing(url) as runtime:
                warm = await paced(runtime, 0, 20)
                await asyncio.to_thread(wait_for, connection, consumer, warm * SUBSCRIBERS, 60)
                started = time.monotonic()
                count = await paced(runtime, warm, int(seconds * per_s / _PAGE))
                return warm + count, count / (time.monotonic() - started)

        consumer.start()
        written, real = uvloop.run(run())
        wait_for(connection, consumer, written * SUBSCRIBERS, 60)
        time.sleep(0.5)  # for the last notes
        marks = read_records(consumer.folder, details=True).marks[20 * _PAGE * SUBSCRIBERS :]
        found = sums(connection, written)
        return {
            "lost": found["lost"],
            "doubled": found["doubled"],
            "lag_rate_per_s": real * SUBSCRIBERS,
            "lag_p50_ms": percentile(marks, 0.5) / 1e6,
            "lag_p99_ms": percentile(marks, 0.99) / 1e6,
            "lag_max_ms": max(marks) / 1e6,
            "lag_samples": len(marks),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer events, one run of each")
    parser.add_argument("--only", default="drain,crash,lag", help="comma list of drain, crash, lag")
    parser.add_argument("--runs", type=int, help="runs of each part; medians are reported (3; 1 with --quick)")
    parser.add_argument("--rate", type=float, help="deliveries a second of the lag run (a tenth of the drain's)")
    parser.add_argument("--patience", type=float, default=0, help="seconds a run may wait for a quiet machine (0)")
    parser.add_argument("--consumer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.consumer:
        die_with_parent()
        uvloop.run(consume(json.loads(arguments.consumer)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    servers = Servers(arguments.patience)
    runs = arguments.runs or (1 if arguments.quick else 3)
    events = 10_000 if arguments.quick else 40_000
    result: dict[str, Any] = {"machine": machine(), "subscribers": SUBSCRIBERS, "lost": 0, "doubled": 0, "disorder": 0}
    try:
        servers.start()
        parts = arguments.only.split(",")
        rate = arguments.rate or 1000.0
        if "drain" in parts:
            found = median_of(servers, "drain", runs, lambda: drain(servers, events))
            rate = arguments.rate or found["deliveries_per_s"] / 10
            _add(result, found, "deliveries_per_s", "deliveries_per_cpu_s")
        if "crash" in parts:
            _add(result, median_of(servers, "crash", runs, lambda: crash(servers, events // 2)))
        if "lag" in parts:
            found = median_of(servers, "lag", runs, lambda: lag(servers, rate, 2.5 if arguments.quick else 10))
            _add(result, found, "lag_rate_per_s", "lag_p50_ms", "lag_p99_ms", "lag_max_ms", "lag_samples")
    finally:
        servers.stop()
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in result.items()}))


def _add(result: dict[str, Any], found: dict[str, Any], *names: str) -> None:
    for name in ("lost", "doubled", "disorder"):
        result[name] += int(found.get(name, 0))
    result.update({name: found[name] for name in names})
    result["foreign_cores"] = max(result.get("foreign_cores", 0), found["foreign_cores"])


if __name__ == "__main__":
    main()
