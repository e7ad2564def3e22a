"""What has to be true of this machine and its servers, each as a check whose problem says what to do.

`syncctl doctor` runs all of them; `syncctl up` runs those that would stop it, before it starts anything.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from sync.base.errors import ConfigurationError
from sync.base.settings import Settings
from sync.cli.home import Home
from sync.store.embedded import EmbeddedPostgres

OLDEST_POSTGRES = 15
OLDEST_REDIS = (6, 2)
MIN_DISK_MB = 1000
MAX_SKEW_S = 2.0
MIN_OPEN_FILES = 4096
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Check:
    name: str
    detail: str = ""
    problem: str | None = None


def everything(settings: Settings, home: Home) -> list[Check]:
    """All checks, in the order in which a failed one explains those after it."""
    state = home.read_state()
    return [
        _of("python", python_problem(), ".".join(map(str, sys.version_info[:3]))),
        _of("home", home_problem(home), str(home.path)),
        _of("disk", disk_problem(home), f"{_free_disk_mb(home.path):,.0f} MB free"),
        _of("open files", open_files_problem(), str(_open_files())),
        _of("memory", None if state else memory_problem(settings), f"{free_memory_mb():,.0f} MB free"),
        _of("ray", cluster_problem(settings), "a cluster of its own"),
        _of("ports", None if state else ports_problem(settings), "ours" if state else _ports_text(settings)),
        *_store_checks(settings, home),
        _of("redis", redis_problem(settings), "reachable" if settings.redis.url else "not configured, not needed"),
    ]


def before_start(settings: Settings, home: Home) -> None:
    """Errors: ConfigurationError with every problem that would stop a start."""
    problems = [python_problem(), home_problem(home), disk_problem(home), memory_problem(settings)]
    problems += [ports_problem(settings), redis_problem(settings), cluster_problem(settings)]
    if settings.store.url is None:
        problems.append(EmbeddedPostgres(home.path).version_problem())
    else:
        problems.append(store_problem(settings))
    if found := [problem for problem in problems if problem]:
        raise ConfigurationError("\nsyncctl: ".join(found))


def python_problem() -> str | None:
    if (3, 11) <= sys.version_info < (3, 14):
        return None
    return f"Python {sys.version.split()[0]} is not supported: use 3.11, 3.12 or 3.13."


def home_problem(home: Home) -> str | None:
    """Whether SYNC_HOME can be made and written to, without making it."""
    existing = next(path for path in (home.path, *home.path.parents) if path.exists())
    if not existing.is_dir():
        return f"{existing} is not a directory. Set SYNC_HOME to a directory that you may write to."
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable. Set SYNC_HOME to a directory that you may write to."
    return None


def disk_problem(home: Home) -> str | None:
    free = _free_disk_mb(home.path)
    if free >= MIN_DISK_MB:
        return None
    return (
        f"Only {free:,.0f} MB are free on the disk of {home.path}; Sync wants {MIN_DISK_MB:,}. "
        "Free some, or move SYNC_HOME."
    )


def open_files_problem() -> str | None:
    limit = _open_files()
    if limit >= MIN_OPEN_FILES:
        return None
    return f"A process may open only {limit} files; Ray wants {MIN_OPEN_FILES}. Raise it: ulimit -n 65536."


def memory_problem(settings: Settings) -> str | None:
    free, wanted = free_memory_mb(), settings.ray.min_free_mb
    if free >= wanted:
        return None
    return (
        f"Only {free:,.0f} MB of memory are free and Sync wants {wanted:,}. End other programs, give the machine "
        "(or its container) more, or lower SYNC_RAY__MIN_FREE_MB if you know better."
    )


def free_memory_mb(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """What may still be used: of the machine or, in a container, of its limit."""
    available = float(psutil.virtual_memory().available)
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        available = min(available, limit - used + int(statistics.get("inactive_file", 0)))
    except (OSError, ValueError):
        pass  # no limit ("max"), or no cgroup v2
    return available / _MEGABYTE


def cluster_problem(settings: Settings) -> str | None:
    if settings.ray.address is None:
        return None
    return (
        f"SYNC_RAY__ADDRESS names a cluster at {settings.ray.address}, but `syncctl up` starts a Ray of this machine "
        "alone and joins none. Unset it."
    )


def ports_problem(settings: Settings) -> str | None:
    found = [
        _port_problem(settings.http.host, settings.http.port, "SYNC_HTTP__PORT"),
        _port_problem("127.0.0.1", settings.ray.dashboard_port, "SYNC_RAY__DASHBOARD_PORT"),
    ]
    return " ".join(filter(None, found)) or None


def store_problem(settings: Settings) -> str | None:
    """Whether the PostgreSQL of SYNC_STORE__URL can be reached, is new enough and lets us work."""
    assert settings.store.url is not None
    url = settings.store.url.get_secret_value()
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "SYNC_STORE__URL is not a PostgreSQL address: postgresql://user:password@host:5432/database"
    place = f"PostgreSQL at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
    timeout_s = int(settings.store.connect_timeout_s)
    try:
        # With a start-up option, as every connection of Sync has.
        option = "-c statement_timeout=60000"
        with psycopg.connect(url, connect_timeout=timeout_s, autocommit=True, options=option) as connection:
            return _rights_problem(connection, place)
    except psycopg.OperationalError as error:
        if "startup parameter" in str(error):
            return (
                f"{place} is a PgBouncer that refuses start-up options: it needs ignore_startup_parameters = options."
            )
        said = str(error).strip().splitlines()[-1] if str(error).strip() else "no answer"
        return f"{place} (SYNC_STORE__URL) cannot be used: {said}. Check address, user, password and database name."


def clock_skew_s(url: str) -> float:
    """How far the clock of the database is ahead of ours."""
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        before = time.time()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        assert row is not None
        return float(row[0]) - (before + time.time()) / 2


def redis_problem(settings: Settings) -> str | None:
    if settings.redis.url is None:
        return None
    import redis

    client = redis.Redis.from_url(settings.redis.url.get_secret_value(), socket_connect_timeout=3, socket_timeout=3)
    try:
        version = str(client.info("server")["redis_version"])
    except (redis.RedisError, OSError, ValueError) as error:
        return f"Redis (SYNC_REDIS__URL) cannot be used: {error}. Start it, correct the address, or unset it."
    finally:
        client.close()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return f"Redis {version} is too old: Sync needs 6.2 or newer (or Valkey)."
    return None


def _of(name: str, problem: str | None, detail: str) -> Check:
    return Check(name, detail, problem)


def _store_checks(settings: Settings, home: Home) -> list[Check]:
    if settings.store.url is None:
        embedded = EmbeddedPostgres(home.path)
        problem, url = embedded.version_problem(), embedded.url()
        checks = [_of("postgresql", problem, "embedded, running" if url else "embedded, not running")]
    else:
        problem, url = store_problem(settings), settings.store.url.get_secret_value()
        checks = [_of("postgresql", problem, "reachable, with the needed rights")]
    if problem is None and url is not None:
        checks += [_schema_check(url), _clock_check(url)]
    return checks


def _schema_check(url: str) -> Check:
    from sync.store.migrate import is_current

    if is_current(url):
        return Check("schema", "current")
    return Check(
        "schema", problem="The database has an older schema: run `syncctl migrate` (`syncctl up` does it too)."
    )


def _clock_check(url: str) -> Check:
    skew = clock_skew_s(url)
    if abs(skew) <= MAX_SKEW_S:
        return Check("clock", f"{skew * 1000:+.0f} ms from the database's")
    problem = f"The clocks of this machine and of PostgreSQL are {abs(skew):.0f} s apart: synchronise both with NTP."
    return Check("clock", problem=problem)


def _rights_problem(connection: psycopg.Connection[tuple[object, ...]], place: str) -> str | None:
    version = connection.info.server_version // 10000
    if version < OLDEST_POSTGRES:
        return f"{place} is version {version}: Sync needs {OLDEST_POSTGRES} or newer."
    row = connection.execute(
        "SELECT current_user, current_database(), current_schema(),"
        "       coalesce(has_schema_privilege(current_schema(), 'CREATE')"
        "            AND has_schema_privilege(current_schema(), 'USAGE'), false), pg_is_in_recovery()"
    ).fetchone()
    assert row is not None
    role, database, schema, may_create, standby = row
    if standby:
        return f"{place} is a read-only standby: point SYNC_STORE__URL to the primary."
    if not may_create:
        return (
            f"Role {role} may not create tables in database {database}: "
            f"GRANT CREATE, USAGE ON SCHEMA {schema or 'public'} TO {role};"
        )
    return None


def _port_problem(host: str, port: int, setting: str) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"Port {port} is taken{_by_whom(port)}: stop that program, or set {setting} to another port."
            return f"Port {port} on {host} cannot be opened ({error.strerror}): set {setting} to another port."
    return None


def _by_whom(port: int) -> str:
    try:
        for socket_ in psutil.net_connections("inet"):
            if socket_.laddr and socket_.laddr.port == port and socket_.status == psutil.CONN_LISTEN and socket_.pid:
                return f" by process {socket_.pid} ({psutil.Process(socket_.pid).name()})"
    except psutil.Error:
        pass
    return ""


def _ports_text(settings: Settings) -> str:
    return f"{settings.http.port} and {settings.ray.dashboard_port} are free"


def _free_disk_mb(path: Path) -> float:
    existing = next(candidate for candidate in (path, *path.parents) if candidate.exists())
    return shutil.disk_usage(existing).free / _MEGABYTE


def _open_files() -> int:
    import resource

    # The hard limit: Ray raises its own soft limit up to it.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard if hard != resource.RLIM_INFINITY else 1_000_000
