"""Running claimed jobs: a fixed set of runner tasks that take jobs from one buffer.

A runner awaits the handler itself, so a job costs no task of its own, and a handler that never waits costs little
more than its call. Time-outs are swept for all runners together instead of armed per job.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from sync.base.errors import LeaseLost, Permanent, Transient
from sync.base.logs import get_logger
from sync.jobs.catalogue import Catalogue, JobKind
from sync.jobs.claim import Lease
from sync.jobs.context import JobContext
from sync.jobs.decide import Ended, from_error, from_outcome
from sync.jobs.model import Job
from sync.jobs.outcome import Ending
from sync.jobs.queue import Queue
from sync.store.engine import Database

log = get_logger(__name__)

_SWEEP_S = 0.5
_YIELD_S = 0.005
"""A runner whose handlers never wait gives the loop a turn this often, for claims, results and control calls."""
_UNKNOWN_KIND_S = 60.0
"""A kind that this process does not have (another version enqueued it) is left for a process that does."""
_DURATION_WEIGHT = 0.05
_AHEAD_S = 0.1
"""Work claimed ahead. Less means more claims; more means that another org's job waits longer behind a flood, and that
a crash takes more jobs along."""
_MAX_AHEAD = 2000
"""The same in jobs: handlers that never wait do not run in parallel, whatever the concurrency."""
_STUBBORN_S = 5.0
"""How long an interrupted handler may clean up before a shutdown goes on without it."""


class _Slot:
    """What one runner does now."""

    __slots__ = ("deadline", "interrupt", "job", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.job: Job | None = None
        self.deadline = 0.0
        self.interrupt: Ending | None = None


class Executor:
    """Runs up to `concurrency` jobs at a time and hands every result to `done`."""

    def __init__(
        self,
        catalogue: Catalogue,
        database: Database,
        queue: Queue,
        *,
        concurrency: int,
        worker_id: Callable[[], int],
        done: Callable[[Ended], None],
        rng: random.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.concurrency = concurrency
        self.finished = 0
        self.failed = 0
        self.mean_s = 1.0
        """Moving average of a job's duration; starts pessimistic so that the first claim is small."""
        self._catalogue = catalogue
        self._database = database
        self._queue = queue
        self._worker_id = worker_id
        self._done = done
        self._rng = rng or random.Random()
        self._monotonic = monotonic
        self._buffer: deque[tuple[Lease, Job]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slots: list[_Slot] = []
        self._running: set[_Slot] = set()
        self._stopping = False
        self._room = asyncio.Event()
        self._low_water = 0

    # -- what the member asks ------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def idle(self) -> bool:
        return not self._buffer and not self._running

    @property
    def room(self) -> int:
        """Jobs worth claiming now: enough to start at once and a little ahead; none while half of that is left."""
        ahead = self._ahead()
        held = len(self._running) + len(self._buffer)
        return self.concurrency + ahead - held if held <= self.concurrency + ahead // 2 else 0

    def _ahead(self) -> int:
        return min(_MAX_AHEAD, int(self.concurrency * _AHEAD_S / max(self.mean_s, 1e-6)))

    async def wait_room(self, timeout_s: float | None = None) -> None:
        """Until some job has ended, or the time is over."""
        self._room.clear()  # before anything is awaited, or an end in between would be missed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):  # wait_for of Python 3.11 can swallow a cancellation
                await self._room.wait()

    async def quiet(self) -> None:
        """Until nothing runs and nothing is buffered."""
        while not self.idle:
            await self.wait_room()

    def poke(self) -> None:
        """Wake whoever waits for room."""
        self._room.set()

    def submit(self, lease: Lease, jobs: Sequence[Job]) -> None:
        """Queue claimed jobs for the runners."""
        self._buffer.extend((lease, job) for job in jobs)
        self._low_water = self._ahead() // 2
        for _ in range(min(len(jobs), self.concurrency)):
            if self._waiting:
                self._wake_one()
            elif len(self._slots) < self.concurrency:
                self._start_runner()
            else:
                break

    def cancel(self, job_id: int) -> bool:
        """Stop a running or buffered job for good. False: not here."""
        for position, (lease, job) in enumerate(self._buffer):
            if job.id == job_id:
                del self._buffer[position]
                self._done(Ended(lease, job, Ending.CANCELLED, reason="cancelled before it started"))
                self._room.set()
                return True
        return any([self._interrupt(slot, Ending.CANCELLED) for slot in self._running_slots(job_id)])

    def release_buffered(self) -> int:
        """Give unstarted jobs back; returns how many."""
        count = len(self._buffer)
        while self._buffer:
            lease, job = self._buffer.popleft()
            self._done(Ended(lease, job, Ending.INTERRUPTED))
        self._room.set()
        return count

    def forget(self) -> None:
        """All leases are lost: drop what is buffered, stop what runs; results are refused if that is true."""
        self._buffer.clear()
        for slot in list(self._running):
            self._interrupt(slot, Ending.INTERRUPTED)
        self._room.set()

    async def drain(self, timeout_s: float) -> None:
        """Let running jobs finish, then interrupt those that have not. One that ignores that is left to the rescue."""
        await self._until_idle(timeout_s)
        for slot in list(self._running):
            self._interrupt(slot, Ending.INTERRUPTED)
        await self._until_idle(_STUBBORN_S)

    async def stop(self) -> None:
        self._stopping = True
        tasks = [slot.task for slot in self._slots if slot.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STUBBORN_S)

    async def sweep(self) -> None:
        """For ever: interrupt jobs that run past their time-out."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._monotonic()
            for slot in list(self._running):
                if now > slot.deadline:
                    self._interrupt(slot, Ending.RETRY)

    async def _until_idle(self, timeout_s: float) -> None:
        deadline = self._monotonic() + timeout_s
        while self._running and (left := deadline - self._monotonic()) > 0:
            await self.wait_room(left)

    # -- runners -------------------------------------------------------------------------------------------------

    def _start_runner(self) -> None:
        slot = _Slot()
        self._slots.append(slot)
        slot.task = asyncio.create_task(self._run(slot), name=f"runner.{len(self._slots)}")

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _run(self, slot: _Slot) -> None:
        loop = asyncio.get_running_loop()
        turn = self._monotonic()
        while not self._stopping:
            if not self._buffer:
                waiter = loop.create_future()
                self._waiting.append(waiter)
                await waiter
                turn = self._monotonic()
                continue
            lease, job = self._buffer.popleft()
            before = self._monotonic()
            await self._execute(slot, lease, job, before)
            if slot.interrupt is not None:
                await self._absorb(slot)
            now = self._monotonic()
            if now - before < _YIELD_S and now - turn > _YIELD_S:
                await asyncio.sleep(0)
                now = self._monotonic()
            turn = now if now - before >= _YIELD_S else (now if now - turn > _YIELD_S else turn)

    async def _execute(self, slot: _Slot, lease: Lease, job: Job, started: float) -> None:
        kind = self._catalogue.find(job.kind)
        if kind is None:
            self._end(
                Ended(lease, job, Ending.SNOOZE, delay_s=_UNKNOWN_KIND_S, reason=f"no handler for {job.kind} here")
            )
            return
        slot.job, slot.deadline = job, started + kind.timeout_s
        self._running.add(slot)
        context = JobContext(
            job, lease_id=lease.id, worker_id=self._worker_id(), database=self._database, queue=self._queue
        )
        try:
            outcome = await kind.handler(_decode(kind, job), context)
            ended = from_outcome(lease, job, outcome, self._elapsed_ms(started))
        except asyncio.CancelledError:
            ended = self._interrupted(slot, lease, job, kind, started)
        except (Exception, SystemExit) as error:
            ended = from_error(lease, job, error, self._elapsed_ms(started), kind.backoff, self._rng)
        self._running.discard(slot)
        slot.job = None
        if context.finished_in_transaction:
            ended = Ended(lease, job, Ending.DONE, ended.duration_ms, recorded=True)
        self._end(ended)
        self.mean_s += _DURATION_WEIGHT * (self._monotonic() - started - self.mean_s)

    def _interrupted(self, slot: _Slot, lease: Lease, job: Job, kind: JobKind, started: float) -> Ended:
        ending, slot.interrupt = slot.interrupt, None
        task = asyncio.current_task()
        if task is not None and ending is not None:
            task.uncancel()
        elapsed = self._elapsed_ms(started)
        if ending is Ending.RETRY:
            error = Transient(f"The job ran longer than its time-out of {kind.timeout_s:g} s.")
            return from_error(lease, job, error, elapsed, kind.backoff, self._rng)
        if ending is None:
            if task is not None and task.cancelling():  # the process is stopping, not the job
                self._running.discard(slot)
                self._end(Ended(lease, job, Ending.INTERRUPTED, elapsed))
                raise asyncio.CancelledError
            error = Transient("The handler raised CancelledError by itself.")
            return from_error(lease, job, error, elapsed, kind.backoff, self._rng)
        return Ended(
            lease, job, ending, elapsed, reason="cancelled while it ran" if ending is Ending.CANCELLED else None
        )

    async def _absorb(self, slot: _Slot) -> None:
        """An interrupt came when its job had just ended: take the cancellation here, not in the next job."""
        slot.interrupt = None
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()

    def _running_slots(self, job_id: int) -> list[_Slot]:
        """Usually one; two when a claim of this job got lost in a crash of the server and it was claimed again."""
        return [slot for slot in self._running if slot.job is not None and slot.job.id == job_id]

    def _interrupt(self, slot: _Slot, ending: Ending) -> bool:
        if slot.task is None or slot.interrupt is not None:
            return False
        slot.interrupt = ending
        slot.task.cancel()
        return True

    def _end(self, ended: Ended) -> None:
        self.finished += 1
        if ended.error is not None:
            self.failed += 1
            _report(ended)
        self._done(ended)
        if len(self._buffer) <= self._low_water:
            self._room.set()

    def _elapsed_ms(self, started: float) -> int:
        return int((self._monotonic() - started) * 1000)


def _decode(kind: JobKind, job: Job) -> msgspec.Struct:
    try:
        return msgspec.json.decode(job.args, type=kind.args)
    except msgspec.MsgspecError as error:
        raise Permanent(f"The stored arguments of {job.kind} do not fit its model: {error}") from error


def _report(ended: Ended) -> None:
    error = ended.error or {}
    bound = log.bind(
        job_id=ended.job.id,
        kind=ended.job.kind,
        org_id=ended.job.org_id,
        attempt=ended.job.attempt + 1,
        error_class=error.get("class"),
        error=error.get("message"),
        correlation_id=(ended.job.meta or {}).get("correlation_id"),
    )
    if error.get("class") == LeaseLost.__name__:
        bound.warning("job.lease_lost")
    elif ended.ending is Ending.DEAD:
        bound.error("job.dead", trace=error.get("trace"))
    elif ended.ending is Ending.RETRY:
        bound.warning("job.retried", in_s=round(ended.delay_s, 1))
