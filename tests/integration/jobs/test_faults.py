"""What a fault at the worst moment leaves behind: lost answers, frozen workers, results that cannot be stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sync.base.errors import LeaseLost, Transient
from sync.base.settings import StoreSettings
from sync.jobs.catalogue import JobKind
from sync.jobs.claim import Claimer
from sync.jobs.context import JobContext
from sync.jobs.finish import Finisher
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.jobs.outcome import Outcome
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
