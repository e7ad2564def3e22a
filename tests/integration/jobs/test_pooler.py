"""What a pooler in transaction mode takes away: session settings, prepared statements, the same back end twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.base.settings import StoreSettings
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.store.dedicated import DedicatedConnection
from sync.store.engine import Connection, Database
from tests.fakes.jobs import Script, Stage, eventually, job_runtime, member, scripted
from tests.integration.jobs.places import check_places, nothing_left


class _Pooled(Database):
    """As behind PgBouncer: start-up options are dropped, every connection is another back end."""

    def __init__(self, url: str, settings: StoreSettings, **options: object) -> None:
        super().__init__(url, settings, **options)  # type: ignore[arg-type]
        del self._kwargs["options"]


async def test_the_whole_life_of_jobs_without_any_session_state(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    get = DedicatedConnection.get

    async def another_one_each_time(self: DedicatedConnection) -> Connection:
        await self.drop()
        return await get(self)

    monkeypatch.setattr(DedicatedConnection, "get", another_one_each_time)
    monkeypatch.setattr("tests.fakes.jobs.Database", _Pooled)
    stage = Stage()
    kinds = [scripted(stage), scripted(stage, "test.limited", concurrency=1)]
    async with _Pooled(pg_url, StoreSettings(prepare=False), application="pooled") as db:
        await db.execute("CREATE TABLE effect (key text)")
        async with job_runtime(db, kinds) as runtime, member(runtime):
            soon = datetime.now(UTC) + timedelta(milliseconds=200)
            await runtime.queue.enqueue_many([NewJob("test.script", Script("ok", "bulk")) for _ in range(20)])
            await runtime.queue.enqueue_many([NewJob("test.limited", Script("ok", "limited")) for _ in range(3)])
            await runtime.queue.enqueue(NewJob("test.script", Script("ok", "unique"), unique_key="u"))
            await runtime.queue.enqueue(NewJob("test.script", Script("ok", "later"), run_at=soon))
            await runtime.queue.enqueue(NewJob("test.script", Script("effect_then_fail", "retried")))
            dead = await runtime.queue.enqueue(NewJob("test.script", Script("permanent", "dead")))
            await eventually(lambda: nothing_left(db))
            await check_places(db)
            await QueueOperations(db, runtime.signals).retry(None, [dead.job_id])
            await eventually(lambda: stage.calls["dead"] == 2)
        assert stage.calls == {"bulk": 20, "limited": 3, "unique": 1, "later": 1, "retried": 2, "dead": 2}
        assert await db.fetch_value("SELECT count(*) FROM effect") == 1


async def test_prepare_off_prepares_nothing(pg_url: str) -> None:
    async with Database(pg_url, StoreSettings(prepare=False), application="pooled", pool_size=1) as db:
        for _ in range(10):
            await db.fetch_value("SELECT 1 + %(n)s", {"n": 1})
        assert await db.fetch_value("SELECT count(*) FROM pg_prepared_statements") == 0
    async with Database(pg_url, StoreSettings(), application="direct", pool_size=1) as db:
        for _ in range(10):
            await db.fetch_value("SELECT 1 + %(n)s", {"n": 1})
        assert await db.fetch_value("SELECT count(*) FROM pg_prepared_statements") > 0
