"""Measure one sync of 100,000 records and print one JSON object as the last line.

python -m bench.sync                     five rounds of everything, interleaved; some minutes
python -m bench.sync --runs 1            a first look
python -m bench.sync --without dlt       dlt is installed into var/ on first use

Each round measures everything once on a fresh database: the pages alone, the bare limit (bench/sync/bare.py), an even
barer one (barest.py), the sync, dlt. Figures are medians; ratios are medians of the rounds' ratios, because whatever
else the machine does during a round slows all of them.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench.common import ROOT, Disturbance, Servers, cpu_seconds, log, machine, wait_quiet
from bench.sync.peer import SCRIPT, dlt_python
from bench.sync.vendor import PAGE, Channel, Vendor

KINDS = ("pages", "bare", "barest", "sync", "dlt")
_SINCE = "2020-01-01"
_CHILD_TIMEOUT_S = 900

Measured = dict[str, Any]


class Bench:
    def __init__(self, servers: Servers, vendor: Vendor, channel: Channel, kinds: list[str]) -> None:
        self._servers, self._vendor, self._channel = servers, vendor, channel
        self._kinds = kinds
        self._dlt = dlt_python() if "dlt" in kinds else ""
        self._config = {
            "account": channel.account,
            "credentials": channel.credentials,
            "url": channel.url,
            "path": channel.path,
            "headers": channel.headers,
            "page": PAGE,
            "since": _SINCE,
            "key": base64.b64encode(secrets.token_bytes(32)).decode(),
        }

    def warm(self) -> None:
        """Let the simulator make its messages; afterwards it only hands out what it has."""
        self._run("bench.sync.bare", {})

    def round(self) -> dict[str, Measured]:
        return {kind: self._measure(kind) for kind in self._kinds}

    def _measure(self, kind: str) -> Measured:
        wait_quiet(self._servers, self._servers.patience_s)
        with self._servers.database() as dsn, tempfile.TemporaryDirectory() as folder:
            place = {"dsn": dsn, "folder": folder}
            if kind == "sync":
                self._run("bench.sync.actor", {**place, "prepare": True})
            self._servers.settle(dsn)
            disturbance, began = Disturbance(self._servers), time.perf_counter()
            vendor_s, server_s = self._vendor.cpu_s, cpu_seconds(self._servers.pids)
            match kind:
                case "pages":
                    found = self._run("bench.sync.bare", {})
                case "bare" | "barest":
                    found = self._run(f"bench.sync.{kind}", place)
                case "sync":
                    found = self._run("bench.sync.actor", place)
                case _:
                    found = self._run(str(SCRIPT), place, python=self._dlt)
            wall = time.perf_counter() - began
            found |= {
                "per_s": self._channel.records / found["seconds"],
                "vendor_cores": (self._vendor.cpu_s - vendor_s) / wall,
                "server_cpu_s": cpu_seconds(self._servers.pids) - server_s,
                **disturbance.end(),
            }
        if found["records"] < self._channel.records:
            raise RuntimeError(f"{kind} stored {found['records']} of {self._channel.records} records")
        log(kind, json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in found.items()}))
        return found

    def _run(self, program: str, config: Measured, *, python: str = sys.executable) -> Measured:
        """Run it as a process of its own; the JSON of its last line."""
        how = [program] if program.endswith(".py") else ["-m", program]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DESTINATION__")}
        done = subprocess.run(
            [python, *how, json.dumps({**self._config, **config})],
            cwd=ROOT,
            env={**environment, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
            check=False,
            capture_output=True,
            text=True,
            timeout=_CHILD_TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-3000:]}")
        found: Measured = json.loads(done.stdout.strip().splitlines()[-1]) or {}
        return found


def summary(rounds: list[dict[str, Measured]]) -> dict[str, Any]:
    def median(kind: str, key: str = "per_s") -> float | None:
        values = [one[kind][key] for one in rounds if kind in one and one[kind].get(key) is not None]
        return statistics.median(values) if values else None

    def ratio(over: str) -> float | None:
        values = [one["sync"]["per_s"] / one[over]["per_s"] for one in rounds if {"sync", over} <= one.keys()]
        return statistics.median(values) if values else None

    kinds = rounds[0].keys()
    growth = [one["sync"]["growth_mb"] for one in rounds if "sync" in one]
    return {
        "records_per_s": median("sync"),
        "share_of_limit": ratio("bare"),
        "times_dlt": ratio("dlt"),
        "memory_growth_mb": max(growth, default=None),
        "bare_per_s": median("bare"),
        "barest_per_s": median("barest"),
        "share_of_barest": ratio("barest"),
        "pages_per_s": median("pages"),
        "dlt_per_s": median("dlt"),
        "activities": median("sync", "records"),
        "actor_cpu_s": median("sync", "cpu_s"),
        "server_cpu_s": median("sync", "server_cpu_s"),
        "bare_cpu_s": median("bare", "cpu_s"),
        "bare_server_cpu_s": median("bare", "server_cpu_s"),
        "vendor_cores": median("sync", "vendor_cores"),
        "foreign_cores": {kind: median(kind, "foreign_cores") for kind in kinds},
        "runs": len(rounds),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="rounds; medians are reported (5)")
    parser.add_argument("--without", default="", help="comma list of " + ", ".join(KINDS))
    parser.add_argument("--patience", type=float, default=0, help="seconds a measurement may wait for a quiet machine")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    servers = Servers(arguments.patience)
    vendor = Vendor(servers.work)
    try:
        vendor.start()
        servers.start()
        kinds = [kind for kind in KINDS if kind not in arguments.without.split(",")]
        bench = Bench(servers, vendor, vendor.connect(), kinds)
        bench.warm()
        rounds = []
        for number in range(arguments.runs):
            log("round", number + 1)
            rounds.append(bench.round())
    finally:
        vendor.stop()
        servers.stop()
    print(json.dumps({"machine": machine(), **_rounded(summary(rounds))}))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value)
        if isinstance(value, dict)
        else round(value, 2 if value < 1000 else None)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }


if __name__ == "__main__":
    main()
