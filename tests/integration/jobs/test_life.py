"""The life of a job on a real PostgreSQL: every ending, retries, rescue, poison, limits, drain."""

from __future__ import annotations

import asyncio

import pytest

from sync.base.errors import Permanent
from sync.jobs.model import NewJob
from sync.jobs.rescue import Rescuer
from sync.store.engine import Database, StoreError
from tests.fakes.jobs import FAST, Script, Stage, eventually, job_runtime, member, scripted
from tests.integration.jobs.places import nothing_left, outcomes


async def test_a_job_runs_once_and_leaves_a_log_line(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        result = await runtime.queue.enqueue(NewJob("test.script", Script("ok"), org_id="acme"))
        await eventually(lambda: nothing_left(db))
    row = await db.fetch_one("SELECT job_id, org_id, kind, attempt, outcome FROM job_run")
    assert row == {"job_id": result.job_id, "org_id": "acme", "kind": "test.script", "attempt": 1, "outcome": 0}
    assert stage.calls["ok"] == 1


async def test_retries_then_dead_with_every_error(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, max_attempts=3)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("fail")))
        dead = await eventually(lambda: db.fetch_one("SELECT attempt, meta, error_class FROM job_dead"))
    assert stage.calls["fail"] == 3
    assert dead["attempt"] == 3
    assert dead["error_class"] == "Transient"
    assert [error["attempt"] for error in dead["meta"]["errors"]] == [1, 2, 3]
    assert await outcomes(db) == [1, 1, 4]


async def test_permanent_is_dead_at_once_and_bug_is_retried(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, max_attempts=2)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("permanent")))
        await runtime.queue.enqueue(NewJob("test.script", Script("bug")))
        await eventually(lambda: db.fetch_value("SELECT count(*) = 2 FROM job_dead"))
    assert stage.calls == {"permanent": 1, "bug": 2}


async def test_snooze_spends_no_attempt(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, max_attempts=1)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("snooze", seconds=0.01)))
        await eventually(lambda: nothing_left(db))
    assert await outcomes(db) == [2, 0]
    assert await db.fetch_value("SELECT max(attempt) FROM job_run") == 1


async def test_the_delay_a_server_asks_for_is_kept(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("throttled", seconds=600)))
        wait = await eventually(
            lambda: db.fetch_value(
                "SELECT date_part('epoch', run_at - now()) FROM job_scheduled WHERE reason = 'retry'"
            )
        )
    assert 590 < wait < 670


async def test_a_hanging_job_is_interrupted_at_its_timeout(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, timeout_s=0.05, max_attempts=1)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("hang")))
        dead = await eventually(lambda: db.fetch_one("SELECT meta FROM job_dead"))
        assert "time-out" in dead["meta"]["errors"][0]["message"]
        await runtime.queue.enqueue(NewJob("test.script", Script("ok")))
        await eventually(lambda: stage.calls["ok"] == 1)  # the runner survived


async def test_delayed_jobs_wait_and_then_run(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        run_at = await db.fetch_value("SELECT now() + interval '300 milliseconds'")
        await runtime.queue.enqueue(NewJob("test.script", Script("ok"), run_at=run_at))
        await eventually(lambda: nothing_left(db))
    late = await db.fetch_value("SELECT date_part('epoch', finished_at - %(at)s) FROM job_run", {"at": run_at})
    assert late >= 0


async def test_priorities_inside_an_org(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime:
        for priority in (3, 2, 1, 0):
            await runtime.queue.enqueue(NewJob("test.script", Script("ok", f"p{priority}"), priority=priority))
        async with member(runtime, concurrency=1):
            await eventually(lambda: nothing_left(db))
    assert stage.order == ["p0", "p1", "p2", "p3"]


async def test_unique_key_returns_the_job_that_holds_it(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        job = NewJob("test.script", Script("hang"), org_id="acme", unique_key="one")
        first = await runtime.queue.enqueue(job)
        await stage.started.wait()
        again = await runtime.queue.enqueue(job)
        assert (again.job_id, again.created) == (first.job_id, False)
        other_org = await runtime.queue.enqueue(NewJob("test.script", Script("ok"), org_id="other", unique_key="one"))
        assert other_org.created
        stage.gate.set()
        await eventually(lambda: nothing_left(db))
        assert (await runtime.queue.enqueue(job)).created


async def test_idempotency_key_outlives_the_job(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        job = NewJob("test.script", Script("ok"), org_id="acme", idempotency_key="req-1")
        first = await runtime.queue.enqueue(job)
        await eventually(lambda: nothing_left(db))
        again = await runtime.queue.enqueue(job)
    assert (again.job_id, again.created) == (first.job_id, False)
    assert stage.calls["ok"] == 1


async def test_enqueue_joins_the_callers_transaction(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        with pytest.raises(RuntimeError, match="no"):
            async with db.transaction() as tx:
                await runtime.queue.enqueue(NewJob("test.script", Script("ok", "rolled back")), tx)
                raise RuntimeError("no")
        async with db.transaction() as tx:
            ids = await runtime.queue.enqueue_many([NewJob("test.script", Script("ok", str(i))) for i in range(20)], tx)
        await eventually(lambda: nothing_left(db))
    assert len(set(ids)) == 20
    assert sum(stage.calls.values()) == 20


async def test_wrong_arguments_and_unknown_kinds_are_refused_with_a_sentence(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        with pytest.raises(Permanent, match=r"There is no job kind 'nope.nope'"):
            await runtime.queue.enqueue(NewJob("nope.nope", {}))
        with pytest.raises(Permanent, match=r"\$\.seconds"):
            await runtime.queue.enqueue(NewJob("test.script", {"seconds": "soon"}))
        with pytest.raises(Permanent, match="org id"):
            await runtime.queue.enqueue(NewJob("test.script", {}, org_id="a/b"))


async def test_one_refused_row_does_not_fail_its_group(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime:
        await db.execute("ALTER TABLE job ADD CONSTRAINT no_bad CHECK (org_id <> 'bad')")
        orgs = ["a", "bad", "b", "c"]
        results = await asyncio.gather(
            *(runtime.queue.enqueue(NewJob("test.script", Script("ok"), org_id=org)) for org in orgs),
            return_exceptions=True,
        )
    assert [isinstance(result, Exception) for result in results] == [False, True, False, False]
    assert await db.fetch_value("SELECT count(*) FROM job") == 3


async def test_an_impatient_caller_does_not_harm_the_group(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        tasks = [asyncio.create_task(runtime.queue.enqueue(NewJob("test.script", Script("ok")))) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[3], asyncio.CancelledError)
        assert await db.fetch_value("SELECT count(*) FROM job") == 10
        assert (await runtime.queue.enqueue(NewJob("test.script", Script("ok")))).created


async def test_plain_sql_can_enqueue(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        job_id = await db.fetch_value("""SELECT sync_enqueue('test.script', '{"do": "ok"}', 'acme')""")
        await eventually(lambda: nothing_left(db))
        assert await db.fetch_value("SELECT job_id FROM job_run") == job_id


@pytest.mark.parametrize(
    "arguments",
    [r"""'{"key": "\u0000"}'""", r"""'{"key": "\ud800"}'""", "'[]'", """'{}', meta => '1'"""],
    ids=["NUL", "half a surrogate pair", "no object", "meta is no object"],
)
async def test_plain_sql_cannot_enqueue_what_nobody_can_read(db: Database, arguments: str) -> None:
    async with job_runtime(db, [scripted(Stage())]):
        with pytest.raises(StoreError):
            await db.execute(f"SELECT sync_enqueue('test.script', {arguments})")


async def test_effects_commit_with_the_end_of_the_job(db: Database) -> None:
    stage = Stage()
    await db.execute("CREATE TABLE effect (key text)")
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("effect", "a"), unique_key="a"))
        await runtime.queue.enqueue(NewJob("test.script", Script("effect_then_fail", "b")))
        await eventually(lambda: nothing_left(db))
    assert [row["key"] for row in await db.fetch_all("SELECT key FROM effect ORDER BY key")] == ["a", "b"]
    assert stage.calls == {"a": 1, "b": 2}
    assert await db.fetch_value("SELECT count(*) FROM job_unique") == 0
    assert sorted(await outcomes(db)) == [0, 0, 1]


async def test_a_worker_that_lost_its_lease_writes_nothing(db: Database) -> None:
    """Its effects roll back and its result is thrown away; the job's second run is the one that counts."""
    stage = Stage()
    await db.execute("CREATE TABLE effect (key text)")

    async def slow(script: Script, ctx):  # type: ignore[no-untyped-def]
        stage.started.set()
        stage.calls["slow"] += 1
        if stage.calls["slow"] == 1:
            await stage.gate.wait()
        async with ctx.transaction() as tx:
            await tx.execute("INSERT INTO effect (key) VALUES (%(n)s)", {"n": str(stage.calls["slow"])})

    from sync.jobs.catalogue import JobKind

    async with job_runtime(db, [JobKind("test.slow", Script, slow)]) as runtime, member(runtime) as first:
        await runtime.queue.enqueue(NewJob("test.slow", Script()))
        await stage.started.wait()
        await db.execute("DELETE FROM worker WHERE id = %(id)s", {"id": first.worker_id})  # as if silent for too long
        rescuer = Rescuer(db, runtime.signals, FAST)
        assert (await rescuer.step()).jobs == 1
        stage.gate.set()

        async def over() -> bool:
            await rescuer.step()  # what it claimed before it learned of its death
            return await nothing_left(db)

        await eventually(over)
    assert await db.fetch_value("SELECT count(*) FROM effect") == 1
    assert sorted(set(await outcomes(db))) == [0, 5]
    assert (await outcomes(db)).count(0) == 1


async def test_cancel_of_a_running_job(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        result = await runtime.queue.enqueue(NewJob("test.script", Script("hang"), unique_key="k"))
        await stage.started.wait()
        await db.execute("INSERT INTO job_cancel (job_id) VALUES (%(id)s)", {"id": result.job_id})
        await eventually(lambda: nothing_left(db))
        await runtime.queue.enqueue(NewJob("test.script", Script("ok")))
        await eventually(lambda: stage.calls["ok"] == 1)
    assert (await outcomes(db))[0] == 3
    assert await db.fetch_value("SELECT (SELECT count(*) FROM job_cancel) + (SELECT count(*) FROM job_unique)") == 0


async def test_pause_stops_claims_everywhere_and_survives_a_restart(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime:
        await db.execute("UPDATE queue SET paused_at = now() WHERE name = 'one-off'")
        async with member(runtime), member(runtime, "consumer.one-off.1"):
            await runtime.queue.enqueue(NewJob("test.script", Script("ok")))
            polls = await _polls_seen(db)
            await eventually(lambda: _more_than(db, polls + 6))
        assert await db.fetch_value("SELECT count(*) FROM job") == 1
        async with member(runtime):
            await db.execute("UPDATE queue SET paused_at = NULL WHERE name = 'one-off'")
            await eventually(lambda: nothing_left(db))


async def _polls_seen(db: Database) -> int:
    """Index scans of job_scheduled_due so far: every poll adds to it."""
    await db.execute("SELECT pg_stat_force_next_flush()")
    return int(
        await db.fetch_value(
            "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes WHERE indexrelname = 'job_scheduled_due'"
        )
    )


async def _more_than(db: Database, count: int) -> bool:
    return await _polls_seen(db) > count


async def test_drain_finishes_running_jobs_and_gives_the_others_back(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime:
        one = member(runtime, concurrency=1)
        async with one as worker:
            await runtime.queue.enqueue_many([NewJob("test.script", Script("hang", str(i))) for i in range(3)])
            await stage.started.wait()
            draining = asyncio.create_task(worker.drain(10))
            stage.gate.set()
            await draining
        assert stage.calls["0"] == 1
        waiting = await db.fetch_all("SELECT lane, attempt FROM job")
        assert waiting == [{"lane": 2, "attempt": 0}] * len(waiting)
        assert len(waiting) + await db.fetch_value("SELECT count(*) FROM job_run WHERE outcome = 0") == 3
        assert await db.fetch_value("SELECT (SELECT count(*) FROM job_lease) + (SELECT count(*) FROM worker)") == 0


async def test_drain_interrupts_what_will_not_end_without_counting_it(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime) as worker:
        await runtime.queue.enqueue(NewJob("test.script", Script("hang")))
        await stage.started.wait()
        await worker.drain(0.05)
        assert await db.fetch_all("SELECT lane, attempt FROM job") == [{"lane": 2, "attempt": 0}]


@pytest.mark.parametrize("limits", [{"concurrency": 2}, {"org_concurrency": 1}])
async def test_limits_hold_across_members(db: Database, limits: dict[str, int]) -> None:
    stage = Stage()
    kind = scripted(stage, "test.limited", **limits)
    free = scripted(stage, "test.free")
    async with job_runtime(db, [kind, free]) as runtime, member(runtime), member(runtime, "consumer.one-off.1"):
        jobs = [NewJob("test.limited", Script("hang", "x"), org_id=f"org-{i % 2}") for i in range(8)]
        await runtime.queue.enqueue_many(jobs)
        await eventually(lambda: stage.running == 2)
        await runtime.queue.enqueue(NewJob("test.free", Script("ok", "free")))
        await eventually(lambda: stage.calls["free"] == 1)  # neighbours are not blocked
        assert stage.running == 2
        stage.gate.set()
        await eventually(lambda: nothing_left(db))
    assert stage.calls["x"] == 8
    assert stage.peak <= 3  # two limited ones and the free one


async def test_an_unknown_kind_waits_for_a_process_that_has_it(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, "test.new")]) as runtime:
        await runtime.queue.enqueue(NewJob("test.new", Script("ok")))
    async with job_runtime(db, [scripted(stage, "test.old")]) as runtime, member(runtime):
        await eventually(lambda: db.fetch_value("SELECT reason = 'snooze' AND attempt = 0 FROM job_scheduled"))
    assert await db.fetch_value("SELECT count(*) FROM job_dead") == 0
