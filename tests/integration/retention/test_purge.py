from __future__ import annotations

import asyncio

from sync.base.settings import RetentionSettings, Settings
from sync.jobs.model import NewJob
from sync.retention.handlers import PurgeArgs, retention_kinds
from sync.retention.purge import Purge
from sync.store.engine import Database
from tests.fakes.jobs import eventually, job_runtime, member

KEEP = RetentionSettings(sync_run_days=90, event_days=30, tick_days=14, alert_days=90, audit_days=400)


async def fill(db: Database) -> None:
    """Of everything one row that is old enough and one that is not, and runs and alerts that are not over."""
    await db.execute("INSERT INTO integration (org_id, platform, account) VALUES ('acme', 'email', 'a@acme.test')")
    await db.execute(
        """INSERT INTO sync_run (org_id, platform, integration_id, sync_type, trigger, state, finished_at)
           SELECT 'acme', 'email', i.id, v.kind, 'manual', v.state, now() - v.days_ago * interval '1 day'
           FROM integration i, (VALUES ('old', 'succeeded', 91), ('old', 'failed', 95), ('new', 'succeeded', 89),
                                       ('open', 'queued', NULL)) AS v (kind, state, days_ago)"""
    )
    await db.execute(
        "INSERT INTO schedule (org_id, name, source, cron, kind) VALUES ('acme', 'a', 'user', '@daily', 'x')"
    )
    await db.execute(
        """INSERT INTO schedule_tick (schedule_id, due_at, fired_at, outcome)
           SELECT s.id, now() - ago, now() - ago, 'enqueued'
           FROM schedule s, generate_series(1, 20) AS days, LATERAL (SELECT days * interval '1 day' AS ago) AS span"""
    )
    await db.execute(
        """INSERT INTO alert (org_id, key, severity, title, resolved_at)
           VALUES ('acme', 'old', 'error', 'x', now() - interval '91 days'), ('acme', 'new', 'error', 'x', now()),
                  ('acme', 'open', 'error', 'x', NULL)"""
    )
    await db.execute(
        """INSERT INTO audit (org_id, actor, action, at)
           VALUES ('acme', 'ada', 'old', now() - interval '401 days'), ('acme', 'ada', 'new', now())"""
    )
    await db.execute(
        """INSERT INTO activity_quarantine (org_id, integration_id, sync_type, error, raw_hash, last_at)
           SELECT 'acme', i.id, 'posts', v.error, v.error::bytea, now() - v.days_ago * interval '1 day'
           FROM integration i, (VALUES ('old', 91), ('new', 89)) AS v (error, days_ago)"""
    )
    # Live cursors (run 0), those of the queued run and those of one that has ended.
    await db.execute(
        """INSERT INTO sync_partition (integration_id, sync_type, run_id, partition, cursor, updated_at)
           SELECT r.integration_id, 'posts', CASE WHEN v.run = 'live' THEN 0 ELSE r.id END,
             v.run || v.days_ago, '{}', now() - v.days_ago * interval '1 day'
           FROM (VALUES ('live', 401), ('live', 399), ('open', 2), ('new', 2), ('new', 0)) AS v (run, days_ago)
           JOIN sync_run r ON r.sync_type = CASE WHEN v.run = 'live' THEN 'open' ELSE v.run END"""
    )
    await db.execute(
        """INSERT INTO rate_bucket (key, used_at, blocked_until)
           VALUES ('idle', now() - interval '33 days', '-infinity'), ('used', now() - interval '31 days', '-infinity'),
                  ('blocked', now() - interval '33 days', now() + interval '1 hour')"""
    )
    await db.execute(
        """INSERT INTO oauth_state (state_hash, org_id, subject, platform, redirect_uri, operator, sealed, expires_at)
           VALUES ('old', 'acme', 'ada', 'slack', '', false, '', now() - interval '2 days'),
                  ('new', 'acme', 'ada', 'slack', '', false, '', now() + interval '9 minutes')"""
    )
    await db.execute("CREATE TABLE event_20200101 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')")


async def test_what_is_over_and_old_goes_and_nothing_else(db: Database) -> None:
    await fill(db)
    gone = await Purge(db, KEEP).run()
    assert gone == {
        "sync_run": 2,
        "schedule_tick": 7,
        "alert": 1,
        "audit": 1,
        "event": 1,
        "activity_quarantine": 1,
        "sync_partition": 2,
        "rate_bucket": 1,
        "oauth_state": 1,
        "webhook_delivery": 0,
    }
    assert await _left(db, "SELECT error FROM activity_quarantine") == ["new"]
    assert await _left(db, "SELECT partition FROM sync_partition") == ["live399", "new0", "open2"]
    assert await _left(db, "SELECT key FROM rate_bucket") == ["blocked", "used"]
    assert await _left(db, "SELECT state_hash FROM oauth_state") == [str(b"new")]
    assert await _left(db, "SELECT sync_type FROM sync_run") == ["new", "open"]
    assert await _left(db, "SELECT key FROM alert") == ["new", "open"]
    assert await _left(db, "SELECT action FROM audit") == ["new"]
    assert await db.fetch_value("SELECT count(*) FROM schedule_tick") == 13
    assert sum((await Purge(db, KEEP).run()).values()) == 0


async def test_events_stay_for_whoever_has_not_read_them_but_not_for_ever(db: Database) -> None:
    days = [5, 20, 60]
    for back in days:
        name = await db.fetch_value(
            "SELECT to_char(now() AT TIME ZONE 'UTC' - %s * interval '1 day', 'YYYYMMDD')", (back,)
        )
        day = f"{name[:4]}-{name[4:6]}-{name[6:]}"
        await db.execute(
            f"CREATE TABLE event_{name} PARTITION OF event FOR VALUES FROM ('{day}') TO ('{day}'::date + 1)"
        )
    for back in reversed(days):
        await db.execute(
            "INSERT INTO event (org_id, type, subject, created_at)"
            " VALUES ('acme', 'thing.happened', 'x',"
            " date_trunc('day', now(), 'UTC') - make_interval(days => %s, hours => -1))",
            (back,),
        )
    first, second, _ = [row["id"] for row in await db.fetch_all("SELECT id FROM event ORDER BY id")]
    keep = RetentionSettings(event_days=2, unread_event_days=40)

    async def kept() -> int:
        return int(await db.fetch_value("SELECT count(*) FROM event WHERE type = 'thing.happened'"))

    await db.execute("INSERT INTO event_reader (name, position) VALUES ('slow', %s)", (second,))
    await db.execute("INSERT INTO event_reader (name, org_id, position) VALUES ('other', 'globex', 0)")
    await Purge(db, keep).run()
    assert await kept() == 1, "what the slow one has not read is there"
    assert await db.fetch_value("SELECT count(*) FROM alert") == 0
    await db.execute("UPDATE event_reader SET position = %s WHERE name = 'slow'", (2**62,))
    await Purge(db, keep).run()
    assert await kept() == 0
    assert first < second


async def test_what_is_lost_to_a_subscriber_is_said(db: Database) -> None:
    await db.execute(
        "INSERT INTO event (org_id, type, subject, created_at)"
        " VALUES ('acme', 'thing.happened', 'x', now() - interval '50 days')"
    )
    await db.execute("INSERT INTO event_reader (name, org_id, position) VALUES ('subscription:7', 'acme', 0)")
    await Purge(db, RetentionSettings(event_days=2, unread_event_days=40)).run()
    [alert] = await db.fetch_all("SELECT org_id, key FROM alert")
    assert alert == {"org_id": "acme", "key": "event.lost:subscription:7"}


async def test_two_purges_at_once_in_small_bites_remove_each_row_once(db: Database) -> None:
    await fill(db)
    both = await asyncio.gather(*(Purge(db, KEEP, batch=2).run() for _ in range(2)))
    assert sum(gone["schedule_tick"] for gone in both) == 7
    assert sum(gone["sync_run"] for gone in both) == 2


async def test_the_job_purges_for_the_system_only(db: Database) -> None:
    await fill(db)
    async with job_runtime(db, retention_kinds(db, Settings(retention=KEEP))) as runtime:
        async with member(runtime, "consumer.schedule.0", pool="consumer.schedule"):
            await runtime.queue.enqueue(NewJob("maintenance.purge", PurgeArgs(), org_id="acme"))
            dead = await eventually(lambda: db.fetch_one("SELECT meta FROM job_dead"))
            assert "belongs to the system" in str(dead["meta"])
            assert await db.fetch_value("SELECT count(*) FROM audit") == 2
            await runtime.queue.enqueue(NewJob("maintenance.purge", PurgeArgs()))
            await eventually(lambda: db.fetch_value("SELECT count(*) = 1 FROM audit"))
            await eventually(lambda: db.fetch_value("SELECT count(*) = 1 FROM job_run WHERE outcome = 0"))


async def _left(db: Database, query: str) -> list[str]:
    return sorted(str(next(iter(row.values()))) for row in await db.fetch_all(query))
