"""The one source of time of a simulated world: real, or driven by whoever tests it."""

from __future__ import annotations

import asyncio
import heapq
import time
from contextlib import suppress
from itertools import count


class Clock:
    """Epoch seconds. Give `at` to stop it there; it then moves only by `advance` and `set`.

    Sleepers of a driven clock wake when it passes their time, in the loop they sleep in. It may be moved
    from any thread.
    """

    def __init__(self, at: float | None = None) -> None:
        self._at = at
        self._sleepers: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._numbers = count()

    @property
    def driven(self) -> bool:
        return self._at is not None

    def now(self) -> float:
        return time.time() if self._at is None else self._at

    def advance(self, seconds: float) -> float:
        """Move a driven clock; a real one stops first, at the present."""
        return self.set(self.now() + seconds)

    def set(self, at: float) -> float:
        self._at = at
        while self._sleepers and self._sleepers[0][0] <= at:
            _, _, loop, future = heapq.heappop(self._sleepers)
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_wake, future)
        return at

    def run(self) -> None:
        """Follow real time from now on."""
        self.set(time.time())
        self._at = None

    async def sleep(self, seconds: float) -> None:
        if self._at is None or seconds <= 0:
            await asyncio.sleep(seconds)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._at + seconds, next(self._numbers), loop, future))
        await future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
