from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from schedules import SCHEDULES
from schedules.spec import Schedule
from sync.base.errors import ConfigurationError, Transient
from sync.scheduling import Scheduler, Schedules
from sync.store.engine import Database
from tests.fakes.jobs import FakeRuntime, eventually, job_runtime


class Duty:
    """Counts its runs; `fail` makes it raise, `gate` holds it up."""

    def __init__(self) -> None:
        self.runs = 0
        self.fail = False
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> None:
        self.runs += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fail:
            raise Transient("vendor table is locked")


@pytest.fixture
def duty() -> Duty:
    return Duty()


def scheduler(runtime: FakeRuntime, duty: Duty, holder: str = "scheduler.a", **options: Any) -> Scheduler:
    return Scheduler(runtime, holder, work={"sync.enqueue_due": duty}, **options)


@asynccontextmanager
async def running(one: Scheduler) -> AsyncIterator[Scheduler]:
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        one.stop()
        await asyncio.wait_for(task, 10)


async def quiet(db: Database) -> None:
    """Nothing of the code's own schedules comes due while a test looks at its own."""
    await db.execute("UPDATE schedule SET next_due_at = now() + interval '1 hour' WHERE source = 'code'")


async def test_a_new_leader_mirrors_the_code(db: Database, runtime: FakeRuntime, duty: Duty) -> None:
    one = scheduler(runtime, duty)
    result = await one.step()
    assert result.leading and 0 <= result.wait_s <= 1
    rows = await db.fetch_all("SELECT name FROM schedule WHERE source = 'code' AND next_due_at IS NOT NULL")
    assert {row["name"] for row in rows} == {schedule.name for schedule in SCHEDULES}


async def test_only_the_leader_fires_and_a_standby_takes_over(
    db: Database, runtime: FakeRuntime, schedules: Schedules, duty: Duty
) -> None:
    first, second = scheduler(runtime, duty), scheduler(runtime, duty, "scheduler.b")
    assert (await first.step()).leading and not (await second.step()).leading
    await quiet(db)
    await schedules.create(_hourly(), by="ada")
    await db.execute("UPDATE schedule SET next_due_at = now() WHERE name = 'report'")
    assert (await second.step()).enqueued == 0
    assert (await first.step()).enqueued == 1
    await db.execute("UPDATE leader SET expires_at = now() - interval '1 second'")
    await db.execute("UPDATE schedule SET next_due_at = now() WHERE name = 'report'")
    result = await second.step()
    assert result.leading and result.enqueued == 1
    assert second.info().epoch == 2


async def test_a_broken_schedule_does_not_starve_its_neighbours(
    db: Database, runtime: FakeRuntime, schedules: Schedules, duty: Duty
) -> None:
    one = scheduler(runtime, duty)
    await one.step()
    await quiet(db)
    await schedules.create(_hourly("broken"), by="ada")
    await schedules.create(_hourly("sound"), by="ada")
    await db.execute("UPDATE schedule SET kind = 'gone.kind' WHERE name = 'broken'")
    await db.execute("UPDATE schedule SET next_due_at = now() WHERE source = 'user'")
    result = await one.step()
    assert (result.enqueued, result.failed) == (1, 1)
    assert (await one.step()).failed == 0


async def test_duties_run_when_due_and_not_twice_at_once(db: Database, runtime: FakeRuntime, duty: Duty) -> None:
    duty.gate = asyncio.Event()
    one = scheduler(runtime, duty)
    await one.step()
    due = "UPDATE schedule SET next_due_at = now() WHERE name = 'realtime-sync'"
    await db.execute(due)
    await one.step()
    await eventually(lambda: duty.runs == 1)
    await db.execute(due)
    await one.step()  # the first run is not over
    assert duty.runs == 1
    duty.gate.set()
    await eventually(lambda: _again(one, db, due, duty))


async def _again(one: Scheduler, db: Database, due: str, duty: Duty) -> bool:
    await db.execute(due)
    await one.step()
    return duty.runs >= 2


async def test_a_failing_duty_is_recorded_and_comes_again(db: Database, runtime: FakeRuntime, duty: Duty) -> None:
    duty.fail = True
    one = scheduler(runtime, duty)
    await one.step()
    await db.execute("UPDATE schedule SET next_due_at = now() WHERE name = 'realtime-sync'")
    await one.step()
    error = await eventually(lambda: db.fetch_value("SELECT last_error FROM schedule WHERE name = 'realtime-sync'"))
    assert "locked" in error
    assert await db.fetch_value("SELECT next_due_at > now() FROM schedule WHERE name = 'realtime-sync'")


async def test_the_loop_wakes_up_for_a_changed_schedule(
    db: Database, runtime: FakeRuntime, schedules: Schedules, duty: Duty
) -> None:
    async with running(scheduler(runtime, duty)) as one:
        await eventually(lambda: one.info().leading)
        await schedules.run_now("_system", "frequent-sync", "ada")
        await eventually(lambda: duty.runs)


async def test_stopping_gives_the_lead_away(db: Database, runtime: FakeRuntime, duty: Duty) -> None:
    async with running(scheduler(runtime, duty)) as one:
        await eventually(lambda: one.info().leading)
    assert await db.fetch_value("SELECT holder FROM leader") is None
    assert (await scheduler(runtime, duty, "scheduler.b").step()).leading


async def test_stopping_ends_a_duty_that_hangs(runtime: FakeRuntime, db: Database, duty: Duty) -> None:
    duty.gate = asyncio.Event()
    async with running(scheduler(runtime, duty)) as one:
        await eventually(lambda: one.info().leading)
        await db.execute("UPDATE schedule SET next_due_at = now() WHERE name = 'realtime-sync'")
        runtime.signals.publish("schedule")
        await eventually(lambda: duty.runs == 1)


async def test_the_loop_waits_out_an_outage(db: Database, runtime: FakeRuntime, duty: Duty) -> None:
    async with running(scheduler(runtime, duty)) as one:
        await eventually(lambda: one.info().leading)
        await db.execute("ALTER TABLE schedule RENAME TO schedule_away")
        await eventually(lambda: one.info().last_error)
        await db.execute("ALTER TABLE schedule_away RENAME TO schedule")
        await eventually(lambda: one.info().last_error is None)
        assert one.beat_age_s() < 5


async def test_an_idle_pass_is_one_query(db: Database, runtime: FakeRuntime, duty: Duty) -> None:
    one = scheduler(runtime, duty)
    await one.step()
    await quiet(db)
    await one.step()
    counting = _Counting(db)
    one._firing._database = one._lease._database = counting  # type: ignore[assignment]
    for _ in range(5):
        assert (await one.step()).wait_s == 1.0
    assert counting.statements == 5


async def test_a_clock_that_steps_back_makes_the_leader_look_again(
    db: Database, runtime: FakeRuntime, duty: Duty
) -> None:
    one = scheduler(runtime, duty)
    await one.step()
    await db.execute("UPDATE schedule SET next_due_at = now() + interval '9 days'")
    await one.step()
    seen_at, monotonic = one._clock_seen  # type: ignore[misc]
    one._clock_seen = (seen_at + timedelta(minutes=5), monotonic)
    await one.step()
    late = await db.fetch_value("SELECT count(*) FROM schedule WHERE next_due_at > now() + interval '8 days'")
    assert late == 0


async def test_a_schedule_without_work_behind_it_stops_the_process(db: Database, duty: Duty) -> None:
    async with job_runtime(db, []) as runtime:
        with pytest.raises(ConfigurationError, match=r"'purge' enqueues 'maintenance\.purge'"):
            scheduler(runtime, duty)


class _Counting:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        self.statements += 1
        return getattr(self._database, name)


def _hourly(name: str = "report") -> Schedule:
    return Schedule(name=name, kind="test.script", every=timedelta(hours=1), org_id="acme", overlap="allow")


async def test_due_syncs_are_queued(db: Database, runtime: FakeRuntime) -> None:
    await db.execute("INSERT INTO integration (org_id, platform, account) VALUES ('acme', 'email', 'a@acme.test')")
    await db.execute(
        """INSERT INTO sync_stream (integration_id, sync_type, every, next_due_at)
           SELECT id, 'messages', interval '5 minutes', now() FROM integration"""
    )
    async with running(Scheduler(runtime, "scheduler.a")) as one:
        await eventually(lambda: one.info().leading)
        await db.execute("UPDATE schedule SET next_due_at = now() WHERE name = 'realtime-sync'")
        runtime.signals.publish("schedule")
        run = await eventually(lambda: db.fetch_one("SELECT org_id, platform, sync_type, trigger FROM sync_run"))
    assert run == {"org_id": "acme", "platform": "email", "sync_type": "messages", "trigger": "schedule"}
