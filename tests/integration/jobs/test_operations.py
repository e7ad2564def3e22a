"""What operators see and do: counts, lists, single jobs, pause, retry, discard, cancel, purge; every org for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sync.base.errors import Permanent
from sync.jobs.claim import Claimer
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.jobs.rescue import Rescuer
from sync.jobs.views import STATES, JobFilter
from sync.store.engine import Database
from tests.fakes.jobs import AT_ONCE, FAST, FakeRuntime, Script, Stage, eventually, job_runtime, member, scripted
from tests.integration.jobs.places import check_places

KIND, OTHER = "test.script", "test.other"
LATER = timedelta(hours=1)


@dataclass
class Scene:
    """One org with a job in every state (id by state), a second org with a waiting job, members at work on neither."""

    runtime: FakeRuntime
    operations: QueueOperations
    ids: dict[str, int]
    foreign: int


@asynccontextmanager
async def scene(db: Database, stage: Stage) -> AsyncIterator[Scene]:
    kinds = [scripted(stage, max_attempts=1), scripted(stage, OTHER, queue="notification", max_attempts=3)]
    async with job_runtime(db, kinds) as runtime:
        operations = QueueOperations(db, runtime.signals)
        ids: dict[str, int] = {}

        async def put(state: str, job: NewJob) -> None:
            ids[state] = (await runtime.queue.enqueue(job)).job_id

        async with member(runtime):
            await put("done", NewJob(KIND, Script("ok"), org_id="acme"))
            await put("cancelled", NewJob(KIND, Script("cancel"), org_id="acme"))
            await put("dead", NewJob(KIND, Script("permanent"), org_id="acme", unique_key="k-dead"))
            await put("discarded", NewJob(KIND, Script("bug"), org_id="acme"))
            await eventually(lambda: _settled(db, finished=2, dead=2))
        await operations.discard("acme", [ids["discarded"]], "ada")
        await put("retrying", NewJob(OTHER, Script("throttled", seconds=600), org_id="acme"))
        async with member(runtime, "processor.notification.0", pool="processor.notification"):
            await eventually(lambda: db.fetch_value("SELECT count(*) = 1 FROM job_scheduled"))
        await put("scheduled", NewJob(KIND, Script("ok"), org_id="acme", run_at=datetime.now(UTC) + LATER))
        await put("running", NewJob(KIND, Script("hang", "secret"), org_id="acme", priority=0))
        async with member(runtime, concurrency=1):
            await eventually(lambda: stage.running == 1)
            await operations.pause("one-off", "setup")
            await put("waiting", NewJob(KIND, Script("ok"), org_id="acme", priority=3))
            foreign = (await runtime.queue.enqueue(NewJob(KIND, Script("ok"), org_id="beta"))).job_id
            try:
                yield Scene(runtime, operations, ids, foreign)
            finally:
                stage.gate.set()


async def _settled(db: Database, *, finished: int, dead: int) -> bool:
    return await db.fetch_value(
        "SELECT (SELECT count(*) FROM job_run WHERE outcome IN (0, 3)) = %(finished)s"
        " AND (SELECT count(*) FROM job_dead) = %(dead)s",
        {"finished": finished, "dead": dead},
    )


# -- looking ---------------------------------------------------------------------------------------------------------


async def test_depth_counts_every_queue(db: Database) -> None:
    async with scene(db, Stage()) as at:
        depths = {depth.name: depth for depth in await at.operations.depth()}
        one_off = depths["one-off"]
        assert (one_off.waiting, one_off.scheduled, one_off.running, one_off.dead) == (2, 1, 1, 1)
        assert one_off.lag_s is not None
        assert one_off.lag_s >= 0
        assert (one_off.paused_by, one_off.pool) == ("setup", "consumer.one-off")
        assert depths["notification"].scheduled == 1
        assert depths["billing"].lag_s is None
        await at.runtime.queue.enqueue_many([NewJob(KIND, Script(), org_id="acme") for _ in range(20)])
        assert {depth.name: depth for depth in await at.operations.depth(cap=5)}["one-off"].waiting == 5


async def test_a_success_is_told_with_a_beat(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob(KIND, Script()))
        operations = QueueOperations(db, runtime.signals)

        async def told() -> bool:
            depths = await operations.depth()
            return any(depth.name == "one-off" and depth.last_success_at for depth in depths)

        await eventually(told)


@pytest.mark.parametrize("state", STATES)
async def test_lists_and_details_know_every_state(db: Database, state: str) -> None:
    async with scene(db, Stage()) as at:
        listed = await at.operations.list_jobs("acme", states=[state])
        assert [(job.id, job.state, job.org_id) for job in listed.items] == [(at.ids[state], state, "acme")]
        detail = await at.operations.show_job("acme", at.ids[state])
        assert detail is not None
        assert (detail.job.id, detail.job.state, detail.job.queue) == (at.ids[state], state, listed.items[0].queue)
        assert [attempt.outcome for attempt in detail.attempts] == {
            "done": ["done"],
            "cancelled": ["cancelled"],
            "dead": ["dead"],
            "discarded": ["dead", "discarded"],
            "retrying": ["retry"],
        }.get(state, [])
        if state in ("dead", "retrying"):
            assert detail.job.error["message"] == listed.items[0].error["message"]
            assert detail.attempts[0].error["trace"]
        assert await at.operations.show_job("beta", at.ids[state]) is None


async def test_filters(db: Database) -> None:
    async with scene(db, Stage()) as at:
        ids = at.ids

        async def listed(org: str | None, **filters: object) -> set[int]:
            return {job.id for job in (await at.operations.list_jobs(org, **filters)).items}  # type: ignore[arg-type]

        assert await listed("acme") == set(ids.values())
        assert await listed(None) == {*ids.values(), at.foreign}
        assert await listed("beta") == {at.foreign}
        assert await listed("nobody") == set()
        assert await listed("acme", kind=OTHER) == {ids["retrying"]}
        assert await listed("acme", queue="notification") == {ids["retrying"]}
        assert await listed("acme", states=["dead", "waiting"], queue="one-off") == {ids["dead"], ids["waiting"]}
        with pytest.raises(Permanent, match="Unknown job state"):
            await listed("acme", states=["asleep"])


async def test_pages_show_every_job_once_newest_first(db: Database) -> None:
    async with scene(db, Stage()) as at:
        new = await at.runtime.queue.enqueue_many([NewJob(KIND, Script(), org_id="acme") for _ in range(25)])
        seen: list[int] = []
        before = None
        while True:
            page = await at.operations.list_jobs("acme", before=before, limit=4)
            assert len(page.items) <= 4
            seen += [job.id for job in page.items]
            before = page.next_before
            if before is None:
                break
        assert sorted(seen) == sorted([*at.ids.values(), *new])
        assert seen == sorted(seen, reverse=True)


async def test_arguments_are_shown_redacted(db: Database) -> None:
    async with scene(db, Stage()) as at:
        await db.execute("""UPDATE job SET args = '{"do": "ok", "password": "hunter2"}' WHERE org_id = 'beta'""")
        detail = await at.operations.show_job("beta", at.foreign)
        assert detail is not None
        assert "hunter2" not in str(detail.job.args)
        assert detail.job.args["do"] == "ok"


async def test_progress_is_shown(db: Database) -> None:
    async with scene(db, Stage()) as at:
        await db.execute(
            "INSERT INTO job_progress (job_id, org_id, percent, message) VALUES (%(id)s, 'acme', 40, 'two of five')",
            {"id": at.ids["running"]},
        )
        detail = await at.operations.show_job("acme", at.ids["running"])
        assert detail is not None
        assert (detail.job.progress["percent"], detail.job.progress["message"]) == (40, "two of five")


# -- pause -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "queues"),
    [
        ("one-off", ["one-off", "one-off/test.limited"]),
        ("consumer.schedule", ["maintenance", "schedule"]),
        ("maintenance", ["maintenance"]),
        ("processor.billing", ["billing"]),
        ("one-off/test.limited", ["one-off/test.limited"]),
        ("consumer.one-off", ["one-off", "one-off/test.limited"]),
    ],
)
async def test_names_to_pause_and_resume_by(db: Database, name: str, queues: list[str]) -> None:
    async with job_runtime(db, [scripted(Stage(), "test.limited", concurrency=1)]) as runtime:
        operations = QueueOperations(db, runtime.signals)
        assert await operations.pause(name, "ada", "maintenance window") == queues
        paused = {depth.name: depth for depth in await operations.depth() if depth.paused_at is not None}
        assert sorted(paused) == queues
        assert {(depth.paused_by, depth.paused_reason) for depth in paused.values()} == {("ada", "maintenance window")}
        since = paused[queues[0]].paused_at
        await operations.pause(name, "bob")
        again = {depth.name: depth for depth in await operations.depth()}[queues[0]]
        assert (again.paused_at, again.paused_by) == (since, "bob")
        assert await operations.resume(name, "ada") == queues
        assert all(depth.paused_at is None for depth in await operations.depth())


async def test_an_unknown_name_is_refused_with_the_known_ones(db: Database) -> None:
    async with job_runtime(db, []) as runtime:
        with pytest.raises(Permanent, match=r"Nothing is called 'nope'.*consumer\.one-off.*one-off"):
            await QueueOperations(db, runtime.signals).pause("nope", "ada")


async def test_a_resumed_queue_goes_on_at_once(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)], FAST.model_copy(update={"poll_s": 30.0})) as runtime:
        operations = QueueOperations(db, runtime.signals)
        await operations.pause("consumer.one-off", "ada")
        await runtime.queue.enqueue(NewJob(KIND, Script()))
        async with member(runtime):
            await operations.resume("consumer.one-off", "ada")
            await eventually(lambda: stage.calls["ok"] == 1, timeout_s=10)


async def test_a_paused_queue_full_of_orgs_is_not_asked_over_and_over(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        operations = QueueOperations(db, runtime.signals)
        jobs = [NewJob(KIND, Script(), org_id=f"org-{number}") for number in range(300)]
        await runtime.queue.enqueue_many(jobs)
        claimer = Claimer(runtime.relaxed, "consumer.one-off")
        claimer.begin(1)
        await claimer.poll()
        assert claimer.has_work
        await operations.pause("one-off", "ada")
        claims = 0
        for _ in range(3):
            claimer.hint([])
            await claimer.poll()
            while claimer.has_work:
                assert await claimer.claim(100) == []
                claims += 1
        assert claims <= 300 / 64 + 1  # what it knew of before the pause, once
        await operations.resume("one-off", "ada")
        claimer.hint([])
        await claimer.poll()
        assert claimer.has_work
        await claimer.close()


# -- doing -----------------------------------------------------------------------------------------------------------


async def test_retry_runs_dead_scheduled_and_retrying_jobs_now_with_all_attempts(db: Database) -> None:
    async with scene(db, Stage()) as at:
        ids = at.ids
        retried = await at.operations.retry("acme", list(ids.values()))
        assert sorted(retried) == sorted([ids["dead"], ids["retrying"], ids["scheduled"]])
        rows = await db.fetch_all("SELECT job_id, attempt, crashes FROM job WHERE job_id IS NOT NULL ORDER BY job_id")
        assert rows == [{"job_id": job_id, "attempt": 0, "crashes": 0} for job_id in sorted(retried)]
        detail = await at.operations.show_job("acme", ids["dead"])
        assert detail is not None
        assert (detail.job.state, detail.job.error["class"]) == ("waiting", "Permanent")  # its errors stay with it
        places = await check_places(db, ids.values())
        assert places[ids["dead"]] == "waiting"


async def test_retry_leaves_a_job_whose_unique_key_another_holds_by_now(db: Database) -> None:
    async with scene(db, Stage()) as at:
        holder = await at.runtime.queue.enqueue(NewJob(KIND, Script(), org_id="acme", unique_key="k-dead"))
        assert await at.operations.retry("acme", [at.ids["dead"]]) == []
        assert (await check_places(db))[at.ids["dead"]] == "dead"
        assert await at.operations.cancel("acme", [holder.job_id], "ada") == {holder.job_id: "cancelled"}
        assert await at.operations.retry("acme", [at.ids["dead"]]) == [at.ids["dead"]]
        await check_places(db)


async def test_of_two_dead_jobs_with_one_key_one_is_retried(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime:
        operations = QueueOperations(db, runtime.signals)
        async with member(runtime):
            ids = []
            for _ in range(2):
                job = NewJob(KIND, Script("permanent"), org_id="acme", unique_key="same")
                ids.append((await runtime.queue.enqueue(job)).job_id)
                await eventually(lambda: db.fetch_value("SELECT count(*) = %(n)s FROM job_dead", {"n": len(ids)}))
        assert len(await operations.retry("acme", ids)) == 1
        await check_places(db, ids)


async def test_discard_moves_dead_jobs_to_the_history_with_the_one_who_did(db: Database) -> None:
    async with scene(db, Stage()) as at:
        assert await at.operations.discard("acme", list(at.ids.values()), "ada") == [at.ids["dead"]]
        detail = await at.operations.show_job("acme", at.ids["dead"])
        assert detail is not None
        assert detail.job.state == "discarded"
        assert detail.attempts[-1].error == {"message": "discarded by ada"}


async def test_cancel_takes_what_waits_and_asks_for_what_runs(db: Database) -> None:
    stage = Stage()
    async with scene(db, stage) as at:
        ids = at.ids
        assert await at.operations.cancel("acme", list(ids.values()), "ada") == {
            ids["waiting"]: "cancelled",
            ids["scheduled"]: "cancelled",
            ids["retrying"]: "cancelled",
            ids["running"]: "requested",
        }
        await eventually(lambda: stage.running == 0)
        await eventually(lambda: db.fetch_value("SELECT count(*) = 0 FROM job_lease"))
        places = await check_places(db, ids.values())
        assert {state for state, job_id in ids.items() if places[job_id] == "cancelled"} == {
            "waiting",
            "scheduled",
            "retrying",
            "running",
            "cancelled",
        }
        assert await db.fetch_value("SELECT count(*) FROM job_cancel") == 0
        detail = await at.operations.show_job("acme", ids["waiting"])
        assert detail is not None
        assert detail.attempts[-1].error == {"message": "cancelled by ada"}


async def test_a_job_that_waits_again_is_found_wherever_it_stands(db: Database) -> None:
    """After a retry or a rescue a waiting job has a new place in the line, but its old id."""
    async with scene(db, Stage()) as at:
        await at.operations.retry("acme", [at.ids["dead"]])
        await db.execute("UPDATE job SET lane = lane + 4 WHERE job_id = %(id)s", {"id": at.ids["dead"]})
        detail = await at.operations.show_job("acme", at.ids["dead"])
        assert detail is not None
        assert (detail.job.state, detail.job.priority) == ("waiting", 2)
        assert await at.operations.cancel("acme", [at.ids["dead"]], "ada") == {at.ids["dead"]: "cancelled"}
        assert await db.fetch_value("SELECT count(*) FROM job_unique") == 0


async def test_purge_removes_what_is_over_and_nothing_else_unless_named(db: Database) -> None:
    async with scene(db, Stage()) as at:
        assert await at.operations.purge("acme") == {"done": 1, "cancelled": 1, "dead": 1, "discarded": 1}
        left = {job.id for job in (await at.operations.list_jobs("acme")).items}
        assert left == {at.ids[state] for state in ("waiting", "scheduled", "retrying", "running")}
        with pytest.raises(Permanent, match="cancel them first"):
            await at.operations.purge("acme", ["running"])
        named = await at.operations.purge("acme", ["waiting", "scheduled", "retrying"], "ada")
        assert named == {"waiting": 1, "scheduled": 1, "retrying": 1}
        assert (await at.operations.list_jobs("beta")).items[0].id == at.foreign
        assert await at.operations.purge(None, ["waiting"], "ada") == {"waiting": 1}
        await check_places(db)


async def test_no_operation_reaches_into_another_org(db: Database) -> None:
    """Promise 11."""
    async with scene(db, Stage()) as at:
        everything = [*at.ids.values(), at.foreign]
        before = await check_places(db)
        assert await at.operations.retry("nobody", everything) == []
        assert await at.operations.discard("nobody", everything, "eve") == []
        assert await at.operations.cancel("nobody", everything, "eve") == {}
        assert set((await at.operations.purge("nobody", [s for s in STATES if s != "running"], "eve")).values()) == {0}
        assert await at.operations.select("nobody", JobFilter(kind=KIND)) == []
        assert await check_places(db) == before
        assert await at.operations.cancel("beta", everything, "bob") == {at.foreign: "cancelled"}
        after = await check_places(db)
        assert {job_id: place for job_id, place in after.items() if job_id != at.foreign} == {
            job_id: place for job_id, place in before.items() if job_id != at.foreign
        }


async def test_a_selection_by_error_looks_beyond_the_newest_page(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, max_attempts=1, backoff=AT_ONCE)]) as runtime:
        operations = QueueOperations(db, runtime.signals)
        async with member(runtime):
            scripts = [Script("bug")] * 2 + [Script("permanent")] * 6
            ids = [(await runtime.queue.enqueue(NewJob(KIND, script, org_id="acme"))).job_id for script in scripts]
            await eventually(lambda: db.fetch_value("SELECT count(*) = 8 FROM job_dead"))
        chosen = JobFilter(states=("dead",), error_class="ZeroDivisionError")
        assert await operations.select("acme", chosen, limit=3) == [ids[1], ids[0]]
        assert await operations.select("acme", chosen, limit=1) == [ids[1]]
        assert await operations.count("acme", JobFilter(states=("dead",))) == 8


async def test_jobs_whose_workers_died_say_so_and_can_be_selected_by_it(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        operations = QueueOperations(db, runtime.signals)
        job = await runtime.queue.enqueue(NewJob(KIND, Script(), org_id="acme"))
        await db.execute("UPDATE job SET crashes = 2, lane = 6")
        claimer = Claimer(runtime.relaxed, "consumer.one-off")
        claimer.begin(404)
        await claimer.poll()
        assert len(await claimer.claim_solo()) == 1
        await claimer.close()
        assert (await Rescuer(db, runtime.signals, FAST).step()).dead == 1
        listed = (await operations.list_jobs("acme", states=["dead"])).items[0]
        detail = await operations.show_job("acme", job.job_id)
        assert detail is not None
        assert listed.error["class"] == detail.job.error["class"] == "WorkerDied"
        assert await operations.select("acme", JobFilter(error_class="WorkerDied")) == [job.job_id]
