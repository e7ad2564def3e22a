"""Promises 3 and 5 for the datatype consumer: killed it loses and doubles nothing, paused it delivers nothing."""

from __future__ import annotations

import os
import signal

import psutil
import ray

from actors.create import create
from sync.base.settings import Settings
from sync.events import Event, append_events
from sync.jobs.operations import QueueOperations
from sync.supervision.model import Member
from sync.wiring import Runtime
from tests.cluster.helpers import actor_names, ask, eventually, pid_of

CONSUMER = Member("consumer.datatype", 0)
NAME = "consumer.datatype.0"


async def write(runtime: Runtime, count: int) -> None:
    for number in range(count):
        async with runtime.database.transaction() as tx:
            events = [Event("acme", "thing.happened", f"thing:{subject}", {"n": number}) for subject in range(5)]
            await append_events(tx, events)


async def effects(runtime: Runtime) -> list[int]:
    return [int(row["key"]) for row in await runtime.database.fetch_all("SELECT key FROM effect ORDER BY id")]


async def written(runtime: Runtime) -> list[int]:
    rows = await runtime.database.fetch_all("SELECT id FROM event WHERE type = 'thing.happened' ORDER BY id")
    return [row["id"] for row in rows]


async def test_a_killed_consumer_loses_no_event_and_doubles_none(
    settings: Settings, namespace: str, runtime: Runtime
) -> None:
    settings = settings.model_copy(update={"events": settings.events.model_copy(update={"batch": 20})})
    create(CONSUMER, settings, namespace)
    pid = await eventually(lambda: pid_of(NAME, namespace))
    await write(runtime, 100)
    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) > 40 FROM effect"), within_s=60)

    os.kill(pid, signal.SIGKILL)
    await write(runtime, 20)

    async def all_there() -> bool:
        return len(await effects(runtime)) >= 600

    await eventually(all_there, within_s=90)
    assert await effects(runtime) == await written(runtime)
    assert await runtime.database.fetch_value("SELECT count(DISTINCT pid) FROM effect") == 2
    assert await runtime.database.fetch_value("SELECT count(*) FROM event_lane") == 0


async def test_a_paused_consumer_delivers_nothing_and_a_retired_one_leaves_in_order(
    settings: Settings, namespace: str, runtime: Runtime
) -> None:
    operations = QueueOperations(runtime.database, runtime.signals)
    create(CONSUMER, settings, namespace)
    pid = await eventually(lambda: pid_of(NAME, namespace))
    await write(runtime, 1)

    async def five() -> bool:
        return len(await effects(runtime)) == 5

    await eventually(five, within_s=60)
    living = await runtime.database.fetch_all("SELECT name FROM worker")
    assert living == [{"name": NAME}]
    await operations.pause("consumer.datatype", "ada")
    await write(runtime, 2)
    assert await five()
    await operations.resume("consumer.datatype", "ada")

    async def fifteen() -> bool:
        return len(await effects(runtime)) == 15

    await eventually(fifteen, within_s=60)
    await eventually(lambda: ask(NAME, namespace, "info")["done"] == 15)
    ray.get_actor(NAME, namespace).retire.remote(20.0)
    await eventually(lambda: not psutil.pid_exists(pid) and actor_names(namespace) == [], within_s=60)
    assert await runtime.database.fetch_value("SELECT count(*) FROM worker") == 0
