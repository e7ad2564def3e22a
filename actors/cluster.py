"""The head node of a Ray cluster of one machine: started, watched and stopped by the process that calls.

That process never connects to the cluster: Ray ends a connected process when the cluster's head dies, and this one has
to live on to start another. What needs a connection is done by `actors.driver`, in processes of their own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.ray_constants import (
    PROCESS_TYPE_DASHBOARD,
    PROCESS_TYPE_GCS_SERVER,
    PROCESS_TYPE_MONITOR,
    PROCESS_TYPE_RAYLET,
)

from actors import leftovers
from actors.environment import LOOPBACK
from sync.base.errors import ConfigurationError
from sync.base.settings import Settings

_VITAL = {PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET}
_SESSIONS_KEPT = 3
_MEGABYTE = 1024 * 1024


class LocalCluster:
    """`actors.environment.prepare` has to come first."""

    def __init__(self, run_directory: Path, node: Node) -> None:
        self._run_directory = run_directory
        self._node = node

    @property
    def address(self) -> str:
        return str(self._node.gcs_address)

    @property
    def dashboard(self) -> str:
        return f"http://{self._node.webui_url}"

    @property
    def logs(self) -> Path:
        return Path(self._node.get_logs_dir_path())

    def alive(self) -> bool:
        """Whether everything a cluster cannot do without still runs."""
        return not _VITAL & self._dead()

    def heal(self) -> list[str]:
        """Start again what the cluster can spare for a while; what that was."""
        died = sorted(self._dead() - _VITAL)
        for kind in died:
            if kind == PROCESS_TYPE_DASHBOARD:
                self._node.kill_dashboard(check_alive=False)
                self._node.start_api_server(include_dashboard=True, raise_on_failure=False)
            elif kind == PROCESS_TYPE_MONITOR:
                self._node.kill_monitor(check_alive=False)
                self._node.start_monitor()
        return died

    def _dead(self) -> set[str]:
        return {kind for kind, _ in self._node.dead_processes()}

    def stop(self) -> None:
        """End everything, also what does not listen."""
        self._node.kill_all_processes(check_alive=False, allow_graceful=True, wait=False)
        leftovers.end(self._run_directory)


def start_local(settings: Settings, run_directory: Path) -> LocalCluster:
    """Start a head node on loopback. Errors: ConfigurationError, with nothing left running."""
    sessions = settings.ray.temp_dir or run_directory / "ray"
    _forget_old(sessions)
    parameters = RayParams(
        node_ip_address=LOOPBACK,
        num_cpus=settings.ray.num_cpus,
        resources={"sync_slot": settings.sync.slots},
        object_store_memory=settings.ray.object_store_mb * _MEGABYTE,
        temp_dir=str(sessions.resolve()),
        include_dashboard=True,
        dashboard_host=LOOPBACK,
        dashboard_port=settings.ray.dashboard_port,
        dashboard_agent_listen_port=0,  # its default is one fixed port, so a second cluster could not start
        include_log_monitor=False,  # sends every worker's output to drivers: 0.006 cores and 45 MB for nobody
    )
    try:
        # Its processes die with ours, by a signal of the kernel, however ours ends.
        node = Node(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True)
    except BaseException as error:
        leftovers.end(run_directory)
        if not isinstance(error, Exception):
            raise
        raise ConfigurationError(f"Ray did not start: {error} (logs below {sessions})") from error
    return LocalCluster(run_directory, node)


def _forget_old(sessions: Path) -> None:
    """Ray keeps the logs of every session for ever; the last few are enough."""
    found = sorted(sessions.glob("session_2*"))
    for session in found[:-_SESSIONS_KEPT]:
        shutil.rmtree(session, ignore_errors=True)
