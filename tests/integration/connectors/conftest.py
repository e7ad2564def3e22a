"""An office: a database, a simulated world of vendors, and workers between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.base import Connector
from connectors.http import HttpConnector, Static
from connectors.registry import PLATFORMS
from simulator.server import running
from simulator.vendor import Connection
from simulator.world import World
from sync.base.sealing import Sealer, new_key
from sync.base.settings import AppSettings, ConnectorSettings, SecretsSettings, Settings, SyncSettings
from sync.pull.integrations import Integrations
from sync.pull.model import Integration, Run
from sync.pull.runs import SyncRuns
from sync.pull.worker import ExitReason, SyncWorker
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database

ORG = "acme"


@dataclass
class Office:
    """Also the runtime that workers get."""

    world: World
    database: Database
    signals: Signals
    settings: Settings
    sealer: Sealer
    connectors: dict[str, Connector] = field(default_factory=lambda: dict(PLATFORMS))

    @property
    def integrations(self) -> Integrations:
        return Integrations(self.database, self.sealer, self.connectors)

    @property
    def runs(self) -> SyncRuns:
        return SyncRuns(self.database, self.signals, self.connectors)

    async def connect(
        self, platform: str, account: str | None = None, *, org_id: str = ORG, **consent: Any
    ) -> Integration:
        """Connect an account of the simulator; `consent` chooses app and scopes."""
        given = self.world[platform].connect(account, **consent)
        self.learn(given)
        return await self.integrations.connect(
            org_id, platform, given.account_id, {}, self.credentials(given), by="test", label=given.name
        )

    async def reconnect(self, integration: Integration) -> Integration:
        given = self.world[integration.platform].connect(integration.account)
        return await self.integrations.reconnect(integration.org_id, integration.id, self.credentials(given), by="test")

    def credentials(self, given: Connection) -> dict[str, str]:
        connector = self.connectors[given.platform]
        assert isinstance(connector, HttpConnector)
        more = {
            item.name: given.facts[item.name] for item in connector.fields if item.secret and item.name in given.facts
        }
        if isinstance(connector.auth, Static):
            return {connector.auth.field: given.access_token, **more}
        found = {
            "access_token": given.access_token,
            "refresh_token": given.refresh_token,
            "expires_at": str(int(given.expires_at)) if given.expires_at else None,
            "scope": " ".join(given.scopes),
        }
        return {name: value for name, value in found.items() if value} | more

    def learn(self, given: Connection) -> None:
        """Settings as somebody who registered this app would have them."""
        secrets = {name: SecretStr(value) for name, value in given.secrets.items()}
        app = AppSettings(client_id=given.client_id, client_secret=SecretStr(given.client_secret), secrets=secrets)
        old = self.settings.connectors
        url = f"{self.world.base_url}{given.base_path}"
        connectors = old.model_copy(
            update={
                "apps": {**old.apps, given.platform: app},
                "base_urls": {**old.base_urls, given.platform: url},
            }
        )
        self.settings = self.settings.model_copy(update={"connectors": connectors})

    def change(self, **settings: Any) -> None:
        self.settings = self.settings.model_copy(update=settings)

    def worker(self, platform: str, *, org_id: str = ORG, holder: str = "w1", **options: Any) -> SyncWorker:
        return SyncWorker(self, org_id, platform, holder, "node-1", connectors=self.connectors, **options)

    async def sync(
        self,
        platform: str,
        sync_type: str | None = None,
        *,
        org_id: str = ORG,
        account: str | None = None,
        **options: Any,
    ) -> list[Run]:
        """Trigger, work until nothing is ready, and give the runs as they ended."""
        asked = {**options, "account": account} if account else options
        triggered = await self.runs.trigger(org_id, platform, sync_type, asked)
        await self.work(platform, org_id=org_id)
        return [await self.runs.show(org_id, run.run_id) for run in triggered]

    async def work(self, platform: str, *, org_id: str = ORG) -> None:
        async with asyncio.timeout(300):
            reason = await self.worker(platform, org_id=org_id).run_until_idle()
        assert reason is ExitReason.IDLE

    async def sync_through(self, platform: str, sync_type: str, **options: Any) -> Run:
        """As `sync`, past parkings: time is moved for them."""
        (run,) = await self.sync(platform, sync_type, **options)
        for _ in range(50):
            if run.state != "queued":
                break
            await self.no_waiting()
            await self.work(platform)
            run = await self.runs.show(ORG, run.id)
        assert run.state == "succeeded", run
        return run

    async def no_waiting(self) -> None:
        await self.database.execute("UPDATE sync_run SET not_before = now() WHERE state = 'queued'")
        await self.database.execute("DELETE FROM rate_bucket")

    async def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await self.database.fetch_all(query, params)]

    async def value(self, query: str, *params: Any) -> Any:
        return await self.database.fetch_value(query, params)

    async def events(self, name: str) -> int:
        return int(await self.value("SELECT count(*) FROM event WHERE type = %s", name))

    async def ids(self, kind: str) -> set[str]:
        return {row[0] for row in await self.rows("SELECT vendor_id FROM activity WHERE kind = %s", kind)}

    def requests(self, platform: str, path: str = "") -> int:
        """Calls that the vendor got."""
        return sum(path in entry.path for entry in self.world.log.entries(vendor=platform))


@pytest.fixture
def vendors(request: pytest.FixtureRequest) -> list[str]:
    """Override to load others than the platform that the module is named for (`test_<slug>.py`)."""
    name = request.module.__name__.rpartition("test_")[2]
    return [name] if name in PLATFORMS else ["slack", "facebook"]


@pytest.fixture
async def world(vendors: list[str]) -> AsyncIterator[World]:
    world = World(7, vendors=vendors)
    async with running(world):
        yield world


@pytest.fixture
async def office(world: World, db: Database) -> AsyncIterator[Office]:
    signals = Signals(LocalTransport())
    await signals.start()
    secrets = SecretsSettings(keys={"k1": SecretStr(new_key())}, current="k1")
    settings = Settings(secrets=secrets, sync=SyncSettings(lease_ttl_s=60.0), connectors=ConnectorSettings())
    yield Office(world, db, signals, settings, Sealer(secrets))
    await signals.close()
