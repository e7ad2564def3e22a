"""What actors of syncs cost and how fast they are: `python -m bench.actors [--runs 7] [--pairs 200]`.

Starts `syncctl up` in a home of its own, with accounts of many orgs at a simulated Slack that answers at once. Syncs
pull the people of a workspace (one page). Measured are

    cold_cpu_s          CPU seconds of the process of an actor that did not exist, from its start to the end of its sync
    cold_all_cpu_s      the same of the whole installation, Ray and PostgreSQL included, less what it uses when idle
    cold_s              from the trigger to the end of that sync
    cold_per_s          pairs of org and platform per second when many are due at once
    warm_trigger_ms     POST /sync/trigger to the arrival of the first request at the vendor, actor resident: p50
    warm_trigger_p95_ms
    resident_mb         memory (PSS) of a resident actor
    due_pairs, done     how many pairs were due at once, and how many of their syncs succeeded
    doubled             pairs that had two actors, runs that were repeated, pages that were applied twice
    peak_actors         most actors that held a lease at once; sync_slots: how many may

The last line on standard output is one JSON object: medians, foreign CPU beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from actors.names import sync_actor
from bench.common import log
from bench.footprint import Installation
from connectors.slack.connector import SLACK
from simulator.log import Entry
from simulator.server import served
from simulator.world import World
from sync.base.sealing import Sealer
from sync.base.settings import Settings, StoreSettings
from sync.cli.home import local_settings
from sync.cli.tokens import sign
from sync.pull.integrations import Integrations
from sync.store.embedded import EmbeddedPostgres
from sync.store.engine import Database

PLATFORM, SYNC_TYPE = "slack", "profile"
_TIMEOUT_S = 1800.0


class Bench:
    def __init__(self, installation: Installation, world: World, port: int) -> None:
        self.installation = installation
        self.world = world
        self.settings = local_settings(Settings(home=installation.home.path), installation.home)
        self.url = EmbeddedPostgres(installation.home.path).url_of()
        self.db = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        self._arrived = threading.Event()
        self._arrived_at = 0.0
        world.log.listener = self._note

    def connect(self, orgs: list[str]) -> None:
        """An account for each; nothing of it is due by itself."""
        vendor = self.world[PLATFORM]
        accounts = vendor.ordinary_accounts()

        async def work() -> None:
            async with Database(self.url, StoreSettings(), application="bench", pool_size=2) as database:
                integrations = Integrations(database, Sealer(self.settings.secrets), {PLATFORM: SLACK})
                for number, org in enumerate(orgs):
                    given = vendor.connect(accounts[number % len(accounts)])
                    credentials = {"access_token": given.access_token, "scope": " ".join(given.scopes)}
                    await integrations.connect(org, PLATFORM, given.account_id, {}, credentials, by="bench")
                    self._rest()

        asyncio.run(work())

    def _rest(self) -> None:
        self.db.execute("UPDATE sync_stream SET next_due_at = now() + interval '1 day'")

    def trigger(self, org: str) -> int:
        token = sign(org, "admin", "bench", hours=1, platform=True, settings=self.settings)
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.http.post(f"/sync/trigger/{PLATFORM}/{SYNC_TYPE}", headers=headers)
        answer.raise_for_status()
        return int(answer.json()["runs"][0]["runId"])

    def ended(self, run: int) -> None:
        self.until(f"SELECT 1 FROM sync_run WHERE id = {run} AND state = 'succeeded'", f"run {run} did not succeed")

    def until(self, query: str, what: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while self.db.execute(query).fetchone() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(what)
            time.sleep(0.02)

    def lives(self) -> dict[str, list[int]]:
        """Process ids by the name of the actor, as each process logged it at its birth."""
        found: dict[str, list[int]] = defaultdict(list)
        for path in (self.installation.home.logs / "ray").glob("worker-*"):
            for line in path.read_text(errors="replace").splitlines():
                if '"actor.ready"' in line:
                    said = json.loads(line)
                    found[said["actor"]].append(said["pid"])
        return found

    def process_of(self, org: str) -> psutil.Process:
        (pid,) = self.lives()[sync_actor(org, PLATFORM)]
        return psutil.Process(pid)

    def cpu_s(self) -> float:
        """Of all processes of the installation, those that ended included as far as their parents know them."""
        return sum(_cpu_s(process, ended=True) for process in self.installation.processes())

    # --- figures

    def cold(self, orgs: list[str]) -> dict[str, float]:
        """One after another, each by an actor that did not exist."""
        before = self.cpu_s()
        time.sleep(10)
        idle = (self.cpu_s() - before) / 10
        own, seconds, memory = [], [], []
        before, began = self.cpu_s(), time.monotonic()
        for org in orgs:
            triggered = time.monotonic()
            self.ended(self.trigger(org))
            seconds.append(time.monotonic() - triggered)
            own.append(_cpu_s(self.process_of(org)))
        time.sleep(2)  # what follows a start: Ray may start another worker in advance
        spent = self.cpu_s() - before - idle * (time.monotonic() - began)
        memory = [self.process_of(org).memory_full_info().pss / 2**20 for org in orgs]
        log("cold:", [round(value, 2) for value in own], "CPU s;", [round(value, 2) for value in seconds], "s")
        return {
            "cold_cpu_s": round(statistics.median(own), 2),
            "cold_all_cpu_s": round(spent / len(orgs), 2),
            "cold_s": round(statistics.median(seconds), 2),
            "resident_mb": round(statistics.median(memory), 1),
        }

    def warm(self, org: str, runs: int) -> dict[str, float]:
        self.ended(self.trigger(org))
        found = []
        for _ in range(runs):
            time.sleep(0.2)
            self._arrived.clear()
            began = time.time()
            run = self.trigger(org)
            if not self._arrived.wait(30):
                raise RuntimeError("The vendor was not called.")
            found.append(1000 * (self._arrived_at - began))
            self.ended(run)
        found.sort()
        log("warm:", [round(value) for value in found], "ms")
        return {
            "warm_trigger_ms": round(statistics.median(found), 1),
            "warm_trigger_p95_ms": round(found[int(0.95 * (len(found) - 1))], 1),
        }

    def due_at_once(self, orgs: list[str]) -> dict[str, Any]:
        ours = "org_id = ANY(%s)"
        with self._watched() as seen:
            began = time.monotonic()
            due = f"""UPDATE sync_stream SET next_due_at = now() WHERE sync_type = '{SYNC_TYPE}'
                      AND integration_id IN (SELECT id FROM integration WHERE {ours})"""
            self.db.execute(due, (orgs,))
            while self._count(f"SELECT count(*) AS n FROM sync_run WHERE {ours}", orgs) < len(orgs):
                time.sleep(0.1)
            self._rest()  # each has its own minute in the hour, and that of some would come meanwhile
            done = f"SELECT count(*) AS n FROM sync_run WHERE state = 'succeeded' AND {ours}"
            while self._count(done, orgs) < len(orgs):
                if time.monotonic() - began > _TIMEOUT_S:
                    break
                time.sleep(0.1)
            took = time.monotonic() - began
        repeated = f"SELECT count(*) AS n FROM sync_run WHERE {ours} AND (attempt > 1 OR fruitless > 1)"
        twice = f"""SELECT count(*) AS n FROM integration i JOIN (
                      SELECT integration_id, count(*) AS runs, sum(records) AS records FROM sync_run GROUP BY 1) r
                    ON r.integration_id = i.id
                    WHERE i.{ours} AND (r.runs <> 1
                      OR r.records <> (SELECT count(*) FROM activity a WHERE a.integration_id = i.id))"""
        lives = self.lives()
        doubles = {
            "two_actors": sum(len(lives[sync_actor(org, PLATFORM)]) > 1 for org in orgs),
            "repeated": self._count(repeated, orgs),
            "twice": self._count(twice, orgs),
        }
        log("doubled:", doubles)
        return {
            "cold_per_s": round(len(orgs) / took, 2),
            "due_pairs": len(orgs),
            "done": self._count(done, orgs),
            "doubled": sum(doubles.values()),
            "peak_actors": seen["leases"],
            "sync_slots": self.settings.sync.slots,
        }

    def _count(self, query: str, orgs: list[str]) -> int:
        row = self.db.execute(query, (orgs,)).fetchone()
        assert row is not None
        return int(row["n"])

    @contextmanager
    def _watched(self) -> Iterator[dict[str, int]]:
        """Meanwhile: most leases held at once."""
        seen, over = {"leases": 0}, threading.Event()

        def watch() -> None:
            with psycopg.connect(self.url, autocommit=True) as db:
                while not over.wait(0.1):
                    row = db.execute("SELECT count(*) FROM sync_lease WHERE holder IS NOT NULL").fetchone()
                    assert row is not None
                    seen["leases"] = max(seen["leases"], row[0])

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()

    def _note(self, _entry: Entry) -> None:
        if not self._arrived.is_set():
            self._arrived_at = time.time()
            self._arrived.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="cold syncs to measure one by one")
    parser.add_argument("--warm", type=int, default=40, help="warm ones")
    parser.add_argument("--pairs", type=int, default=200, help="pairs that are due at once; 0 for none")
    options = parser.parse_args()
    world = World(7, vendors=[PLATFORM], scale="small", limits=False)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="sync-actors-") as folder, served(world) as address:
        given = world[PLATFORM].connect()
        installation = Installation(
            Path(folder),
            SYNC_HTTP__PORT=str(port),
            SYNC_RAY__DASHBOARD_PORT=str(_free_port()),
            SYNC_CONNECTORS__BASE_URLS=json.dumps({PLATFORM: f"{address}/{PLATFORM}"}),
            SYNC_CONNECTORS__LIMITS=json.dumps({f"{PLATFORM}.{budget.name}": 0 for budget in SLACK.budgets}),
            SYNC_CONNECTORS__APPS=json.dumps(
                {PLATFORM: {"client_id": given.client_id, "client_secret": given.client_secret}}
            ),
        )
        try:
            installation.start()
            time.sleep(10)  # the pools come after "ready"
            print(json.dumps(measure(Bench(installation, world, port), options)), flush=True)
        finally:
            installation.stop()
            EmbeddedPostgres(installation.home.path).stop_orphan()
            installation.forget()


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    lone = [f"cold{number}" for number in range(options.runs)]
    crowd = [f"due{number}" for number in range(options.pairs)]
    bench.connect([*lone, *crowd])
    busy, began = _busy(), time.monotonic()
    before = bench.cpu_s()
    found: dict[str, Any] = bench.cold(lone)
    found |= bench.warm(lone[-1], options.warm)
    if crowd:
        found |= bench.due_at_once(crowd)
    foreign = _busy() - busy - (bench.cpu_s() - before) - _cpu_s(psutil.Process())
    return {**found, "foreign_cores": round(max(foreign, 0.0) / (time.monotonic() - began), 2)}


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _cpu_s(process: psutil.Process, *, ended: bool = False) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    own = float(times.user + times.system)
    return own + float(times.children_user + times.children_system) if ended else own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
