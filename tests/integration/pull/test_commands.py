"""`syncctl connect`, `trigger` and their kin, as typed at a keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from sync.base.errors import SyncError
from sync.base.sealing import new_key
from sync.cli.connect import register
from tests.fakes.dovecot import Dovecot

USER = "desk@example.test"


@pytest.fixture
def syncctl(pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SYNC_HOME", str(tmp_path))
    monkeypatch.setenv("SYNC_STORE__URL", pg_url)
    monkeypatch.setenv("SYNC_SECRETS__KEYS", json.dumps({"k1": new_key()}))
    monkeypatch.setenv("SYNC_SECRETS__CURRENT", "k1")
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)

    def run(*arguments: str, typed: str = "") -> str:
        result = CliRunner().invoke(app, [*arguments], input=typed, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_a_mailbox_from_connect_to_runs(syncctl: Any, dovecot: Dovecot, pg_url: str) -> None:
    dovecot.add_user(USER, "secret")
    place = ("--org", "acme", "--host", "127.0.0.1", "--port", str(dovecot.port), "--security", "plain")
    with pytest.raises(SyncError, match="refused the user name or password"):
        syncctl("connect", "email", USER, *place, typed="wrong\n")

    assert "connected as integration" in syncctl("connect", "email", USER, *place, typed="secret\n")

    (integration,) = json.loads(syncctl("integrations", "--org", "acme", "--json"))
    assert (integration["account"], integration["state"]) == (USER, "active")
    assert "secret" not in json.dumps(integration)
    assert json.loads(syncctl("integrations", "--org", "other", "--json")) == []

    (queued,) = json.loads(syncctl("trigger", "email", "--org", "acme", "--json"))
    (again,) = json.loads(syncctl("trigger", "email", "messages", "--org", "acme", "--json"))
    assert (again["run_id"], queued["created"], again["created"]) == (queued["run_id"], True, False)
    assert "queued" in syncctl("runs", "--org", "acme")

    dovecot.set_password(USER, "another")
    with pytest.raises(SyncError):
        syncctl("reconnect", str(integration["id"]), "--org", "acme", "--password", "secret")
    syncctl("reconnect", str(integration["id"]), "--org", "acme", "--password", "another")
    with psycopg.connect(pg_url) as connection:
        actors = connection.execute("SELECT DISTINCT left(actor, 4) FROM audit").fetchall()
    assert actors == [("cli:",)]


def test_refusals_are_sentences(syncctl: Any) -> None:
    with pytest.raises(SyncError, match=r"there are: .*email"):
        syncctl("trigger", "fax", "--org", "acme")
    with pytest.raises(SyncError, match="connect one first"):
        syncctl("trigger", "--org", "acme")
    with pytest.raises(SyncError, match="There is no integration 7"):
        syncctl("reconnect", "7", "--org", "acme", "--password", "x")
