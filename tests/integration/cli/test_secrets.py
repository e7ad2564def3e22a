from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from sync.base.sealing import Sealer, new_key
from sync.base.settings import SecretsSettings
from sync.cli import secrets
from sync.pull.integrations import credentials_context
from sync.subscriptions.rows import secret_context

OLD, NEW = new_key(), new_key()


pytestmark = pytest.mark.usefixtures("cli_environment")


@pytest.fixture
def use_keys(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(current: str, **keys: str) -> None:
        monkeypatch.setenv("SYNC_SECRETS__KEYS", json.dumps(keys))
        monkeypatch.setenv("SYNC_SECRETS__CURRENT", current)

    return use


def command(*words: str, given: str = "") -> str:
    result = CliRunner().invoke(secrets.app, words, input=given)
    assert result.exit_code == 0, f"{result.output}{result.exception or ''}"
    return result.output


def test_everything_stored_moves_to_the_current_key(pg_url: str, use_keys: Callable[..., None]) -> None:
    use_keys("k1", k1=OLD)
    for value in ("first", "second"):
        command("put", "partner", "--org", "acme", "--from-stdin", given=value)
    account = credentials_context("acme", "slack", "T1")
    _store_sealed(pg_url, sealer(k1=OLD), account)
    use_keys("k2", k1=OLD, k2=NEW)
    assert "5 values" in command("reseal")
    assert "0 values" in command("reseal")
    only_new = sealer(k2=NEW)
    with psycopg.connect(pg_url) as database:
        for query, context, plain in (
            ("SELECT credentials FROM integration", account, b"token"),
            ("SELECT sealed FROM org_secret", "org_secret/acme/partner", b"second"),
            ("SELECT previous FROM org_secret", "org_secret/acme/partner", b"first"),
            ("SELECT secret FROM subscription", secret_context("acme", 7), b"key"),
            ("SELECT previous_secret FROM subscription", secret_context("acme", 7), b"older"),
        ):
            row = database.execute(query).fetchone()
            assert row is not None
            assert only_new.open(row[0], context) == plain


def sealer(**keys: str) -> Sealer:
    return Sealer(SecretsSettings(keys={name: SecretStr(value) for name, value in keys.items()}, current=max(keys)))


def _store_sealed(pg_url: str, old: Sealer, account: str) -> None:
    signing = secret_context("acme", 7)
    with psycopg.connect(pg_url) as database:
        database.execute(
            "INSERT INTO integration (org_id, platform, account, credentials) VALUES ('acme', 'slack', 'T1', %s)",
            (old.seal(b"token", account),),
        )
        database.execute("INSERT INTO event_reader (id, name, position) OVERRIDING SYSTEM VALUE VALUES (7, 's', 0)")
        database.execute(
            """INSERT INTO subscription (id, org_id, name, reader_id, patterns, target, secret, previous_secret)
               OVERRIDING SYSTEM VALUE VALUES (7, 'acme', 'hook', 7, '{"*"}', '{"type": "webhook"}', %s, %s)""",
            (old.seal(b"key", signing), old.seal(b"older", signing)),
        )
