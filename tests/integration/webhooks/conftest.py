"""The API with apps of all vendors that send webhooks, and what applies them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from connectors.registry import PLATFORMS
from sync.base.settings import Settings, WebhookSettings
from sync.webhooks.apply import Applier
from tests.fakes.hooks import CONNECTORS, Sent, send
from tests.integration.api.conftest import Api, serving, settings_for

DOOR = "/social-activity/webhook"


@dataclass
class Office:
    """One installation, its vendors and whoever applies what they tell."""

    api: Api

    @property
    def applier(self) -> Applier:
        runtime = self.api.runtime
        return Applier(runtime.database, runtime.signals, runtime.settings, PLATFORMS)

    async def connect(
        self, platform: str, account: str, *, org: str = "acme", places: tuple[str, ...] = (), proved: bool = True
    ) -> int:
        """An account, with what the vendor would have told about it if `proved`."""
        made = await self.api.runtime.database.fetch_value(
            """INSERT INTO integration (org_id, platform, account, credentials, facts)
               VALUES (%s, %s, %s, 'sealed', %s) RETURNING id""",
            (org, platform, account, Jsonb({"account": account, "places": list(places)} if proved else {})),
        )
        for sync_type in PLATFORMS[platform].sync_types:
            await self.api.runtime.database.execute(
                "INSERT INTO sync_stream (integration_id, sync_type, every) VALUES (%s, %s, '1 hour')",
                (made, sync_type.name),
            )
        return int(made)

    async def call(self, sent: Sent, path: str = DOOR, method: str = "POST") -> httpx.Response:
        return await self.api.http.request(method, path, **sent.request)

    async def hook(self, platform: str, payload: Any, *, path: str = DOOR, **options: Any) -> httpx.Response:
        """A call that is taken."""
        response = await self.call(send(platform, payload, time.time(), **options), path)
        assert response.status_code < 300, response.text
        return response

    async def apply(self) -> float | None:
        return await self.applier.run()

    async def value(self, query: str, *params: Any) -> Any:
        return await self.api.value(query, *params)

    async def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await self.api.runtime.database.fetch_all(query, params)]

    async def states(self) -> list[str]:
        return [row[0] for row in await self.rows("SELECT state FROM webhook_delivery ORDER BY id")]


@pytest.fixture
def settings(pg_url: str) -> Settings:
    return settings_for(pg_url, connectors=CONNECTORS, webhooks=WebhookSettings(pull_gap_s=0.1, patience_s=60))


@pytest.fixture
async def office(settings: Settings) -> AsyncIterator[Office]:
    async with serving(settings) as api:
        yield Office(api)
