"""One member of a pool: claims, runs, finishes, beats. A plain class; the actor around it only delegates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from dataclasses import dataclass
from typing import Any, Protocol

from sync.base.errors import SyncError
from sync.base.logs import get_logger
from sync.base.settings import PoolSettings, QueueSettings
from sync.jobs.catalogue import Catalogue
from sync.jobs.claim import Claimer, Lease
from sync.jobs.decide import Ended
from sync.jobs.executor import Executor
from sync.jobs.finish import Finisher
from sync.jobs.heartbeat import Heartbeat, Vitals
from sync.jobs.model import Job
from sync.jobs.outcome import Ending
from sync.jobs.queue import Queue
from sync.jobs.rescue import Rescuer, disown_predecessors
from sync.signals import Signals
from sync.store.engine import Database

log = get_logger(__name__)

_ERROR_PAUSE_S = 1.0
_PATIENCE_S = 1.0
_MAX_PATIENCE_S = 30.0
"""How long a member waits, claiming nothing, for its last jobs to end, when one is to run alone."""
_SOLO_ROUND = 50
"""Solo jobs run in a row before normal work gets a turn."""


class MemberRuntime(Protocol):
    """What a member needs of its process (sync.wiring.Runtime has it)."""

    @property
    def database(self) -> Database: ...
    @property
    def relaxed(self) -> Database: ...
    @property
    def signals(self) -> Signals: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def queue_settings(self) -> QueueSettings: ...


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """What a member says about itself to control calls."""

    name: str
    pool: str
    state: str
    running: int
    buffered: int
    done: int
    failed: int


class PoolMember:
    """Serves the queues of one pool.

    Hard state is in PostgreSQL; a member that dies is replaced by an empty one. Every method is safe to repeat.
    """

    def __init__(
        self, runtime: MemberRuntime, pool: str, name: str, node: str, settings: PoolSettings | None = None
    ) -> None:
        self.pool = pool
        self.name = name
        self.worker_id = 0
        self._runtime = runtime
        self._node = node
        self._settings = runtime.queue_settings
        self._pool_settings = settings or PoolSettings()
        self._claimer = Claimer(runtime.relaxed, pool)
        self._finisher = Finisher(runtime.relaxed, lambda: self.worker_id)
        self._executor = Executor(
            runtime.catalogue,
            runtime.database,
            runtime.queue,
            concurrency=self._pool_settings.concurrency,
            worker_id=lambda: self.worker_id,
            done=self._ended,
        )
        self._heartbeat: Heartbeat | None = None
        self._wake = asyncio.Event()
        self._state = "new"
        self._loops: list[asyncio.Task[None]] = []
        self._rebirth: asyncio.Task[None] | None = None
        self._registered = asyncio.Event()
        """Not set while declared dead: what we claimed then would be rescued at once."""
        self._next_poll = 0.0
        self._next_quiet = 0.0
        self._patience_s = _PATIENCE_S
        self._succeeded: set[int] = set()
        self._unsubscribe: list[Any] = []

    async def start(self) -> None:
        """Register and begin to claim. Errors: Transient when PostgreSQL cannot be reached."""
        await self._register(first=True)
        self._finisher.on_scheduled(self._poll_within)
        self._finisher.on_written(self._written)
        signals = self._runtime.signals
        self._unsubscribe = [
            signals.subscribe(f"queue.{self.pool}", self._hinted),
            signals.subscribe("cancel", lambda ids: self._cancel([int(i) for i in ids])),
        ]
        self._state = "active"
        for name, work in (
            ("claim", self._claim_loop()),
            ("finish", self._finisher.run()),
            ("sweep", self._executor.sweep()),
        ):
            self._loops.append(asyncio.create_task(work, name=f"{self.name}.{name}"))

    async def drain(self, timeout_s: float) -> None:
        """Stop claiming, give unstarted jobs back, let running ones finish within `timeout_s`, sign off."""
        if self._state in ("draining", "stopped"):
            return
        was_started, self._state = self._state == "active", "draining"
        if not was_started:
            return
        self._wake.set()
        self._registered.set()
        self._executor.poke()
        await self._finish_claiming()
        self._executor.release_buffered()
        await self._executor.drain(timeout_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s + 5):
                await self._finisher.drained()
        await self.stop()

    async def stop(self) -> None:
        """End at once; what runs is rescued as after a crash unless `drain` came first."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        if self._heartbeat is not None:
            await asyncio.to_thread(self._heartbeat.stop)
        tasks = [*self._loops, *([self._rebirth] if self._rebirth else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._executor.stop()
        if self._state == "draining":
            with contextlib.suppress(SyncError):
                await self._runtime.database.execute("DELETE FROM worker WHERE id = %(id)s", {"id": self.worker_id})
        self._state = "stopped"
        await self._claimer.close()
        await self._finisher.close()

    def info(self) -> MemberInfo:
        return MemberInfo(
            self.name,
            self.pool,
            self._state,
            self._executor.running,
            self._executor.buffered,
            self._executor.finished,
            self._executor.failed,
        )

    def beat_age_s(self) -> float:
        return self._heartbeat.age_s if self._heartbeat is not None else 0.0

    async def failure(self) -> None:
        """Wait until one of the member's loops has failed, and raise what it raised. For whoever decides to restart."""
        done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task

    # -- loops ---------------------------------------------------------------------------------------------------

    async def _claim_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while self._state == "active":
            try:
                claimed = await self._step(loop.time())
            except SyncError as error:
                log.warning("claim.failed", pool=self.pool, error=str(error))
                await asyncio.sleep(_ERROR_PAUSE_S * random.uniform(0.5, 1.5))
                continue
            if not claimed:
                await self._wait(loop)

    async def _step(self, now: float) -> bool:
        """One pass; whether the next should follow at once."""
        self._wake.clear()
        await self._registered.wait()
        if self._state != "active":
            return False
        if self._claimer.must_recover:
            await self._recover()
        if now >= self._next_poll:
            next_due = await self._claimer.poll()
            self._poll_again(now, next_due)
        if self._finisher.overloaded:
            await self._finisher.drained()
        if self._claimer.has_solo and await self._run_solo():
            return True
        if not self._claimer.has_work:
            return False
        limit = min(self._settings.max_claim, self._executor.room)
        if limit <= 0:
            if self._state == "active":
                await self._executor.wait_room()
            return True
        self._submit(await self._claimer.claim(limit))
        return True

    def _submit(self, leases: list[tuple[Lease, list[Job]]]) -> None:
        for lease, jobs in leases:
            if lease.id in self._claimer.held:  # else we were declared dead while the claim was on its way
                self._executor.submit(lease, jobs)

    async def _recover(self) -> None:
        """Run what we hold without knowing (see `Claimer.recover`)."""
        found = await self._claimer.recover()
        if found:
            log.warning("leases.recovered", leases=len(found), jobs=sum(len(jobs) for _, jobs in found))
        for lease, jobs in found:
            if not jobs:
                self._finisher.close_lease(lease)
            elif jobs[0].runs_alone:  # back in line: now may not be the moment
                for job in jobs:
                    self._finisher.add(Ended(lease, job, Ending.INTERRUPTED))
            else:
                self._submit([(lease, jobs)])

    async def _run_solo(self) -> bool:
        """Run jobs that were with a worker when it died, each with nothing else in flight."""
        ran = False
        if not await self._quiet():
            return ran
        for _ in range(_SOLO_ROUND):
            leases = await self._claimer.claim_solo() if self._state == "active" else []
            if not leases:
                break
            self._submit(leases)
            await self._executor.quiet()
            # Written before the next one may kill this process, or the survivor would be blamed as well.
            await self._finisher.drained()
            ran = True
        return ran

    async def _quiet(self) -> bool:
        """Wait for a moment with nothing in flight, but not for long.

        A little longer each time it was in vain, with other work in between: slow jobs shall neither stop the member
        for a crashed one, nor keep that one waiting for ever.
        """
        loop = asyncio.get_running_loop()
        if not self._executor.idle and loop.time() < self._next_quiet:
            return False
        deadline = loop.time() + self._patience_s
        while not self._executor.idle:
            left = deadline - loop.time()
            if left <= 0 or self._state != "active":
                self._next_quiet = loop.time() + 4 * self._patience_s
                self._patience_s = min(2 * self._patience_s, _MAX_PATIENCE_S)
                return False
            await self._executor.wait_room(left)
        self._patience_s = _PATIENCE_S
        return True

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._wake.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._next_poll - loop.time())):
                await self._wake.wait()

    def _poll_again(self, now: float, next_due: float | None) -> None:
        pause = self._settings.poll_s * random.uniform(0.95, 1.05)
        self._next_poll = now + (pause if next_due is None else min(pause, next_due + 0.001))

    def _poll_within(self, seconds: float) -> None:
        due = asyncio.get_running_loop().time() + seconds + 0.001
        if due < self._next_poll:
            self._next_poll = due
            self._wake.set()

    # -- events --------------------------------------------------------------------------------------------------

    def _hinted(self, items: list[str]) -> None:
        if not self._claimer.hint(items):
            self._next_poll = 0.0
        self._wake.set()

    def _ended(self, ended: Ended) -> None:
        self._finisher.add(ended)
        if ended.ending is Ending.DONE:
            self._succeeded.add(ended.lease.queue_id)

    def _written(self, queue_ids: set[int], leases: list[Lease]) -> None:
        self._claimer.held.difference_update(lease.id for lease in leases)
        if self._claimer.places_freed(queue_ids):
            self._wake.set()

    def _cancel(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            self._executor.cancel(job_id)

    async def _register(self, *, first: bool) -> None:
        database = self._runtime.database
        if not first or await disown_predecessors(database, self.name, self._node):
            await Rescuer(database, self._runtime.signals, self._settings).step()
        self.worker_id = await database.fetch_value(
            "INSERT INTO worker (name, pool, node, pid) VALUES (%(name)s, %(pool)s, %(node)s, %(pid)s) RETURNING id",
            {"name": self.name, "pool": self.pool, "node": self._node, "pid": os.getpid()},
        )
        self._claimer.begin(self.worker_id)
        self._registered.set()
        loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(
            database.url,
            self.worker_id,
            self._settings.heartbeat_s,
            self._vitals,
            on_dead=lambda: loop.call_soon_threadsafe(self._declared_dead),
            on_cancel=lambda ids: loop.call_soon_threadsafe(self._cancel, ids),
        )
        self._heartbeat.start()

    def _declared_dead(self) -> None:
        """We were silent too long; our leases are with others now. Drop everything and start afresh."""
        if self._state != "active":
            return
        log.warning("worker.declared_dead", name=self.name, worker_id=self.worker_id)
        self._registered.clear()
        self._claimer.held.clear()
        self._executor.forget()
        self._rebirth = asyncio.create_task(self._reborn(), name=f"{self.name}.reborn")

    async def _reborn(self) -> None:
        while self._state == "active":
            try:
                await self._register(first=False)
                return
            except SyncError as error:
                log.warning("worker.register_failed", error=str(error))
                await asyncio.sleep(_ERROR_PAUSE_S)

    def _vitals(self) -> Vitals:
        executor = self._executor
        succeeded, self._succeeded = self._succeeded, set()
        state = "draining" if self._state == "draining" else "active"
        return Vitals(executor.running, executor.finished, executor.failed, state, sorted(succeeded))

    async def _finish_claiming(self) -> None:
        """Let the claim that is on its way arrive: its lease is ours, and cut off it would look like a crash."""
        claiming = self._loops[0]
        await asyncio.wait([claiming], timeout=self._settings.poll_s + 5)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
