"""Every vendor of the simulator calls the door over a socket, signed by its own code, and its accounts are found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from connectors.registry import PLATFORMS
from connectors.telegram.webhook import secret_of
from simulator.server import running as simulating
from simulator.webhooks import Hooks, Target
from simulator.world import World
from sync.base.sealing import Sealer
from sync.base.settings import AppSettings, Settings
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database
from sync.webhooks.apply import Applier
from tests.fakes.hooks import SIGNERS
from tests.integration.api.conftest import settings_for
from tests.integration.api.test_server import running
from tests.integration.connectors.conftest import Office
from tests.integration.webhooks.conftest import DOOR

EVENTS = 12
OURS = "a-secret-of-our-own"

pytestmark = pytest.mark.timeout(240)


@asynccontextmanager
async def simulated(platform: str) -> AsyncIterator[World]:
    """The vendor's clock stands still, at a time that signatures of now may have."""
    world = World(7, vendors=[platform], at=time.time())
    async with simulating(world):
        yield world


@pytest.fixture
async def office(platform: str, pg_url: str, db: Database) -> AsyncIterator[Office]:
    signals = Signals(LocalTransport())
    await signals.start()
    settings = settings_for(pg_url)
    async with simulated(platform) as world:
        yield Office(world, db, signals, settings, Sealer(settings.secrets))
    await signals.close()


def with_secret_of_ours(settings: Settings) -> Settings:
    """Telegram's webhooks are proved by a secret that the receiver chose."""
    app = settings.connectors.apps["telegram"]
    app = AppSettings(**{**dict(app), "secrets": {**app.secrets, "webhook_secret": SecretStr(OURS)}})
    connectors = settings.connectors.model_copy(update={"apps": {**settings.connectors.apps, "telegram": app}})
    return settings.model_copy(update={"connectors": connectors})


async def drained(world: World, hooks: Hooks) -> None:
    """Until all is delivered. Where a call took the vendor too long, its clock moves on to the retry."""
    waiting = asyncio.create_task(hooks.drain())
    async with asyncio.timeout(120):
        while not (await asyncio.wait([waiting], timeout=5))[0]:
            world.clock.advance(1)


@pytest.mark.parametrize("platform", sorted(SIGNERS))
async def test_what_a_vendor_tells_reaches_its_account(platform: str, office: Office) -> None:
    vendor = office.world[platform]
    integration = await office.connect(platform)
    account = vendor.accounts[integration.account]
    await office.sync(platform, PLATFORMS[platform].sync_types[0].name)  # learns whose account it is
    if platform == "telegram":
        office.settings = with_secret_of_ours(office.settings)
    async with running(office.settings) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            assert (await http.post(DOOR)).status_code == 401  # the first call of a process takes longest
        url = f"http://127.0.0.1:{port}{DOOR}/{platform}"
        if platform == "telegram":
            secret = secret_of(OURS, integration.account)
            target = vendor.hooks.add(Target(f"{url}/{integration.id}", account, secret))
        else:
            target = Target(url)
            assert await vendor.hooks.subscribe(target), "the handshake"
        for _ in range(EVENTS):
            vendor.grow(account)
        await drained(office.world, vendor.hooks)
        sent = [delivery for delivery in vendor.hooks.deliveries if delivery.target is target]
        assert {delivery.state for delivery in sent} <= {"delivered"}, [d.attempts for d in sent]
    if platform == "discord":
        assert not sent, "it pushes no messages"
        return
    assert sent
    await Applier(office.database, office.signals, office.settings, PLATFORMS).run()
    states = await office.rows("SELECT state, count(*) FROM webhook_delivery GROUP BY 1")
    assert dict(states).keys() <= {"applied", "ignored", "stored"}, states
    outcomes = await office.rows("SELECT integration_id, outcome FROM webhook_event GROUP BY 1, 2")
    assert (integration.id, "applied") in outcomes
    assert {row[0] for row in outcomes} == {integration.id}
