"""What a fault at the worst moment leaves behind: lost answers, frozen workers, results that cannot be stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sync.base.errors import LeaseLost, Permanent, Transient
from sync.base.settings import StoreSettings
from sync.jobs.catalogue import JobKind
from sync.jobs.claim import Claimer
from sync.jobs.context import JobContext
from sync.jobs.finish import Finisher
from sync.jobs.member import PoolMember
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.jobs.outcome import Outcome, Snooze
from sync.jobs.queue import Queue
from sync.jobs.rescue import Rescuer
from sync.store.dedicated import DedicatedConnection
from sync.store.engine import Database, Transaction
from tests.fakes.jobs import AT_ONCE, FAST, FakeRuntime, Script, Stage, eventually, job_runtime, member, scripted
from tests.integration.jobs.places import check_places, nothing_left, outcomes


class _Once:
    """Lets a call through and then loses its answer, once."""

    def __init__(self) -> None:
        self.armed = True

    def lose(self) -> None:
        if self.armed:
            self.armed = False
            raise Transient("the answer was lost")


async def _kill_connections(db: Database, application: str = "%") -> None:
    await db.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE %(name)s",
        {"name": application},
    )


# -- finish ----------------------------------------------------------------------------------------------------------


async def test_results_of_a_living_lease_written_twice_count_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is lost: the second write must find what is already in the lease."""
    once, write = _Once(), Finisher._write

    async def forgetful(self: Finisher, ended: list[Any], complete: list[int]) -> None:
        await write(self, ended, complete)
        if ended:
            once.lose()

    monkeypatch.setattr(Finisher, "_write", forgetful)
    stage = Stage()
    async with job_runtime(db, [scripted(stage, max_attempts=2)]) as runtime:
        scripts = [Script("hang"), Script("throttled", seconds=600), Script("ok")]
        await runtime.queue.enqueue_many([NewJob("test.script", script) for script in scripts])
        async with member(runtime):
            await eventually(lambda: not once.armed)
            await eventually(lambda: db.fetch_value("SELECT cardinality(finished) = 2 FROM job_lease"))
            stage.gate.set()
            await eventually(lambda: db.fetch_value("SELECT count(*) = 0 FROM job_lease"))
            await check_places(db)
    assert sorted(await outcomes(db)) == [0, 0, 1]
    assert await db.fetch_value("SELECT count(*) FROM job_scheduled") == 1


class _ForgetfulDatabase(Database):
    """Loses the answer to the first commit."""

    once: _Once | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as tx:
            yield tx
        if self.once is not None:
            self.once.lose()


async def test_effects_stay_single_when_the_answer_to_their_commit_is_lost(pg_url: str) -> None:
    """The handler sees an error although its job has ended; its retry must not be written."""
    stage = Stage()
    async with _ForgetfulDatabase(pg_url, StoreSettings(), application="test") as db:
        await db.execute("CREATE TABLE effect (key text)")

        async def armed(script: Script, ctx: JobContext) -> Outcome | None:
            db.once = db.once or _Once()
            return await stage.play(script, ctx)

        async with job_runtime(db, [JobKind("test.armed", Script, armed, backoff=AT_ONCE)]) as runtime:
            async with member(runtime):
                await runtime.queue.enqueue(NewJob("test.armed", Script("effect", "a"), unique_key="k"))
                await eventually(lambda: db.once is not None and not db.once.armed)
                await eventually(lambda: nothing_left(db))
                await check_places(db)
        assert stage.calls == {"a": 1}
        assert await db.fetch_value("SELECT count(*) FROM effect") == 1
        assert await outcomes(db) == [0]


async def test_a_result_that_cannot_be_stored_becomes_a_dead_letter_and_blocks_nobody(db: Database) -> None:
    await db.execute(
        "ALTER TABLE job_scheduled ADD CONSTRAINT picky"
        " CHECK (coalesce(meta->'errors'->-1->>'message', '') <> 'unstorable')"
    )

    async def handler(script: Script, ctx: JobContext) -> None:
        if script.do == "bad":
            raise Transient("unstorable")

    stage = Stage()
    async with job_runtime(db, [JobKind("test.picky", Script, handler), scripted(stage)]) as runtime:
        jobs = [NewJob("test.picky", Script(do)) for do in ("ok", "ok", "bad", "ok", "ok")]
        await runtime.queue.enqueue_many(jobs)
        async with member(runtime):
            await eventually(lambda: nothing_left(db))
            await runtime.queue.enqueue(NewJob("test.script", Script("ok")))
            await eventually(lambda: stage.calls["ok"] == 1)
            await eventually(lambda: nothing_left(db))
    dead = await db.fetch_all("SELECT error_class, meta FROM job_dead")
    assert [row["error_class"] for row in dead] == ["ResultRefused"]
    assert "picky" in dead[0]["meta"]["errors"][0]["message"]
    assert sorted(await outcomes(db)) == [0, 0, 0, 0, 0, 4]


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [ValueError("nul \x00 and half \ud800 a pair"), _Mute(), SystemExit(3)])
async def test_whatever_a_handler_raises_can_be_stored(db: Database, error: BaseException) -> None:
    async def handler(script: Script, ctx: JobContext) -> None:
        raise error

    async with job_runtime(db, [JobKind("test.odd", Script, handler, max_attempts=1)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.odd", Script()))
        dead = await eventually(lambda: db.fetch_one("SELECT error_class FROM job_dead"))
    assert dead["error_class"] == type(error).__name__


async def test_an_endless_snooze_is_cut_and_a_strange_return_value_is_no_success(db: Database) -> None:
    async def endless(script: Script, ctx: JobContext) -> Any:
        return Snooze(float("inf")) if script.do == "snooze" else Snooze

    kind = JobKind("test.endless", Script, endless, max_attempts=1)
    async with job_runtime(db, [kind]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.endless", Script("snooze")))
        await runtime.queue.enqueue(NewJob("test.endless", Script("class")))
        await eventually(lambda: db.fetch_value("SELECT count(*) = 1 FROM job_scheduled"))
        dead = await eventually(lambda: db.fetch_one("SELECT error_class FROM job_dead"))
    assert dead["error_class"] == "TypeError"


async def test_a_handler_that_loses_a_lease_of_its_own_does_not_lose_its_job(db: Database) -> None:
    async def handler(script: Script, ctx: JobContext) -> None:
        raise LeaseLost("somebody else syncs this account")

    kind = JobKind("test.leased", Script, handler, max_attempts=2, backoff=AT_ONCE)
    async with job_runtime(db, [kind]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.leased", Script()))
        dead = await eventually(lambda: db.fetch_one("SELECT error_class, attempt FROM job_dead"))
    assert dead == {"error_class": "LeaseLost", "attempt": 2}


# -- leases the worker does not know ---------------------------------------------------------------------------------


async def test_a_claim_whose_answer_is_lost_is_taken_up(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else would: the worker lives, so its leases are not rescued."""
    once, claim = _Once(), Claimer._leases

    def forgetful(self: Claimer, *args: Any) -> Any:
        if once.armed:
            self._db._connection.pgconn.finish()  # type: ignore[union-attr]
        once.lose()
        return claim(self, *args)

    monkeypatch.setattr(Claimer, "_leases", forgetful)
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime) as one:
        await runtime.queue.enqueue_many([NewJob("test.script", Script("ok", str(n))) for n in range(5)])
        await eventually(lambda: nothing_left(db))
        assert not once.armed
        assert one.info().done == 5
    assert await outcomes(db) == [0] * 5


async def test_a_finish_that_the_server_forgot_is_made_good(db: Database) -> None:
    """A crash takes back the deletion of a lease (synchronous_commit=off) and with it every connection."""
    stage = Stage()
    await db.execute("CREATE TABLE effect (key text)")
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime) as one:
        await db.execute("CREATE TABLE kept AS SELECT * FROM job_lease WHERE false")
        await db.execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO kept SELECT OLD.*; RETURN OLD; END $$;"
            " CREATE TRIGGER keep BEFORE DELETE ON job_lease FOR EACH ROW EXECUTE FUNCTION keep()"
        )
        await runtime.queue.enqueue_many([NewJob("test.script", Script("ok")), NewJob("test.script", Script("effect"))])
        await eventually(lambda: nothing_left(db))
        await db.execute("DROP TRIGGER keep ON job_lease")
        await db.execute("INSERT INTO job_lease OVERRIDING SYSTEM VALUE SELECT * FROM kept")
        await _kill_connections(db, "test.relaxed")
        await eventually(lambda: nothing_left(db))
        assert one.info().state == "active"
    assert stage.calls == {"ok": 2, "effect": 1}
    assert await db.fetch_value("SELECT count(*) FROM effect") == 1


async def test_marks_that_the_server_forgot_keep_their_lease(db: Database) -> None:
    """A crash takes back what was written of a lease that is still at work: its last result must not end it."""
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        scripts = [Script("ok"), Script("throttled", seconds=600), Script("hang")]
        await runtime.queue.enqueue_many([NewJob("test.script", script) for script in scripts])
        await eventually(lambda: db.fetch_value("SELECT cardinality(finished) = 2 FROM job_lease"))
        async with db.transaction() as tx:
            for statement in (
                "UPDATE job_lease SET finished = '{}'",
                "DELETE FROM job_run",
                "DELETE FROM job_scheduled",
            ):
                await tx.execute(statement)
        stage.gate.set()
        await eventually(lambda: db.fetch_value("SELECT count(*) = 0 FROM job_lease"))
        places = await check_places(db)
    assert sorted(places.values()) == ["done", "done", "scheduled"]
    assert stage.calls == {"ok": 2, "throttled": 2, "hang": 1}


async def test_a_job_that_comes_back_while_it_runs_here_does_not_upset_its_worker(db: Database) -> None:
    """A crash of the server takes back a claim: the same worker claims the job again beside the first run."""
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime) as one:
        await runtime.queue.enqueue(NewJob("test.script", Script("hang")))
        await stage.started.wait()
        async with db.transaction() as tx:
            await tx.execute("DELETE FROM job_lease")
            await tx.execute("SELECT sync_enqueue('test.script', '{\"do\": \"hang\"}')")
            await tx.execute("UPDATE job SET job_id = (SELECT min(seq) - 1 FROM job)")
        await eventually(lambda: stage.running == 2)
        stage.gate.set()
        await eventually(lambda: nothing_left(db))
        await eventually(lambda: one.info().running == 0)
        await runtime.queue.enqueue_many([NewJob("test.script", Script("ok")) for _ in range(20)])
        await eventually(lambda: nothing_left(db))
    assert await outcomes(db) == [0] * 21


async def test_lease_ids_belong_to_their_worker_for_ever(db: Database) -> None:
    """Ids of a sequence come back after a crash; a worker could then finish a lease it does not hold."""
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        claimer = Claimer(runtime.relaxed, "consumer.one-off")
        claimer.begin(7)
        ids = []
        for _ in range(3):
            await runtime.queue.enqueue(NewJob("test.script", Script()))
            claimer.hint([])
            await claimer.poll()
            ids += [lease.id for lease, _ in await claimer.claim(10)]
        await claimer.close()
    assert ids == [(7 << 32) + n for n in range(3)]


# -- workers ---------------------------------------------------------------------------------------------------------


async def _declare_dead(db: Database, runtime: FakeRuntime, worker_id: int) -> None:
    """As if the worker had been frozen: silent until the rescue."""

    async def rescued() -> bool:
        await db.execute("UPDATE worker SET beat_at = '-infinity' WHERE id = %(id)s", {"id": worker_id})
        return (await Rescuer(db, runtime.signals, FAST).step()).jobs > 0

    await eventually(rescued)


async def test_a_frozen_worker_learns_of_its_death_and_starts_afresh(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime, concurrency=2) as one:
        jobs = [NewJob("test.script", Script("hang", str(n))) for n in range(6)]
        await runtime.queue.enqueue_many(jobs)
        await eventually(lambda: stage.running == 2)
        first = one.worker_id
        await _declare_dead(db, runtime, first)
        await eventually(lambda: one.worker_id != first)
        stage.gate.set()
        await eventually(lambda: nothing_left(db))
        await check_places(db)
        assert await db.fetch_all("SELECT id FROM worker") == [{"id": one.worker_id}]
    done = await db.fetch_all("SELECT job_id FROM job_run WHERE outcome = 0 AND worker_id <> %(id)s", {"id": first})
    assert len({row["job_id"] for row in done}) == 6


async def test_a_dead_worker_with_more_leases_than_one_rescue_takes_loses_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns of its death while some of its leases are still there: its last words must not finish them."""
    monkeypatch.setattr("sync.jobs.rescue._LEASES_PER_STEP", 1)
    stage = Stage()
    async with job_runtime(db, [scripted(stage, "test.limited", concurrency=4)]) as runtime, member(runtime) as one:
        await runtime.queue.enqueue_many([NewJob("test.limited", Script("hang", str(n))) for n in range(4)])
        await eventually(lambda: stage.running == 4)
        first = one.worker_id
        await db.execute("DELETE FROM worker WHERE id = %(id)s", {"id": first})
        await eventually(lambda: one.worker_id != first)
        stage.gate.set()
        rescuer = Rescuer(db, runtime.signals, FAST)

        async def all_done() -> bool:
            await rescuer.step()
            return await db.fetch_value("SELECT count(DISTINCT job_id) = 4 FROM job_run WHERE outcome = 0")

        await eventually(all_done)
        await check_places(db)


async def test_a_limited_claim_cut_off_in_the_middle_does_not_end_its_member(db: Database) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage, "test.limited", concurrency=1)]) as runtime, member(runtime) as one:
        async with db.transaction() as tx:  # the claim waits for this lock
            await tx.execute("SELECT 1 FROM queue WHERE name = 'one-off/test.limited' FOR UPDATE")
            await runtime.queue.enqueue(NewJob("test.limited", Script("ok")))
            await eventually(
                lambda: db.fetch_value(
                    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )
            )
            await _kill_waiting(db)
        await eventually(lambda: nothing_left(db))
        assert one.info().done == 1


async def _kill_waiting(db: Database) -> None:
    await db.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


async def test_a_job_that_runs_alone_keeps_to_the_limit_of_its_queue(db: Database) -> None:
    stage = Stage()
    async with (
        job_runtime(db, [scripted(stage, "test.limited", concurrency=1)]) as runtime,
        member(runtime),
    ):
        await runtime.queue.enqueue(NewJob("test.limited", Script("hang", "first")))
        await stage.started.wait()
        async with member(runtime, "consumer.one-off.1"):
            await db.execute('SELECT sync_enqueue(\'test.limited\', \'{"do": "ok", "key": "crashed"}\')')
            await db.execute("UPDATE job SET lane = 6, crashes = 1")
            polls = await _polls(db)
            await eventually(lambda: _polled(db, polls + 10))
            assert stage.calls == {"first": 1}
            stage.gate.set()
            await eventually(lambda: nothing_left(db))
    assert stage.calls == {"first": 1, "crashed": 1}


async def _polls(db: Database) -> int:
    await db.execute("SELECT pg_stat_force_next_flush()")
    return int(
        await db.fetch_value("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'job_scheduled_due'")
    )


async def _polled(db: Database, count: int) -> bool:
    return await _polls(db) > count


@pytest.mark.parametrize("held_back", ["limit", "limit, alone", "pause", "pause, alone", "paused org"])
async def test_work_that_may_not_start_is_not_asked_for_in_a_loop(
    db: Database, monkeypatch: pytest.MonkeyPatch, held_back: str
) -> None:
    calls: Counter[str] = Counter()
    for name in ("poll", "claim", "claim_solo"):

        def counting(name: str, original: Any) -> Any:
            async def counted(self: Claimer, *args: Any) -> Any:
                calls[name] += 1
                return await original(self, *args)

            return counted

        monkeypatch.setattr(Claimer, name, counting(name, getattr(Claimer, name)))
    stage = Stage()
    kinds = [scripted(stage, "test.limited", concurrency=1), scripted(stage, "test.free")]
    async with job_runtime(db, kinds) as runtime, member(runtime):
        kind = "test.limited" if held_back.startswith("limit") else "test.free"
        if held_back.startswith("limit"):
            await runtime.queue.enqueue(NewJob(kind, Script("hang"), org_id="acme"))
            await stage.started.wait()
        elif held_back == "paused org":
            await db.execute("INSERT INTO org_share (org_id, paused_at) VALUES ('acme', now())")
        else:
            await QueueOperations(db, runtime.signals).pause("consumer.one-off", "test")
        async with db.transaction() as tx:
            await runtime.queue.enqueue_many([NewJob(kind, Script("ok"), org_id="acme") for _ in range(50)], tx)
            if held_back.endswith("alone"):
                await tx.execute("UPDATE job SET lane = lane + 4, crashes = 1")
        calls.clear()
        await eventually(lambda: calls["poll"] >= 20)
        assert calls["claim"] + calls["claim_solo"] <= 2 * calls["poll"] + 4
        assert stage.calls["ok"] == 0
        await QueueOperations(db, runtime.signals).resume("consumer.one-off", "test")
        await db.execute("DELETE FROM org_share")
        stage.gate.set()
        await eventually(lambda: nothing_left(db))
    assert stage.calls["ok"] == 50


async def test_slow_jobs_do_not_stop_for_one_that_must_run_alone(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a quiet moment; meanwhile the others go on, and when there is one it gets its turn."""
    monkeypatch.setattr("sync.jobs.member._PATIENCE_S", 0.1)
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("test.script", Script("hang")))
        await stage.started.wait()
        async with db.transaction() as tx:
            await runtime.queue.enqueue(NewJob("test.script", Script("ok", "crashed")), tx)
            await tx.execute("UPDATE job SET lane = lane + 4, crashes = 1")
        for number in range(3):
            await runtime.queue.enqueue(NewJob("test.script", Script("ok", f"other-{number}")))
            await eventually(lambda number=number: stage.calls[f"other-{number}"] == 1)
        assert stage.calls["crashed"] == 0
        stage.gate.set()
        await eventually(lambda: stage.calls["crashed"] == 1)


async def test_a_handler_that_ignores_its_interruption_does_not_hold_up_the_shutdown(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.jobs.executor._STUBBORN_S", 0.2)
    started, release = asyncio.Event(), asyncio.Event()

    async def stubborn(script: Script, ctx: JobContext) -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with job_runtime(db, [JobKind("test.stubborn", Script, stubborn)]) as runtime:
        one = PoolMember(runtime, "consumer.one-off", "consumer.one-off.0", "node")
        await one.start()
        await runtime.queue.enqueue(NewJob("test.stubborn", Script()))
        await started.wait()
        async with asyncio.timeout(20):
            await one.drain(0.05)
        release.set()
        assert (await Rescuer(db, runtime.signals, FAST).step()).jobs == 1
        await check_places(db)


# -- enqueue ---------------------------------------------------------------------------------------------------------


async def test_an_enqueue_whose_answer_is_lost_is_not_repeated_behind_the_callers_back(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, write = _Once(), Queue._write

    async def forgetful(self: Queue, rows: Any) -> Any:
        results = await write(self, rows)
        once.lose()
        return results

    monkeypatch.setattr(Queue, "_write", forgetful)
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        results = await asyncio.gather(
            *(runtime.queue.enqueue(NewJob("test.script", Script())) for _ in range(10)), return_exceptions=True
        )
    assert all(isinstance(result, Transient) for result in results)
    assert await db.fetch_value("SELECT count(*) FROM job") == 10


@pytest.mark.parametrize("key", ["", "half \ud800 a pair", "nul \x00", "x" * 3000])
async def test_a_key_that_cannot_be_stored_is_refused_before_it_meets_others(db: Database, key: str) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        good = [runtime.queue.enqueue(NewJob("test.script", Script())) for _ in range(3)]
        bad = [
            runtime.queue.enqueue(NewJob("test.script", Script(), unique_key=key)),
            runtime.queue.enqueue(NewJob("test.script", Script(), idempotency_key=key)),
        ]
        results = await asyncio.gather(*good, *bad, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["EnqueueResult"] * 3 + ["Permanent"] * 2


async def test_texts_that_json_of_postgresql_cannot_read_are_refused(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        for job in (
            NewJob("test.script", Script("ok", "nul \x00")),
            NewJob("test.script", Script("ok", "half \ud800 a pair")),
            NewJob("test.script", Script("ok"), meta={"correlation_id": "\x00"}),
            NewJob("test.script", Script("ok"), meta={"correlation_id": "\ud800"}),
        ):
            with pytest.raises(Permanent):
                await runtime.queue.enqueue(job)
        kept = await runtime.queue.enqueue(NewJob("test.script", Script("ok", "the text \\u0000 is no NUL")))
    assert await db.fetch_value("SELECT args->>'key' FROM job WHERE seq = %(id)s", {"id": kept.job_id}) == (
        "the text \\u0000 is no NUL"
    )


async def test_an_idle_connection_that_the_server_closed_costs_no_enqueue(db: Database) -> None:
    async with job_runtime(db, [scripted(Stage())]) as runtime:
        await runtime.queue.enqueue(NewJob("test.script", Script()))
        await _kill_connections(db)
        assert (await runtime.queue.enqueue(NewJob("test.script", Script()))).created


async def test_a_dedicated_connection_reconnects_only_when_it_must(db: Database) -> None:
    async with DedicatedConnection(db) as connection:
        for _ in range(3):
            await connection.fetch_one("SELECT 1 AS one")
        assert connection.opened == 1
        await _kill_connections(db)
        await connection.fetch_one("SELECT 1 AS one")
        assert connection.opened == 2


# -- operators -------------------------------------------------------------------------------------------------------


async def test_cancel_meets_a_claim_that_is_on_its_way(db: Database, pg_url: str) -> None:
    stage = Stage()
    async with job_runtime(db, [scripted(stage)]) as runtime:
        job = await runtime.queue.enqueue(NewJob("test.script", Script(), org_id="acme"))
        operations = QueueOperations(db, runtime.signals)
        async with db.transaction() as tx:
            await tx.execute(
                "WITH taken AS (DELETE FROM job RETURNING sync_pack(job) AS packed)"
                " INSERT INTO job_lease (worker_id, queue_id, size, jobs)"
                " SELECT 1, 1, 1, '[' || packed || ']' FROM taken"
            )
            cancelling = asyncio.create_task(operations.cancel("acme", [job.job_id], "tester"))
            await eventually(
                lambda: db.fetch_value(
                    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )
            )
        assert await cancelling == {job.job_id: "requested"}
