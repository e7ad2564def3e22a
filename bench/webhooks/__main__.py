"""Measure the way in for webhooks and print one JSON object as the last line.

python -m bench.webhooks                 about three minutes
python -m bench.webhooks --quick         shorter, one run

`syncctl up` runs in a home of its own: HAProxy, one Serve replica, PostgreSQL with fsync. Signed calls of Slack, about
550 bytes each, come over kept-open connections; every 200 means that the row is durable. What is done with the rows
afterwards is held back during the measurements (`pause one-off`) and measured by itself.

    per_s           acknowledged calls per second, median of the runs, as many as it takes
    plain_per_s     the same of bench/webhooks/plain.py: FastAPI and psycopg under uvicorn, one row per call, no proxy
    times_plain     per_s / plain_per_s, by pairs of runs
    p99_ms          at half of per_s, sent on a grid; waiting for a late answer counts
    lost            acknowledged, but not there after kills of the replica and of PostgreSQL in mid-load
    doubled         there more than once
    cpu_us_per_call what one call costs each kind of process of the installation
    applied_per_s   deliveries applied per second by the pool of one member, once it is let go
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import psycopg

from actors import leftovers
from bench.common import ROOT, log, machine
from bench.footprint import Installation
from bench.webhooks.load import Load
from sync.base.settings import Settings
from sync.cli.home import local_settings
from sync.cli.tokens import sign
from sync.store.embedded import EmbeddedPostgres

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
PATH = "/social-activity/webhook/slack"
APPS = {"slack": {"client_id": "bench", "client_secret": "bench", "secrets": {"signing_secret": SECRET}}}


_KINDS = {"ServeReplica": "replica", "haproxy": "haproxy", "postgres": "postgres", "PoolMember": "pools"}


class Bench:
    def __init__(self, folder: Path, connections: int) -> None:
        self.port = _free_port()
        self.connections = connections
        self.folder = folder
        self.installation = Installation(
            folder,
            SYNC_HTTP__PORT=str(self.port),
            SYNC_RAY__DASHBOARD_PORT="0",
            SYNC_CONNECTORS__APPS=json.dumps(APPS),
            SYNC_LOG_LEVEL="WARNING",
        )
        self.postgres = EmbeddedPostgres(self.installation.home.path)
        self._next = 1

    @property
    def url(self) -> str:
        found = self.postgres.url()
        assert found is not None
        return found

    def load(self, seconds: float, *, port: int | None = None, path: str = PATH, **options: Any) -> dict[str, Any]:
        process = self.start_load(seconds, port=port, path=path, **options)
        return self.result_of(process)

    def start_load(
        self, seconds: float, *, port: int | None = None, path: str = PATH, connections: int | None = None, **more: Any
    ) -> subprocess.Popen[bytes]:
        load = Load(port or self.port, path, SECRET, self._next, connections or self.connections, seconds, **more)
        self._next += 1_000_000
        command = [sys.executable, "-m", "bench.webhooks.load", msgspec.json.encode(load).decode()]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    def result_of(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        out, _ = process.communicate(timeout=600)
        if process.returncode:
            raise SystemExit("The load ended badly.")
        found: dict[str, Any] = json.loads(out)
        log({name: value for name, value in found.items() if name != "ids"})
        return found

    def control(self, action: str) -> None:
        settings = local_settings(Settings(home=self.installation.home.path), self.installation.home)
        token = sign("bench", "admin", "bench", hours=1, platform=True, settings=settings)
        headers = {"Authorization": f"Bearer {token}"}
        address = f"http://127.0.0.1:{self.port}/sync/{action}/one-off"
        httpx.post(address, headers=headers, timeout=30).raise_for_status()

    def value(self, query: str, *params: Any) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query, params).fetchone()
            return None if row is None else row[0]

    def forget(self) -> None:
        """Every run begins with empty tables, as far as indexes are concerned."""
        with psycopg.connect(self.postgres.url_of(role="postgres"), autocommit=True) as connection:
            connection.execute("TRUNCATE webhook_delivery CASCADE")
            connection.execute("CHECKPOINT")


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    seconds = 4.0 if options.quick else 8.0
    ours: list[float] = []
    plain: list[float] = []
    used: dict[str, int] = {}
    bench.load(2.0)  # warms caches of plans and code
    for _ in range(1 if options.quick else 3):
        bench.forget()
        before = _cpu(bench)
        run = bench.load(seconds)
        ours.append(run["per_s"])
        used = {kind: round(1e6 * s / run["acknowledged"]) for kind, s in _since(before, _cpu(bench)).items()}
        bench.forget()
        plain.append(_plain(bench, seconds))
    per_s = statistics.median(ours)
    bench.forget()
    half = bench.load(2 * seconds, rate=per_s / 2, connections=32)
    return {
        "per_s": round(per_s),
        "plain_per_s": round(statistics.median(plain)),
        "times_plain": round(statistics.median(a / b for a, b in zip(ours, plain, strict=True)), 2),
        "p50_ms": round(half["p50_ms"], 1),
        "p99_ms": round(half["p99_ms"], 1),
        "half_per_s": round(half["per_s"]),
        "refused": half["refused"],
        "cpu_us_per_call": used,
    }


def _cpu(bench: Bench) -> dict[str, float]:
    """CPU seconds so far of every kind of process of the installation."""
    found: dict[str, float] = defaultdict(float)
    processes = leftovers.processes(bench.installation.home.run_directory)
    if (postmaster := bench.postgres.pid) is not None:
        processes += [psutil.Process(postmaster), *psutil.Process(postmaster).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline()) or process.name()
            kind = next((known for known in _KINDS if known in title), "rest")
            times = process.cpu_times()
            found[_KINDS.get(kind, kind)] += times.user + times.system
    return found


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {kind: seconds - before.get(kind, 0.0) for kind, seconds in now.items()}


def _plain(bench: Bench, seconds: float) -> float:
    port = _free_port()
    command = [sys.executable, "-m", "bench.webhooks.plain", bench.url, SECRET, str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _wait_for(port)
        return float(bench.load(seconds, port=port, path="/webhook")["per_s"])
    finally:
        process.terminate()
        process.wait()


def crash(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Calls go on while the replica is killed, then PostgreSQL, then both once more."""
    bench.forget()
    rounds = 1 if options.quick else 2
    process = bench.start_load(24.0 * rounds, ids=True, warm_s=0.0)
    for _ in range(rounds):
        time.sleep(4)
        _kill(_replica(bench))
        time.sleep(10)
        _kill(_postmaster(bench))
        time.sleep(6)
    found = bench.result_of(process)
    _wait_healthy(bench)
    with psycopg.connect(bench.url) as connection:
        rows = connection.execute(
            "SELECT convert_from(body, 'UTF8')::json ->> 'event_id', count(*) FROM webhook_delivery GROUP BY 1"
        ).fetchall()
    there = {int(name[2:]): count for name, count in rows}
    return {
        "acknowledged": found["acknowledged"],
        "lost": len(set(found["ids"]) - there.keys()),
        "doubled": sum(count > 1 for count in there.values()),
        "broken": found["broken"],
        "kills": 2 * rounds,
    }


def apply(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """What becomes of stored deliveries: read, matched with accounts (here: nobody's), their results written."""
    wanted = 2000 if options.quick else 10_000
    bench.forget()
    while bench.value("SELECT count(*) FROM webhook_delivery") < wanted:
        bench.load(2.0)
    waiting = bench.value("SELECT count(*) FROM webhook_delivery")
    began = time.monotonic()
    bench.control("resume")
    while bench.value("SELECT EXISTS (SELECT FROM webhook_delivery WHERE next_at IS NOT NULL)"):
        if time.monotonic() - began > 120:
            raise SystemExit("The deliveries were not applied.")
        time.sleep(0.05)
    return {"applied_per_s": round(waiting / (time.monotonic() - began))}


def _replica(bench: Bench) -> int:
    found = leftovers.processes(bench.installation.home.run_directory)
    return next(process.pid for process in found if "ServeReplica" in " ".join(process.cmdline()))


def _postmaster(bench: Bench) -> int:
    found = bench.postgres.pid
    assert found is not None
    return found


def _kill(pid: int) -> None:
    log("kill -9", psutil.Process(pid).name())
    os.kill(pid, signal.SIGKILL)


def _wait_healthy(bench: Bench) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{bench.port}/healthz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit("It did not come back.")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)):
        if time.monotonic() > deadline:
            raise SystemExit("The plain handler did not start.")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, one run")
    parser.add_argument("--connections", type=int, default=64, help="kept open at a time (64)")
    parser.add_argument("--only", default="measure,crash,apply", help="comma list of measure, crash, apply")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parts = {"measure": measure, "crash": crash, "apply": apply}
    result: dict[str, Any] = {"machine": machine(), "quick": options.quick, "connections": options.connections}
    with tempfile.TemporaryDirectory(prefix="sync-webhooks-") as folder:
        bench = Bench(Path(folder), options.connections)
        try:
            bench.installation.start()
            bench.control("pause")
            for name in options.only.split(","):
                log(name, "...")
                result |= parts[name](bench, options)
        finally:
            bench.installation.stop()
            EmbeddedPostgres(bench.installation.home.path).stop_orphan()
            bench.installation.forget()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
