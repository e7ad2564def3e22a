"""Runs one part of the supervisor again and again. The loop only times and catches; the step does the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sync.base.errors import Transient
from sync.base.logs import get_logger
from sync.supervision.model import FleetError

MAX_PAUSE_S = 15.0
SOON_S = 0.5
MIN_PAUSE_S = 0.05
"""However often it is woken: a burst of signals is one pass."""
STEP_TIMEOUT_S = 60.0

log = get_logger(__name__)


@dataclass(slots=True)
class PartHealth:
    """How a part is doing: failures in a row and the last of them."""

    failures: int = 0
    error: str | None = None


class PartLoop:
    """One step every `every_s`, or at once after `wake()`; after failures in a row less and less often.

    A step that returns True is not content with what it found: the next one follows within SOON_S.
    """

    def __init__(self, name: str, every_s: float, step: Callable[[], Awaitable[object]]) -> None:
        self.name = name
        self.health = PartHealth()
        self._every_s = every_s
        self._step = step
        self._woken = asyncio.Event()
        self._soon = False

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            await self.once()
            await asyncio.sleep(MIN_PAUSE_S)
            await self._pause()

    async def once(self) -> None:
        """One step, whose failure is noted and goes no further."""
        self._soon = False
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                self._soon = await self._step() is True
        except Exception as error:
            self._note(error)
        else:
            if self.health.failures:
                log.info("supervisor.part_recovered", part=self.name, failures=self.health.failures)
            self.health = PartHealth()

    def _note(self, error: Exception) -> None:
        self.health = PartHealth(self.health.failures + 1, f"{type(error).__name__}: {error}")
        weather = isinstance(error, Transient | FleetError | TimeoutError)
        log.warning(
            "supervisor.part_failed",
            part=self.name,
            failures=self.health.failures,
            error=self.health.error,
            exc_info=None if weather else error,
        )

    async def _pause(self) -> None:
        pause_s = min(self._every_s * 2 ** min(self.health.failures, 8), max(MAX_PAUSE_S, self._every_s))
        if self._soon:
            pause_s = min(pause_s, SOON_S)
        try:
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        except TimeoutError:
            return
