"""The timers. Two actors may run: one leads by its lease, ticks are unique in the database."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from actors.base import HostActor, control
from sync.base.settings import Settings

if TYPE_CHECKING:
    from sync.scheduling import Scheduler
    from sync.wiring import Runtime


class SchedulerActor(HostActor):
    """Hosts a `Scheduler`. Safe to kill: the other one, or its own restart, takes the lead over."""

    def __init__(self, settings: Settings, name: str, namespace: str) -> None:
        self._scheduler: Scheduler | None = None
        super().__init__(settings, name, namespace)

    @control
    async def info(self) -> dict[str, Any]:
        if self._scheduler is None:
            return {"holder": self.name, "leading": False}
        return dataclasses.asdict(self._scheduler.info())

    async def _serve(self, runtime: Runtime) -> None:
        from sync.scheduling import Scheduler

        self._scheduler = Scheduler(runtime, self.name)
        await self._scheduler.run()

    async def _stop(self, timeout_s: float) -> None:
        if self._scheduler is not None:
            self._scheduler.stop()
