"""Connecting by consent, from POST /sync/connect to the integration, against simulated vendors of every token model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from connectors.http.auth import Renewal
from connectors.http.consent import oauth_of
from connectors.registry import PLATFORMS
from simulator.server import running
from simulator.world import World
from sync.base.settings import ConnectorSettings
from sync.cli.simulated import Consent, towards
from sync.pull.integrations import credentials_context
from tests.fakes.tokens import bearer
from tests.integration.api.conftest import Api, serving, settings_for

CALLBACK = "https://sync.acme.test/sync/connect/callback"


@dataclass
class Office:
    world: World
    api: Api

    async def begin(self, platform: str, body: Any = None, **who: Any) -> str:
        """The address of the vendor's page."""
        answer = await self.api.post(f"/sync/connect/{platform}", body, status=201, **who)
        assert answer["redirectUri"] == CALLBACK
        return str(answer["authorizeUrl"])

    async def agree(self, url: str) -> str:
        """Where the vendor's page sends the person, as our path."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(url)
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(CALLBACK)
        return str(answer.headers["location"]).removeprefix("https://sync.acme.test")

    async def come_back(self, path: str, accept: str = "application/json") -> httpx.Response:
        return await self.api.http.get(path, headers={"Accept": accept})

    async def connected(self, platform: str, body: Any = None, **who: Any) -> dict[str, Any]:
        answer = await self.come_back(await self.agree(await self.begin(platform, body, **who)))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def credentials(self, integration: int) -> dict[str, str]:
        runtime = self.api.runtime
        row = await runtime.database.fetch_one("SELECT * FROM integration WHERE id = %s", (integration,))
        assert row is not None
        context = credentials_context(row["org_id"], row["platform"], row["account"])
        return msgspec.json.decode(runtime.sealer.open(row["credentials"], context), type=dict[str, str])


@asynccontextmanager
async def opened(pg_url: str, *vendors: str) -> AsyncIterator[Office]:
    world = World(7, vendors=vendors)
    async with running(world) as base_url:
        consents = [Consent.of(world[slug].connect().as_json(), base_url) for slug in vendors]
        connectors = towards(ConnectorSettings(callback_url=CALLBACK), consents)
        async with serving(settings_for(pg_url, connectors=connectors)) as api:
            yield Office(world, api)


@pytest.fixture
async def office(pg_url: str) -> AsyncIterator[Office]:
    async with opened(pg_url, "facebook", "slack") as office:
        yield office


BY_CONSENT = [slug for slug, connector in PLATFORMS.items() if oauth_of(connector) is not None]


@pytest.mark.parametrize("platform", BY_CONSENT)
async def test_a_consent_connects_the_account_of_who_agreed(pg_url: str, platform: str) -> None:
    """Every platform of the registry, so every token model and PKCE, too."""
    async with opened(pg_url, platform) as office:
        vendor = office.world[platform]
        made = await office.connected(platform, {"label": "Ours"})
        assert (made["platform"], made["label"], made["state"]) == (platform, "Ours", "active")
        assert made["account"] == vendor.connect().account_id
        assert all(stream["nextDueAt"] for stream in made["streams"])

        credentials = await office.credentials(made["id"])
        assert office.api.control.nudged == [("acme", platform)]
        token = vendor.auth.tokens[credentials["access_token"]]
        assert token.grant.account is vendor.account()
        if token.expires_at is not None:
            assert abs(float(credentials["expires_at"]) - token.expires_at) < 2


def test_every_token_model_is_among_them() -> None:
    assert {auth.kind for slug in BY_CONSENT if (auth := oauth_of(PLATFORMS[slug]))} == set(Renewal)


async def test_short_lived_tokens_are_extended(office: Office) -> None:
    made = await office.connected("facebook")
    expires_at = float((await office.credentials(made["id"]))["expires_at"])
    assert expires_at - office.world.clock.now() > 50 * 86_400


async def test_what_vendors_are_asked(office: Office) -> None:
    query = parse_qs(urlsplit(await office.begin("slack")).query)
    assert query["redirect_uri"] == [CALLBACK] and query["response_type"] == ["code"]
    assert "channels:history" in query["scope"][0].split(",")
    assert len(query["state"][0]) >= 43
    stored = await office.api.value("SELECT count(*) FROM oauth_state WHERE sealed::text LIKE %s", query["state"][0])
    assert stored == 0


async def test_a_consent_for_some_sync_types_asks_for_no_more(pg_url: str) -> None:
    """An app that Snap has not put on its list must not ask for public profiles."""
    async with opened(pg_url, "snapchat") as office:
        url = await office.begin("snapchat", {"syncTypes": ["ads-metrics", "profile"]})
        assert parse_qs(urlsplit(url).query)["scope"] == ["snapchat-marketing-api"]
        everything = parse_qs(urlsplit(await office.begin("snapchat")).query)["scope"][0].split()
        assert set(everything) > {"snapchat-marketing-api"}
        answer = await office.come_back(await office.agree(url))
        assert answer.status_code == 200, answer.text
        refused = await office.api.post("/sync/connect/snapchat", {"syncTypes": ["likes"]}, status=422)
        assert "ads-metrics" in refused["detail"]


async def test_the_same_account_again_is_a_reconnect(office: Office) -> None:
    first = await office.connected("slack", {"label": "Ours"})
    again = await office.connected("slack")
    assert (again["id"], again["label"]) == (first["id"], "Ours")
    actions = await office.api.get("/sync/audit?limit=5")
    assert [line["action"] for line in actions["items"]] == ["integration.reconnected", "integration.connected"]


async def test_a_state_is_good_for_one_return(office: Office) -> None:
    path = await office.agree(await office.begin("slack"))
    assert (await office.come_back(path)).status_code == 200
    again = await office.come_back(path)
    assert again.status_code == 400
    assert "used already" in again.json()["detail"]
    assert await office.api.value("SELECT count(*) FROM integration") == 1


async def test_a_late_return(office: Office) -> None:
    path = await office.agree(await office.begin("slack"))
    await office.api.runtime.database.execute("UPDATE oauth_state SET expires_at = now()")
    late = await office.come_back(path)
    assert late.status_code == 400
    assert "longer than ten minutes" in late.json()["detail"]
    assert await office.api.value("SELECT count(*) FROM integration") == 0


@pytest.mark.parametrize("query", ["", "?code=abc", "?state=abc&code=abc", f"?state={'x' * 43}&code=abc"])
async def test_a_return_that_nobody_began(office: Office, query: str) -> None:
    answer = await office.come_back(f"/sync/connect/callback{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert office.world["slack"].auth.counters.get("token_requests", 0) == 0


async def test_an_account_belongs_to_the_org_that_began(office: Office) -> None:
    path = await office.agree(await office.begin("slack", org="globex"))
    answer = await office.api.http.get(path, headers=bearer("acme"))
    assert answer.status_code == 200
    assert await office.api.value("SELECT org_id FROM integration") == "globex"
    assert await office.api.value("SELECT actor FROM audit") == "ada"
    assert (await office.api.get("/sync/integrations"))["items"] == []


async def test_somebody_who_does_not_agree(office: Office) -> None:
    office.world["slack"].next_consent = {"deny": True}
    path = await office.agree(await office.begin("slack"))
    page = await office.come_back(path, accept="text/html,*/*")
    assert page.status_code == 400
    assert page.headers["content-type"].startswith("text/html")
    assert "access_denied" in page.text and "Connect Slack again." in page.text
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_pages_escape_what_came_in(office: Office) -> None:
    state = parse_qs(urlsplit(await office.begin("slack")).query)["state"][0]
    page = await office.come_back(f"/sync/connect/callback?state={state}&error=<script>1</script>", "text/html")
    assert "<script>" not in page.text and "&lt;script&gt;" in page.text


async def test_a_code_that_is_not_accepted(office: Office) -> None:
    state = parse_qs(urlsplit(await office.begin("slack")).query)["state"][0]
    answer = await office.come_back(f"/sync/connect/callback?state={state}&code=stolen")
    assert answer.status_code == 400
    assert "did not accept the code" in answer.json()["detail"]
    assert await office.api.value("SELECT count(*) FROM integration") == 0


async def test_a_vendor_that_is_down(office: Office) -> None:
    path = await office.agree(await office.begin("slack"))
    office.world.faults.add(kind="error", vendor="slack", status=503)
    answer = await office.come_back(path)
    assert answer.status_code == 503
    assert "Connect Slack again." in answer.json()["detail"]


async def test_platforms_without_consent_or_app(office: Office, pg_url: str) -> None:
    for platform, why in (("email", "no consent page"), ("nothing", "no platform")):
        assert why in (await office.api.post(f"/sync/connect/{platform}", status=422))["detail"]
    await office.api.post("/sync/connect/slack", role="operator", status=403)
    async with serving(settings_for(pg_url)) as bare:
        refused = await bare.post("/sync/connect/slack", status=422)
    assert "SYNC_CONNECTORS__APPS__SLACK__CLIENT_ID" in refused["detail"]
