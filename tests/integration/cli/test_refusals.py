"""Starts that cannot succeed: one sentence that says what to do, an exit code, and nothing left over."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import psycopg
from psycopg import sql

from actors import leftovers
from sync.store.embedded import EmbeddedPostgres
from tests.services import free_port
from tests.syncctl import Syncctl


def refused(syncctl: Syncctl, **environment: str) -> str:
    """Run `up`, which has to fail; what it said. Checks that nothing stayed behind."""
    done = syncctl("up", **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert syncctl.home.owner() is None
    assert leftovers.processes(syncctl.home.run_directory) == []
    assert EmbeddedPostgres(syncctl.home.path).pid is None
    return done.stderr


def test_a_taken_port(syncctl: Syncctl) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", syncctl.port))
        other.listen()
        said = refused(syncctl)
    assert f"Port {syncctl.port} is taken by process {os.getpid()} " in said
    assert "SYNC_HTTP__PORT" in said


def test_another_up_of_the_same_home(syncctl: Syncctl) -> None:
    with syncctl.home.locked():
        done = syncctl("up")
        assert done.returncode == 1
        assert f"already runs from {syncctl.home.path} (process {os.getpid()})" in done.stderr
        detached = syncctl("up", "--detach")
        assert detached.returncode == 1
        assert "already runs" in detached.stderr


def test_data_of_another_version(syncctl: Syncctl) -> None:
    (syncctl.home.path / "postgres").mkdir(parents=True)
    (syncctl.home.path / "postgres" / "PG_VERSION").write_text("16\n")
    assert "was written by PostgreSQL 16" in refused(syncctl)


def test_an_unreachable_database(syncctl: Syncctl) -> None:
    port = free_port()
    said = refused(syncctl, SYNC_STORE__URL=f"postgresql://someone:pa55word@127.0.0.1:{port}/sync")
    assert f"PostgreSQL at 127.0.0.1:{port} (SYNC_STORE__URL) cannot be used" in said
    assert "pa55word" not in said


def test_an_address_that_is_none(syncctl: Syncctl) -> None:
    assert "SYNC_STORE__URL is not a PostgreSQL address" in refused(syncctl, SYNC_STORE__URL="mysql://nope")


def test_a_pooler_that_refuses_start_up_options(syncctl: Syncctl) -> None:
    fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields

    def pooler() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while (asked := client.recv(4096)) and len(asked) == 8:  # for encryption
                    client.sendall(b"N")
                client.sendall(refusal)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=pooler, daemon=True)
        thread.start()
        said = refused(syncctl, SYNC_STORE__URL=f"postgresql://u:p@127.0.0.1:{listener.getsockname()[1]}/db")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert "it needs ignore_startup_parameters = options." in said


def test_a_cluster_that_runs_already(syncctl: Syncctl) -> None:
    said = refused(syncctl, SYNC_RAY__ADDRESS="10.0.0.1:6379")
    assert "SYNC_RAY__ADDRESS names a cluster at 10.0.0.1:6379" in said
    assert "Unset it." in said


def test_a_role_without_the_right_to_create(syncctl: Syncctl, tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "other", {"fsync": "off"})
    server.start()
    try:
        with psycopg.connect(server.url_of("sync", role="postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER SCHEMA public OWNER TO postgres"))
            admin.execute(sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            admin.execute(sql.SQL("ALTER DATABASE sync OWNER TO postgres"))
        said = refused(syncctl, SYNC_STORE__URL=server.url_of())
    finally:
        server.stop()
    assert "Role sync may not create tables in database sync: GRANT CREATE, USAGE ON SCHEMA public TO sync;" in said


def test_too_little_memory(syncctl: Syncctl) -> None:
    said = refused(syncctl, SYNC_RAY__MIN_FREE_MB="100000000")
    assert "Sync wants 100,000,000" in said
    assert "SYNC_RAY__MIN_FREE_MB" in said


def test_a_home_that_cannot_be(syncctl: Syncctl, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = syncctl("up", SYNC_HOME=str(tmp_path / "file" / "var"))
    assert done.returncode == 1
    assert "Set SYNC_HOME to a directory that you may write to" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_without_rights(syncctl: Syncctl, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    done = syncctl("up", SYNC_HOME=str(closed / "var"), ordinary=True)
    assert done.returncode == 1
    assert "Set SYNC_HOME to a directory that you may write to" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(closed.iterdir()) == []


def test_redis_that_does_not_answer(syncctl: Syncctl) -> None:
    assert "Redis (SYNC_REDIS__URL) cannot be used" in refused(
        syncctl, SYNC_REDIS__URL=f"redis://127.0.0.1:{free_port()}"
    )


def test_a_wrong_setting_is_named(syncctl: Syncctl) -> None:
    done = syncctl("up", SYNC_STORE__POOL_SIZE="0")
    assert done.returncode == 1
    assert "SYNC_STORE__POOL_SIZE: Input should be greater than or equal to 1" in done.stderr
    assert not syncctl.home.path.exists()


def test_several_problems_are_told_at_once(syncctl: Syncctl) -> None:
    said = refused(syncctl, SYNC_RAY__MIN_FREE_MB="100000000", SYNC_REDIS__URL=f"redis://127.0.0.1:{free_port()}")
    assert len(said.splitlines()) == 2


def test_a_detached_start_passes_the_reason_on(syncctl: Syncctl) -> None:
    done = syncctl("up", "--detach", "--wait", SYNC_RAY__MIN_FREE_MB="100000000")
    assert done.returncode == 1
    assert "It did not start: Only" in done.stderr
