"""Members of the consumer pools: processes that claim jobs from PostgreSQL and run them, or fan events out."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from actors.base import HostActor, control
from sync.base.settings import Settings
from sync.supervision.pools import bounds

if TYPE_CHECKING:
    from sync.jobs.member import PoolMember
    from sync.subscriptions.consumer import DatatypeConsumer
    from sync.subscriptions.presence import Presence
    from sync.wiring import Runtime


class PoolMemberActor(HostActor):
    """Hosts a `PoolMember`. Safe to kill at any point: its jobs return to the queue."""

    def __init__(self, settings: Settings, name: str, namespace: str, pool: str) -> None:
        self.pool = pool
        self._member: PoolMember | None = None
        self._stopped = asyncio.Event()
        self._leaving = False
        super().__init__(settings, name, namespace)

    @control
    async def info(self) -> dict[str, Any]:
        """What it is doing, read from beside its loop."""
        if self._member is None:
            return {"name": self.name, "pool": self.pool, "state": self.state}
        return dataclasses.asdict(self._member.info())

    async def _serve(self, runtime: Runtime) -> None:
        from sync.jobs.member import PoolMember
        from sync.jobs.rescue import node_name

        if not self._has_kinds(runtime):
            # Nothing can be enqueued for this pool: its process rests instead of asking for work every second.
            self.state = "without kinds"
            await self._stopped.wait()
            return
        member = PoolMember(runtime, self.pool, self.name, node_name(), bounds(self.settings, self.pool))
        self._member = member
        await member.start()
        failure = asyncio.create_task(member.failure())
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({failure, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not self._leaving:
            await failure  # one of its loops died: so does this process, and its jobs are rescued
        await stopped

    def _has_kinds(self, runtime: Runtime) -> bool:
        from sync.jobs.catalogue import QUEUES

        return any(QUEUES[kind.queue] == self.pool for kind in runtime.catalogue.kinds)

    async def _stop(self, timeout_s: float) -> None:
        self._leaving = True
        if self._member is not None:
            await self._member.drain(timeout_s)
        self._stopped.set()


class DatatypeConsumerActor(PoolMemberActor):
    """Fans events out to their subscribers, and runs the jobs of the queue `datatype` where there are kinds for it.

    Safe to kill at any point: what it had not finished is rolled back.
    """

    _consumer: DatatypeConsumer | None = None
    _presence: Presence | None = None

    @control
    async def info(self) -> dict[str, Any]:
        """What it is doing, read from beside its loop."""
        if self._consumer is None:
            return {"name": self.name, "pool": self.pool, "state": self.state}
        return {"name": self.name, "pool": self.pool, "state": self.state, **self._consumer.progress.as_dict()}

    async def _serve(self, runtime: Runtime) -> None:
        from sync.catalogue import build_subscribers
        from sync.jobs.rescue import node_name
        from sync.subscriptions.consumer import DatatypeConsumer, open_outlets
        from sync.subscriptions.presence import Presence

        outlets = open_outlets(runtime)
        subscribers = build_subscribers(self.settings)
        consumer = DatatypeConsumer(runtime, subscribers, outlets=outlets, application=self.name)
        await consumer.start()
        self._consumer = consumer
        jobs = asyncio.create_task(super()._serve(runtime)) if self._has_kinds(runtime) else None
        if jobs is None:  # a member of the queue signs on by itself
            self._presence = Presence(
                runtime.database, self.settings.queue, self.pool, self.name, node_name(), consumer.progress.vitals
            )
            await self._presence.start()
        failure = asyncio.create_task(consumer.failure())
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({failure, stopped, *([jobs] if jobs else [])}, return_when=asyncio.FIRST_COMPLETED)
        if not self._leaving:
            await (failure if failure.done() else jobs or failure)  # one of its loops died: so does this process
        await stopped
        if jobs is not None:
            await jobs
        await outlets.postman.close()

    async def _stop(self, timeout_s: float) -> None:
        self._leaving = True
        if self._consumer is not None:
            await self._consumer.drain(timeout_s)
        if self._presence is not None:
            await self._presence.stop()
        await super()._stop(timeout_s)


class OneOffConsumerActor(PoolMemberActor):
    """Runs ad-hoc jobs."""


class ScheduleConsumerActor(PoolMemberActor):
    """Runs jobs with a run-at, cron definitions and maintenance."""
