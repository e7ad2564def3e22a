"""Serving processes on one database, and things that happen in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from sync.api.app import create_app
from sync.api.control import NoControl
from sync.base.settings import RealtimeSettings, Settings
from sync.events import Event, append_events
from sync.realtime import Hub
from sync.store.engine import Database
from sync.wiring import open_runtime
from tests.integration.api.conftest import settings_for
from tests.services import free_port


@dataclass(frozen=True)
class Replica:
    """A serving process, as far as it can be one inside the test's."""

    port: int
    hub: Hub
    database: Database
    """As its routes use it: commits with events are signalled."""
    server: uvicorn.Server


def live_settings(pg_url: str, *, more: dict[str, Any] | None = None, **realtime: Any) -> Settings:
    """Patient by default: what a test waits for comes by the signal, and by the poll only where it says so."""
    return settings_for(pg_url, realtime=RealtimeSettings(**realtime), **(more or {}))


@contextlib.asynccontextmanager
async def replica(settings: Settings, port: int | None = None) -> AsyncIterator[Replica]:
    app = create_app(settings, lambda: open_runtime(settings, application="api"), NoControl())
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done(), "the server did not start"
    try:
        services = app.state.services
        yield Replica(port, services.realtime, services.database, server)
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def one(pg_url: str) -> AsyncIterator[Replica]:
    async with replica(live_settings(pg_url, poll_s=0.2)) as running:
        yield running


async def happen(db: Database, *numbers: int, org: str = "acme", type: str = "sync.completed", **payload: Any) -> None:
    """One event per number, all of one transaction."""
    async with db.transaction() as tx:
        await append_events(
            tx, [Event(org, type, f"thing:{number % 7}", {"number": number, **payload}) for number in numbers]
        )


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["payload"]["number"] for event in events]


def busy() -> set[str]:
    """What runs for listeners."""
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("realtime.")}
