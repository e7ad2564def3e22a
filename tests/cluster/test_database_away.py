"""Promises 3 and 15: PostgreSQL is killed and comes back, and everything resumes by itself."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from actors.supervisor import ensure_supervisor
from sync.base.settings import Settings, StoreSettings
from sync.jobs.model import NewJob
from sync.store.embedded import EmbeddedPostgres
from sync.store.migrate import upgrade
from sync.wiring import open_runtime
from tests.cluster.helpers import actor_names, eventually, pid_of
from tests.cluster.office import MAILS, Office
from tests.cluster.plugin import TABLES, Effect

WANTED = ("consumer.one-off.0", "scheduler.a", "supervisor")


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """One to be killed, so with its real settings."""
    with tempfile.TemporaryDirectory(prefix="sync-pg-") as home:
        server = EmbeddedPostgres(Path(home))
        server.start()
        yield server
        server.stop(immediate=True)


@pytest.mark.timeout(180)
async def test_everything_resumes_after_the_database_was_killed(
    own_postgres: EmbeddedPostgres, settings: Settings, namespace: str, tmp_path: Path
) -> None:
    url = own_postgres.url()
    assert url is not None
    upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    settings = settings.model_copy(update={"store": StoreSettings(url=SecretStr(url), pool_size=4)})
    ensure_supervisor(settings, namespace)
    async with open_runtime(settings, application="test") as runtime:
        office = Office(runtime, tmp_path)
        await office.connect()
        door = office.shut(3)
        run_id = await office.trigger()
        await eventually(lambda: office.at(3))
        await runtime.queue.enqueue(NewJob("test.effect", Effect("before")))
        await eventually(lambda: runtime.database.fetch_value("SELECT count(*) = 1 FROM effect"))
        pids = {name: pid_of(name, namespace) for name in WANTED}
        waiting = await runtime.queue.enqueue_many([NewJob("test.effect", Effect(f"{n}")) for n in range(100)])
        assert len(waiting) == 100

        postmaster = own_postgres.pid
        assert postmaster is not None
        os.kill(postmaster, signal.SIGKILL)
        await eventually(lambda: not own_postgres.running())
        own_postgres.stop()
        door.unlink()
        own_postgres.start()

        await eventually(lambda: runtime.database.fetch_value("SELECT count(*) = 101 FROM effect"), within_s=60)
        await eventually(lambda: office.done(run_id), within_s=60)
        assert await office.counts() == (MAILS, MAILS)
        await runtime.queue.enqueue(NewJob("test.effect", Effect("after")))
        await eventually(lambda: runtime.database.fetch_value("SELECT count(*) = 102 FROM effect"))
    assert set(WANTED) <= set(actor_names(namespace))
    assert {name: pid_of(name, namespace) for name in WANTED} == pids  # none of them had to be restarted
    assert all(psutil.pid_exists(pid) for pid in pids.values())
