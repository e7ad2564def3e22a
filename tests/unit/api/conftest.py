"""An application without a database: for what happens before and after a route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sync.api.app import create_app
from sync.api.control import NoControl
from sync.base.settings import AuthSettings, HttpSettings, Settings
from sync.jobs.catalogue import Catalogue
from tests.fakes.tokens import SECRET

MAX_BODY = 1000


@pytest.fixture
def app() -> FastAPI:
    settings = Settings(auth=AuthSettings(secret=SECRET), http=HttpSettings(max_body_bytes=MAX_BODY))

    @asynccontextmanager
    async def no_runtime() -> AsyncIterator[Any]:
        yield SimpleNamespace(
            settings=settings, database=None, signals=None, queue=None, sealer=None, catalogue=Catalogue([])
        )

    return create_app(settings, no_runtime, NoControl())


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sync") as client:
        yield client
