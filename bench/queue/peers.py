"""Other queues in the same session: runs `run_peers.py` of a folder and compares with the best of each figure."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import log

_WORKLOADS = {
    "drain": "drain",
    "enqueue": "enqueue,drain",  # the bulk rate is measured while a drain is prepared
    "pickup": "latency",
    "fanout": "fanout",
    "crash": "crash",
}
"""What a workload of ours is called there."""


@dataclass(frozen=True)
class _Figure:
    """A figure of ours, and where a peer's runs have theirs."""

    ours: str
    workload: str
    theirs: str
    best: Callable[..., float] = max
    server: str | None = None


_FIGURES = (
    _Figure("drain_per_s", "drain", "jobs_per_s"),
    _Figure("drain_per_cpu_s", "drain", "jobs_per_cpu_s"),
    _Figure("enqueue_bulk_per_s", "drain", "preload_per_s"),
    _Figure("enqueue_single_per_s", "enqueue", "single_per_s", server="pg"),
    _Figure("pickup_p50_ms", "latency", "p50_ms", min),
    _Figure("pickup_p99_ms", "latency", "p99_ms", min),
    _Figure("pickup_pg_p50_ms", "latency", "p50_ms", min, server="pg"),
    _Figure("pickup_pg_p99_ms", "latency", "p99_ms", min, server="pg"),
    _Figure("fanout_per_s", "fanout", "jobs_per_s"),
    _Figure("all_done_s", "crash", "all_done_s", min),
)


def run_peers(folder: Path, names: str, workloads: list[str], runs: int, work: Path | None) -> dict[str, Any]:
    """Errors: CalledProcessError. `work` keeps the peers' installations for the next time."""
    wanted = ",".join(dict.fromkeys(part for name in workloads for part in _WORKLOADS.get(name, "").split(",") if part))
    with tempfile.TemporaryDirectory(prefix="sync-peers-") as scratch:
        out = Path(scratch) / "peers.json"
        command = [sys.executable, str(folder / "run_peers.py"), "--peers", names, "--workloads", wanted]
        command += ["--runs", str(runs), "--out", str(out), "--work", str(work or Path(scratch) / "work")]
        log("peers:", *command)
        subprocess.run(command, check=True, stdout=sys.stderr)
        found: dict[str, Any] = json.loads(out.read_text())
    for failure in found["failures"]:
        log("peers:", failure)
    return found


def compare(ours: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """`peer_<figure>`: the best value, whose it is, and how many times as good ours is."""
    compared: dict[str, Any] = {}
    for figure in _FIGURES:
        values = {name: value for name, peer in found["peers"].items() if (value := _median(peer, figure)) is not None}
        if not values or figure.ours not in ours:
            continue
        best = figure.best(values, key=values.__getitem__)
        ratio = ours[figure.ours] / values[best]
        compared[f"peer_{figure.ours}"] = {
            "peer": best,
            "value": values[best],
            "times_as_good": ratio if figure.best is max else 1 / ratio,
            "all": values,
        }
    return compared


def _median(peer: dict[str, Any], figure: _Figure) -> float | None:
    if figure.server not in (None, peer["server"]) or (figure.theirs == "preload_per_s" and not peer["bulk"]):
        return None
    runs = peer["workloads"].get(figure.workload, {}).get("runs", [])
    values = [run[figure.theirs] for run in runs if run.get(figure.theirs) is not None]
    return statistics.median(values) if values else None
