"""Work that must wait: for its turn alone, for a limit, for a pause, for a shutdown."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from sync.jobs.catalogue import JobKind
from sync.jobs.claim import Claimer
from sync.jobs.context import JobContext
from sync.jobs.member import PoolMember
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.jobs.rescue import Rescuer
from sync.store.engine import Database
from tests.fakes.jobs import FAST, Script, Stage, eventually, job_runtime, member, scripted
from tests.integration.jobs.places import check_places, nothing_left


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
