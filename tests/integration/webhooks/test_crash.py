"""kill -9 of the API and of PostgreSQL under load: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.fakes.hooks import harmless, send
from tests.fakes.killable import KillablePostgres, killable_postgres
from tests.integration.webhooks.conftest import DOOR
from tests.services import free_port

ROOT = Path(__file__).parents[3]
CALLERS = 8
AFTER_EACH_KILL = 60
"""Acknowledgements to see before the next thing is killed."""

pytestmark = pytest.mark.timeout(300)


class Server:
    def __init__(self, url: str) -> None:
        self.port = free_port()
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.fakes.hook_server", self._url, str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def postgres_to_kill() -> Iterator[KillablePostgres]:
    with killable_postgres() as server:
        yield server


@pytest.fixture
def server(postgres_to_kill: KillablePostgres) -> Iterator[Server]:
    one = Server(postgres_to_kill.url)
    one.start()
    yield one
    one.kill()


async def test_what_was_acknowledged_survives(postgres_to_kill: KillablePostgres, server: Server) -> None:
    acknowledged: list[str] = []
    stop = asyncio.Event()
    numbers = iter(range(1_000_000))

    async def keep_calling() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=20, trust_env=False) as http:
            while not stop.is_set():
                number = next(numbers)
                # A vendor repeats until it is acknowledged.
                while not stop.is_set():
                    with contextlib.suppress(httpx.HTTPError):
                        sent = send("slack", harmless("slack", number), time.time())
                        response = await http.post(DOOR, **sent.request)
                        assert response.status_code in (200, 503), response.text
                        if response.status_code == 200:
                            acknowledged.append(f"Ev{number}")
                            break
                    await asyncio.sleep(0.02)

    async def seen(more: int) -> None:
        goal = len(acknowledged) + more
        while len(acknowledged) < goal:
            await asyncio.sleep(0.01)

    async def kill_in_turn() -> None:
        await seen(AFTER_EACH_KILL)
        await asyncio.to_thread(server.kill)
        server.start()
        await seen(AFTER_EACH_KILL)
        await asyncio.to_thread(postgres_to_kill.kill)
        await asyncio.to_thread(postgres_to_kill.restart)
        await seen(AFTER_EACH_KILL)
        await asyncio.to_thread(postgres_to_kill.kill)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(postgres_to_kill.restart)
        server.start()
        await seen(AFTER_EACH_KILL)
        stop.set()

    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        group.create_task(kill_in_turn())
        for _ in range(CALLERS):
            group.create_task(keep_calling())
    with psycopg.connect(postgres_to_kill.url) as database:
        rows = database.execute(
            "SELECT convert_from(body, 'UTF8')::json ->> 'event_id', count(*) FROM webhook_delivery GROUP BY 1"
        ).fetchall()
    there: dict[str, int] = dict(rows)
    assert set(acknowledged) <= there.keys(), "acknowledged, and lost"
    assert set(there.values()) == {1}
