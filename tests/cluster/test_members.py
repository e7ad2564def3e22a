"""Promises 3 and 5 for pool members: killed ones lose nothing, paused queues claim nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import ray
from ray.exceptions import RayActorError

from actors.create import create
from sync.base.settings import Settings
from sync.jobs.model import NewJob
from sync.jobs.operations import QueueOperations
from sync.supervision.model import Member
from sync.wiring import Runtime
from tests.cluster.helpers import actor_names, ask, eventually, pid_of
from tests.cluster.plugin import Effect, Held

FIRST, SECOND = Member("consumer.one-off", 0), Member("consumer.one-off", 1)


async def keys(runtime: Runtime) -> list[str]:
    return [row["key"] for row in await runtime.database.fetch_all("SELECT key FROM effect ORDER BY key")]


async def test_a_killed_member_loses_no_job_and_doubles_none(
    settings: Settings, namespace: str, runtime: Runtime, tmp_path: Path
) -> None:
    create(FIRST, settings, namespace)
    pid = await eventually(lambda: pid_of("consumer.one-off.0", namespace))
    await runtime.queue.enqueue(NewJob("test.held", Held("held", str(tmp_path))))
    await eventually(lambda: (tmp_path / str(pid)).exists())
    many = [f"{number:03}" for number in range(300)]
    await runtime.queue.enqueue_many([NewJob("test.effect", Effect(key)) for key in many])
    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) > 5 FROM effect"))

    os.kill(pid, signal.SIGKILL)
    (tmp_path / "open").touch()

    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) >= 301 FROM effect"))
    assert await keys(runtime) == [*many, "held"]
    assert await runtime.database.fetch_value("SELECT count(*) = 0 FROM job_dead")
    successor = await eventually(lambda: pid_of("consumer.one-off.0", namespace))
    assert successor != pid


async def test_a_retired_member_finishes_what_it_runs_and_gives_the_rest_back(
    settings: Settings, namespace: str, runtime: Runtime, tmp_path: Path
) -> None:
    create(FIRST, settings, namespace)
    pid = await eventually(lambda: pid_of("consumer.one-off.0", namespace))
    await runtime.queue.enqueue(NewJob("test.held", Held("held", str(tmp_path))))
    await eventually(lambda: (tmp_path / str(pid)).exists())

    create(SECOND, settings, namespace)  # takes over what comes from now on
    leaving = ray.get_actor("consumer.one-off.0", namespace).retire.remote(20.0)
    await eventually(lambda: ask("consumer.one-off.0", namespace, "info")["state"] == "draining")
    await runtime.queue.enqueue(NewJob("test.effect", Effect("after")))
    await eventually(lambda: keys(runtime))
    (tmp_path / "open").touch()

    await eventually(lambda: not psutil.pid_exists(pid) and actor_names(namespace) == ["consumer.one-off.1"])
    rows = await runtime.database.fetch_all("SELECT key, pid FROM effect ORDER BY key")
    assert rows[1] == {"key": "held", "pid": pid}
    assert rows[0]["key"] == "after" and rows[0]["pid"] != pid
    assert await runtime.database.fetch_all("SELECT name FROM worker") == [{"name": "consumer.one-off.1"}]
    with pytest.raises(RayActorError):
        ray.get(leaving, timeout=5)


async def test_a_pause_holds_for_every_member_and_its_successors(
    settings: Settings, namespace: str, runtime: Runtime, tmp_path: Path
) -> None:
    operations = QueueOperations(runtime.database, runtime.signals)
    for member in (FIRST, SECOND):
        create(member, settings, namespace)
    pids = [await eventually(lambda n=n: pid_of(f"consumer.one-off.{n}", namespace)) for n in (0, 1)]  # type: ignore[misc]
    await runtime.queue.enqueue(NewJob("test.held", Held("in flight", str(tmp_path))))
    await eventually(lambda: any((tmp_path / str(pid)).exists() for pid in pids))

    await operations.pause("consumer.one-off", by="test")
    await runtime.queue.enqueue_many([NewJob("test.effect", Effect(f"{number}")) for number in range(50)])
    (tmp_path / "open").touch()
    await eventually(lambda: keys(runtime))
    assert await keys(runtime) == ["in flight"]  # what ran may finish
    os.kill(pids[0], signal.SIGKILL)
    await eventually(lambda: pid_of("consumer.one-off.0", namespace) not in pids)
    await eventually(lambda: polled_since(runtime, 3))
    assert await runtime.database.fetch_value("SELECT count(*) FROM job") == 50
    assert await keys(runtime) == ["in flight"]

    await operations.resume("consumer.one-off", by="test")
    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) = 51 FROM effect"))


async def polled_since(runtime: Runtime, beats: int) -> bool:
    """Both members have lived for some heartbeats, each longer than their polls are apart."""
    return bool(
        await runtime.database.fetch_value(
            "SELECT count(*) = 2 FROM worker WHERE beat_at - started_at > %(s)s * interval '1 second'",
            {"s": beats * runtime.queue_settings.heartbeat_s},
        )
    )


async def test_a_pool_without_kinds_has_a_process_that_rests(
    settings: Settings, namespace: str, runtime: Runtime
) -> None:
    create(Member("processor.billing", 0), settings, namespace)
    await eventually(lambda: ask("processor.billing.0", namespace, "ping").state == "without kinds")
    assert ask("processor.billing.0", namespace, "info")["pool"] == "processor.billing"
    assert await runtime.database.fetch_value("SELECT count(*) FROM worker") == 0
    with pytest.raises(RayActorError):
        ask("processor.billing.0", namespace, "retire", 5)
    await eventually(lambda: actor_names(namespace) == [])
