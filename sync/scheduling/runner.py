"""The scheduler: fires what is due while it leads, and stands by otherwise.

Any number of them may run. The lead is for efficiency only: that a tick fires once is the primary key of
`schedule_tick`. Duties are the few things cheap and frequent enough to be done here instead of through the queue; they
must be safe to repeat, for a duty that dies half-way simply runs again at its next tick.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from schedules import SCHEDULES
from sync.base.errors import ConfigurationError, Transient
from sync.base.logs import get_logger
from sync.jobs.catalogue import Catalogue
from sync.leader import LeaderLease
from sync.scheduling.duties import Duty, duties
from sync.scheduling.firing import Fired, Firing
from sync.scheduling.repository import TOPIC, Schedules
from sync.signals import Signals
from sync.store.engine import Database

if TYPE_CHECKING:
    from sync.jobs.queue import Queue

log = get_logger(__name__)

MAX_SLEEP_S = 1.0
"""Signals may be lost, so the truth is looked up this often."""
STEP_TIMEOUT_S = 30.0
"""A connection that hangs must not stop the loop for ever."""
_BATCH = 200
_CLOCK_STEP_S = 1.0


class Runtime(Protocol):
    """The part of the process's runtime that scheduling needs."""

    @property
    def database(self) -> Database: ...
    @property
    def signals(self) -> Signals: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def queue(self) -> Queue: ...


@dataclass(frozen=True, slots=True)
class StepResult:
    """wait_s: until the next due schedule, at most MAX_SLEEP_S."""

    leading: bool
    enqueued: int = 0
    skipped: int = 0
    failed: int = 0
    wait_s: float = MAX_SLEEP_S


@dataclass(frozen=True, slots=True)
class SchedulerInfo:
    holder: str
    leading: bool
    epoch: int | None
    enqueued: int
    last_error: str | None


class Scheduler:
    """`run()` it as a task; `step()` is one pass. Errors at construction: ConfigurationError for work nobody does."""

    def __init__(
        self,
        runtime: Runtime,
        holder: str,
        *,
        work: Mapping[str, Duty] | None = None,
        lease_ttl_s: float = 10.0,
    ) -> None:
        """`work` replaces the real duties, for tests."""
        self._duties = duties(runtime.database, runtime.signals) if work is None else work
        self._database = runtime.database
        self._signals = runtime.signals
        self._lease = LeaderLease(runtime.database, "scheduler", holder, lease_ttl_s)
        self._firing = Firing(runtime.database, runtime.queue, frozenset(self._duties))
        self._schedules = Schedules(runtime.database, runtime.signals, runtime.catalogue, runtime.queue)
        self._wake = asyncio.Event()
        self._stopping = False
        self._led_epoch: int | None = None
        self._running_duties: dict[str, asyncio.Task[None]] = {}
        self._clock_seen: tuple[datetime, float] | None = None
        self._enqueued = 0
        self._last_error: str | None = None
        self._last_pass = time.monotonic()
        _check_kinds(runtime.catalogue, self._duties)

    def info(self) -> SchedulerInfo:
        epoch = self._lease.epoch
        return SchedulerInfo(self._lease.holder, epoch is not None, epoch, self._enqueued, self._last_error)

    def beat_age_s(self) -> float:
        """Seconds since the loop last came round; grows when it hangs."""
        return time.monotonic() - self._last_pass

    def stop(self) -> None:
        """Ask `run()` to end. It gives the lead away, so that another scheduler takes over at once."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Fire ticks until `stop()`. Outages of the database are waited out."""
        unsubscribe = self._signals.subscribe(TOPIC, lambda _items: self._wake.set())
        try:
            while not self._stopping:
                self._wake.clear()
                wait_s = await self._pass()
                self._last_pass = time.monotonic()
                if not self._stopping:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), wait_s)
        finally:
            unsubscribe()
            await self._close()

    async def step(self) -> StepResult:
        """One pass: take or keep the lead, then fire what is due. Errors: Transient; the next pass goes on."""
        epoch = await self._lease.hold()
        if epoch is None:
            self._led_epoch = None
            return StepResult(leading=False)
        if epoch != self._led_epoch:
            await self._begin()
            self._led_epoch = epoch
        now, next_due = await self._firing.peek()
        await self._mind_the_clock(now)
        if next_due is None or next_due > now:
            return StepResult(leading=True, wait_s=_wait(now, next_due))
        return await self._fire_all()

    async def _pass(self) -> float:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                result = await self.step()
        except (Transient, TimeoutError) as error:
            self._failed("schedule.waiting", error)
            return MAX_SLEEP_S
        except Exception as error:
            self._failed("schedule.step_failed", error)
            log.exception("schedule.step_failed")
            return MAX_SLEEP_S
        self._last_error = None
        return result.wait_s

    def _failed(self, event: str, error: BaseException) -> None:
        self._last_error = f"{type(error).__name__}: {error}"
        log.warning(event, holder=self._lease.holder, error=self._last_error)

    async def _begin(self) -> None:
        """A new leader mirrors the code's schedules and distrusts due times left by another clock."""
        await self._schedules.sync_code(SCHEDULES)
        await self._firing.review()
        log.info("schedule.leading", holder=self._lease.holder, epoch=self._lease.epoch)

    async def _mind_the_clock(self, now: datetime) -> None:
        seen, self._clock_seen = self._clock_seen, (now, time.monotonic())
        if seen is None:
            return
        expected_s = time.monotonic() - seen[1]
        if (now - seen[0]).total_seconds() < expected_s - _CLOCK_STEP_S:
            log.warning("schedule.clock_stepped_back", database_time=now.isoformat())
            await self._firing.review()

    async def _fire_all(self) -> StepResult:
        enqueued = skipped = failed = 0
        due = await self._firing.due(_BATCH)
        for schedule_id in due:
            if self._stopping or self._lease.epoch is None:
                break
            fired = await self._firing.fire(schedule_id)
            enqueued += fired.enqueued
            skipped += fired.skipped
            failed += fired.failed
            self._start_duty(fired)
        self._enqueued += enqueued
        wait_s = 0.0 if len(due) == _BATCH else _wait(*await self._firing.peek())
        return StepResult(True, enqueued, skipped, failed, wait_s)

    def _start_duty(self, fired: Fired) -> None:
        if fired.duty is None:
            return
        schedule_id, kind = fired.duty
        running = self._running_duties.get(kind)
        if running is None or running.done():
            self._running_duties[kind] = asyncio.create_task(self._do(schedule_id, kind), name=f"duty.{kind}")

    async def _do(self, schedule_id: int, kind: str) -> None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._duties[kind]()
        except Exception as error:
            log.warning("schedule.duty_failed", kind=kind, error=str(error), exc_info=not isinstance(error, Transient))
            with contextlib.suppress(Transient):
                await self._firing.note_error(schedule_id, f"{type(error).__name__}: {error}")

    async def _close(self) -> None:
        for task in self._running_duties.values():
            task.cancel()
        await asyncio.gather(*self._running_duties.values(), return_exceptions=True)
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(5):
                await self._lease.release()


def _wait(now: datetime, next_due: datetime | None) -> float:
    if next_due is None:
        return MAX_SLEEP_S
    return min(max((next_due - now).total_seconds(), 0.0), MAX_SLEEP_S)


def _check_kinds(catalogue: Catalogue, work: Mapping[str, Duty]) -> None:
    for schedule in SCHEDULES:
        kind = catalogue.find(schedule.kind)
        if kind is not None:
            kind.encode(schedule.args)
        elif schedule.kind not in work:
            raise ConfigurationError(
                f"Schedule {schedule.name!r} enqueues {schedule.kind!r}, which is not in the catalogue."
            )
