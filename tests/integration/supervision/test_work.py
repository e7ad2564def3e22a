"""What the supervisor reads from the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sync.jobs.model import NewJob
from sync.store.engine import Database
from sync.supervision.model import Member, Pair, Seat
from sync.supervision.work import DatabaseWork
from tests.fakes.jobs import FakeRuntime, Script, Stage, job_runtime, scripted

POOL = "consumer.one-off"


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class NoRuns:
    async def ready_pairs(self, limit: int) -> Sequence[tuple[str, str]]:
        return []

    async def recover_lost(self) -> int:
        return 0


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def work(db: Database, clock: FakeTime) -> DatabaseWork:
    unused: Any = None
    return DatabaseWork(db, NoRuns(), unused, clock=clock)


async def enqueue(runtime: FakeRuntime, **options: Any) -> None:
    await runtime.queue.enqueue(NewJob("test.script", Script(), **options))


async def test_a_lag_is_how_long_the_oldest_job_has_been_waiting(
    db: Database, work: DatabaseWork, clock: FakeTime
) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        assert await work.lags() == {}
        clock.now += 10
        await enqueue(runtime, org_id="late", priority=3)
        assert await work.lags() == {POOL: 0 + 10}  # it may have come right after the look before
        clock.now += 5
        await enqueue(runtime, org_id="acme", priority=0)
        assert await work.lags() == {POOL: 15}
        await db.execute("DELETE FROM job WHERE org_id = 'late'")
        assert await work.lags() == {POOL: 5}


async def test_a_job_that_came_up_just_now_is_not_late(db: Database, work: DatabaseWork, clock: FakeTime) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        await work.lags()
        clock.now += 1
        await enqueue(runtime)
        await db.execute("UPDATE job SET enqueued_at = now() - interval '90 days', job_id = 1")
        assert await work.lags() == {POOL: 1}


async def test_what_waits_on_purpose_is_no_lag(db: Database, work: DatabaseWork, clock: FakeTime) -> None:
    limited = scripted(Stage(), kind="test.limited", concurrency=1)
    async with job_runtime(db, [scripted(Stage()), limited]) as runtime:
        await enqueue(runtime, org_id="paused")
        await db.execute("INSERT INTO org_share (org_id, paused_at) VALUES ('paused', now())")
        await runtime.queue.enqueue(NewJob("test.limited", Script()))
        assert await work.lags() == {}
        await enqueue(runtime)
        assert list(await work.lags()) == [POOL]
        await db.execute("UPDATE queue SET paused_at = now()")
        clock.now += 60
        assert await work.lags() == {}


async def test_a_slow_look_is_not_repeated_at_once(db: Database, clock: FakeTime) -> None:
    unused: Any = None

    def slow() -> float:
        clock.now += 1
        return clock.now

    work = DatabaseWork(db, NoRuns(), unused, clock=slow)
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        assert await work.lags() == {}
        await enqueue(runtime)
        assert await work.lags() == {}
        clock.now += 200
        assert list(await work.lags()) == [POOL]


async def test_traces_of_life(db: Database, work: DatabaseWork) -> None:
    assert list(await work.lived()) == []
    await db.execute(
        "INSERT INTO worker (name, pool, node, pid) VALUES ('consumer.one-off.3', 'consumer.one-off', 'n', 1)"
    )
    await db.execute(
        "INSERT INTO leader (name, epoch, holder, expires_at) VALUES ('scheduler', 1, 'scheduler.b/ab12', now())"
    )
    await lease(db, "acme", holder="x")
    await lease(db, "gone", holder=None)
    assert set(await work.lived()) == {Member(POOL, 3), Seat("b"), Pair("acme", "email")}


async def test_idle_and_expired_pairs(db: Database, work: DatabaseWork) -> None:
    await lease(db, "idle-long", holder="x", age_s=60)
    await lease(db, "idle", holder="x", age_s=5)
    await lease(db, "expired", holder="x", ttl_s=-1)
    await lease(db, "released", holder=None, ttl_s=-1)
    for org, state, delay in (("busy", "running", 0), ("due", "queued", 0), ("parked", "queued", 60)):
        await lease(db, org, holder="x", age_s=1)
        await run(db, org, state, delay)
    assert await work.idle_pairs() == [Pair("idle-long", "email"), Pair("idle", "email"), Pair("parked", "email")]
    assert list(await work.expired()) == [Pair("expired", "email")]


async def lease(db: Database, org: str, *, holder: str | None, ttl_s: int = 30, age_s: int = 0) -> None:
    await db.execute(
        "INSERT INTO sync_lease (org_id, platform, epoch, holder, acquired_at, expires_at) VALUES (%(org)s, 'email', 1,"
        " %(holder)s, now() - make_interval(secs => %(age)s), now() + make_interval(secs => %(ttl)s))",
        {"org": org, "holder": holder, "age": age_s, "ttl": ttl_s},
    )


async def run(db: Database, org: str, state: str, delay_s: int) -> None:
    await db.execute(
        "WITH i AS (INSERT INTO integration (org_id, platform, account) VALUES (%(org)s, 'email', 'a') RETURNING id)"
        " INSERT INTO sync_run (org_id, platform, integration_id, sync_type, trigger, state, not_before)"
        " SELECT %(org)s, 'email', id, 'messages', 'manual', %(state)s, now() + make_interval(secs => %(delay)s)"
        " FROM i",
        {"org": org, "state": state, "delay": delay_s},
    )
