"""One small Ray for the whole session; a namespace and a database of its own for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
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

import pytest
import ray

from tests.cluster.helpers import actor_names, kill

SYNC_SLOTS = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            # Ray leaves sockets and files to the garbage collector.
            for category in ("ResourceWarning", "DeprecationWarning", "FutureWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}"))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A one-node cluster. Ray puts sockets below its folder, whose path must stay short."""
    folder = Path(tempfile.mkdtemp(prefix="sy", dir="/tmp"))
    ray.init(
        num_cpus=8,
        resources={"sync_slot": SYNC_SLOTS},
        include_dashboard=False,
        object_store_memory=80 * 1024**2,
        log_to_driver=False,
        namespace="tests",
        _temp_dir=str(folder),
    )
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


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
