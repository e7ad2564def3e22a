"""What every actor does for the plain object it hosts: open the runtime, watch the loop, answer, leave in order.

Ray runs each concurrency group in a thread with an event loop of its own. The hosted object lives on the default loop,
where `__init__` runs; the methods here are in the group `control`, so they answer while that loop is busy or stuck, and
whatever touches the object goes over to its loop by `_on_main`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

import ray

from actors.watchdog import Watchdog
from sync.base.errors import LeaseLost, Transient
from sync.base.logs import configure_logging, get_logger
from sync.base.settings import Settings
from sync.supervision.model import Pulse

T = TypeVar("T")
log = get_logger(__name__)

control = ray.method(concurrency_group="control")

EXIT_CRASHED = 1
EXIT_LEASE_LOST = 70
"""Told apart in the logs: this process was overtaken, it did not fail."""
MIN_LIFE_S = 5.0
"""A process that cannot live dies no faster than this: Ray restarts it a second later, at 0.5 CPU-s a start."""
MAX_OPEN_PAUSE_S = 10.0


class HostActor(ABC):
    """Base of all actors. `_serve` is the life of the hosted object; when it returns, the process leaves.

    Nothing here raises from `__init__`: an actor whose constructor fails is never restarted by Ray, and PostgreSQL may
    well be away when it starts.
    """

    def __init__(self, settings: Settings, name: str, namespace: str) -> None:
        configure_logging(settings.log_level, json=settings.log_json)
        self.settings = settings
        self.name = name
        self.namespace = namespace
        self.state = "starting"
        self.node = str(ray.get_runtime_context().get_node_id())
        self._retiring = False
        self._born_at = time.monotonic()
        self._main_loop = asyncio.get_running_loop()
        self._watchdog = Watchdog(settings.supervisor.watchdog_s)
        self._watchdog.start(self._main_loop)
        self._life = self._main_loop.create_task(self._live(), name=name)
        self._life.add_done_callback(self._ended)

    def __repr__(self) -> str:
        return self.name  # shown by the dashboard and in front of forwarded log lines

    @abstractmethod
    async def _serve(self, runtime: Any) -> None:
        """Host the object until it is told to stop or has nothing left to do."""

    @abstractmethod
    async def _stop(self, timeout_s: float) -> None:
        """Make `_serve` return once what is under way has ended, or after `timeout_s`."""

    @control
    async def ping(self) -> Pulse:
        return Pulse(self.state, self._watchdog.loop_age_s(), os.getpid(), self.node)

    @control
    async def retire(self, timeout_s: float) -> None:
        """Finish and leave, for good: Ray never restarts it. The caller sees the death instead of an answer."""
        await self._on_main(self._finish(timeout_s))
        ray.actor.exit_actor()

    @control
    async def exit(self) -> None:
        ray.actor.exit_actor()

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            runtime = await self._open(stack)
            self.state = "active"
            log.info(
                "actor.ready", actor=self.name, pid=os.getpid(), after_s=round(time.monotonic() - self._born_at, 2)
            )
            await self._serve(runtime)
        self.state = "finished"

    def _runtime(self) -> AbstractAsyncContextManager[Any]:
        """What `_serve` gets. Everything, unless an actor needs less."""
        from sync.wiring import open_runtime

        return open_runtime(self.settings, application=self.name)

    async def _open(self, stack: AsyncExitStack) -> Any:
        """The runtime, as soon as PostgreSQL can be reached."""
        pause_s = 0.5
        while True:
            try:
                return await stack.enter_async_context(self._runtime())
            except Exception as error:
                log.warning(
                    "actor.waiting", actor=self.name, error=str(error), exc_info=not isinstance(error, Transient)
                )
                self.state = "waiting for the database"
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_OPEN_PAUSE_S)

    async def _finish(self, timeout_s: float) -> None:
        self.state = "leaving"
        self._retiring = True
        if self._life.done():
            return
        await self._stop(timeout_s)
        _, still_running = await asyncio.wait({self._life}, timeout=1.0)
        if still_running:
            self._life.cancel()

    async def _on_main(self, call: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._main_loop))

    def _ended(self, life: asyncio.Task[None]) -> None:
        """The object's life is over: leave by the way Ray takes for a wish, or for a crash."""
        error = None if life.cancelled() else life.exception()
        if isinstance(error, LeaseLost):
            log.warning("actor.lease_lost", actor=self.name, error=str(error))
            end_process(EXIT_LEASE_LOST)
        if error is not None:
            log.error("actor.crashed", actor=self.name, exc_info=error)
            pause_s = max(0.0, MIN_LIFE_S - (time.monotonic() - self._born_at))
            self._main_loop.call_later(pause_s, end_process, EXIT_CRASHED)
        elif not self._retiring:
            ray.get_runtime_context().current_actor.exit.remote()


def end_process(code: int) -> None:
    """At once, without unwinding: nothing of this process may run on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
