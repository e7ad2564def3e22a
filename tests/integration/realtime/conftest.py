"""Serving processes on one database, and things that happen in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sync.base.settings import RealtimeSettings, Settings
from sync.events import Event, append_events
from sync.store.engine import Database
from tests.integration.api.conftest import settings_for
from tests.integration.api.test_server import running

Happen = Callable[..., Any]


def realtime(pg_url: str, **settings: Any) -> Settings:
    return settings_for(pg_url, realtime=RealtimeSettings(**{"poll_s": 0.2, **settings}))


@pytest.fixture
async def port(pg_url: str) -> AsyncIterator[int]:
    async with running(realtime(pg_url)) as port:
        yield port


@contextlib.asynccontextmanager
async def two(first: Settings, second: Settings) -> AsyncIterator[tuple[int, int]]:
    async with running(first) as one, running(second) as other:
        yield one, other


def happened(number: int, *, org: str = "acme", type: str = "sync.completed", **payload: Any) -> Event:
    return Event(org, type, f"thing:{number % 7}", {"number": number, **payload})


async def happen(db: Database, *numbers: int, org: str = "acme", type: str = "sync.completed", **payload: Any) -> None:
    async with db.transaction() as tx:
        await append_events(tx, [happened(number, org=org, type=type, **payload) for number in numbers])
