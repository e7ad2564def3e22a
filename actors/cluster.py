"""A Ray cluster of one machine, with Serve in front: started, looked after and stopped by the process that calls."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray._private.node import Node
from ray._private.parameter import RayParams

from actors import leftovers
from actors.environment import LOOPBACK
from actors.names import NAMESPACE
from sync.base.errors import ConfigurationError
from sync.base.settings import Settings

if TYPE_CHECKING:
    from ray.serve import Application

APPLICATION = "sync"
_SESSIONS_KEPT = 3
_MEGABYTE = 1024 * 1024


class LocalCluster:
    """The head node and our connection to it. `actors.environment.prepare` has to come first."""

    def __init__(self, run_directory: Path, node: Node) -> None:
        self._run_directory = run_directory
        self._node = node
        self._serving = False

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
        return not self._node.dead_processes()

    def serve(self, application: Application, settings: Settings) -> None:
        """Serve the application on the port of the settings; returns when its replicas are ready."""
        from ray import serve
        from ray.serve.config import HTTPOptions

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        self._serving = True
        serve.start(
            proxy_location="HeadOnly", http_options=HTTPOptions(host=settings.http.host, port=settings.http.port)
        )
        serve.run(application, name=APPLICATION, route_prefix="/")

    def stop_serving(self) -> None:
        """Take no new requests and let those under way finish."""
        from ray import serve

        if self._serving and self.alive():
            self._serving = False
            serve.delete(APPLICATION)

    def stop(self) -> None:
        """End everything, also what does not listen."""
        # Not serve.shutdown(): it waits for a controller that is about to go anyway, and complains when that is gone.
        ray.shutdown()
        self._node.kill_all_processes(check_alive=False, allow_graceful=True, wait=False)
        leftovers.end(self._run_directory)


def start_local(settings: Settings, run_directory: Path) -> LocalCluster:
    """Start a head node on loopback and connect to it. Errors: ConfigurationError, with nothing left running."""
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
        node = Node(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True)
    except BaseException as error:
        leftovers.end(run_directory)
        if not isinstance(error, Exception):
            raise
        raise ConfigurationError(f"Ray did not start: {error} (logs below {sessions})") from error
    cluster = LocalCluster(run_directory, node)
    try:
        ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def actors_alive() -> list[dict[str, Any]]:
    """The named actors of Sync, for the status of `syncctl`."""
    return [row for row in ray.util.list_named_actors(True) if row["namespace"] == NAMESPACE]


def _forget_old(sessions: Path) -> None:
    """Ray keeps the logs of every session for ever; the last few are enough."""
    found = sorted(sessions.glob("session_2*"))
    for session in found[:-_SESSIONS_KEPT]:
        shutil.rmtree(session, ignore_errors=True)
