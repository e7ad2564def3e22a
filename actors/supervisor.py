"""The supervisor as an actor, and the one call that starts everything: `ensure_supervisor`."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import psycopg
import ray
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayActorError

from actors.base import HostActor, control
from actors.create import create_supervisor
from actors.names import NAMESPACE, SUPERVISOR, pool_member
from sync.base.logs import get_logger
from sync.base.settings import Settings
from sync.supervision.model import Who
from sync.supervision.pools import POOLS, bounds

if TYPE_CHECKING:
    from sync.supervision.supervisor import Supervisor, SupervisorInfo
    from sync.wiring import Runtime

log = get_logger(__name__)

START_TIMEOUT_S = 30.0
POOLS_TIMEOUT_S = 60.0


class SupervisorActor(HostActor):
    """Hosts the `Supervisor`. Restarted for ever; a restart, or a second one, goes on from what it finds."""

    def __init__(self, settings: Settings, name: str, namespace: str) -> None:
        self._supervisor: Supervisor | None = None
        super().__init__(settings, name, namespace)

    @control
    async def info(self) -> SupervisorInfo | None:
        """None until it has reached the database."""
        return None if self._supervisor is None else self._supervisor.info()

    @control
    async def drain(self, timeout_s: float) -> tuple[Who, ...]:
        """Let every actor finish and leave; who had to be killed. The supervisor itself stays, idle, to say so."""
        if self._supervisor is None:
            return ()
        return await self._on_main(self._supervisor.drain(timeout_s))

    async def _serve(self, runtime: Runtime) -> None:
        from actors.fleet import RayFleet
        from sync.jobs.rescue import Rescuer
        from sync.pull.runs import SyncRuns
        from sync.supervision.supervisor import Supervisor
        from sync.supervision.work import DatabaseWork

        work = DatabaseWork(
            runtime.database,
            SyncRuns(runtime.database, runtime.signals),
            Rescuer(runtime.database, runtime.signals, self.settings.queue),
        )
        supervisor = self._supervisor = Supervisor(RayFleet(self.settings, self.namespace), work, self.settings)
        unsubscribe = runtime.signals.subscribe("sync", lambda _items: supervisor.wake_syncs())
        try:
            await supervisor.run()
        finally:
            unsubscribe()

    async def _stop(self, timeout_s: float) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()


def ensure_supervisor(settings: Settings, namespace: str = NAMESPACE) -> None:
    """Have a supervisor in this cluster; it brings everything else into being, from the database alone.

    Idempotent, also from several processes at once. Blocks for a second: from an event loop call it in a thread.
    """
    try:
        supervisor = create_supervisor(settings, namespace)
        # An actor whose creator ends before it was placed is lost, so a short-lived caller has to see it live.
        ray.get(supervisor.ping.remote(), timeout=START_TIMEOUT_S)
    except ActorAlreadyExistsError:
        return
    except GetTimeoutError:
        log.warning("supervisor.waits_for_a_place", timeout_s=START_TIMEOUT_S)


def wait_for_pools(settings: Settings, namespace: str = NAMESPACE, timeout_s: float = POOLS_TIMEOUT_S) -> None:
    """Until every pool has the members that it has at least, each at work. Blocks.

    After `timeout_s` it returns all the same: they are the supervisor's business, and `syncctl status` tells.
    """
    missing = [pool_member(pool, index) for pool in POOLS for index in range(bounds(settings, pool).min)]
    deadline = time.monotonic() + timeout_s
    while missing := _not_at_work(missing, settings, namespace):
        if time.monotonic() > deadline:
            log.warning("supervisor.pools_not_complete", missing=missing)
            return
        time.sleep(0.1)


def _not_at_work(names: Collection[str], settings: Settings, namespace: str) -> list[str]:
    assert settings.store.url is not None
    with psycopg.connect(settings.store.url.get_secret_value(), autocommit=True) as connection:
        signed_on = {name for (name,) in connection.execute("SELECT name FROM worker")}
    return [name for name in names if name not in signed_on and not _rests(name, namespace)]


def _rests(name: str, namespace: str) -> bool:
    """Whether it is there and has nothing to work for."""
    try:
        pulse = ray.get(ray.get_actor(name, namespace).ping.remote(), timeout=2.0)
    except (ValueError, RayActorError, GetTimeoutError):
        return False
    return bool(pulse.state == "without kinds")


def drain_supervisor(timeout_s: float, namespace: str = NAMESPACE) -> tuple[Who, ...]:
    """Stop creating, let all actors finish and leave, then the supervisor too; who had to be killed. Blocks."""
    try:
        supervisor = ray.get_actor(SUPERVISOR, namespace)
    except ValueError:
        return ()
    stayed: tuple[Who, ...] = ()
    try:
        stayed = ray.get(supervisor.drain.remote(timeout_s), timeout=2 * timeout_s + 30)
        ray.get(supervisor.retire.remote(5.0), timeout=10)
    except RayActorError:
        pass  # that is how leaving looks
    except GetTimeoutError:
        log.warning("supervisor.drain_timed_out", timeout_s=timeout_s)
        ray.kill(supervisor)
    return stayed
