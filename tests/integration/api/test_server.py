"""The application behind a real server and socket, and around failures of PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
import uvicorn
from psycopg.conninfo import conninfo_to_dict

from sync.api.app import create_app
from sync.api.control import NoControl
from sync.base.settings import HttpSettings, Settings, StoreSettings
from sync.wiring import open_runtime
from tests.fakes.tokens import bearer
from tests.integration.api.conftest import KINDS, settings_for
from tests.services import PostgresServer, free_port


@contextlib.asynccontextmanager
async def running(settings: Settings, port: int | None = None) -> AsyncIterator[int]:
    """The port of a uvicorn that serves the application."""
    port = port or free_port()
    app = create_app(settings, lambda: open_runtime(settings, application="api", extra_kinds=KINDS), NoControl())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done(), "the server did not start"
    try:
        yield port
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def port(pg_url: str) -> AsyncIterator[int]:
    async with running(settings_for(pg_url, http=HttpSettings(max_body_bytes=10_000))) as port:
        yield port


async def exchange(port: int, *parts: bytes) -> bytes:
    """What a raw connection answers to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
    answer = await asyncio.wait_for(reader.read(65536), 10)
    writer.close()
    return answer


def head(*lines: str) -> bytes:
    token = bearer()["Authorization"]
    fixed = ("POST /sync/queue HTTP/1.1", "Host: sync", f"Authorization: {token}", "Content-Type: application/json")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


async def test_a_declared_length_is_refused_before_the_body_comes(port: int) -> None:
    answer = await exchange(port, head("Content-Length: 99999999"))
    assert b" 413 " in answer and b"application/problem+json" in answer


async def test_chunks_are_counted_as_they_arrive(port: int) -> None:
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    answer = await exchange(port, head("Transfer-Encoding: chunked"), *[chunk] * 20)
    assert b" 413 " in answer and b"/problems/body-too-large" in answer


async def test_small_chunks_make_a_good_request(port: int) -> None:
    body = b'{"kind": "test.timed"}'
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])]
    answer = await exchange(port, head("Transfer-Encoding: chunked", "Connection: close"), *chunks, b"0\r\n\r\n")
    assert b" 202 " in answer and b'"created":true' in answer


async def test_a_token_is_asked_for_before_anything_is_read_out(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for path in ("/sync", "/sync/status", "/sync/jobs", "/sync/integrations/1"):
            response = await client.get(path)
            assert response.status_code == 401 and response.headers["www-authenticate"].startswith("Bearer")
        assert (await client.post("/sync/queue", json={"kind": "test.timed"})).status_code == 401


async def test_a_process_that_starts_before_its_database_waits_for_it(postgres: PostgresServer) -> None:
    url = postgres.create()
    name = conninfo_to_dict(url)["dbname"]
    later = postgres.url(f"{name}_later")
    settings = settings_for(later)
    settings = settings.model_copy(update={"store": StoreSettings(url=later, connect_timeout_s=1)})
    async with running(settings) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        sick = await client.get("/healthz")
        assert sick.status_code == 503 and "PostgreSQL" in sick.json()["detail"]
        refused = await client.get("/sync", headers=bearer())
        assert refused.status_code == 503 and refused.headers["retry-after"]
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_later"')
        async with asyncio.timeout(20):
            while (await client.get("/healthz")).status_code != 200:
                await asyncio.sleep(0.05)
        assert (await client.get("/sync", headers=bearer())).status_code == 200
    postgres.drop(later)


async def test_it_goes_on_by_itself_when_postgres_drops_every_connection(pg_url: str) -> None:
    async with running(settings_for(pg_url)) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer()) as client:
            assert (await client.get("/sync/info")).status_code == 200
            with psycopg.connect(pg_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            async with asyncio.timeout(20):
                while (await client.get("/sync/info")).status_code != 200:
                    await asyncio.sleep(0.05)
                while (await client.post("/sync/queue", json={"kind": "test.timed"})).status_code != 202:
                    await asyncio.sleep(0.05)
