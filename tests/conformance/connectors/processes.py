"""Several operating-system processes that use one account at the same time."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from connectors.http.session import open_session
from sync.base.errors import SyncError
from sync.base.logs import configure_logging
from sync.base.sealing import Sealer
from sync.base.settings import Settings, StoreSettings
from sync.pull.accounts import Accounts
from sync.pull.integrations import credentials_context
from sync.pull.model import Integration
from sync.pull.tokens import AccountTokens
from sync.pull.worker import SyncWorker
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database
from tests.conformance.connectors.desk import AT, HTTP, PAGE, Desk, Watched, stopped_clock, watched

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "httpx", "uvloop"])


@dataclass(frozen=True)
class Job:
    """What a process is told: everything it needs to work for one account."""

    url: str
    settings: Settings
    slug: str
    org_id: str
    account: str
    integration_id: int
    at: float = AT
    page: int = PAGE
    budget: str = ""
    """A budget that gets another limit, per minute; the others have none."""
    limit: int = 0

    @classmethod
    def of(cls, desk: Desk, integration: Integration, **more: Any) -> Job:
        found = (integration.org_id, integration.account, integration.id)
        org_id, account, integration_id = found
        return cls(desk.url, desk.settings, desk.slug, org_id, account, integration_id, **more)

    def connector(self) -> Watched:
        made = watched(HTTP[self.slug], clock=stopped_clock, record=None, page=self.page)
        if not self.budget:
            return made
        budgets = tuple(replace(budget, window=timedelta(minutes=1)) for budget in made.budgets)
        return replace(made, budgets=budgets)

    def runtime(self, database: Database, signals: Signals) -> _Runtime:
        settings = self.settings
        if self.budget:
            limits = {**settings.connectors.limits, f"{self.slug}.{self.budget}": self.limit}
            connectors = settings.connectors.model_copy(update={"limits": limits})
            settings = settings.model_copy(update={"connectors": connectors})
        return _Runtime(settings, database, signals, Sealer(settings.secrets))


@dataclass
class _Runtime:
    settings: Settings
    database: Database
    signals: Signals
    sealer: Sealer


def renew_in_processes(job: Job, *, processes: int, callers: int) -> list[str]:
    """The access tokens that `callers` tasks in each process got, all of which wanted a new one at once."""
    start, results = _context.Barrier(processes), _context.Queue()
    _run_all([(_renew, (job, callers, start, results))] * processes)
    return [results.get(timeout=5) for _ in range(processes * callers)]


def pull_in_processes(*jobs: Job) -> None:
    """A worker for each job, all at once, until each has nothing to do that may be done now."""
    start = _context.Barrier(len(jobs))
    _run_all([(_pull, (job, start)) for job in jobs])


def peak_of_pull(job: Job, marks: tuple[int, ...]) -> dict[int, int]:
    """Resident bytes of a process that pulls, when it has stored so many records."""
    results = _context.Queue()
    _run_all([(_measure, (job, marks, results))])
    found: dict[int, int] = results.get(timeout=5)
    return found


def _run_all(works: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    processes = [_context.Process(target=target, args=args, daemon=True) for target, args in works]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(300)
            assert process.exitcode == 0, f"a process ended with {process.exitcode}"
    finally:
        for process in processes:
            process.kill()


def _renew(job: Job, callers: int, start: Any, results: Any) -> None:
    async def main() -> None:
        sealer = Sealer(job.settings.secrets)
        context = credentials_context(job.org_id, job.slug, job.account)
        async with Database(job.url, StoreSettings(), application="test", pool_size=2) as database:
            tokens = [AccountTokens(database, sealer, job.integration_id, context) for _ in range(callers)]
            used = await tokens[0].current()
            accounts = Accounts(database, sealer, job.settings)
            account = accounts.unsaved(job.org_id, job.slug, job.account, {}, used)
            async with open_session(job.connector(), account, now=stopped_clock) as session:
                await asyncio.to_thread(start.wait, 120)
                for found in await asyncio.gather(*(one.renew(used, session.api.exchange) for one in tokens)):
                    results.put(found["access_token"] if found != used else "")

    _quietly(main())


def _pull(job: Job, start: Any) -> None:
    async def main() -> None:
        async with Database(job.url, StoreSettings(), application="test", pool_size=4) as database:
            worker = await _worker(job, database)
            await asyncio.to_thread(start.wait, 120)
            await worker.run_until_idle()

    _quietly(main())


def _measure(job: Job, marks: tuple[int, ...], results: Any) -> None:
    import psutil

    process, found = psutil.Process(), dict[int, int]()

    async def main() -> None:
        async with Database(job.url, StoreSettings(), application="test", pool_size=4) as database:
            worker: SyncWorker

            def look(_run: Any, _page: int) -> None:
                stored = sum(run.records for run in worker.info().runs)
                for mark in marks:
                    if stored >= mark and mark not in found:
                        found[mark] = process.memory_info().rss

            worker = await _worker(job, database, page_committed=look)
            await worker.run_until_idle()
            results.put(found)

    _quietly(main())


async def _worker(job: Job, database: Database, **options: Any) -> SyncWorker:
    signals = Signals(LocalTransport())
    await signals.start()
    runtime, connectors = job.runtime(database, signals), {job.slug: job.connector()}
    return SyncWorker(runtime, job.org_id, job.slug, f"p{os.getpid()}", "node-1", connectors=connectors, **options)


def _quietly(work: Any) -> None:
    configure_logging("CRITICAL")
    try:
        asyncio.run(work)
    except SyncError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
