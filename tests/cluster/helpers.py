"""Looking at actors from the outside, and waiting for what must come true."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import ray

T = TypeVar("T")

CALL_S = 20.0
"""Longest wait for one answer of an actor."""


def actor_names(namespace: str) -> list[str]:
    return [row["name"] for row in ray.util.list_named_actors(True) if row["namespace"] == namespace]


def kill(name: str, namespace: str) -> None:
    """As `ray.kill`, also when it has just gone."""
    try:
        ray.kill(ray.get_actor(name, namespace))
    except ValueError:
        return


def ask(name: str, namespace: str, method: str, *args: Any, timeout_s: float = CALL_S) -> Any:
    """The answer of an actor to one control call."""
    return ray.get(getattr(ray.get_actor(name, namespace), method).remote(*args), timeout=timeout_s)


def pid_of(name: str, namespace: str) -> int:
    return int(ask(name, namespace, "ping").pid)


def worker_logs(since: float, *, lines: int = 60) -> str:
    """The ends of the log files that actors wrote to after `since`."""
    folder = Path(ray.worker._global_node.get_session_dir_path()) / "logs"
    recent = [path for path in folder.glob("worker-*.err") if path.stat().st_mtime >= since and path.stat().st_size]
    return "\n".join("\n".join([f"-- {path.name}", *path.read_text().splitlines()[-lines:]]) for path in recent)


async def eventually(
    look: Callable[[], T | Awaitable[T]], *, within_s: float = 30, every_s: float = 0.05, but: str = ""
) -> T:
    """The first true value of `look`; an error in it counts as not yet. Fails with the last value or error."""
    deadline = time.monotonic() + within_s
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = look()
            if inspect.isawaitable(last):
                last = await last
            if last:
                return last  # type: ignore[no-any-return]
        except Exception as error:
            last = error
        await asyncio.sleep(every_s)
    raise AssertionError(f"not within {within_s} s{': ' + but if but else ''}; last seen: {last!r}")
