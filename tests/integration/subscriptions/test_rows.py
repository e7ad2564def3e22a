"""Subscriptions as rows: each target's effect exactly once, of its own org, where the filter fits."""

from __future__ import annotations

from typing import Any

import pytest

from sync.base.errors import ApiError, Permanent
from sync.events import Event
from sync.subscriptions import readers
from sync.subscriptions.rows import reader_name
from tests.fakes.jobs import eventually
from tests.integration.subscriptions.conftest import World, happened

JOB = {"type": "job", "kind": "note.taken", "args": {"text": "hello"}}
ALERT = {"type": "notification", "title": "Look at this", "severity": "warning"}


async def counted(world: World, query: str, count: int) -> bool:
    return await world.db.fetch_value(f"SELECT count(*) FROM {query}") == count


async def jobs(world: World) -> list[dict[str, Any]]:
    return [row["args"] for row in await world.db.fetch_all("SELECT args FROM job ORDER BY seq")]


async def test_each_event_becomes_one_job_of_its_org(world: World) -> None:
    await world.write(happened(n=0))
    await world.subscribe(JOB, "thing.*", wanted={"kind": ["a", "b"]})
    async with world.consumer():
        await world.write(*(happened(f"thing:{n}", kind="abc"[n % 3], n=n) for n in range(1, 10)))
        await world.write(happened(org_id="globex", kind="a"), happened(type="other.happened", kind="a"))
        await eventually(lambda: counted(world, "job", 6))
        await world.write(happened(kind="a", n=100))
        await eventually(lambda: counted(world, "job", 7))
    found = await jobs(world)
    assert [args["event"]["data"]["n"] for args in found] == [1, 3, 4, 6, 7, 9, 100]
    assert found[0]["text"] == "hello" and found[0]["event"]["type"] == "thing.happened"
    assert await counted(world, "job WHERE org_id = 'acme'", 7)


async def test_a_notification_raises_one_alert_per_subject(world: World) -> None:
    row = await world.subscribe(ALERT)
    async with world.consumer():
        await world.write(happened("thing:1"), happened("thing:1"), happened("thing:2"))
        await eventually(lambda: counted(world, "alert", 2))
    [alert] = await world.db.fetch_all("SELECT * FROM alert WHERE key = %s", (f"subscription:{row.id}:thing:1",))
    assert (alert["title"], alert["severity"], alert["count"], alert["org_id"]) == (
        "Look at this",
        "warning",
        2,
        "acme",
    )


async def test_a_broadcast_is_an_event_with_a_topic_and_never_answers_itself(world: World) -> None:
    await world.subscribe({"type": "broadcast", "topic": "orders"}, "*")
    async with world.consumer():
        await world.write(happened(n=1))
        await eventually(lambda: counted(world, "event WHERE type = 'broadcast.sent'", 1))
        await world.write(happened(n=2))
        await eventually(lambda: counted(world, "event WHERE type = 'broadcast.sent'", 2))
    sent = await world.db.fetch_all("SELECT * FROM event WHERE type = 'broadcast.sent' ORDER BY id")
    origins = await world.db.fetch_all("SELECT id FROM event WHERE type = 'thing.happened' ORDER BY id")
    assert [row["causation_id"] for row in sent] == [row["id"] for row in origins]
    assert sent[0]["subject"] == "topic:orders" and sent[0]["payload"]["event"]["data"] == {"n": 1}


async def test_a_sync_is_triggered_once_while_one_is_open(world: World) -> None:
    for state, account in (("active", "ada"), ("paused", "bob")):
        integration = await world.db.fetch_value(
            "INSERT INTO integration (org_id, platform, account, state) VALUES ('acme', 'email', %s, %s) RETURNING id",
            (account, state),
        )
        await world.db.execute(
            "INSERT INTO sync_stream (integration_id, sync_type, every) VALUES (%s, 'messages', interval '1 h')",
            (integration,),
        )
    await world.subscribe({"type": "sync", "platform": "email"})
    paused = {"type": "sync", "platform": "email", "account": "bob"}
    other = await world.subscribe(paused, name="two")
    async with world.consumer():
        await world.write(*(happened() for _ in range(20)))
        await eventually(lambda: counted(world, "sync_run", 1))
        await eventually(lambda: read_all(world, other.id))
    assert await counted(world, "event_lane", 0)


async def read_all(world: World, subscription_id: int) -> bool:
    [lag] = await readers.lags(world.db, name=reader_name(subscription_id))
    return lag.behind == 0


async def test_what_cannot_be_done_is_parked_and_the_rest_goes_on(world: World) -> None:
    row = await world.subscribe(JOB, "thing.*")
    await world.db.execute("UPDATE subscription SET target = target || '{\"args\": {}}'")  # `text` is missing now
    async with world.consumer():
        await world.write(happened("thing:1"), happened("thing:2"))
        await eventually(lambda: counted(world, "event_lane WHERE state = 'parked'", 2))
        assert await counted(world, "alert WHERE resolved_at IS NULL", 1)
        async with world.db.transaction() as tx:
            await world.subscriptions.update(tx, "acme", row.id, target=JOB)
            await world.subscriptions.resume(tx, "acme", row.id)
        await eventually(lambda: counted(world, "job", 2))
    assert await counted(world, "event_lane", 0) and await counted(world, "alert WHERE resolved_at IS NULL", 0)


async def test_pause_resume_and_replay(world: World) -> None:
    row = await world.subscribe(JOB, "thing.*")
    async with world.consumer():
        await world.write(happened(n=1))
        await eventually(lambda: counted(world, "job", 1))
        async with world.db.transaction() as tx:
            assert (await world.subscriptions.pause(tx, "acme", row.id, "later")).state == "paused"
        await world.write(happened(n=2))
        probe = await world.subscribe(ALERT, name="probe")
        await world.write(happened(n=3))
        await eventually(lambda: read_all(world, probe.id))
        assert await counted(world, "job", 1)
        async with world.db.transaction() as tx:
            await world.subscriptions.resume(tx, "acme", row.id)
        await eventually(lambda: counted(world, "job", 3))
        first = (await world.ids())[0]
        async with world.db.transaction() as tx:
            assert (await world.subscriptions.replay(tx, "acme", row.id, after_id=first)).id == first
        await eventually(lambda: counted(world, "job", 5))
        async with world.db.transaction() as tx:
            since = await tx.fetch_value("SELECT min(created_at) FROM event")
            await world.subscriptions.replay(tx, "acme", row.id, since=since)
        await eventually(lambda: counted(world, "job", 8))
    assert [args["event"]["data"]["n"] for args in await jobs(world)] == [1, 2, 3, 2, 3, 1, 2, 3]


async def test_a_deleted_one_leaves_nothing(world: World) -> None:
    row = await world.subscribe({"type": "webhook", "url": "http://127.0.0.1:9/"})
    async with world.db.transaction() as tx:
        await world.subscriptions.delete(tx, "acme", row.id)
    for table in ("subscription", "event_reader", "event_lane", "event_backlog"):
        assert await counted(world, table, 0)


@pytest.mark.parametrize(
    ("patterns", "wanted", "target", "says"),
    [
        (["Thing"], {}, JOB, "not a pattern"),
        (["*.added"], {}, JOB, "not a pattern"),
        (["*"], {"a b": 1}, JOB, "not a path"),
        (["*"], {"a": {"b": 1}}, JOB, "compared"),
        (["*"], {}, {"type": "job", "kind": "no.such"}, "no job kind"),
        (["*"], {}, {"type": "job", "kind": "note.taken"}, "text"),
        (["*"], {}, {**JOB, "eventAs": None}, "event"),
        (["*"], {}, {"type": "nothing"}, "nothing"),
        (["*"], {}, {"type": "webhook", "url": "http://a.test", "headers": {"webhook-id": "1"}}, "set by Sync"),
        (["*"], {}, {"type": "broadcast", "topic": "A b"}, "topic"),
    ],
)
async def test_what_is_refused(
    world: World, patterns: list[str], wanted: dict[str, Any], target: dict[str, Any], says: str
) -> None:
    with pytest.raises(Permanent, match=says):
        await world.subscribe(target, *patterns, wanted=wanted)


async def test_a_name_is_used_once_per_org(world: World) -> None:
    await world.subscribe(JOB)
    await world.subscribe(JOB, org="globex")
    with pytest.raises(ApiError, match="named 'one'"):
        await world.subscribe(JOB)


async def test_another_orgs_subscription_does_not_exist(world: World) -> None:
    row = await world.subscribe(JOB)
    for name in ("pause", "resume", "delete", "rotate", "drop_previous"):
        with pytest.raises(ApiError) as raised:
            async with world.db.transaction() as tx:
                method = getattr(world.subscriptions, name)
                await (method(tx, "globex", row.id, None) if name == "pause" else method(tx, "globex", row.id))
        assert raised.value.status == 404
    assert (await world.subscriptions.list("globex")) == []


async def test_events_of_an_org_wait_for_nobody_elses(world: World) -> None:
    await world.subscribe(JOB)
    await world.write(*(Event("globex", "thing.happened", "x", {}) for _ in range(300)))
    async with world.consumer():
        await world.write(happened(n=1))
        await eventually(lambda: counted(world, "job", 1))


async def test_a_row_that_nobody_can_read_stops_no_other(world: World) -> None:
    bad = await world.subscribe(JOB, "thing.*", name="bad")
    hook = await world.subscribe({"type": "webhook", "url": "http://127.0.0.1:9/"}, "thing.*", name="hook")
    await world.subscribe(JOB, "thing.*", name="good")
    await world.db.execute(
        "UPDATE subscription SET target = target || '{\"later\": 1}' WHERE id = ANY(%s)", ([bad.id, hook.id],)
    )
    for row in (bad, hook):
        await world.db.execute(
            "INSERT INTO event_lane (reader_id, org_id, subject) VALUES (%s, 'acme', 'thing:9')", (row.reader_id,)
        )
    async with world.consumer():
        for count in range(1, 4):
            await world.write(happened())
            await eventually(lambda count=count: counted(world, "job", count))
