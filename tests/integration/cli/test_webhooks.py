from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from sync.base.sealing import new_key
from sync.cli import webhooks
from sync.cli.home import Home


@pytest.fixture(autouse=True)
def environment(pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYNC_STORE__URL", pg_url)
    monkeypatch.setenv("SYNC_STORE__LISTEN", "false")
    monkeypatch.setenv("SYNC_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("SYNC_SECRETS__KEYS", json.dumps({"k1": new_key()}))
    yield
    shutil.rmtree(Home(tmp_path / "home").run_directory, ignore_errors=True)


def command(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(webhooks.app, words)
    assert result.exit_code == code, result.output
    return f"{result.output}{result.exception or ''}"


def test_look_at_deliveries_and_apply_them_again(pg_url: str) -> None:
    with psycopg.connect(pg_url, autocommit=True) as database:
        row = database.execute(
            """INSERT INTO webhook_delivery (dedup_key, platform, headers, query, body, state, next_at, error)
               VALUES ('k', 'slack', '{}', '{}', '{"hello": 1}', 'failed', NULL, 'it was strange') RETURNING id"""
        ).fetchone()
        assert row is not None
        database.execute(
            """INSERT INTO webhook_event (delivery_id, number, org_id, account, key, outcome, dirty)
               VALUES (%s, 0, 'acme', 'T1', 'Ev1', 'applied', '{messages}')""",
            row,
        )
        number = str(row[0])
        assert "it was strange" in command("list", "--state", "failed")
        assert number not in command("list", "--org", "globex").split()
        shown = command("show", number, "--org", "acme")
        assert "messages" in shown and '{"hello": 1}' in shown
        assert "no webhook delivery" in command("show", number, "--org", "globex", code=1)
        assert "slack" in command("counts")
        assert "Name ids" in command("replay", code=2)
        assert "no state" in command("list", "--state", "lost", code=2)
        assert command("replay", "--org", "globex", number).startswith("0 ")
        assert command("replay", "--platform", "slack").startswith("1 ")
        state = database.execute("SELECT state, next_at IS NOT NULL FROM webhook_delivery").fetchone()
        assert state == ("stored", True)
        job = database.execute("SELECT count(*) FROM job WHERE kind = 'webhook.apply'").fetchone()
        assert job == (1,)
