from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from sync.cli import webhooks

pytestmark = pytest.mark.usefixtures("cli_environment")


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
