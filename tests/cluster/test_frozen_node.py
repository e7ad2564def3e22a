"""Promise 2: a frozen actor that wakes after its lease has run out writes nothing, and ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.supervisor import ensure_supervisor
from sync.base.settings import PoolSettings, Settings
from sync.supervision.pools import POOLS
from sync.wiring import Runtime
from tests.cluster.clusters import Clusters
from tests.cluster.helpers import actor_names, ask, eventually, pid_of
from tests.cluster.office import MAILS, Office

SYNC = "sync:acme:staged"


@pytest.fixture
def pair(clusters: Clusters) -> Iterator[Cluster]:
    """Two nodes; what was frozen is ended at the end, whatever became of the test."""
    yield clusters.pair()
    clusters.stop()


@pytest.fixture
def local_ray(pair: Cluster) -> None:
    """The namespace of these tests lives in the pair."""


class Frozen:
    """Processes stopped in mid-flight."""

    def __init__(self) -> None:
        self._stopped: list[psutil.Process] = []

    def freeze(self, *pids: int) -> None:
        for pid in pids:
            self._stopped.append(psutil.Process(pid))
            os.kill(pid, signal.SIGSTOP)

    def wake(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        for process in self._stopped:
            if process.is_running():
                process.kill()


@pytest.fixture
def frozen() -> Iterator[Frozen]:
    frozen = Frozen()
    yield frozen
    frozen.end()


@ray.remote(num_cpus=0, resources={"sync_slot": 1})
class Occupant:
    """Takes the place for syncs on its node."""

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def occupy(cluster: Cluster) -> Any:
    affinity = NodeAffinitySchedulingStrategy(cluster.head_node.node_id, soft=False)
    occupant = Occupant.options(scheduling_strategy=affinity).remote()
    ray.get(occupant.node.remote(), timeout=30)
    return occupant


def gone(pid: int) -> bool:
    """Ended; its parent may be frozen and not have noticed yet."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.timeout(180)
async def test_a_frozen_sync_that_wakes_after_its_lease_writes_nothing_and_ends(
    pair: Cluster, settings: Settings, namespace: str, runtime: Runtime, tmp_path: Path, frozen: Frozen
) -> None:
    settings = settings.model_copy(update={"pools": {pool: PoolSettings(min=0, max=1) for pool in POOLS}})
    office = Office(runtime, tmp_path)
    await office.connect()
    door = office.shut(3)
    occupant = occupy(pair)
    ensure_supervisor(settings, namespace)
    run_id = await office.trigger()
    (old,) = await eventually(lambda: office.at(3))
    await eventually(lambda: office.stored(20))
    (other_node,) = pair.worker_nodes
    raylet = other_node.all_processes["raylet"][0].process.pid
    assert psutil.Process(old).ppid() == raylet
    ray.kill(occupant)

    frozen.freeze(raylet, old)

    # The node is declared dead, the name is free, the lease runs out: another takes over.
    (new,) = await eventually(lambda: office.at(3) - {old}, within_s=60)
    assert psutil.Process(old).status() == psutil.STATUS_STOPPED
    assert pid_of(SYNC, namespace) == new
    assert await epochs(runtime) == (2, 2)
    (tmp_path / f"pass-{old}").touch()  # its page is ready to be written as soon as it wakes
    frozen.wake(old)

    await eventually(lambda: gone(old))
    assert await office.counts() == (20, 20)
    assert await epochs(runtime) == (2, 2)
    assert pid_of(SYNC, namespace) == new
    door.unlink()
    await eventually(lambda: office.done(run_id))
    assert await office.counts() == (MAILS, MAILS)
    assert SYNC in actor_names(namespace)


async def test_two_nodes_get_a_scheduler_each(pair: Cluster, settings: Settings, namespace: str) -> None:
    ensure_supervisor(settings, namespace)
    seats = ("scheduler.a", "scheduler.b")
    await eventually(lambda: set(seats) <= set(actor_names(namespace)))
    pulses = [await eventually(lambda s=seat: ask(s, namespace, "ping")) for seat in seats]  # type: ignore[misc]
    nodes = {pulse.node for pulse in pulses}
    assert len(nodes) == 2


async def epochs(runtime: Runtime) -> tuple[int, int]:
    """Of the lease, and of the run under way."""
    row = await runtime.database.fetch_one("SELECT l.epoch, r.epoch AS run FROM sync_lease l, sync_run r")
    assert row is not None
    return row["epoch"], row["run"]
