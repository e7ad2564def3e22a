"""Real services for tests, started once per session on free ports and ended by the process that started them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sync.store.embedded import EmbeddedPostgres
from sync.store.migrate import upgrade

TEST_SERVER = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "shared_buffers": "128MB"}
"""Safe settings for data nobody needs tomorrow. Tests that kill the server start one of their own, with fsync on."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing(service: str, how: str) -> None:
    """Skip at the desk, fail in CI: there, a service that is not installed is a defect."""
    message = f"{service} is not installed: {how}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class PostgresServer:
    """One server with a migrated template, from which every test gets a database of its own."""

    def __init__(self, url: str) -> None:
        self._base = conninfo_to_dict(url)
        self._template: str | None = None

    def url(self, database: str) -> str:
        parts = {**self._base, "dbname": database}
        host = str(parts.get("host", "127.0.0.1"))
        if host.startswith("/"):
            return f"postgresql://{parts['user']}@/{database}?host={host}"
        password = f":{parts['password']}" if parts.get("password") else ""
        return f"postgresql://{parts['user']}{password}@{host}:{parts.get('port', 5432)}/{database}"

    def create(self, *, migrated: bool = True) -> str:
        """A fresh database; returns its URL."""
        template = self._migrated_template() if migrated else "template1"
        name = f"t_{uuid.uuid4().hex[:12]}"
        self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop(self, url: str) -> None:
        name = str(conninfo_to_dict(url)["dbname"])
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        for attempt in range(50):
            try:
                return self._admin(statement)
            except psycopg.errors.InsufficientPrivilege:
                # An autovacuum worker is in there: only a superuser may end it, but it ends soon.
                if attempt == 49:
                    raise
                time.sleep(0.1)

    def close(self) -> None:
        if self._template is not None:
            self.drop(self.url(self._template))

    def _migrated_template(self) -> str:
        if self._template is None:
            name = f"template_{uuid.uuid4().hex[:12]}"
            self._admin(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            upgrade(self.url(name))
            self._template = name
        return self._template

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(make_conninfo(**self._base), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(home: Path) -> Iterator[PostgresServer]:
    """The server named by SYNC_TEST_PG_URL (a role that may create databases), or an embedded one under `home`."""
    external = os.environ.get("SYNC_TEST_PG_URL")
    if external:
        server = PostgresServer(external)
        yield server
        server.close()
        return
    embedded = EmbeddedPostgres(home, TEST_SERVER)
    url = embedded.start()
    try:
        yield PostgresServer(url)
    finally:
        embedded.stop(immediate=True)


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    """A Redis on a free port; its URL."""
    external = os.environ.get("SYNC_TEST_REDIS_URL")
    if external:
        yield external
        return
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server", "apt-get install redis-server, or set SYNC_TEST_REDIS_URL")
    port = free_port()
    command = [
        str(program),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(home),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _until_open(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _until_open(port: int, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"Nothing listens on port {port} after {timeout_s} s.")
