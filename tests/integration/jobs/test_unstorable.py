"""What handlers and callers give that PostgreSQL cannot keep, or that means nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sync.base.errors import Permanent, Transient
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.model import NewJob
from sync.jobs.outcome import Snooze
from sync.store.engine import Database
from tests.fakes.jobs import Script, Stage, eventually, job_runtime, member, scripted
from tests.integration.jobs.places import nothing_left, outcomes


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
