"""`python -m actors.driver`: one errand in a running cluster, read from standard input (`actors.orders`), then exit.

Answers on standard output, a JSON line each: {"done": step} after every step, {"error": sentence} when it gives up.
It imports what it needs before it reads, so that a caller may start it early and have it wait.
"""

from __future__ import annotations

import json
import logging
import pickle
import sys
import time
from collections.abc import Callable

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from actors.names import NAMESPACE
from actors.orders import Order
from actors.supervisor import drain_supervisor, ensure_supervisor, wait_for_pools
from sync.base.errors import SyncError
from sync.base.settings import Settings

APPLICATION = "sync"
_HEALTHY_TIMEOUT_S = 30.0


def main() -> None:
    import serve_app  # noqa: F401  (slow to import: now, not when the order is here)

    order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301  (from the process that started us)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    steps: dict[str, Callable[[Settings], None]] = (
        {"supervisor": ensure_supervisor, "http": start_http, "pools": wait_for_pools}
        if order.action == "start"
        else {"http": stop_http, "drain": drain}
    )
    try:
        ray.init(address=order.address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
        for name, step in steps.items():
            step(order.settings)
            _say(done=name)
    except SyncError as error:
        _say(error=error.message)
        sys.exit(1)


def start_http(settings: Settings) -> None:
    """Serve the API on the port of the settings; returns when it answers. Errors: SyncError."""
    from serve_app import build

    http = HTTPOptions(host=settings.http.host, port=settings.http.port)
    serve.start(proxy_location="HeadOnly", http_options=http)
    try:
        serve.run(build(settings), name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        raise SyncError(f"The HTTP API did not start: {error}") from error
    _wait_healthy(f"{settings.http.address}/healthz")


def stop_http(_settings: Settings) -> None:
    """Take no new requests and let those under way finish.

    Not `serve.shutdown()`: it waits for a controller that is about to go anyway, and complains when that is gone.
    """
    serve.delete(APPLICATION)


def drain(settings: Settings) -> None:
    """Let the actors finish what they hold."""
    drain_supervisor(settings.queue.drain_timeout_s)


def _wait_healthy(address: str) -> None:
    import httpx

    deadline = time.monotonic() + _HEALTHY_TIMEOUT_S
    said = "no answer"
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(address, timeout=2)
            if answer.status_code == 200:
                return
            said = f"{answer.status_code}: {answer.text[:200]}"
        except httpx.HTTPError as error:
            said = str(error)
        time.sleep(0.05)
    raise SyncError(f"{address} was not healthy after {_HEALTHY_TIMEOUT_S:.0f} s ({said}).")


def _say(**what: str) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
