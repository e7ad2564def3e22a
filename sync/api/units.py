"""Units of work that outlive the request that started them.

Ray Serve cancels a handler when its client disconnects. A write that is half-way must not be torn then, so it runs
in a task of its own: the handler waits for it, a cancelled handler merely stops waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sync.base.logs import get_logger
from sync.store.engine import Database, Transaction

log = get_logger(__name__)

T = TypeVar("T")


class Units:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: set[asyncio.Task[Any]] = set()

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in one transaction, to its end."""

        async def unit() -> T:
            async with self._database.transaction() as tx:
                return await work(tx)

        return await self.run(unit())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; a cancelled caller leaves it running."""
        task = self._start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                log.info("http.client_gone")
                task.add_done_callback(_log_failure)
            raise

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start `work` and do not wait for it; a failure becomes a log line."""
        self._start(work).add_done_callback(_log_failure)

    async def close(self) -> None:
        """Wait for everything still under way, ten seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        return task


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.warning("http.background_failed", error=str(task.exception()), exc_info=task.exception())
