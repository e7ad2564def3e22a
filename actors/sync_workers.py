"""One place per org and platform where its syncs run."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import ray

from actors.lean import ORNAMENTS, nothing_collected, without

with without(*ORNAMENTS):
    from actors.base import EXIT_LEASE_LOST, HostActor, control, end_process
    from sync.base.errors import LeaseLost
    from sync.base.logs import get_logger
    from sync.base.settings import Settings

if TYPE_CHECKING:
    from sync.pull.worker import SyncWorker
    from sync.wiring import Core

log = get_logger(__name__)


class SyncWorkerActor(HostActor):
    """Hosts a `SyncWorker` until nothing is left to do and the idle time is over.

    Never restarted by Ray. Whatever ends it, its runs are rows and its lease runs out: the supervisor makes a new one.
    """

    def __init__(self, settings: Settings, name: str, namespace: str, org_id: str, platform: str) -> None:
        self.org_id = org_id
        self.platform = platform
        self._worker: SyncWorker | None = None
        super().__init__(settings, name, namespace)

    @control
    async def nudge(self) -> None:
        """Look for runs now. A hint: the runs are rows, and it looks by itself every few seconds."""
        if self._worker is not None:
            self._main_loop.call_soon_threadsafe(self._worker.nudge)

    @control
    async def release(self) -> None:
        """Leave if nothing runs here: others wait for the place."""
        await self._on_main(self._release())

    @control
    async def info(self) -> dict[str, Any]:
        if self._worker is None:
            return {"org_id": self.org_id, "platform": self.platform, "runs": ()}
        return dataclasses.asdict(self._worker.info())

    def _runtime(self) -> AbstractAsyncContextManager[Core]:
        from sync.wiring import open_core

        return open_core(self.settings, application=self.name)

    async def _serve(self, runtime: Core) -> None:
        from sync.base.memory import collect_rarely

        with nothing_collected(), without(*ORNAMENTS):
            from sync.jobs.rescue import node_name
            from sync.pull.worker import ExitReason, SyncWorker

            if self.platform != "email":
                import httpx  # noqa: F401  (now, not at the first call)

        self._worker = SyncWorker(
            runtime,
            self.org_id,
            self.platform,
            str(ray.get_runtime_context().get_actor_id()),
            node_name(),
            # From the renewing thread, so that even a blocked loop cannot let it run on.
            on_lease_lost=partial(end_process, EXIT_LEASE_LOST),
        )
        collect_rarely()
        reason = await self._worker.run_until_idle(self.settings.sync.idle_exit_s)
        log.info("sync.leaving", actor=self.name, reason=str(reason))
        if reason is ExitReason.LOST:
            raise LeaseLost(f"{self.name} was overtaken by another process.")

    async def _stop(self, timeout_s: float) -> None:
        if self._worker is not None:
            self._worker.stop()

    async def _release(self) -> None:
        if self._worker is not None and not self._worker.info().runs:
            self._worker.stop()
