"""The application over a real PostgreSQL, with job kinds made for tests."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from sync.api.app import create_app
from sync.base.settings import AuthSettings, QueueSettings, SecretsSettings, Settings, StoreSettings
from sync.jobs.catalogue import JobKind
from sync.wiring import Runtime, open_runtime
from tests.fakes.tokens import SECRET, bearer


class Greet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    times: int = 1
    tags: list[str] = []
    password: str | None = None


class Nothing(msgspec.Struct, frozen=True):
    pass


async def _unused(_args: Any, _ctx: Any) -> None:
    raise AssertionError("No worker runs in these tests.")


KINDS = (
    JobKind("test.greet", Greet, _unused),
    JobKind("test.single", Nothing, _unused, concurrency=1),
    JobKind("test.timed", Nothing, _unused, queue="schedule"),
    JobKind("test.sweep", Nothing, _unused, queue="maintenance", tenants=False),
    JobKind("test.inner", Nothing, _unused, tenants=False),
)


class RecordingControl:
    """Remembers nudges; `broken` makes every call fail as a dead cluster would."""

    def __init__(self) -> None:
        self.nudged: list[tuple[str, str]] = []
        self.broken = False

    async def nudge_sync(self, org_id: str, platform: str) -> None:
        if self.broken:
            raise ConnectionError("Ray is down")
        self.nudged.append((org_id, platform))


@dataclass
class Api:
    app: FastAPI
    http: httpx.AsyncClient
    runtime: Runtime
    control: RecordingControl = field(default_factory=RecordingControl)

    async def call(
        self,
        method: str,
        path: str,
        *,
        org: str = "acme",
        role: str = "admin",
        status: int | None = None,
        **request: Any,
    ) -> Any:
        """The JSON of an answer; `status` is what it must be (any 2xx when left out)."""
        headers = {**bearer(org, role), **request.pop("headers", {})}
        response = await self.http.request(method, path, headers=headers, **request)
        right = response.is_success if status is None else response.status_code == status
        assert right, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def get(self, path: str, **request: Any) -> Any:
        return await self.call("GET", path, **request)

    async def post(self, path: str, json: Any = None, **request: Any) -> Any:
        return await self.call("POST", path, json=json, **request)

    async def value(self, query: str, *params: Any) -> Any:
        return await self.runtime.database.fetch_value(query, params)


def settings_for(pg_url: str, **more: Any) -> Settings:
    key = base64.b64encode(b"k" * 32).decode()
    return Settings(
        store=StoreSettings(url=pg_url, pool_size=4),
        auth=AuthSettings(secret=SECRET),
        secrets=SecretsSettings(keys={"test": key}, current="test"),
        log_level="WARNING",
        **more,
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Api]:
    """The application between start-up and shutdown, as a server runs it."""
    control = RecordingControl()
    opened: list[Runtime] = []

    @asynccontextmanager
    async def factory() -> AsyncIterator[Runtime]:
        async with open_runtime(settings, application="api", extra_kinds=KINDS) as runtime:
            opened.append(runtime)
            yield runtime

    app = create_app(settings, factory, control)
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sync") as client:
            yield Api(app, client, opened[0], control)


@pytest.fixture
def settings(pg_url: str) -> Settings:
    return settings_for(pg_url, queue=QueueSettings(max_waiting=50))


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings) as api:
        yield api
