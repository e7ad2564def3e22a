"""With a public address vendors are told where to send webhooks: after connecting, then daily, never in a storm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from sync.base.sealing import Sealer
from sync.base.settings import Settings
from sync.pull.accounts import Accounts
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database
from sync.webhooks.registration import Registrar
from tests.integration.api.conftest import settings_for
from tests.integration.api.test_server import running
from tests.integration.connectors.conftest import Office
from tests.integration.webhooks.test_vendors import simulated

pytestmark = pytest.mark.timeout(240)


@dataclass
class Desk:
    office: Office
    port: int

    def registrar(self, settings: Settings | None = None) -> Registrar:
        found = settings or self.office.settings
        accounts = Accounts(self.office.database, self.office.sealer, found)
        return Registrar(self.office.database, accounts, found, self.office.connectors)

    def vendor(self, platform: str) -> Any:
        return self.office.world[platform]


@pytest.fixture
async def desk(platform: str, pg_url: str, db: Database) -> AsyncIterator[Desk]:
    signals = Signals(LocalTransport())
    await signals.start()
    settings = settings_for(pg_url)
    async with simulated(platform) as world:
        office = Office(world, db, signals, settings, Sealer(settings.secrets))
        await office.connect(platform)
        async with running(office.settings) as port:
            public = {"public_url": f"http://127.0.0.1:{port}"}
            office.change(webhooks=office.settings.webhooks.model_copy(update=public))
            yield Desk(office, port)
    await signals.close()


@pytest.mark.parametrize("platform", ["twitch"])
async def test_twitch_subscribes_its_channel_once(desk: Desk) -> None:
    assert await desk.registrar().run() == 1
    subscriptions = desk.vendor("twitch").subscriptions
    assert {found.kind for found in subscriptions} >= {"stream.online", "channel.chat.message", "channel.follow"}
    assert all(found.target.url.endswith("/social-activity/webhook/twitch") for found in subscriptions)
    known = len(subscriptions)
    assert await desk.registrar().run() == 0, "not before tomorrow"
    await desk.office.database.execute("UPDATE webhook_registration SET next_at = now()")
    assert await desk.registrar().run() == 1
    assert len(desk.vendor("twitch").subscriptions) == known, "what is there already stays as it is"
    assert await desk.office.value("SELECT error FROM webhook_registration") is None
    await desk.office.database.execute("UPDATE integration SET credentials_version = credentials_version + 1")
    assert await desk.registrar().run() == 1, "connected anew, told anew"


@pytest.mark.parametrize("platform", ["facebook"])
async def test_facebook_subscribes_the_app_and_every_page(desk: Desk) -> None:
    vendor = desk.vendor("facebook")
    account = next(iter(vendor.accounts.values()))
    for page in account.pages:
        page.subscribed = set()
    assert await desk.registrar().run() == 1
    assert await desk.office.value("SELECT error FROM webhook_registration") is None
    assert {target.url for target in vendor.hooks.targets} == {
        f"http://127.0.0.1:{desk.port}/social-activity/webhook/facebook"
    }
    assert all("messages" in page.subscribed for page in account.pages if page.kind == "page")


@pytest.mark.parametrize("platform", ["twitch"])
async def test_what_fails_is_noted_and_tried_later_and_without_an_address_nothing_happens(desk: Desk) -> None:
    none = desk.office.settings.model_copy(
        update={"webhooks": desk.office.settings.webhooks.model_copy(update={"public_url": None})}
    )
    assert await desk.registrar(none).run() == 0
    apps = desk.office.settings.connectors.apps
    app = apps["twitch"].model_copy(update={"secrets": {}})
    wrong = desk.office.settings.model_copy(
        update={"connectors": desk.office.settings.connectors.model_copy(update={"apps": {**apps, "twitch": app}})}
    )
    assert await desk.registrar(wrong).run() == 1
    assert await desk.registrar(wrong).run() == 0
    assert await desk.office.rows(
        """SELECT failures, error LIKE '%%eventsub_secret%%' AS named, registered_at, next_at > now() AS later
           FROM webhook_registration"""
    ) == [(1, True, None, True)]
    assert desk.vendor("twitch").subscriptions == []
