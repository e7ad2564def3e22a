"""The embedded server: what survives, who gets in, what is refused with which sentence."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from sync.base.errors import ConfigurationError
from sync.store.embedded import EmbeddedPostgres

OWNER = """
import sys
from pathlib import Path
from sync.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"})
server.start()
print("started", flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "var", {"fsync": "off", "shared_buffers": "16MB"})
    yield server
    server.stop()


def owner_of(home: Path) -> subprocess.Popen[str]:
    """Another process that runs the server of `home` until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "started\n"
    return process


def test_data_survive_a_restart(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.stop()
    assert server.url() is None
    url = server.start()
    assert server.url() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert connection.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = 'sync'").fetchone() == (
            "sync",
            False,
        )


def test_settings_and_options_reach_the_server(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.start()) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("max_wal_size", "jit", "shared_buffers", "listen_addresses")
        }
    assert shown == {"max_wal_size": ("4GB",), "jit": ("off",), "shared_buffers": ("16MB",), "listen_addresses": ("",)}


def test_no_port_and_no_way_in_for_other_accounts(server: EmbeddedPostgres) -> None:
    server.start()
    family = {server.pid, *(child.pid for child in psutil.Process(server.pid).children())}
    assert [socket for socket in psutil.net_connections("inet") if socket.pid in family] == []
    sockets = list(server.data.glob(".s.PGSQL.*[0-9]"))
    assert len(sockets) == 1
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    # The rule itself, not only the directory: an account that is in no mapping is refused.
    with psycopg.connect(server.url_of("postgres", role="postgres")) as connection:
        rules = connection.execute("SELECT type, auth_method FROM pg_hba_file_rules").fetchall()
        mapped = connection.execute("SELECT sys_name FROM pg_ident_file_mappings").fetchall()
    assert rules == [("local", "peer")]
    assert {name for (name,) in mapped} <= {"root", psutil.Process(server.pid).username()}


@pytest.mark.skipif(os.geteuid() != 0, reason="switching accounts needs root")
def test_as_root_the_server_is_an_ordinary_user_that_may_pass_private_directories(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "var", {"fsync": "off"})
    try:
        server.start()
        assert psutil.Process(server.pid).uids().real != 0
    finally:
        server.stop()
    assert not private.stat().st_mode & stat.S_IROTH


def test_a_long_home_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("x" * 100) / "var", {"fsync": "off"})
    try:
        url = server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert str(tmp_path) not in url
    finally:
        server.stop()


def test_a_second_owner_is_refused(server: EmbeddedPostgres) -> None:
    other = owner_of(server.home)
    try:
        with pytest.raises(ConfigurationError, match=f"already run by process {other.pid}"):
            server.start()
        assert server.url() is not None
    finally:
        other.communicate()
    assert server.url() is None


def test_the_server_of_a_killed_owner_does_not_block_the_next_start(server: EmbeddedPostgres) -> None:
    other = owner_of(server.home)
    orphan = server.pid
    other.kill()
    other.communicate()
    assert psutil.pid_exists(orphan)
    with psycopg.connect(server.start()) as connection:
        connection.execute("SELECT 1")
    assert server.pid != orphan
    assert not psutil.pid_exists(orphan)


def test_a_killed_server_recovers_and_a_stale_status_file_is_no_obstacle(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        os.kill(server.pid, signal.SIGKILL)
    server._process.wait()  # type: ignore[union-attr]
    assert not server.running()
    server.stop()
    status = server.data / "postmaster.pid"
    lines = status.read_text().splitlines()
    status.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")  # the number belongs to somebody else by now
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_data_of_another_version_are_refused_untouched(server: EmbeddedPostgres) -> None:
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match=r"written by PostgreSQL 16.*pg_upgrade"):
        server.start()
    assert [path.name for path in server.data.iterdir()] == ["PG_VERSION"]


def test_an_interrupted_creation_is_started_over(server: EmbeddedPostgres) -> None:
    (server.home / "postgres.new").mkdir(parents=True)
    (server.home / "postgres.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert not (server.home / "postgres.new").exists()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "var", {"fsync": "off", "shared_buffers": "1kB"})
    with pytest.raises(ConfigurationError, match=r"shared_buffers"):
        server.start()
    assert server.pid is None
