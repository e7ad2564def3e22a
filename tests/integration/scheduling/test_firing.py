"""What becomes of due schedules, on a real database whose due times are moved instead of waiting."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

import pytest

from schedules.spec import Schedule
from sync.base.errors import Transient
from sync.jobs.model import EnqueueResult, NewJob
from sync.scheduling import Schedules, StoredSchedule
from sync.scheduling.firing import Firing
from sync.store.engine import Database, Transaction
from tests.fakes.jobs import FakeRuntime, eventually, member

HOURLY = timedelta(hours=1)


def hourly(name: str = "report", **options: Any) -> Schedule:
    return Schedule(
        **{"name": name, "kind": "test.script", "every": HOURLY, "org_id": "acme", "overlap": "allow", **options}
    )


@pytest.fixture
def firing(runtime: FakeRuntime) -> Firing:
    return Firing(runtime.database, runtime.queue, frozenset({"test.duty"}))


async def make_due(db: Database, schedule: StoredSchedule, hours: int = 0) -> datetime:
    """Move the due time to the last full hour, or some hours before it; returns that tick."""
    tick: datetime = await db.fetch_value(
        "UPDATE schedule SET next_due_at = date_trunc('hour', now()) - %(hours)s * interval '1 hour' "
        "WHERE id = %(id)s RETURNING next_due_at",
        {"hours": hours, "id": schedule.id},
    )
    return tick


async def jobs(db: Database) -> list[dict[str, Any]]:
    return await db.fetch_all("SELECT seq AS id, org_id, kind, meta FROM job ORDER BY seq")


async def ticks(db: Database) -> list[dict[str, Any]]:
    return await db.fetch_all("SELECT due_at, outcome, job_id, error FROM schedule_tick ORDER BY due_at")


async def test_a_due_tick_becomes_one_job(db: Database, schedules: Schedules, firing: Firing) -> None:
    created = await schedules.create(hourly(), by="ada")
    tick = await make_due(db, created)
    fired = await firing.fire(created.id)
    assert (fired.enqueued, fired.skipped, fired.failed) == (1, 0, 0)
    (job,) = await jobs(db)
    assert job["org_id"] == "acme"
    assert job["meta"] == {"schedule": "report", "due_at": tick.isoformat()}
    assert await ticks(db) == [{"due_at": tick, "outcome": "enqueued", "job_id": job["id"], "error": None}]
    stored = (await schedules.show("acme", "report")).schedule
    assert stored.next_due_at == tick + HOURLY
    assert stored.last_due_at == tick and stored.last_job_id == job["id"] and stored.last_fired_at is not None


async def test_what_is_not_due_does_not_fire(db: Database, schedules: Schedules, firing: Firing) -> None:
    created = await schedules.create(hourly(), by="ada")
    assert await firing.due(10) == []
    assert (await firing.fire(created.id)).enqueued == 0
    assert await jobs(db) == []


async def test_many_leaders_at_once_fire_each_tick_once(
    db: Database, runtime: FakeRuntime, schedules: Schedules
) -> None:
    created = [await schedules.create(hourly(f"report-{n}"), by="ada") for n in range(10)]
    for schedule in created:
        await make_due(db, schedule)
    leaders = [Firing(runtime.database, runtime.queue) for _ in range(4)]
    await asyncio.gather(*(leader.fire(schedule.id) for schedule in created for leader in leaders))
    assert len(await jobs(db)) == 10
    assert len(await ticks(db)) == 10


async def test_a_clock_that_steps_back_does_not_fire_a_tick_again(
    db: Database, schedules: Schedules, firing: Firing
) -> None:
    created = await schedules.create(hourly(), by="ada")
    tick = await make_due(db, created)
    await firing.fire(created.id)
    await make_due(db, created)  # the same tick comes due once more
    assert (await firing.fire(created.id)).enqueued == 0
    assert len(await jobs(db)) == 1
    assert (await schedules.show("acme", "report")).schedule.next_due_at == tick + HOURLY


async def test_a_clock_once_ahead_does_not_silence_a_schedule(
    db: Database, schedules: Schedules, firing: Firing
) -> None:
    created = await schedules.create(hourly(), by="ada")
    expected = created.next_due_at
    await db.execute("UPDATE schedule SET next_due_at = next_due_at + interval '9 days'")
    assert await firing.review() == 1
    assert (await schedules.show("acme", "report")).schedule.next_due_at == expected
    assert await firing.review() == 0


class FailingOnce:
    """A queue whose connection breaks after the insert, before the commit."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.broken = True

    async def enqueue(self, job: NewJob, tx: Transaction | None = None) -> EnqueueResult:
        result: EnqueueResult = await self._queue.enqueue(job, tx)
        if self.broken:
            self.broken = False
            raise Transient("the connection broke")
        return result


async def test_a_leader_that_dies_before_its_commit_loses_and_doubles_nothing(
    db: Database, runtime: FakeRuntime, schedules: Schedules
) -> None:
    created = await schedules.create(hourly(), by="ada")
    tick = await make_due(db, created)
    firing = Firing(runtime.database, FailingOnce(runtime.queue))  # type: ignore[arg-type]
    with pytest.raises(Transient):
        await firing.fire(created.id)
    assert await jobs(db) == [] and await ticks(db) == []
    assert (await firing.fire(created.id)).enqueued == 1
    assert [row["due_at"] for row in await ticks(db)] == [tick]


@pytest.mark.parametrize(("policy", "fired"), [("skip", []), ("once", [5]), ("all", [0, 1, 2, 3, 4, 5])])
async def test_ticks_missed_while_nothing_ran(
    db: Database, schedules: Schedules, firing: Firing, policy: str, fired: list[int]
) -> None:
    # A daily time that was half a day ago, and before that on five more days.
    now: datetime = await db.fetch_value("SELECT date_trunc('minute', now())")
    missed = [now - timedelta(days=5 - day, hours=12) for day in range(6)]
    created = await schedules.create(
        hourly(every=None, cron=f"{missed[0].minute} {missed[0].hour} * * *", catch_up=policy), by="ada"
    )
    await db.execute("UPDATE schedule SET next_due_at = %(due)s", {"due": missed[0]})
    await firing.fire(created.id)
    assert [row["due_at"] for row in await ticks(db)] == [missed[day] for day in fired]
    assert len(await jobs(db)) == len(fired)
    assert (await schedules.show("acme", "report")).schedule.next_due_at == created.next_due_at


async def test_overlap_skip_waits_for_the_earlier_job(
    db: Database, runtime: FakeRuntime, schedules: Schedules, firing: Firing
) -> None:
    created = await schedules.create(hourly(overlap="skip"), by="ada")
    await make_due(db, created, hours=2)
    await firing.fire(created.id)
    (first,) = await jobs(db)
    await db.execute("UPDATE schedule SET next_due_at = now()")
    assert (await firing.fire(created.id)).skipped == 1
    assert len(await jobs(db)) == 1
    assert (await ticks(db))[-1]["outcome"] == "skipped" and (await ticks(db))[-1]["job_id"] == first["id"]
    async with member(runtime):
        await eventually(lambda: db.fetch_value("SELECT count(*) = 0 FROM job_unique"))
    await db.execute("UPDATE schedule SET next_due_at = clock_timestamp()")
    assert (await firing.fire(created.id)).enqueued == 1


async def test_a_broken_schedule_is_recorded_and_moves_on(db: Database, schedules: Schedules, firing: Firing) -> None:
    created = await schedules.create(hourly(), by="ada")
    await db.execute("UPDATE schedule SET kind = 'gone.kind'")
    tick = await make_due(db, created)
    assert (await firing.fire(created.id)).failed == 1
    (row,) = await ticks(db)
    assert row["outcome"] == "failed" and "gone.kind" in row["error"]
    stored = (await schedules.show("acme", "report")).schedule
    assert stored.next_due_at == tick + HOURLY and "gone.kind" in (stored.last_error or "")


async def test_a_zone_that_no_longer_exists_stops_the_schedule(
    db: Database, schedules: Schedules, firing: Firing
) -> None:
    created = await schedules.create(hourly(every=None, cron="0 * * * *", zone="Europe/Berlin"), by="ada")
    await make_due(db, created)
    await db.execute("UPDATE schedule SET zone = 'Mars/Olympus'")
    assert (await firing.fire(created.id)).failed == 1
    detail = await schedules.show("acme", "report")
    assert detail.schedule.next_due_at is None and "Mars/Olympus" in (detail.schedule.last_error or "")


async def test_spread_delays_the_job_and_not_the_tick(db: Database, schedules: Schedules, firing: Firing) -> None:
    created = await schedules.create(hourly(every=None, cron="0 * * * *", spread=timedelta(hours=20)), by="ada")
    tick = await make_due(db, created)
    await firing.fire(created.id)
    run_at = await db.fetch_value("SELECT run_at FROM job_scheduled")
    assert run_at is None or tick < run_at < tick + timedelta(hours=20)
    assert [row["due_at"] for row in await ticks(db)] == [tick]


async def test_a_duty_makes_no_job_and_no_tick(db: Database, schedules: Schedules, firing: Firing) -> None:
    created = await schedules.create(hourly(), by="ada")
    await db.execute("UPDATE schedule SET kind = 'test.duty'")
    tick = await make_due(db, created)
    assert (await firing.fire(created.id)).duty == (created.id, "test.duty")
    assert (await firing.fire(created.id)).duty is None
    assert await jobs(db) == [] and await ticks(db) == []
    assert (await schedules.show("acme", "report")).schedule.next_due_at == tick + HOURLY


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_tick_fires_once_whatever_dies_and_however_the_clock_steps(
    db: Database, runtime: FakeRuntime, schedules: Schedules, seed: int
) -> None:
    """Four leaders at once, cut off at random moments, while due times jump back and forth over 200 hours."""
    rng = random.Random(seed)
    created = await schedules.create(hourly(catch_up="all", catch_up_limit=1000), by="ada")
    first = await make_due(db, created, hours=200)
    leaders = [Firing(runtime.database, runtime.queue) for _ in range(4)]
    for _ in range(30):
        attempts = [_cut_off(leader.fire(created.id), rng.uniform(0, 0.15)) for leader in leaders]
        await asyncio.gather(*attempts)
        await make_due(db, created, hours=rng.randint(0, 199))
    await db.execute("UPDATE schedule SET next_due_at = %(first)s", {"first": first})
    await leaders[0].fire(created.id)
    expected = [first + n * HOURLY for n in range(201)]
    assert [row["due_at"] for row in await ticks(db)] == expected
    assert sorted(job["meta"]["due_at"] for job in await jobs(db)) == [tick.isoformat() for tick in expected]


async def _cut_off(work: Coroutine[Any, Any, object], after_s: float) -> None:
    with contextlib.suppress(TimeoutError, Transient):
        await asyncio.wait_for(work, after_s)
