"""A desk to pull with: connected accounts, workers, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.base import Connector
from sync.base.sealing import Sealer, new_key
from sync.base.settings import SecretsSettings, Settings, SyncSettings
from sync.pull.integrations import Integrations
from sync.pull.model import Integration
from sync.pull.runs import SyncRuns
from sync.pull.worker import SyncWorker
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database
from tests.fakes.dovecot import Dovecot
from tests.fakes.platform import FakePlatform
from tests.services import missing

ORG = "acme"
ADA = "ada@example.test"


@dataclass
class Desk:
    """Also the runtime that workers get."""

    settings: Settings
    database: Database
    signals: Signals
    sealer: Sealer
    platform: FakePlatform
    connectors: Mapping[str, Connector] | None

    @property
    def integrations(self) -> Integrations:
        return Integrations(self.database, self.sealer, **self._registry())

    @property
    def runs(self) -> SyncRuns:
        return SyncRuns(self.database, self.signals, **self._registry())

    def _registry(self) -> dict[str, Any]:
        return {} if self.connectors is None else {"registry": self.connectors}

    def worker(self, holder: str = "w1", **options: Any) -> SyncWorker:
        return SyncWorker(self, ORG, "email", holder, "node-1", connectors=self.connectors, **options)

    async def connect(self, account: str = ADA, org_id: str = ORG, **config: Any) -> Integration:
        password = config.pop("password", "secret")
        return await self.integrations.connect(
            org_id, "email", account, config, {"password": password}, by="test", operator=True
        )

    async def value(self, query: str, *params: Any) -> Any:
        return await self.database.fetch_value(query, params)

    async def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await self.database.fetch_all(query, params)]

    async def mails(self) -> int:
        return int(await self.value("SELECT count(*) FROM mail_message"))

    async def events(self, name: str) -> int:
        return int(await self.value("SELECT count(*) FROM event WHERE type = %s", name))

    async def all_due(self) -> None:
        await self.database.execute("UPDATE sync_stream SET next_due_at = now() WHERE next_due_at IS NOT NULL")

    async def run_now(self) -> None:
        """Start waiting runs without waiting."""
        await self.database.execute("UPDATE sync_run SET not_before = now() WHERE state = 'queued'")


@pytest.fixture
async def signals() -> AsyncIterator[Signals]:
    signals = Signals(LocalTransport())
    await signals.start()
    yield signals
    await signals.close()


def make_desk(database: Database, signals: Signals, connectors: Mapping[str, Connector] | None, **sync: Any) -> Desk:
    secrets = SecretsSettings(keys={"k1": SecretStr(new_key())}, current="k1")
    # These tests count pages: each is stored by itself.
    settings = Settings(secrets=secrets, sync=SyncSettings(**{"shared_pages": 1, **sync}))
    platform = FakePlatform()
    return Desk(settings, database, signals, Sealer(secrets), platform, connectors)


@pytest.fixture
async def desk(db: Database, signals: Signals) -> Desk:
    """With the fake platform."""
    desk = make_desk(db, signals, None, lease_ttl_s=30.0)
    desk.connectors = {"email": desk.platform}
    return desk


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    if not Dovecot.installed():
        missing("Dovecot", "apt-get install dovecot-imapd")
    server = Dovecot()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def mail_desk(db: Database, signals: Signals) -> Desk:
    """With the real connectors."""
    return make_desk(db, signals, None, lease_ttl_s=30.0)
