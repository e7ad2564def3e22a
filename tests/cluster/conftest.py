"""One small Ray for the whole session; a namespace and a database of its own for each test."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

# Read by Ray when it is imported, and by the processes it starts.
os.environ.update(
    RAY_AUTH_MODE="disabled",
    RAY_DEDUP_LOGS="0",
    RAY_worker_niceness="0",
    RAY_usage_stats_enabled="0",
    RAY_memory_monitor_refresh_ms="0",
    PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
)

import psycopg
import pytest
import ray
from pydantic import SecretStr

from sync.base.sealing import new_key
from sync.base.settings import (
    PoolSettings,
    QueueSettings,
    SecretsSettings,
    Settings,
    StoreSettings,
    SupervisorSettings,
    SyncSettings,
)
from sync.supervision.pools import POOLS
from sync.wiring import Runtime, open_runtime
from tests.cluster.clusters import Clusters
from tests.cluster.helpers import actor_names, kill, worker_logs
from tests.cluster.plugin import TABLES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            # Ray leaves sockets and files to the garbage collector.
            for category in ("ResourceWarning", "DeprecationWarning", "FutureWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A failed test shows what its actors logged."""
    report = yield
    if report.when == "call" and report.failed and ray.is_initialized():
        report.sections.append(("Actors", worker_logs(since=call.start)))
    return report


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    running = Clusters()
    yield running
    running.stop()


@pytest.fixture
def local_ray(clusters: Clusters) -> None:
    """One node, shared by all tests that ask for it."""
    clusters.single()


@pytest.fixture
def namespace(local_ray: None) -> Iterator[str]:
    """Actors created here are killed at the end, the supervisor first so that it brings none back."""
    space = f"t-{uuid4().hex[:8]}"
    yield space
    for _ in range(50):
        names = sorted(actor_names(space), key=lambda name: name != "supervisor")
        if not names:
            return
        for name in names:
            kill(name, space)
        time.sleep(0.1)
    raise AssertionError(f"actors that cannot be killed: {actor_names(space)}")


@pytest.fixture
def settings(pg_url: str, tmp_path: Path) -> Settings:
    """Impatient: everything that takes seconds in production takes tenths here. Only the one-off pool has members."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute(TABLES)
    return Settings(
        home=tmp_path,
        store=StoreSettings(url=SecretStr(pg_url), pool_size=4),
        queue=QueueSettings(poll_s=0.1, heartbeat_s=0.3, worker_timeout_s=1.5, rescue_every_s=0.3),
        pools={pool: PoolSettings(min=int(pool == "consumer.one-off"), max=1) for pool in POOLS},
        sync=SyncSettings(lease_ttl_s=3.0, idle_exit_s=60.0),
        supervisor=SupervisorSettings(
            members_every_s=0.3,
            schedulers_every_s=0.3,
            syncs_every_s=0.2,
            recover_every_s=0.5,
            ping_every_s=0.5,
            ping_timeout_s=2.0,
            shrink_after_s=1.0,
        ),
        secrets=SecretsSettings(keys={"k1": SecretStr(new_key())}, current="k1"),
        plugins=("tests.cluster.plugin",),
    )


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """The test's own way into the system."""
    async with open_runtime(settings, application="test") as opened:
        yield opened
