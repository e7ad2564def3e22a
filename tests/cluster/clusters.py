"""Ray clusters for tests: one at a time, since a process can be connected to one only."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

SYNC_SLOTS = 4
OBJECT_STORE_BYTES = 80 * 1024**2

FAST_HEALTH_CHECKS: Mapping[str, Any] = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
"""A lost node is noticed within about 3 s, instead of a minute."""


class Clusters:
    """Keeps the cluster that the last test used, for the next one that wants the same."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._folder: Path | None = None
        self._cluster: Cluster | None = None

    def single(self) -> None:
        if self._kind == "single":
            return
        self._begin("single")
        ray.init(
            address="local",
            num_cpus=8,
            resources={"sync_slot": SYNC_SLOTS},
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            namespace="tests",
            _temp_dir=str(self._folder),
        )

    def pair(self) -> Cluster:
        """A head and a second node, with room for one sync each. Always a fresh one: tests break it."""
        self._begin("pair")
        node = {"num_cpus": 4, "resources": {"sync_slot": 1}, "object_store_memory": OBJECT_STORE_BYTES}
        head = {**node, "include_dashboard": False, "temp_dir": str(self._folder), "_system_config": FAST_HEALTH_CHECKS}
        with pytest.MonkeyPatch.context() as environment:
            # Where `Cluster` notes the address for everybody's `ray.init()`.
            environment.setenv("RAY_TMPDIR", str(self._folder))
            (self._folder / "ray").mkdir()
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._cluster.add_node(**node)
        ray.init(address=self._cluster.address, log_to_driver=False, namespace="tests")
        self._cluster.wait_for_nodes()
        return self._cluster

    def stop(self) -> None:
        ray.shutdown()
        if self._cluster is not None:
            self._cluster.shutdown()
            self._cluster = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._kind = None

    def _begin(self, kind: str) -> None:
        self.stop()
        # Ray puts sockets below this folder, so its path must stay short.
        self._folder = Path(tempfile.mkdtemp(prefix="sy", dir="/tmp"))
        self._kind = kind
