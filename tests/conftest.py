"""Fixtures that every test may use. Unit and property tests get no sockets and no Ray."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sync.base.settings import StoreSettings
from sync.store.engine import Database
from tests.services import PostgresServer, postgres_server, redis_server

# Ray reads these when it is imported; workers inherit them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_ISOLATED = ("unit", "properties")


@pytest.fixture(autouse=True)
def _no_outside_world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that opens a socket or starts Ray is not one."""
    folder = Path(request.node.path).relative_to(Path(__file__).parent).parts[0]
    if folder not in _ISOLATED:
        return

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("Unit tests have no network: move this one to tests/integration.")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not below pytest's own folder: every pytest that starts closes that one to other accounts, such as the server's.
    with tempfile.TemporaryDirectory(prefix="sync-pg-") as home, postgres_server(Path(home)) as server:
        yield server


@pytest.fixture
def pg_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, migrated database."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
async def db(pg_url: str) -> AsyncIterator[Database]:
    async with Database(pg_url, StoreSettings(), application="test", pool_size=8) as database:
        yield database


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url
