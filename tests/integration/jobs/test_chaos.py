"""Processes, PostgreSQL and Redis killed in the middle of the work: nothing lost, no effect doubled.

Every test prints its seed when it fails; SYNC_TEST_SEED runs that one again.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import replace

import pytest

from sync.base.errors import SyncError
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.store.engine import Database
from tests.fakes.jobs import FakeRuntime, eventually
from tests.fakes.killable import killable_postgres, killable_redis
from tests.fakes.worker_process import POOL, SCHEMA, Config, Deed, chaos_runtime, pool, rescuing
from tests.integration.jobs.places import check_places, nothing_left

ORGS = 10


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("SYNC_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"SYNC_TEST_SEED={seed}")
    return random.Random(seed)


def some_jobs(count: int, rng: random.Random, prefix: str = "job") -> list[NewJob]:
    deeds = ["effect"] * 8 + ["fail_first", "snooze_first"]
    return [
        NewJob(
            "chaos.deed",
            Deed(rng.choice(deeds), f"{prefix}-{number}"),
            org_id=f"org-{number % ORGS}",
            unique_key=f"{prefix}-{number}" if rng.random() < 0.1 else None,
        )
        for number in range(count)
    ]


async def effects(db: Database) -> int:
    try:
        return int(await db.fetch_value("SELECT count(*) FROM effect"))
    except SyncError:  # PostgreSQL is away just now
        return 0


async def all_ended(runtime: FakeRuntime) -> bool:
    """Nothing open. Jobs that happened to be with three workers that died are told to run again."""
    try:
        operations = QueueOperations(runtime.database, runtime.signals)
        dead = await runtime.database.fetch_all("SELECT job_id FROM job_dead WHERE error_class = 'WorkerDied'")
        await operations.retry(None, [row["job_id"] for row in dead])
        return await nothing_left(runtime.database)
    except SyncError:
        return False


async def check_once_each(db: Database, ids: list[int]) -> None:
    places = await check_places(db, ids)
    assert set(places.values()) == {"done"}
    doubled = await db.fetch_all("SELECT key, count(*) AS n FROM effect GROUP BY key HAVING count(*) > 1")
    assert doubled == []
    assert await db.fetch_value("SELECT count(*) FROM effect") == len(places)


@pytest.mark.timeout(300)
async def test_fifty_members_killed_over_five_thousand_jobs(pg_url: str, rng: random.Random) -> None:
    """Promise 3. Half of the dead come back on their node and are known at once, half elsewhere and must time out."""
    jobs, kills, in_time = 5000, 55, 0
    async with chaos_runtime(Config(pg_url)) as runtime, rescuing(runtime):
        db = runtime.database
        await db.execute(SCHEMA)
        ids = await runtime.queue.enqueue_many(some_jobs(jobs, rng))
        async with pool(Config(pg_url), members=3) as members:
            for kill in range(kills):
                target = min(await effects(db) + rng.randrange(1, jobs // kills), jobs - kills + kill)
                await eventually(lambda target=target: reached(db, target), timeout_s=60)
                name = rng.choice(list(members.processes))
                members.kill(name)
                in_time += await effects(db) < jobs
                members.start(name, node=rng.choice([None, f"node-{kill}"]))
            assert in_time >= 50
            await eventually(lambda: all_ended(runtime), timeout_s=90)
        await check_once_each(db, ids)
        assert await db.fetch_value("SELECT count(*) FROM job_run WHERE outcome = 5") > kills


@pytest.mark.timeout(300)
async def test_postgresql_killed_three_times_in_mid_load(rng: random.Random) -> None:
    """Promise 15. Members and enqueuers stay; what was confirmed is there, and everything goes on by itself."""
    jobs, parallel = 1500, 12
    with killable_postgres() as server:
        async with chaos_runtime(Config(server.url)) as runtime, rescuing(runtime):
            db = runtime.database
            await db.execute(SCHEMA)
            confirmed: list[int] = []
            todo = some_jobs(jobs, rng)

            async def producer() -> None:
                """Enqueues one by one; what fails is enqueued again later, under the key that makes that safe."""
                while todo:
                    job = todo.pop()
                    try:
                        confirmed.append((await runtime.queue.enqueue(job)).job_id)
                    except SyncError:
                        todo.insert(0, job)
                        await asyncio.sleep(0.05)

            # One key per job: whoever repeats an enqueue of unknown fate must say that it is the same one.
            todo[:] = [replace(job, idempotency_key=f"request-{number}") for number, job in enumerate(todo)]
            async with pool(Config(server.url), members=2) as members:
                pids = {process.pid for process in members.processes.values()}
                producers = [asyncio.create_task(producer()) for _ in range(parallel)]
                for kill in range(3):
                    target = (kill + 1) * jobs // 5 + rng.randrange(jobs // 10)
                    await eventually(lambda target=target: reached(db, target), timeout_s=60)
                    server.kill()
                    server.restart()
                await asyncio.gather(*producers)
                await eventually(lambda: all_ended(runtime), timeout_s=60)
                assert {process.pid for process in members.processes.values() if process.is_alive()} == pids
            assert len(set(confirmed)) == jobs
            await check_once_each(db, confirmed)


@pytest.mark.timeout(300)
async def test_postgresql_killed_while_nothing_waits_for_the_disk(rng: random.Random) -> None:
    """Claims and finishes commit with synchronous_commit=off. Without enqueues and effects beside them nothing flushes
    them early, so every kill takes back a few hundred milliseconds: leases vanish, finished ones reappear."""
    jobs = 8000
    with killable_postgres() as server:
        async with chaos_runtime(Config(server.url)) as runtime, rescuing(runtime):
            db = runtime.database
            await db.execute(SCHEMA)
            ids = await runtime.queue.enqueue_many(
                NewJob("chaos.deed", Deed("nothing"), org_id=f"org-{number % ORGS}") for number in range(jobs)
            )
            async with pool(Config(server.url), members=2) as members:
                for kill in range(3):
                    target = (kill + 1) * jobs // 5 + rng.randrange(jobs // 10)
                    await eventually(lambda target=target: logged(db, target), timeout_s=60)
                    server.kill()
                    server.restart()
                await eventually(lambda: all_ended(runtime), timeout_s=60)
                assert all(process.is_alive() for process in members.processes.values())
            places = await check_places(db, ids)
            assert set(places.values()) == {"done"}


async def logged(db: Database, count: int) -> bool:
    try:
        return bool(await db.fetch_value("SELECT count(*) >= %(n)s FROM job_run", {"n": count}))
    except SyncError:
        return False


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_redis_lost_in_mid_run(pg_url: str, rng: random.Random, trouble: str) -> None:
    """Promise 14: hints are gone, everything still completes; nobody who publishes notices."""
    with killable_redis() as server:
        config = Config(pg_url, redis_url=server.url)
        async with chaos_runtime(config) as runtime, rescuing(runtime):
            db = runtime.database
            await db.execute(SCHEMA)
            async with pool(config, members=2) as members:
                ids = await runtime.queue.enqueue_many(some_jobs(500, rng, "before"))
                await eventually(lambda: reached(db, 100 + rng.randrange(300)))
                if trouble == "killed":
                    server.kill()
                else:
                    server.freeze()
                for job in some_jobs(200, rng, "single"):
                    ids.append((await runtime.queue.enqueue(job)).job_id)
                ids += await runtime.queue.enqueue_many(some_jobs(300, rng, "after"))
                await eventually(lambda: all_ended(runtime), timeout_s=30)
                assert all(process.is_alive() for process in members.processes.values())
                if trouble == "frozen":
                    server.thaw()
            await check_once_each(db, ids)


async def test_a_job_that_kills_its_worker_dies_after_three_and_takes_nobody_along(
    pg_url: str, rng: random.Random
) -> None:
    """Promise 8: os._exit() in a real process, among a hundred neighbours of the same batch."""
    async with chaos_runtime(Config(pg_url)) as runtime, rescuing(runtime):
        db = runtime.database
        await db.execute(SCHEMA)
        jobs = [NewJob("chaos.deed", Deed("effect", f"n-{number}")) for number in range(100)]
        jobs.insert(rng.randrange(100), NewJob("chaos.deed", Deed("die", "poison"), unique_key="p"))
        await runtime.queue.enqueue_many(jobs)
        async with pool(Config(pg_url, concurrency=200), tend=True) as members:
            await eventually(lambda: nothing_left(db), timeout_s=40)
            assert members.deaths == 3
        await check_places(db)
        dead = await db.fetch_all("SELECT args->>'key' AS key, error_class, crashes FROM job_dead")
        assert dead == [{"key": "poison", "error_class": "WorkerDied", "crashes": 3}]
        assert await db.fetch_value("SELECT count(*) = 100 AND count(DISTINCT key) = 100 FROM effect")
        detail = await QueueOperations(db, runtime.signals).list_jobs(None, states=["dead"])
        assert detail.items[0].error["class"] == "WorkerDied"


async def test_the_places_of_a_killed_worker_are_free_again_after_the_rescue(pg_url: str) -> None:
    async with chaos_runtime(Config(pg_url)) as runtime, rescuing(runtime):
        db = runtime.database
        await db.execute(SCHEMA)
        jobs = [NewJob("chaos.limited", Deed("wait", f"job-{number}")) for number in range(6)]
        ids = await runtime.queue.enqueue_many(jobs)
        async with pool(Config(pg_url)) as members:
            await eventually(lambda: db.fetch_value("SELECT count(*) = 2 FROM job_lease"))
            members.kill(f"{POOL}.0")
            members.start(f"{POOL}.1", node="elsewhere")
            await db.execute("INSERT INTO gate VALUES (true)")
            await eventually(lambda: all_ended(runtime), timeout_s=40)
        await check_once_each(db, ids)


async def test_sigterm_drains_a_member(pg_url: str) -> None:
    """What runs may end, what has not started goes back as if it had never been taken."""
    async with chaos_runtime(Config(pg_url)) as runtime:
        db = runtime.database
        await db.execute(SCHEMA)
        await runtime.queue.enqueue_many([NewJob("chaos.deed", Deed("wait", f"job-{n}")) for n in range(10)])
        async with pool(Config(pg_url, concurrency=3)) as members:
            await eventually(lambda: db.fetch_value("SELECT count(*) > 0 FROM job_lease"))
            process = members.processes[f"{POOL}.0"]
            process.terminate()
            await eventually(lambda: db.fetch_value("SELECT state = 'draining' FROM worker"))
            await db.execute("INSERT INTO gate VALUES (true)")
            await asyncio.to_thread(process.join, 30)
            assert process.exitcode == 0
        done = await db.fetch_value("SELECT count(*) FROM effect")
        assert 0 < done <= 3
        assert await db.fetch_all("SELECT lane, attempt, crashes FROM job") == [
            {"lane": 2, "attempt": 0, "crashes": 0}
        ] * (10 - done)
        assert await db.fetch_value("SELECT (SELECT count(*) FROM job_lease) + (SELECT count(*) FROM worker)") == 0


async def reached(db: Database, count: int) -> bool:
    return await effects(db) >= count
