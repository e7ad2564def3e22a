"""What an idle installation costs: `python -m bench.footprint [--starts 3] [--settle 60] [--idle 60]`.

Starts `syncctl up` in a home of its own, the first time with an empty one, and measures

    start_s        from the call to "ready" (healthy API), median of the starts after the first
    first_start_s  the same, with nothing there yet
    start_cpu_s    CPU seconds of all processes up to then, of the last start
    idle_cores     CPU seconds per second of all processes, once settled
    total_pss_mb   memory of all processes, shared pages counted once
    processes      the same two figures by kind of process

The last line on standard output is one JSON object. Other work on the machine makes every figure worse.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

from actors import leftovers
from bench.common import ROOT, log
from sync.cli.home import Home
from sync.store.embedded import EmbeddedPostgres

_READY_TIMEOUT_S = 180.0


class Installation:
    """`syncctl up` in a home of its own; `settings` are further environment variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.home = Home(folder / "var")
        self._settings = settings
        self._log = folder / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it was ready."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        environment = {**kept, "PYTHONPATH": str(ROOT), "SYNC_HOME": str(self.home.path), **self._settings}
        began = time.monotonic()
        with self._log.open("wb") as output:
            command = [sys.executable, "-m", "sync.cli.main", "up"]
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        while (state := self.home.read_state()) is None or state.state != "ready":
            if self._process.poll() is not None or time.monotonic() - began > _READY_TIMEOUT_S:
                raise SystemExit(f"It did not start:\n{self._log.read_text()}")
            time.sleep(0.02)
        took = time.monotonic() - began
        log(f"ready after {took:.1f} s:", ", ".join(f"{name} {seconds} s" for name, seconds in state.seconds.items()))
        return took

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(90)
            self._process = None

    def processes(self) -> list[psutil.Process]:
        assert self._process is not None
        up = psutil.Process(self._process.pid)
        found = {process.pid: process for process in leftovers.processes(self.home.run_directory)}
        found |= {process.pid: process for process in [up, *up.children(recursive=True)]}
        return [process for process in found.values() if process.status() != psutil.STATUS_ZOMBIE]

    def forget(self) -> None:
        shutil.rmtree(self.home.run_directory, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="starts after the first one")
    parser.add_argument("--settle", type=float, default=60, help="seconds to wait before idling is measured")
    parser.add_argument("--idle", type=float, default=60, help="seconds over which it is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sync-footprint-") as folder:
        installation = Installation(Path(folder))
        try:
            print(json.dumps(measure(installation, options)), flush=True)
        finally:
            installation.stop()
            EmbeddedPostgres(installation.home.path).stop_orphan()
            installation.forget()


def measure(installation: Installation, options: argparse.Namespace) -> dict[str, object]:
    starts = [installation.start()]
    for _ in range(options.starts):
        installation.stop()
        starts.append(installation.start())
    start_cpu_s = sum(_cpu_s(process) for process in installation.processes())
    log(f"settling for {options.settle:.0f} s")
    time.sleep(options.settle)
    idle, memory = idle_figures(installation, options.idle)
    return {
        "start_s": round(statistics.median(starts[1:] or starts), 1),
        "first_start_s": round(starts[0], 1),
        "start_cpu_s": round(start_cpu_s, 1),
        "idle_cores": round(sum(idle.values()), 3),
        "total_pss_mb": round(sum(memory.values())),
        "load_average": round(os.getloadavg()[0], 2),
        "processes": {
            kind: [round(idle[kind], 4), round(memory[kind])] for kind in sorted(memory, key=memory.__getitem__)
        },
    }


def idle_figures(installation: Installation, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Cores and megabytes by kind of process."""
    before = {process.pid: _cpu_s(process) for process in installation.processes()}
    log(f"measuring for {seconds:.0f} s")
    began = time.monotonic()
    time.sleep(seconds)
    cores: dict[str, float] = defaultdict(float)
    megabytes: dict[str, float] = defaultdict(float)
    for process in installation.processes():
        try:
            kind = _kind(process)
            # One that is new since then counts with all it used.
            cores[kind] += (_cpu_s(process) - before.get(process.pid, 0.0)) / (time.monotonic() - began)
            megabytes[kind] += process.memory_full_info().pss / 2**20
        except psutil.NoSuchProcess:
            continue
    return cores, megabytes


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _kind(process: psutil.Process) -> str:
    name = process.name()
    if not name.startswith("python"):
        return re.sub(r"-\d+$", "", name.split(":SyncApi")[0])
    script = next(
        (part for part in process.cmdline()[1:] if part.endswith(".py") or part.startswith("sync.")), "helper"
    )
    return Path(script).name


if __name__ == "__main__":
    main()
