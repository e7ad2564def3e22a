"""`syncctl inbox` against a real database."""

from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from sync.cli import inbox

pytestmark = pytest.mark.usefixtures("cli_environment")


def command(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(inbox.app, words)
    assert result.exit_code == code, result.output
    return result.output


def test_rebuild_and_list(pg_url: str) -> None:
    with psycopg.connect(pg_url, autocommit=True) as database:
        database.execute("INSERT INTO integration (org_id, platform, account) VALUES ('acme', 'slack', 'T1')")
        database.execute(
            """INSERT INTO activity (org_id, integration_id, platform, kind, vendor_id, thread_id, author_id,
                 author_name, direction, occurred_at, text, version, content_hash)
               SELECT 'acme', id, platform, 'message', 'm' || n, 't' || n % 2, 'U1', 'Ada', 'in', now(), 'Hello ' || n,
                 0, ''
               FROM integration, generate_series(1, 1200) AS n"""
        )
    assert "1200 activities" in command("rebuild")
    assert "0 activities" in command("rebuild", "--org", "globex")
    shown = command("list", "--org", "acme", "--status", "open", "--unread")
    assert shown.count("slack message") == 2 and "Ada" in shown and "600" in shown
    assert "slack" not in command("list", "--org", "globex")
    command("list", "--org", "acme", "--status", "lost", code=2)
