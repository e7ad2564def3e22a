"""What people who wait for a run, or look at accounts and alerts, are told of: events of the log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sync.alerts import raise_alert, resolve_alert
from sync.events.catalogue import CATALOGUE
from sync.pull.worker import ExitReason
from tests.integration.pull.conftest import ADA, ORG, Desk


async def told(desk: Desk, pattern: str = "sync.%") -> list[tuple[str, dict[str, Any]]]:
    rows = await desk.rows("SELECT type, payload FROM event WHERE type LIKE %s ORDER BY id", pattern)
    documented = {type.type: type.payload.keys() for type in CATALOGUE}
    for name, payload in rows:
        assert payload.keys() <= documented[name], f"{name} has fields that the catalogue lacks"
    return [(name, payload) for name, payload in rows]


async def names(desk: Desk, pattern: str = "sync.%") -> list[str]:
    return [name for name, _ in await told(desk, pattern)]


async def test_a_run_that_somebody_asked_for_is_told_of_from_the_queue_on(desk: Desk) -> None:
    desk.platform.mails = 3
    integration = await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages", by="ada"))[0]
    assert (await desk.runs.trigger(ORG, "email", "messages", by="bob"))[0].run_id == run.run_id
    assert await names(desk) == ["sync.queued"]
    assert await desk.worker().run_until_idle() is ExitReason.IDLE
    events = await told(desk)
    assert [name for name, _ in events] == ["sync.queued", "sync.started", "sync.completed"]
    for _, payload in events:
        assert (payload["run_id"], payload["integration_id"]) == (run.run_id, integration.id)
        assert (payload["platform"], payload["sync_type"], payload["trigger"]) == ("email", "messages", "manual")
    assert events[0][1]["by"] == "ada" and events[1][1]["attempt"] == 1


async def test_what_schedules_start_is_told_of_when_it_brings_something(desk: Desk) -> None:
    desk.platform.mails = 3
    await desk.connect()
    await desk.runs.enqueue_due()
    await desk.worker().run_until_idle()
    assert await names(desk) == ["sync.completed"]
    await desk.all_due()
    await desk.runs.enqueue_due()
    await desk.worker("w2").run_until_idle()
    assert await names(desk) == ["sync.completed"], "the second run found nothing new"


async def test_cancelled_runs_are_told_of_once(desk: Desk) -> None:
    desk.platform.mails, desk.platform.door = 5, asyncio.Event()
    await desk.connect()
    waiting = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    await desk.runs.cancel(ORG, waiting.run_id)
    assert await names(desk) == ["sync.queued", "sync.cancelled"]
    running = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    working = asyncio.create_task(desk.worker().run_until_idle())
    await desk.platform.waiting.wait()
    await desk.runs.cancel(ORG, running.run_id)
    assert await working is ExitReason.IDLE
    events = await told(desk)
    assert [name for name, _ in events][2:] == ["sync.queued", "sync.started", "sync.cancelled"]
    assert events[-1][1]["run_id"] == running.run_id


async def test_accounts_are_named_in_their_events(desk: Desk) -> None:
    integration = await desk.connect()
    await desk.integrations.pause(ORG, integration.id, by="ada")
    await desk.integrations.resume(ORG, integration.id, by="ada")
    await desk.integrations.delete(ORG, integration.id, by="ada")
    events = await told(desk, "integration.%")
    assert [name.partition(".")[2] for name, _ in events] == ["connected", "paused", "resumed", "deleted"]
    for _, payload in events:
        assert payload == {"integration_id": integration.id, "platform": "email", "account": ADA}


@pytest.mark.parametrize("again", [False, True])
async def test_an_alert_is_told_of_when_it_opens_and_when_it_closes(desk: Desk, again: bool) -> None:
    async with desk.database.transaction() as tx:
        assert await raise_alert(tx, ORG, "k", "Look here", severity="warning")
        if again:
            assert not await raise_alert(tx, ORG, "k", "Look here", severity="warning")
        assert await resolve_alert(tx, ORG, "k") and not await resolve_alert(tx, ORG, "k")
    events = await told(desk, "alert.%")
    assert [name for name, _ in events] == ["alert.raised", "alert.resolved"]
    assert events[0][1] == events[1][1]
    assert (events[0][1]["key"], events[0][1]["severity"], events[0][1]["title"]) == ("k", "warning", "Look here")
