"""Promises 3 and 18: whatever is killed comes back, also everything at once, from the database alone."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray

from actors.supervisor import drain_supervisor, ensure_supervisor
from sync.base.settings import PoolSettings, Settings
from sync.jobs.model import NewJob
from sync.wiring import Runtime
from tests.cluster.helpers import actor_names, ask, eventually, kill, pid_of
from tests.cluster.plugin import Effect

WANTED = ["consumer.one-off.0", "scheduler.a", "supervisor"]


async def up(settings: Settings, namespace: str) -> dict[str, int]:
    """Everything wanted is there and answers: name -> pid."""
    ensure_supervisor(settings, namespace)
    await eventually(lambda: sorted(actor_names(namespace)) == WANTED)
    return {name: await eventually(lambda name=name: active(name, namespace)) for name in WANTED}  # type: ignore[misc]


def active(name: str, namespace: str) -> int:
    pulse = ask(name, namespace, "ping")
    return int(pulse.pid) if pulse.state == "active" else 0


async def effect_of(runtime: Runtime, key: str) -> None:
    """The queue works from end to end."""
    await runtime.queue.enqueue(NewJob("test.effect", Effect(key)))
    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) FROM effect WHERE key = %(k)s", {"k": key}))


async def test_starting_it_twice_at_once_is_harmless(settings: Settings, namespace: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        for started in [threads.submit(ensure_supervisor, settings, namespace) for _ in range(4)]:
            started.result(30)
    pids = await up(settings, namespace)
    assert len(set(pids.values())) == 3
    assert pid_of("supervisor", namespace) == pids["supervisor"]


@pytest.mark.parametrize("victim", WANTED)
async def test_a_killed_actor_comes_back_under_its_name(
    settings: Settings, namespace: str, runtime: Runtime, victim: str
) -> None:
    pids = await up(settings, namespace)
    os.kill(pids[victim], signal.SIGKILL)
    await eventually(lambda: not psutil.pid_exists(pids[victim]))
    await effect_of(runtime, "after the kill")
    successor = await eventually(lambda: active(victim, namespace))
    assert successor != pids[victim]
    for name in set(WANTED) - {victim}:
        assert pid_of(name, namespace) == pids[name]


async def test_a_member_and_its_supervisor_killed_at_once_both_come_back(
    settings: Settings, namespace: str, runtime: Runtime
) -> None:
    pids = await up(settings, namespace)
    victims = ("consumer.one-off.0", "supervisor")
    for name in victims:
        os.kill(pids[name], signal.SIGKILL)
    await eventually(lambda: not any(psutil.pid_exists(pids[name]) for name in victims))
    for name in victims:
        successor = await eventually(lambda name=name: active(name, namespace))  # type: ignore[misc]
        assert successor != pids[name]
    await effect_of(runtime, "after the kill")
    # The supervisor supervises: who is given up by Ray from now on is its business alone.
    kill("consumer.one-off.0", namespace)
    await eventually(lambda: active("consumer.one-off.0", namespace))
    assert pid_of("scheduler.a", namespace) == pids["scheduler.a"]


async def test_an_actor_that_ray_has_given_up_is_created_anew(settings: Settings, namespace: str) -> None:
    pids = await up(settings, namespace)
    kill("consumer.one-off.0", namespace)
    successor = await eventually(lambda: active("consumer.one-off.0", namespace))
    assert successor != pids["consumer.one-off.0"]


async def test_a_frozen_member_is_replaced(settings: Settings, namespace: str, runtime: Runtime) -> None:
    pids = await up(settings, namespace)
    frozen = pids["consumer.one-off.0"]
    os.kill(frozen, signal.SIGSTOP)
    try:
        successor = await eventually(lambda: active("consumer.one-off.0", namespace), every_s=0.5)
        assert successor != frozen
        await effect_of(runtime, "after the freeze")
        await eventually(lambda: not psutil.pid_exists(frozen))
    finally:
        if psutil.pid_exists(frozen):
            os.kill(frozen, signal.SIGKILL)


async def test_cold_start_from_the_database_alone(settings: Settings, namespace: str, runtime: Runtime) -> None:
    await up(settings, namespace)
    await effect_of(runtime, "before")
    for name in sorted(actor_names(namespace), reverse=True):  # the supervisor first
        kill(name, namespace)
    await eventually(lambda: actor_names(namespace) == [])
    await runtime.queue.enqueue(NewJob("test.effect", Effect("while nobody lived")))

    ensure_supervisor(settings, namespace)

    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) = 2 FROM effect"))
    await eventually(lambda: sorted(actor_names(namespace)) == WANTED)


async def test_a_lag_grows_the_pool_and_quiet_shrinks_it(settings: Settings, namespace: str, runtime: Runtime) -> None:
    bounds = {**settings.pools, "consumer.one-off": PoolSettings(min=1, max=2, concurrency=1, target_lag_s=0.2)}
    settings = settings.model_copy(update={"pools": bounds})
    await up(settings, namespace)
    slow = [NewJob("test.slow", {"seconds": 0.2}) for _ in range(40)]
    await runtime.queue.enqueue_many(slow)
    await eventually(lambda: "consumer.one-off.1" in actor_names(namespace))
    await eventually(lambda: runtime.database.fetch_value("SELECT count(*) = 40 FROM job_run WHERE outcome = 0"))
    await eventually(lambda: sorted(actor_names(namespace)) == WANTED)


async def test_no_secret_is_in_what_ray_writes_down(settings: Settings, namespace: str) -> None:
    await up(settings, namespace)
    secret = settings.secrets.keys["k1"].get_secret_value().encode()
    session = Path(ray.worker._global_node.get_session_dir_path())
    written = [path for path in session.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path.name for path in written if secret in path.read_bytes()] == []


async def test_drain_lets_everything_leave(settings: Settings, namespace: str, runtime: Runtime) -> None:
    pids = await up(settings, namespace)
    await effect_of(runtime, "before")
    assert drain_supervisor(10, namespace) == ()
    assert actor_names(namespace) == []
    await eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids.values()))
    assert await runtime.database.fetch_value("SELECT count(*) FROM worker") == 0
    assert await runtime.database.fetch_value("SELECT count(*) FROM leader WHERE holder IS NOT NULL") == 0
    assert drain_supervisor(10, namespace) == ()
