"""The worker of one (org, platform): takes the lease, runs what is ready, leaves when nothing is.

Knows nothing of Ray. The actor behind `sync:{org}:{platform}` hosts one, nudges it, and ends its process when the lease
is lost. Everything it holds can be lost at any moment: rows say what there is to do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Protocol

from connectors.base import Connector
from connectors.records import MAIL, SOCIAL
from sync.base.errors import LeaseLost, Transient
from sync.base.logs import get_logger
from sync.base.sealing import Sealer
from sync.base.settings import Settings
from sync.events import append_events
from sync.leases import SyncLease
from sync.mail.store import MailSink
from sync.pull.accounts import Accounts
from sync.pull.decide import Again, Fail, Problem, Verdict, decide
from sync.pull.ending import Endings
from sync.pull.model import ClaimedRun
from sync.pull.page import Pages
from sync.pull.platforms import platforms
from sync.pull.pulling import PageHook, Progress, Puller
from sync.pull.telling import WATCHED, run_event
from sync.signals import Signals
from sync.sink import Sink
from sync.social.sink import SocialSink
from sync.store.engine import Database
from sync.store.sql import load_sql

log = get_logger(__name__)

SINKS: Mapping[str, Sink] = {MAIL: MailSink(), SOCIAL: SocialSink()}

_POLL_S = 1.0
"""How often a worker looks for cancelled and newly ready runs when no hint comes."""
_IDLE_POLL_S = 5.0
"""The same while nothing runs: many resident workers must cost next to nothing."""
_FLAGGED = """
SELECT id FROM sync_run
WHERE id = ANY(%s) AND (cancel_requested OR state <> 'running' OR epoch IS DISTINCT FROM %s)"""


class ExitReason(StrEnum):
    IDLE = "idle"
    HELD = "held"
    """Another worker holds the lease; the rows are its business."""
    LOST = "lost"
    """The lease went to somebody else, or could not be renewed. The process should end: it may have been overtaken."""
    STOPPED = "stopped"


class WorkerRuntime(Protocol):
    """The part of `sync.wiring.Runtime` that a worker uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def signals(self) -> Signals: ...
    @property
    def sealer(self) -> Sealer: ...


@dataclass(frozen=True, slots=True)
class RunInfo:
    run_id: int
    account: str
    sync_type: str
    attempt: int
    pages: int
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    org_id: str
    platform: str
    holder: str
    node: str
    epoch: int | None
    runs: tuple[RunInfo, ...]
    done: int
    failed: int


@dataclass(slots=True)
class _Active:
    """A run under way."""

    run: ClaimedRun
    task: asyncio.Task[None]
    progress: Progress = field(default_factory=Progress)
    since: float = field(default_factory=time.monotonic)
    flagged: bool = False


class SyncWorker:
    def __init__(
        self,
        runtime: WorkerRuntime,
        org_id: str,
        platform: str,
        holder: str,
        node: str,
        *,
        connectors: Mapping[str, Connector] | None = None,
        sinks: Mapping[str, Sink] = SINKS,
        on_lease_lost: Callable[[], None] | None = None,
        page_committed: PageHook | None = None,
    ) -> None:
        """`on_lease_lost` is called from the renewing thread, before `run_until_idle` returns LOST."""
        settings = runtime.settings.sync
        self._runtime = runtime
        self._settings = settings
        self._who = {"org_id": org_id, "platform": platform, "holder": holder, "node": node}
        self._on_lease_lost = on_lease_lost
        self.lease = SyncLease(
            runtime.database,
            org_id,
            platform,
            holder=holder,
            node=node,
            ttl_s=settings.lease_ttl_s,
            on_lost=self._lease_lost,
        )
        self._endings = Endings(runtime.database, self.lease)
        self._accounts = Accounts(runtime.database, runtime.sealer, runtime.settings)
        self._puller = Puller(
            runtime.database,
            Pages(runtime.database, self.lease),
            self._accounts,
            platforms(runtime.settings) if connectors is None else connectors,
            sinks,
            page_timeout_s=settings.page_timeout_s,
            shared_pages=settings.shared_pages,
            committed=page_committed,
        )
        self._rng = random.Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._lost = False
        self._active: dict[int, _Active] = {}
        self._done = 0
        self._failed = 0

    async def run_until_idle(self, linger_s: float = 0.0) -> ExitReason:
        """Run everything that is ready, and what becomes ready within `linger_s` of the last; then leave.

        May be called again. While it lingers it keeps the lease.
        """
        self._loop = asyncio.get_running_loop()
        self._lost = False
        if await self.lease.take() is None:
            return ExitReason.HELD
        unsubscribe = self._runtime.signals.subscribe("sync", self._on_signal)
        try:
            return await self._work(linger_s)
        finally:
            unsubscribe()
            await self._end_all()
            await self._release()
            await self._accounts.close()

    def nudge(self) -> None:
        """Look for work at once."""
        self._wake.set()

    def stop(self) -> None:
        """Give everything back and leave."""
        self._stopping = True
        self._wake.set()

    def info(self) -> WorkerInfo:
        now = time.monotonic()
        runs = tuple(
            RunInfo(
                active.run.id,
                active.run.account,
                active.run.sync_type,
                active.run.attempt,
                active.progress.pages,
                active.progress.records,
                now - active.since,
            )
            for active in self._active.values()
        )
        return WorkerInfo(**self._who, epoch=self.lease.epoch, runs=runs, done=self._done, failed=self._failed)

    async def _work(self, linger_s: float) -> ExitReason:
        busy_at = time.monotonic()
        while True:
            self._wake.clear()
            if self._lost or self.lease.overdue:
                return ExitReason.LOST
            if self._stopping:
                return ExitReason.STOPPED
            try:
                await self._claim()
                await self._cancel_flagged()
            except LeaseLost:
                return ExitReason.LOST
            except Transient as error:
                log.warning("sync.database_away", error=error.message, **self._who)
            else:
                if self._active:
                    busy_at = time.monotonic()
                elif time.monotonic() - busy_at >= linger_s:
                    return ExitReason.IDLE
            await self._pause(_POLL_S if self._active else min(_IDLE_POLL_S, max(linger_s, _POLL_S)))

    async def _pause(self, longest_s: float) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _claim(self) -> None:
        room = self._settings.concurrency - len(self._active)
        if room <= 0:
            return
        async with self._runtime.database.transaction() as tx:
            await self.lease.fence(tx)
            rows = await tx.fetch_all(
                load_sql("sync_claim"),
                {**self._who, "epoch": self.lease.epoch, "running": list(self._active), "limit": room},
            )
            runs = [ClaimedRun(**row) for row in rows]
            watched = [run for run in runs if run.trigger in WATCHED]
            await append_events(tx, [run_event(run, "sync.started", attempt=run.attempt) for run in watched])
        for run in runs:
            active = _Active(run, task=asyncio.create_task(self._run(run), name=f"sync-run-{run.id}"))
            self._active[run.id] = active
            active.task.add_done_callback(partial(self._forget, run.id))

    def _forget(self, run_id: int, task: asyncio.Task[None]) -> None:
        del self._active[run_id]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sync.run_lost", run_id=run_id, exc_info=error, **self._who)

    async def _cancel_flagged(self) -> None:
        if not self._active:
            return
        rows = await self._runtime.database.fetch_all(_FLAGGED, (list(self._active), self.lease.epoch))
        for row in rows:
            active = self._active.get(row["id"])
            if active is not None and not active.flagged:
                active.flagged = True
                active.task.cancel()

    async def _run(self, run: ClaimedRun) -> None:
        """One attempt of one run, from its first request to its recorded end."""
        active_log = log.bind(
            run_id=run.id, account=run.account, sync_type=run.sync_type, attempt=run.attempt, **self._who
        )
        active = self._active[run.id]
        if run.fruitless > self._settings.max_attempts:
            text = f"Its worker was lost {run.fruitless - 1} times in a row before a page was complete."
            await self._record(run, Fail(Problem("WorkerLost", text)))
            return
        verdict = await self._attempt(active)
        if isinstance(verdict, Again):
            problem = verdict.problem
            active_log.info("sync.again", after_s=round(verdict.after_s, 1), error=problem.text if problem else None)
        elif verdict is not None:
            active_log.warning("sync.failed", verdict=type(verdict).__name__, error=getattr(verdict, "problem", None))
        await self._record(run, verdict, cancelled=active.progress.cancel_requested)
        if isinstance(verdict, Again):
            asyncio.get_running_loop().call_later(verdict.after_s, self._wake.set)

    async def _attempt(self, active: _Active) -> Verdict | None:
        """None: it came to its end, or to a cancel."""
        run, progress = active.run, active.progress
        try:
            async with asyncio.timeout(self._settings.run_timeout_s) as limit:
                await self._puller.pull(run, progress)
        except asyncio.CancelledError:
            if active.flagged:
                progress.cancel_requested = True
                return None
            return Again(0.0, None, parked=True)
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                # A long pull goes on in slices; it gives others room and is not at fault.
                return Again(0.0, None, parked=progress.pages > 0)
            verdict = decide(
                error,
                attempt=run.attempt,
                fruitless=0 if progress.pages else run.fruitless,
                max_attempts=self._settings.max_attempts,
                rng=self._rng,
            )
            if getattr(getattr(verdict, "problem", None), "bug", False):
                log.error("sync.bug", run_id=run.id, exc_info=error, **self._who)
            return verdict
        return None

    async def _record(self, run: ClaimedRun, verdict: Verdict | None, *, cancelled: bool = False) -> None:
        """Write the end down, through an outage of the database if need be; the lease says for how long."""
        while not (self._lost or self.lease.overdue):
            try:
                await self._write_end(run, verdict, cancelled)
                return
            except LeaseLost:
                return
            except Transient as error:
                log.warning("sync.end_not_written", run_id=run.id, error=error.message, **self._who)
                await asyncio.sleep(_POLL_S)

    async def _write_end(self, run: ClaimedRun, verdict: Verdict | None, cancelled: bool) -> None:
        end: Awaitable[None]
        if verdict is not None:
            end = self._endings.carry_out(run, verdict)
        elif cancelled:
            end = self._endings.cancel(run)
        else:
            end = self._endings.succeed(run)
        await end
        self._done += verdict is None
        self._failed += verdict is not None and not isinstance(verdict, Again)

    async def _end_all(self) -> None:
        """Cancel what runs; each run is given back while the lease is ours."""
        tasks = [active.task for active in self._active.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _release(self) -> None:
        try:
            await self.lease.release()
        except Transient as error:
            log.warning("lease.not_released", error=error.message, **self._who)

    def _on_signal(self, items: list[str]) -> None:
        if not items or f"{self._who['org_id']}/{self._who['platform']}" in items:
            self._wake.set()

    def _lease_lost(self) -> None:
        self._lost = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)
        if self._on_lease_lost is not None:
            self._on_lease_lost()
