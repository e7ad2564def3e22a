"""`syncctl connect <platform>` against simulated vendors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import typer
from typer.testing import CliRunner

from simulator.server import served
from simulator.world import World
from sync.base.errors import SyncError
from sync.base.sealing import new_key
from sync.cli import connect, platforms
from sync.cli.simulated import Consent


@pytest.fixture
def slack() -> Iterator[Consent]:
    world = World(7, vendors=["slack"])
    with served(world) as base_url:
        yield Consent.of(world["slack"].connect().as_json(), base_url)


@pytest.fixture
def syncctl(pg_url: str, slack: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SYNC_HOME", str(tmp_path))
    monkeypatch.setenv("SYNC_STORE__URL", pg_url)
    monkeypatch.setenv("SYNC_SECRETS__KEYS", json.dumps({"k1": new_key()}))
    monkeypatch.setenv("SYNC_SECRETS__CURRENT", "k1")
    monkeypatch.setenv("SYNC_CONNECTORS__BASE_URLS", json.dumps({"slack": slack.url}))
    monkeypatch.setenv("SYNC_CONNECTORS__APPS__SLACK__CLIENT_ID", slack.app.client_id)
    app = typer.Typer(pretty_exceptions_enable=False)
    connect.register(app)
    connect.connect.command()(platforms.platform)

    def run(*arguments: str, typed: str = "") -> str:
        result = CliRunner().invoke(app, [*arguments], input=typed, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def rows(pg_url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(pg_url) as connection:
        return connection.execute(query).fetchall()


def test_a_token_is_tried_and_its_account_asked_for(syncctl: Any, slack: Consent, pg_url: str) -> None:
    token = {"access_token": slack.values["access_token"]}
    place = ("connect", "slack", "--org", "acme", "--secrets-file", "-")
    with pytest.raises(SyncError, match="Slack"):
        syncctl(*place, typed='{"access_token": "xoxb-wrong"}')
    with pytest.raises(SyncError, match="not for T0"):
        syncctl(*place, "--account", "T0", typed=json.dumps(token))
    with pytest.raises(SyncError, match="access_token is needed"):
        syncctl("connect", "slack", "--org", "acme")
    assert rows(pg_url, "SELECT 1 FROM integration") == []

    assert f"{slack.account} is connected" in syncctl(*place, typed=json.dumps(token))
    assert rows(pg_url, "SELECT account, label, state FROM integration") == [(slack.account, slack.name, "active")]


def test_a_file_and_fields(syncctl: Any, slack: Consent, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"access_token": slack.values["access_token"]}))
    place = ("connect", "slack", "--org", "acme", "--secrets-file", str(secrets))
    with pytest.raises(SyncError, match="give a name and a value"):
        syncctl(*place, "--set", "nothing")
    with pytest.raises(SyncError, match="is a secret"):
        syncctl(*place, "--set", "access_token=x")
    with pytest.raises(SyncError, match="'colour' is not a field"):
        syncctl(*place, "--set", "colour=red")
    found = json.loads(syncctl(*place, "--label", "Ours", "--json"))
    assert (found["account"], found["label"]) == (slack.account, "Ours")


def test_by_consent_in_a_browser(syncctl: Any, slack: Consent, pg_url: str) -> None:
    said = syncctl("connect", "slack", "--org", "acme", "--browser")
    address = said.split()[-1]
    assert address.startswith(f"{slack.url}/oauth/v2/authorize?")
    back = httpx.get(address).headers["location"]
    assert urlsplit(back).path == "/sync/connect/callback"
    assert rows(pg_url, "SELECT org_id, platform FROM oauth_state") == [("acme", "slack")]


def test_a_cadence_of_its_own(syncctl: Any, slack: Consent, pg_url: str) -> None:
    token = json.dumps({"access_token": slack.values["access_token"]})
    syncctl("connect", "slack", "--org", "acme", "--secrets-file", "-", typed=token)
    assert slack.account in syncctl("integrations", "--org", "acme")
    (found,) = json.loads(syncctl("integrations", "--org", "acme", "--json"))
    place = ("integrations", "cadence", str(found["id"]), "--org", "acme")
    assert "own" in syncctl(*place[:3], "messages", *place[3:], "--every", "2m")
    stored = "SELECT every, own_cadence FROM sync_stream WHERE sync_type = 'messages'"
    assert rows(pg_url, stored) == [(timedelta(minutes=2), True)]
    with pytest.raises(SyncError, match="10 seconds at most"):
        syncctl(*place[:3], "messages", *place[3:], "--every", "5s")
    assert "own" not in syncctl(*place[:3], "messages", *place[3:], "--usual")
    assert rows(pg_url, stored) == [(timedelta(seconds=10), False)]
    assert "engagement-metrics" in syncctl(*place)


def test_a_platform_that_is_not_there(syncctl: Any) -> None:
    with pytest.raises(SyncError, match=r"no platform 'myspace'; there are: .*slack"):
        syncctl("connect", "myspace", "--org", "acme")
