"""One writer at a time: whatever happens to a worker, a page is applied once and by its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import psycopg
import pytest

from sync.base.errors import LeaseLost
from sync.leases import SyncLease
from sync.pull.model import ClaimedRun
from sync.pull.worker import ExitReason
from sync.store.engine import Database
from tests.integration.pull.conftest import ORG, Desk

PAGES = 6


def _steal(url: str) -> None:
    """What another worker's `take` does once the lease has expired."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE sync_lease SET epoch = epoch + 1, holder = 'thief', expires_at = now() + interval '1 h'"
        )


async def _free(desk: Desk) -> None:
    await desk.database.execute("UPDATE sync_lease SET expires_at = now()")


async def _outcome(desk: Desk) -> dict[str, Any]:
    """Rows and events, without what a repetition may change: ids and times."""
    return {
        "mails": await desk.rows("SELECT message_id, copy, state FROM mail_message ORDER BY message_id"),
        "places": await desk.rows("SELECT folder, uid FROM mail_location ORDER BY uid"),
        "events": await desk.rows(
            "SELECT type, payload->>'message_id' AS id FROM event WHERE starts_with(type, 'mail.') ORDER BY 2"
        ),
        "cursor": await desk.rows("SELECT cursor, cursor_version FROM sync_stream WHERE sync_type = 'messages'"),
        "counts": await desk.rows("SELECT state, pages, records, added, changed, skipped FROM sync_run"),
    }


async def _start(desk: Desk) -> None:
    desk.platform.mails, desk.platform.size = PAGES * 10, 10
    await desk.connect()
    await desk.runs.trigger(ORG, "email", "messages")


@pytest.fixture
async def uninterrupted(desk: Desk) -> dict[str, Any]:
    await _start(desk)
    await desk.worker().run_until_idle()
    outcome = await _outcome(desk)
    await desk.database.execute("TRUNCATE integration, sync_lease, event, alert RESTART IDENTITY CASCADE")
    assert len(outcome["mails"]) == len(outcome["events"]) == PAGES * 10
    return outcome


@pytest.mark.parametrize("page", range(1, PAGES + 1))
async def test_a_lease_lost_after_any_page_leaves_nothing_behind_and_nothing_out(
    desk: Desk, pg_url: str, uninterrupted: dict[str, Any], page: int
) -> None:
    await _start(desk)
    lost: list[str] = []

    def steal(_run: ClaimedRun, number: int) -> None:
        if number == page:
            _steal(pg_url)

    old = desk.worker("old", page_committed=steal, on_lease_lost=lambda: lost.append("old"))
    assert await old.run_until_idle() is ExitReason.LOST
    assert await desk.mails() == await desk.events("mail.received") == page * 10
    assert await desk.rows("SELECT state, pages FROM sync_run") == [("running", page)]

    await _free(desk)
    assert await desk.runs.recover_lost() == 1
    assert await desk.runs.ready_pairs() == [(ORG, "email")]
    assert await desk.worker("new").run_until_idle() is ExitReason.IDLE

    assert await _outcome(desk) == uninterrupted
    run = (await desk.runs.list(ORG))[0]
    assert (run.attempt, run.holder, [error["class"] for error in run.errors]) == (2, "new", ["WorkerLost"])


async def test_a_worker_overtaken_in_the_middle_of_a_page_writes_nothing(desk: Desk, pg_url: str) -> None:
    desk.platform.mails, desk.platform.door = 20, asyncio.Event()
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    old = asyncio.create_task(desk.worker("old").run_until_idle())
    await desk.platform.waiting.wait()
    _steal(pg_url)
    await _free(desk)
    door, desk.platform.door = desk.platform.door, None
    assert await desk.worker("new").run_until_idle() is ExitReason.IDLE
    after = await _outcome(desk)
    assert after["counts"] == [("succeeded", 2, 20, 20, 0, 0)]

    door.set()  # the old one's page arrives
    assert await old is ExitReason.LOST

    assert await _outcome(desk) == after
    assert (await desk.runs.show(ORG, run.run_id)).holder == "new"


async def test_a_worker_leaves_when_another_lives(desk: Desk) -> None:
    await _start(desk)
    desk.platform.door = asyncio.Event()
    first = asyncio.create_task(desk.worker("first").run_until_idle())
    await desk.platform.waiting.wait()
    assert await desk.worker("second").run_until_idle() is ExitReason.HELD
    assert await desk.runs.recover_lost() == 0
    desk.platform.door.set()
    assert await first is ExitReason.IDLE
    assert [run.attempt for run in await desk.runs.list(ORG)] == [1]


_CHILD = """
import asyncio, sys
from tests.integration.pull.test_fencing import child
asyncio.run(child(*sys.argv[1:]))
"""


async def child(url: str, key: str) -> None:
    """A worker in a process of its own that says after which page it is, and waits for an answer."""
    from pydantic import SecretStr

    from sync.base.sealing import Sealer
    from sync.base.settings import SecretsSettings, Settings, StoreSettings, SyncSettings
    from sync.signals import LocalTransport, Signals
    from tests.fakes.platform import FakePlatform

    platform = FakePlatform(mails=PAGES * 10, size=10)
    secrets = SecretsSettings(keys={"k1": SecretStr(key)}, current="k1")
    settings = Settings(secrets=secrets, sync=SyncSettings(lease_ttl_s=6, shared_pages=1))
    async with Database(url, StoreSettings(), application="child", pool_size=2) as database:
        desk = Desk(settings, database, Signals(LocalTransport()), Sealer(secrets), platform, {"email": platform})

        def report(_run: ClaimedRun, number: int) -> None:
            print(number, flush=True)
            sys.stdin.readline()

        await desk.worker("child", page_committed=report).run_until_idle()


@pytest.mark.parametrize("page", [1, 3, PAGES])
async def test_kill_9_after_a_page_repeats_and_loses_nothing(
    desk: Desk, pg_url: str, uninterrupted: dict[str, Any], page: int
) -> None:
    await _start(desk)
    key = desk.settings.secrets.keys["k1"].get_secret_value()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, pg_url, key, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    while int(await process.stdout.readline()) < page:
        process.stdin.write(b"go\n")
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert await desk.runs.recover_lost() == 0  # its lease has not expired yet
    assert await desk.worker("new").run_until_idle() is ExitReason.HELD

    await _free(desk)
    assert await desk.runs.recover_lost() == 1
    assert await desk.worker("new").run_until_idle() is ExitReason.IDLE
    assert await _outcome(desk) == uninterrupted


async def test_a_new_holder_takes_over_running_runs_by_itself(desk: Desk, pg_url: str) -> None:
    await _start(desk)
    old = desk.worker("old", page_committed=lambda _run, number: _steal(pg_url) if number == 2 else None)
    assert await old.run_until_idle() is ExitReason.LOST
    await _free(desk)
    assert await desk.worker("new").run_until_idle() is ExitReason.IDLE
    assert await desk.rows("SELECT state, pages, attempt FROM sync_run") == [("succeeded", PAGES, 2)]


async def test_a_cursor_that_somebody_moved_is_not_overwritten(desk: Desk, pg_url: str) -> None:
    await _start(desk)

    def move(_run: ClaimedRun, number: int) -> None:
        if number == 2:
            with psycopg.connect(pg_url, autocommit=True) as connection:
                connection.execute("UPDATE sync_stream SET cursor_version = cursor_version + 1")

    assert await desk.worker(page_committed=move).run_until_idle() is ExitReason.IDLE
    assert await desk.rows("SELECT state, pages FROM sync_run") == [("running", 2)]
    assert await desk.runs.recover_lost() == 1
    await desk.worker().run_until_idle()
    assert await desk.rows("SELECT state, pages FROM sync_run") == [("succeeded", PAGES)]


async def test_a_run_whose_workers_keep_dying_fails_in_the_end(desk: Desk) -> None:
    await _start(desk)
    limit = desk.settings.sync.max_attempts
    await desk.database.execute("UPDATE sync_run SET fruitless = %s, attempt = %s", (limit, limit))
    await desk.worker().run_until_idle()
    run = (await desk.runs.list(ORG))[0]
    assert (run.state, run.error_class) == ("failed", "WorkerLost")


def _lease(db: Database, holder: str, **options: Any) -> SyncLease:
    return SyncLease(db, ORG, "email", holder=holder, node="n", **{"ttl_s": 30.0, **options})


async def test_a_lease_has_one_holder_and_epochs_grow(db: Database) -> None:
    first, second = _lease(db, "first"), _lease(db, "second")
    assert await first.take() == 1
    assert await second.take() is None
    async with db.transaction() as tx:
        await first.fence(tx)
    await first.release()
    assert await second.take() == 2
    with pytest.raises(LeaseLost):
        async with db.transaction() as tx:
            await first.fence(tx)
    await second.release()


async def test_an_expired_lease_fences_its_holder_even_before_anybody_took_it(db: Database) -> None:
    lease = _lease(db, "slow")
    await lease.take()
    await db.execute("UPDATE sync_lease SET expires_at = now()")
    with pytest.raises(LeaseLost):
        async with db.transaction() as tx:
            await lease.fence(tx)
    await lease.release()


async def test_a_taker_waits_for_a_write_under_way(db: Database) -> None:
    old, new = _lease(db, "old"), _lease(db, "new")
    await old.take()
    async with db.transaction() as tx:
        await old.fence(tx)
        await db.execute("UPDATE sync_lease SET node = node WHERE false")  # another connection is not blocked by it
        taking = asyncio.create_task(new.take())
        await _until_somebody_waits(db)
        assert not taking.done()
        # Not expired for its own transaction, which began before; the taker will find it held.
    assert await taking is None
    await old.release()


async def _until_somebody_waits(db: Database) -> None:
    async with asyncio.timeout(60):
        while not await db.fetch_value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            await asyncio.sleep(0.01)


async def test_renewal_keeps_a_lease_for_longer_than_its_time(db: Database) -> None:
    lease = _lease(db, "steady", ttl_s=3.0)
    await lease.take()
    before = await db.fetch_value("SELECT expires_at FROM sync_lease")
    async with asyncio.timeout(60):
        while await db.fetch_value("SELECT expires_at < %s + interval '3.5 s' FROM sync_lease", (before,)):
            await asyncio.sleep(0.05)
            async with db.transaction() as tx:
                await lease.fence(tx)
    await lease.release()


async def test_a_holder_learns_from_the_renewal_that_it_was_overtaken(db: Database) -> None:
    loop, lost = asyncio.get_running_loop(), asyncio.Event()
    lease = _lease(db, "old", ttl_s=9.0, on_lost=lambda: loop.call_soon_threadsafe(lost.set))
    await lease.take()
    await db.execute("UPDATE sync_lease SET epoch = epoch + 1, holder = 'thief'")
    async with asyncio.timeout(8):  # before it would give up by its own clock
        await lost.wait()
    assert lease.lost
    await lease.release()
    assert await db.fetch_value("SELECT holder FROM sync_lease") == "thief"


async def test_a_holder_cut_off_from_the_database_gives_up_in_time(db: Database) -> None:
    loop, lost = asyncio.get_running_loop(), asyncio.Event()
    lease = _lease(db, "alone", ttl_s=0.9, on_lost=lambda: loop.call_soon_threadsafe(lost.set))
    await lease.take()
    db.url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with asyncio.timeout(60):
        await lost.wait()
    assert await db.fetch_value("SELECT expires_at < now() + interval '0.9 s' FROM sync_lease")
