"""Promises 1, 3 and 4 for syncs: one run per stream, pages once, whoever is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from actors.supervisor import ensure_supervisor
from sync.base.settings import Settings
from sync.wiring import Runtime
from tests.cluster.clusters import SYNC_SLOTS
from tests.cluster.helpers import actor_names, ask, eventually, pid_of
from tests.cluster.office import MAILS, Office


@pytest.fixture
def office(runtime: Runtime, tmp_path: Path) -> Office:
    return Office(runtime, tmp_path)


async def test_two_triggers_at_once_are_one_run_in_one_actor(
    settings: Settings, namespace: str, office: Office
) -> None:
    ensure_supervisor(settings, namespace)
    await office.connect()
    door = office.shut(2)
    ids = set(await asyncio.gather(*(office.trigger() for _ in range(10))))
    assert len(ids) == 1
    await eventually(lambda: office.at(2))
    assert await office.trigger() in ids  # also while it runs
    info = ask("sync:acme:staged", namespace, "info")
    assert [run["run_id"] for run in info["runs"]] == list(ids)
    door.unlink()
    await eventually(lambda: office.done(min(ids)))
    assert await office.counts() == (MAILS, MAILS)
    assert len(office.at(1)) == 1
    assert "sync:acme:staged" in actor_names(namespace)  # it stays for what comes next

    again = await office.trigger()
    await eventually(lambda: office.done(again))
    assert pid_of("sync:acme:staged", namespace) in office.at(1)
    assert await office.counts() == (MAILS, MAILS)


async def test_a_killed_sync_is_continued_after_its_last_page(
    settings: Settings, namespace: str, office: Office
) -> None:
    ensure_supervisor(settings, namespace)
    await office.connect()
    door = office.shut(3)
    run_id = await office.trigger()
    (pid,) = await eventually(lambda: office.at(3))
    await eventually(lambda: office.stored(20))  # pages are fetched ahead of the commit
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: office.at(3) - {pid})
    assert await office.counts() == (20, 20)
    door.unlink()
    await eventually(lambda: office.done(run_id))
    assert await office.counts() == (MAILS, MAILS)
    assert office.at(1) == office.at(2) == {pid}  # nothing was pulled twice


async def test_a_sync_goes_on_while_the_supervisor_is_killed(
    settings: Settings, namespace: str, office: Office
) -> None:
    ensure_supervisor(settings, namespace)
    await office.connect()
    door = office.shut(3)
    run_id = await office.trigger()
    await eventually(lambda: office.at(3))
    os.kill(pid_of("supervisor", namespace), signal.SIGKILL)
    door.unlink()
    await eventually(lambda: office.done(run_id))
    assert await office.counts() == (MAILS, MAILS)


async def test_an_overtaken_sync_writes_nothing_and_ends(settings: Settings, namespace: str, office: Office) -> None:
    ensure_supervisor(settings, namespace)
    await office.connect()
    door = office.shut(3)
    await office.trigger()
    (pid,) = await eventually(lambda: office.at(3))
    await office.database.execute(
        "UPDATE sync_lease SET epoch = epoch + 1, holder = 'somebody else', expires_at = now() + interval '1 hour'"
    )
    written = await office.counts()
    door.unlink()
    await eventually(lambda: not psutil.pid_exists(pid))
    assert await office.counts() == written
    await eventually(lambda: "sync:acme:staged" not in actor_names(namespace))


async def test_an_idle_sync_gives_its_place_to_one_that_waits(
    settings: Settings, namespace: str, office: Office
) -> None:
    ensure_supervisor(settings, namespace)
    orgs = [f"org{number}" for number in range(SYNC_SLOTS + 1)]
    for org in orgs:
        await office.connect(org)
    for org in orgs[:-1]:
        run_id = await office.trigger(org)
        await eventually(lambda org=org, run_id=run_id: office.done(run_id, org))  # type: ignore[misc]
    residents = {f"sync:{org}:staged" for org in orgs[:-1]}
    assert residents <= set(actor_names(namespace))

    run_id = await office.trigger(orgs[-1])

    await eventually(lambda: office.done(run_id, orgs[-1]))
    assert len(residents & set(actor_names(namespace))) == SYNC_SLOTS - 1
