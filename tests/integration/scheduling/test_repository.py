from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schedules.spec import Schedule
from sync.base.errors import ApiError
from sync.scheduling import Schedules
from sync.scheduling.firing import Firing
from sync.store.engine import Database
from tests.fakes.jobs import FakeRuntime

HOUR = timedelta(hours=1)


def definition(**options: Any) -> Schedule:
    return Schedule(**{"name": "report", "kind": "test.script", "cron": "0 9 * * MON", "org_id": "acme", **options})


def code(**options: Any) -> Schedule:
    return Schedule(**{"name": "sweep", "kind": "test.script", "every": HOUR, **options})


async def test_create_shows_what_comes(schedules: Schedules, db: Database) -> None:
    await schedules.create(definition(zone="Europe/Berlin", args={"do": "ok"}), by="ada")
    detail = await schedules.show("acme", "report")
    assert detail.schedule.state == "active" and detail.schedule.source == "user"
    assert detail.schedule.created_by == "ada" and detail.schedule.args == {"do": "ok"}
    assert len(detail.upcoming) == 5 and detail.upcoming[0] == detail.schedule.next_due_at
    assert {late - early for early, late in zip(detail.upcoming, detail.upcoming[1:], strict=False)} <= {
        timedelta(days=7) + shift for shift in (timedelta(0), HOUR, -HOUR)
    }
    audit = await db.fetch_one("SELECT org_id, actor, action, target FROM audit")
    assert audit == {"org_id": "acme", "actor": "ada", "action": "schedule.created", "target": "schedule:report"}


async def test_a_name_is_taken_once_per_org(schedules: Schedules) -> None:
    await schedules.create(definition(), by="ada")
    await schedules.create(definition(org_id="globex"), by="bob")
    with pytest.raises(ApiError) as refused:
        await schedules.create(definition(), by="ada")
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "no.such"}, "no job kind"),
        ({"args": {"do": 5}}, "arguments of test.script"),
        ({"cron": "61 * * * *"}, "minute"),
        ({"zone": "Mars/Olympus"}, "not a time zone"),
        ({"name": "a b"}, "name"),
        ({"org_id": "a:b"}, "org id"),
        ({"cron": None, "every": timedelta(seconds=2)}, "at least 10 seconds"),
        ({"kind": "maintenance.purge"}, "whole install"),
    ],
)
async def test_definitions_that_cannot_work_are_refused(
    schedules: Schedules, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ApiError, match=says) as refused:
        await schedules.create(definition(**options), by="ada")
    assert refused.value.status == 422
    assert (await schedules.list(None)).schedules == []


async def test_another_orgs_schedule_does_not_exist(schedules: Schedules) -> None:
    await schedules.create(definition(), by="ada")
    assert (await schedules.list("globex")).schedules == []
    for act in (
        schedules.show("globex", "report"),
        schedules.pause("globex", "report", "eve"),
        schedules.resume("globex", "report", "eve"),
        schedules.delete("globex", "report", "eve"),
        schedules.run_now("globex", "report", "eve"),
    ):
        with pytest.raises(ApiError) as refused:
            await act
        assert refused.value.status == 404


async def test_list_pages(schedules: Schedules) -> None:
    for n in range(5):
        await schedules.create(definition(name=f"report-{n}"), by="ada")
    first = await schedules.list("acme", limit=3)
    second = await schedules.list("acme", cursor=first.cursor, limit=3)
    assert [s.name for s in (*first.schedules, *second.schedules)] == [f"report-{n}" for n in range(5)]
    assert first.cursor is not None and second.cursor is None


async def test_paused_time_is_not_owed(schedules: Schedules, db: Database, runtime: FakeRuntime) -> None:
    created = await schedules.create(definition(cron=None, every=HOUR), by="ada")
    paused = await schedules.pause("acme", "report", "ada", "holidays")
    assert paused.state == "paused" and paused.next_due_at is None and paused.paused_reason == "holidays"
    again = await schedules.pause("acme", "report", "bob", "other reason")
    assert again.paused_by == "ada"
    assert await Firing(db, runtime.queue).due(10) == []
    resumed = await schedules.resume("acme", "report", "bob")
    assert resumed.state == "active" and resumed.next_due_at == created.next_due_at
    assert (await schedules.resume("acme", "report", "bob")).next_due_at == created.next_due_at


async def test_run_now_enqueues_beside_the_plan(schedules: Schedules, db: Database) -> None:
    created = await schedules.create(definition(), by="ada")
    await schedules.pause("acme", "report", "ada")
    first = await schedules.run_now("acme", "report", "ada")
    assert first is not None and first.created
    again = await schedules.run_now("acme", "report", "ada")
    assert again is not None and (again.job_id, again.created) == (first.job_id, False)
    (tick,) = (await schedules.show("acme", "report")).ticks
    assert tick.outcome == "manual" and tick.job_id == first.job_id
    assert (await schedules.resume("acme", "report", "ada")).next_due_at == created.next_due_at
    assert await db.fetch_value("SELECT count(*) FROM job") == 1


async def test_deleted_is_gone_but_its_jobs_stay(schedules: Schedules, db: Database) -> None:
    await schedules.create(definition(), by="ada")
    await schedules.run_now("acme", "report", "ada")
    await schedules.delete("acme", "report", "ada")
    assert (await schedules.list("acme")).schedules == []
    assert await db.fetch_value("SELECT count(*) FROM job") == 1


async def test_the_code_is_mirrored(schedules: Schedules, db: Database) -> None:
    await schedules.sync_code([code(), code(name="other")])
    await db.execute("UPDATE schedule SET next_due_at = now() - interval '3 hours' WHERE name = 'sweep'")
    await schedules.sync_code([code()])
    rows = {s.name: s for s in (await schedules.list(None)).schedules}
    owed = rows["sweep"].next_due_at
    assert owed is not None and owed < rows["sweep"].created_at  # an unchanged one still owes what it missed
    assert rows["sweep"].version == 1
    assert rows["other"].state == "retired" and rows["other"].next_due_at is None

    await schedules.sync_code([code(every=2 * HOUR), code(name="other")])
    rows = {s.name: s for s in (await schedules.list(None)).schedules}
    assert rows["sweep"].every == 2 * HOUR and rows["sweep"].version == 2
    assert rows["sweep"].next_due_at is not None and rows["sweep"].next_due_at > owed
    assert rows["other"].state == "active"


async def test_a_paused_code_schedule_stays_paused_through_restart_and_change(schedules: Schedules) -> None:
    await schedules.sync_code([code()])
    await schedules.pause("_system", "sweep", "ada")
    await schedules.sync_code([code()])
    await schedules.sync_code([code(every=3 * HOUR)])
    stored = (await schedules.show("_system", "sweep")).schedule
    assert stored.state == "paused" and stored.next_due_at is None and stored.every == 3 * HOUR


async def test_code_schedules_are_paused_not_deleted(schedules: Schedules) -> None:
    await schedules.sync_code([code()])
    with pytest.raises(ApiError, match="pause it"):
        await schedules.delete("_system", "sweep", "ada")
    await schedules.sync_code([])
    await schedules.delete("_system", "sweep", "ada")
    assert (await schedules.list(None)).schedules == []


async def test_the_code_takes_a_name_that_an_operator_used(schedules: Schedules) -> None:
    await schedules.create(definition(name="sweep", org_id="_system"), by="ada")
    await schedules.sync_code([code()])
    stored = (await schedules.show("_system", "sweep")).schedule
    assert stored.source == "code" and stored.every == HOUR
