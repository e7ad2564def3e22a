"""Random sequences of what can happen to jobs, on real PostgreSQL; after each step every job is in one place.

Seeds are printed on failure; SYNC_TEST_SEED runs that one.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sync.base.errors import LeaseLost
from sync.jobs.claim import Claimer, Lease
from sync.jobs.context import JobContext
from sync.jobs.decide import Ended
from sync.jobs.finish import Finisher
from sync.jobs.model import Job, NewJob
from sync.jobs.operations import QueueOperations
from sync.jobs.outcome import Ending
from sync.jobs.rescue import Rescuer
from sync.store.engine import Conflict, Database
from sync.store.sql import load_sql
from tests.fakes.jobs import FAST, FakeRuntime, Script, Stage, job_runtime, scripted
from tests.integration.jobs.places import Misplaced, check_places

STEPS = 150
ORGS = ("acme", "beta", "gamma")
LIMIT = 3
ENDINGS = [
    Ending.DONE,
    Ending.DONE,
    Ending.RETRY,
    Ending.SNOOZE,
    Ending.CANCELLED,
    Ending.DEAD,
    Ending.INTERRUPTED,
]


@dataclass
class Worker:
    """A member taken apart: claims and finishes when told to, and may be dead without knowing it."""

    claimer: Claimer
    finisher: Finisher
    writing: asyncio.Task[None]
    hand: list[tuple[Lease, Job]] = field(default_factory=list)

    async def finish(self, results: list[Ended]) -> None:
        for ended in results:
            self.finisher.add(ended)
        try:
            async with asyncio.timeout(10):
                await self.finisher.drained()
        except TimeoutError:
            raise Misplaced("results that are never written") from None

    async def close(self) -> None:
        self.writing.cancel()
        await asyncio.gather(self.writing, return_exceptions=True)
        await self.claimer.close()
        await self.finisher.close()


@dataclass
class Machine:
    db: Database
    runtime: FakeRuntime
    rng: random.Random
    workers: list[Worker] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.operations = QueueOperations(self.db, self.runtime.signals)
        self.rescuer = Rescuer(self.db, self.runtime.signals, FAST)
        self.steps: list[tuple[int, Callable[[], Awaitable[str]]]] = [
            (5, self.enqueue),
            (6, self.enqueue_keyed),
            (8, self.claim),
            (8, self.finish),
            (3, self.finish_in_transaction),
            (2, self.finish_again),
            (2, self.worker_dies),
            (2, self.rescue),
            (2, self.time_passes),
            (2, self.cancel),
            (2, self.retry),
            (1, self.discard),
            (1, self.pause_or_resume),
        ]

    async def add_worker(self) -> None:
        claimer = Claimer(self.runtime.relaxed, "consumer.one-off")
        finisher = Finisher(self.runtime.relaxed, lambda: claimer.worker_id)
        self.workers.append(Worker(claimer, finisher, asyncio.create_task(finisher.run())))
        await self._register(self.workers[-1])

    async def step(self) -> None:
        weights, steps = zip(*self.steps, strict=True)
        chosen = self.rng.choices(steps, weights)[0]
        self.trail.append(f"{chosen.__name__}: {await chosen()}")

    async def check(self) -> None:
        await check_places(self.db, self.ids)
        running = await self.db.fetch_value(
            "SELECT count(*) FROM job_lease l JOIN queue q ON q.id = l.queue_id WHERE q.concurrency IS NOT NULL"
        )
        assert running <= LIMIT, f"{running} jobs of a queue limited to {LIMIT}"

    async def settle(self) -> None:
        """Whatever happened: now everything can be finished."""
        await self.operations.resume("consumer.one-off", "test")
        for worker in self.workers:
            await self._register(worker)
        while True:
            await self.db.execute("UPDATE job_scheduled SET run_at = now()")
            await self.rescuer.step()
            for worker in self.workers:
                await self.claim_with(worker)
                await worker.finish([Ended(lease, job, Ending.DONE) for lease, job in worker.hand])
                worker.hand.clear()
            if not await self.db.fetch_value(
                "SELECT EXISTS (SELECT FROM job) OR EXISTS (SELECT FROM job_scheduled)"
                " OR EXISTS (SELECT FROM job_lease)"
            ):
                return

    # -- steps -------------------------------------------------------------------------------------------------------

    def _new(self, **options: object) -> NewJob:
        kind = self.rng.choice(["test.free", "test.free", "test.limited"])
        return NewJob(kind, Script(), org_id=self.rng.choice(ORGS), priority=self.rng.randrange(4), **options)  # type: ignore[arg-type]

    def _moment(self) -> datetime | None:
        return self.rng.choice([None, None, datetime.now(UTC) + timedelta(seconds=self.rng.uniform(-5, 60))])

    async def enqueue(self) -> str:
        jobs = [self._new(run_at=self._moment()) for _ in range(self.rng.randrange(1, 12))]
        self.ids += await self.runtime.queue.enqueue_many(jobs)
        return str(len(jobs))

    async def enqueue_keyed(self) -> str:
        job = self._new(
            unique_key=f"key-{self.rng.randrange(3)}",
            run_at=self._moment(),
            idempotency_key=self.rng.choice([None, f"request-{self.rng.randrange(5)}"]),
        )
        result = await self.runtime.queue.enqueue(job)
        if result.created:
            self.ids.append(result.job_id)
        else:
            assert result.job_id in self.ids
        return f"{result.job_id} {'new' if result.created else 'known'}"

    async def claim(self) -> str:
        worker = self.rng.choice(self.workers)
        before = len(worker.hand)
        await self.claim_with(worker)
        return str(len(worker.hand) - before)

    async def claim_with(self, worker: Worker) -> None:
        worker.claimer.hint([])
        await worker.claimer.poll()
        leases = await (worker.claimer.claim_solo() if self.rng.random() < 0.3 else worker.claimer.claim(5))
        worker.hand += [(lease, job) for lease, jobs in leases for job in jobs]

    def _take(self, worker: Worker) -> list[tuple[Lease, Job]]:
        self.rng.shuffle(worker.hand)
        count = self.rng.randrange(len(worker.hand) + 1)
        taken, worker.hand = worker.hand[:count], worker.hand[count:]
        return taken

    def _result(self, lease: Lease, job: Job) -> Ended:
        ending = self.rng.choice(ENDINGS)
        error = {"class": "Test", "message": "scripted"} if ending in (Ending.RETRY, Ending.DEAD) else None
        return Ended(lease, job, ending, 1, self.rng.choice([0.0, 30.0]), error=error)

    async def finish(self) -> str:
        worker = self.rng.choice(self.workers)
        results = [self._result(lease, job) for lease, job in self._take(worker)]
        await worker.finish(results)
        return ", ".join(f"{ended.job.id} {ended.ending.name}" for ended in results)

    async def finish_in_transaction(self) -> str:
        worker = self.rng.choice(self.workers)
        outcomes = []
        for lease, job in self._take(worker):
            context = JobContext(
                job,
                lease_id=lease.id,
                worker_id=worker.claimer.worker_id,
                database=self.db,
                queue=self.runtime.queue,
            )
            try:
                async with context.transaction() as tx:
                    await tx.execute("INSERT INTO effect (job_id) VALUES (%(id)s)", {"id": job.id})
                outcomes.append(f"{job.id} done")
            except LeaseLost:
                outcomes.append(f"{job.id} lost")
            # Half of the answers get lost: the worker then believes that the job has failed.
            known = context.finished_in_transaction and self.rng.random() < 0.5
            result = Ended(lease, job, Ending.DONE, recorded=True) if known else self._result(lease, job)
            if not context.finished_in_transaction or not known:
                result.ending = Ending.RETRY
            await worker.finish([result])
        return ", ".join(outcomes)

    async def finish_again(self) -> str:
        """The answer to a finish was lost, so it is sent once more; now and then much later."""
        worker = self.rng.choice(self.workers)
        results = [self._result(lease, job) for lease, job in self._take(worker)]
        await worker.finish(results)
        if self.rng.random() < 0.5:
            await self.time_passes()
        copies = [
            msgspec.structs.replace(ended, lease=Lease(ended.lease.id, ended.lease.queue_id, 99)) for ended in results
        ]
        await worker.finish(copies)
        return ", ".join(f"{ended.job.id} {ended.ending.name}" for ended in results)

    async def worker_dies(self) -> str:
        """It may be frozen only: what it holds stays in its hand, and it may try to finish that later."""
        worker = self.rng.choice(self.workers)
        await self.db.execute("DELETE FROM worker WHERE id = %(id)s", {"id": worker.claimer.worker_id})
        if self.rng.random() < 0.7:
            await self._register(worker)
        return f"now {worker.claimer.worker_id}"

    async def rescue(self) -> str:
        return str(await self.rescuer.step())

    async def time_passes(self) -> str:
        waiting = await self.db.fetch_all("SELECT job_id FROM job_scheduled ORDER BY job_id")
        due = [row["job_id"] for row in waiting if self.rng.random() < 0.5]
        await self.db.execute("UPDATE job_scheduled SET run_at = now() WHERE job_id = ANY (%(ids)s)", {"ids": due})
        return str(due)

    def _some(self) -> list[int]:
        return self.rng.sample(self.ids, min(len(self.ids), self.rng.randrange(1, 8)))

    async def cancel(self) -> str:
        return str(await self.operations.cancel(self.rng.choice([None, *ORGS]), self._some(), "test"))

    async def retry(self) -> str:
        return str(await self.operations.retry(self.rng.choice([None, *ORGS]), self._some()))

    async def discard(self) -> str:
        return str(await self.operations.discard(self.rng.choice([None, *ORGS]), self._some(), "test"))

    async def pause_or_resume(self) -> str:
        name = self.rng.choice(["one-off", "one-off/test.limited", "consumer.one-off"])
        if self.rng.random() < 0.3:
            return str(await self.operations.pause(name, "test"))
        return str(await self.operations.resume(name, "test"))

    async def _register(self, worker: Worker) -> None:
        worker.claimer.begin(
            await self.db.fetch_value(
                "INSERT INTO worker (name, pool, node, pid) VALUES ('w', 'p', 'n', 1) RETURNING id"
            )
        )


async def play(db: Database, seed: int) -> Machine:
    # The key makes a second effect of a job fail.
    await db.execute("CREATE TABLE IF NOT EXISTS effect (job_id bigint PRIMARY KEY)")
    await db.execute("DELETE FROM job_idempotency")  # of an earlier play in this database
    kinds = [scripted(Stage(), "test.free"), scripted(Stage(), "test.limited", concurrency=LIMIT)]
    async with job_runtime(db, kinds) as runtime, AsyncExitStack() as stack:
        machine = Machine(db, runtime, random.Random(seed))
        for _ in range(3):
            await machine.add_worker()
            stack.push_async_callback(machine.workers[-1].close)
        try:
            for _ in range(STEPS):
                await machine.step()
                await machine.check()
            await machine.settle()
            places = await check_places(db, machine.ids)
        except BaseException:
            print(f"SYNC_TEST_SEED={seed}", *machine.trail, sep="\n")
            raise
        assert set(places.values()) <= {"done", "cancelled", "dead", "discarded"}
        return machine


def seeds() -> list[int]:
    chosen = os.environ.get("SYNC_TEST_SEED")
    return [int(chosen)] if chosen else [1, 2, 3, random.SystemRandom().randrange(2**32)]


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: "")
async def test_every_job_is_always_in_exactly_one_place(db: Database, seed: int) -> None:
    machine = await play(db, seed)
    assert len({line.partition(":")[0] for line in machine.trail}) == len(machine.steps), "some step never came"


# -- negative controls: with a guard taken out, the check above must notice ------------------------------------------

GUARDS = {
    "results count only once": ("finish", "finish_leases", "NOT e.job_id = ANY (h.finished)", "true"),
    "a lease ends with its last job": (
        "finish",
        "finish_leases",
        "h.size <= cardinality(h.finished) + coalesce(cardinality(f.ids), 0)",
        "true",
    ),
    "effects need the lease": ("context", "finish_one", "FROM held", "FROM (SELECT 1::smallint AS queue_id) held"),
    "a rescue leaves what has ended": ("rescue", "rescue", "NOT (e->>0)::bigint = ANY (g.finished)", "true"),
    "a job that ends frees its key": ("finish", "finish_keys", "u.job_id = e.job_id", "false"),
}


@pytest.mark.parametrize("what", GUARDS)
async def test_a_guard_taken_out_of_the_sql_is_noticed(
    db: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    module, file, guard, instead = GUARDS[what]
    head, _, tail = load_sql(file).rpartition(guard)
    assert tail, "the guard is not where it was"

    def broken(name: str) -> str:
        return head + instead + tail if name == file else load_sql(name)

    monkeypatch.setattr(f"sync.jobs.{module}.load_sql", broken)
    with pytest.raises((Misplaced, Conflict)):
        for seed in range(5):
            await play(db, seed)


async def test_results_that_count_without_a_lease_are_noticed(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_of_them(self: Finisher, connection: object, ended: list[Ended], complete: list[int]) -> object:
        return {(result.lease.id, result.job.id) for result in ended}

    monkeypatch.setattr(Finisher, "_fresh", all_of_them)
    with pytest.raises((Misplaced, Conflict)):
        for seed in range(5):
            await play(db, seed)
