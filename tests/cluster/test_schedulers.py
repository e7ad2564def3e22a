"""Promise 6: a tick fires once, with two schedulers and while the leading one is killed."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from itertools import pairwise

from actors.create import create
from schedules.spec import Schedule
from sync.base.settings import Settings
from sync.scheduling import Schedules
from sync.supervision.model import Member, Seat
from sync.wiring import Runtime
from tests.cluster.helpers import ask, eventually, pid_of

EVERY = timedelta(seconds=1)
TICKS = 12


async def test_every_tick_fires_once_with_two_schedulers_and_a_kill(
    settings: Settings, namespace: str, runtime: Runtime
) -> None:
    for who in (Seat("a"), Seat("b"), Member("consumer.one-off", 0)):
        create(who, settings, namespace)
    leader = await eventually(lambda: leading(namespace))
    schedules = Schedules(runtime.database, runtime.signals, runtime.catalogue, runtime.queue)
    definition = Schedule(  # users may not ask for less than ten seconds, tests may
        name="beat",
        kind="test.effect",
        args={"key": "beat"},
        every=timedelta(seconds=10),
        org_id="acme",
        overlap="allow",
        catch_up="all",
    )
    schedule = await schedules.create(definition, by="test")
    await runtime.database.execute(
        "UPDATE schedule SET every = %(every)s, next_due_at = date_trunc('second', now()) WHERE id = %(id)s",
        {"every": EVERY, "id": schedule.id},
    )
    await eventually(lambda: fired(runtime, schedule.id, 3))

    os.kill(pid_of(leader, namespace), signal.SIGKILL)

    await eventually(lambda: fired(runtime, schedule.id, TICKS), within_s=40)
    await eventually(lambda: leading(namespace))
    await schedules.pause("acme", "beat", by="test")
    ticks = await runtime.database.fetch_all(
        "SELECT due_at, job_id, outcome FROM schedule_tick WHERE schedule_id = %(id)s ORDER BY due_at",
        {"id": schedule.id},
    )
    gaps = {later["due_at"] - earlier["due_at"] for earlier, later in pairwise(ticks)}
    assert gaps == {EVERY}
    assert {tick["outcome"] for tick in ticks} == {"enqueued"}
    assert len({tick["job_id"] for tick in ticks}) == len(ticks)
    await eventually(lambda: effects(runtime, len(ticks)))


def leading(namespace: str) -> str | None:
    return next((n for n in ("scheduler.a", "scheduler.b") if ask(n, namespace, "info")["leading"]), None)


async def fired(runtime: Runtime, schedule_id: int, count: int) -> bool:
    return bool(
        await runtime.database.fetch_value(
            "SELECT count(*) >= %(n)s FROM schedule_tick WHERE schedule_id = %(id)s", {"id": schedule_id, "n": count}
        )
    )


async def effects(runtime: Runtime, count: int) -> bool:
    return bool(await runtime.database.fetch_value("SELECT count(*) = %(n)s FROM effect", {"n": count}))
