"""The life of an actor process: it answers, leaves for good when asked, restarts after a crash, never hangs."""

from __future__ import annotations

from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import ActorAlreadyExistsError, RayActorError

from actors.create import CONTROL_CALLS
from sync.base.settings import Settings, SupervisorSettings
from tests.cluster.helpers import actor_names, ask, eventually, pid_of
from tests.cluster.hosts import TeasedActor

SETTINGS = Settings(supervisor=SupervisorSettings(watchdog_s=1.0))


def host(namespace: str, *, max_restarts: int) -> Any:
    remote = ray.remote(num_cpus=0, concurrency_groups={"control": CONTROL_CALLS})(TeasedActor)
    options = {"name": "teased", "namespace": namespace, "lifetime": "detached", "max_restarts": max_restarts}
    return remote.options(**options).remote(SETTINGS, "teased", namespace)


def order(what: str, namespace: str) -> None:
    """Its answer may be cut off by its own consequence."""
    ray.get_actor("teased", namespace).tell.remote(what)


async def test_a_name_admits_one(namespace: str) -> None:
    host(namespace, max_restarts=0)
    with pytest.raises(ActorAlreadyExistsError):
        host(namespace, max_restarts=0)


async def test_it_answers_while_its_loop_is_blocked_and_tells_for_how_long(namespace: str) -> None:
    host(namespace, max_restarts=0)
    await eventually(lambda: ask("teased", namespace, "ping").state == "active")
    ask("teased", namespace, "block", 0.8)
    pulse = await eventually(lambda: (pulse := ask("teased", namespace, "ping")).loop_age_s > 0.5 and pulse)
    assert pulse.state == "active"


async def test_a_loop_blocked_for_too_long_ends_the_process_and_ray_restarts_it(namespace: str) -> None:
    host(namespace, max_restarts=-1)
    pid = pid_of("teased", namespace)
    ask("teased", namespace, "block", 60)
    await eventually(lambda: not psutil.pid_exists(pid))
    assert await eventually(lambda: pid_of("teased", namespace)) != pid


async def test_a_retired_one_leaves_and_is_never_restarted(namespace: str) -> None:
    actor = host(namespace, max_restarts=-1)
    pid = pid_of("teased", namespace)
    with pytest.raises(RayActorError):
        ask("teased", namespace, "retire", 5)
    await eventually(lambda: not psutil.pid_exists(pid))
    assert actor_names(namespace) == []
    with pytest.raises(RayActorError):
        ray.get(actor.ping.remote(), timeout=5)


async def test_one_whose_work_is_over_leaves_by_itself(namespace: str) -> None:
    host(namespace, max_restarts=-1)
    pid = pid_of("teased", namespace)
    order("finish", namespace)
    await eventually(lambda: not psutil.pid_exists(pid) and actor_names(namespace) == [])


async def test_a_crash_ends_the_process_and_ray_restarts_it(namespace: str) -> None:
    host(namespace, max_restarts=-1)
    pid = pid_of("teased", namespace)
    order("crash", namespace)
    await eventually(lambda: not psutil.pid_exists(pid))
    assert await eventually(lambda: pid_of("teased", namespace)) != pid


async def test_a_lost_lease_ends_the_process_at_once(namespace: str) -> None:
    host(namespace, max_restarts=0)
    pid = pid_of("teased", namespace)
    order("lose the lease", namespace)
    await eventually(lambda: not psutil.pid_exists(pid) and actor_names(namespace) == [], within_s=3)
