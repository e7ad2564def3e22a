"""Measure the queue on servers of its own and print one JSON object as the last line.

python -m bench.queue                               everything, about fifteen minutes
python -m bench.queue --quick                       smaller numbers, one run
python -m bench.queue --only drain,enqueue
python -m bench.queue --peers DIR                   and peers, measured in the same session by DIR/run_peers.py
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.common import Servers, Shape, log, machine
from bench.queue.crash import crash
from bench.queue.drain import drain, fanout
from bench.queue.enqueue import enqueue
from bench.queue.fairness import flood
from bench.queue.peers import compare, run_peers
from bench.queue.pickup import pickup
from bench.queue.snapshot import snapshot
from bench.queue.stage import Options

WORKLOADS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "drain": drain,
    "enqueue": enqueue,
    "pickup": pickup,
    "fanout": fanout,
    "crash": crash,
    "flood": flood,
    "snapshot": snapshot,
}


def _shape(text: str) -> Shape:
    members, _, concurrency = text.partition("x")
    return Shape(int(members), int(concurrency))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, one run of each")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="comma list of " + ", ".join(WORKLOADS))
    parser.add_argument("--runs", type=int, help="runs of each workload; medians are reported (3; 1 with --quick)")
    parser.add_argument("--patience", type=float, default=0, help="seconds a run may wait for a quiet machine (0)")
    parser.add_argument("--members", type=_shape, default=Shape(2, 64), help="members x concurrency of drains (2x64)")
    parser.add_argument("--fanout", type=_shape, default=Shape(2, 50), help="the same for the fan-out (2x50)")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder with run_peers.py: measure others as well")
    parser.add_argument("--peer-names", default="graphile,pgboss,pgqueuer,bullmq,taskiq", help="which of them")
    parser.add_argument("--peers-work", type=Path, metavar="DIR", help="keep the peers' installations here")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the members")
    arguments = parser.parse_args()
    unknown = set(arguments.only.split(",")) - WORKLOADS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(WORKLOADS)}")
    return arguments


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    servers = Servers(arguments.patience)
    options = Options(
        servers,
        arguments.python,
        arguments.runs or (1 if arguments.quick else 3),
        arguments.quick,
        arguments.members,
        arguments.fanout,
    )
    result: dict[str, Any] = {"machine": machine(), "quick": arguments.quick}
    try:
        servers.start()
        for name in arguments.only.split(","):
            log(name, "...")
            result.update(WORKLOADS[name](options))
    finally:
        servers.stop()
    if arguments.peers:
        found = run_peers(
            arguments.peers, arguments.peer_names, arguments.only.split(","), options.runs, arguments.peers_work
        )
        result.update(compare(result, found))
    print(json.dumps(_rounded(result)))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3) if value < 1000 else round(value)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return value


if __name__ == "__main__":
    main()
