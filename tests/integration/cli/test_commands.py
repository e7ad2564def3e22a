"""Commands that need no running Sync: help, token, migrate, doctor, status, down."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import jwt
import pytest

from sync.api.auth import Role, TokenVerifier
from sync.base.settings import AuthSettings, Settings, load_settings
from sync.cli.home import Home, local_settings
from sync.store.migrate import is_current
from tests.services import PostgresServer, free_port
from tests.syncctl import Syncctl

HEAVY = ("ray", "pydantic", "psycopg", "sqlalchemy", "alembic", "fastapi", "httpx", "redis", "psutil", "msgspec")


def test_help_is_light(syncctl: Syncctl) -> None:
    code = f"import sys, sync.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=syncctl.environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    shown = syncctl("--help")
    assert shown.returncode == 0
    assert "doctor" in shown.stdout


async def test_a_token_opens_the_api_of_the_same_home(syncctl: Syncctl) -> None:
    made = syncctl("token", "--org", "acme", "--role", "admin")
    assert made.returncode == 0, made.stderr
    settings = local_settings(Settings(home=syncctl.home.path), syncctl.home)
    principal = await TokenVerifier(settings.auth).verify(made.stdout.strip())
    assert (principal.org_id, principal.role) == ("acme", Role.ADMIN)


async def test_a_token_carries_issuer_audience_and_life(syncctl: Syncctl) -> None:
    secret = "s" * 40
    environment = {"SYNC_AUTH__SECRET": secret, "SYNC_AUTH__ISSUER": "us", "SYNC_AUTH__AUDIENCE": "them"}
    made = syncctl("token", "--org", "acme", "--hours", "1", "--platform", **environment)
    claims = jwt.decode(made.stdout.strip(), secret, algorithms=["HS256"], audience="them", issuer="us")
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["platform"] is True
    settings = AuthSettings(secret=secret, issuer="us", audience="them")  # type: ignore[arg-type]
    await TokenVerifier(settings).verify(made.stdout.strip())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--org", "acme", "--role", "king"), "--role must be one of viewer, service, operator, admin."),
        (("--org", "a:b"), "--org: 'a:b' is not an org id"),
        (("--org", "acme", "--hours", "0"), "--hours must be above 0."),
    ],
)
def test_a_token_that_makes_no_sense(syncctl: Syncctl, arguments: tuple[str, ...], sentence: str) -> None:
    done = syncctl("token", *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_no_token_where_an_identity_provider_makes_them(syncctl: Syncctl) -> None:
    done = syncctl("token", "--org", "acme", SYNC_AUTH__JWKS_URL="https://id.example/keys")
    assert done.returncode == 1
    assert "identity provider" in done.stderr


def test_secrets_are_private_and_stay_the_same(syncctl: Syncctl) -> None:
    first = syncctl("token", "--org", "acme")
    secrets = {path.name: path.read_text() for path in syncctl.home.secrets.iterdir()}
    assert first.returncode == 0
    syncctl("token", "--org", "acme")
    assert {path.name: path.read_text() for path in syncctl.home.secrets.iterdir()} == secrets
    assert {"jwt_secret", "ray_token", "sealing_key"} <= secrets.keys()
    assert {stat.S_IMODE(path.stat().st_mode) for path in syncctl.home.secrets.iterdir()} == {0o600}
    assert stat.S_IMODE(syncctl.home.secrets.stat().st_mode) == 0o700


def test_configured_secrets_win(syncctl: Syncctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_AUTH__SECRET", "x" * 40)
    syncctl.home.prepare()
    completed = local_settings(load_settings(), Home(syncctl.home.path))
    assert completed.auth.secret is not None
    assert completed.auth.secret.get_secret_value() == "x" * 40
    assert completed.secrets.current == "local"
    assert "x" * 40 not in repr(completed)


def test_migrate_brings_an_empty_database_up(syncctl: Syncctl, postgres: PostgresServer) -> None:
    url = postgres.create(migrated=False)
    try:
        assert not is_current(url)
        before = syncctl("doctor", SYNC_STORE__URL=url)
        assert before.returncode == 1
        assert "FAIL  schema: The database has an older schema" in before.stdout
        done = syncctl("migrate", SYNC_STORE__URL=url)
        assert done.returncode == 0, done.stderr
        assert is_current(url)
        assert syncctl("migrate", SYNC_STORE__URL=url).returncode == 0
        after = syncctl("doctor", SYNC_STORE__URL=url)
        assert after.returncode == 0, after.stdout
        assert "ok    clock" in after.stdout
    finally:
        postgres.drop(url)


def test_migrate_without_a_database(syncctl: Syncctl) -> None:
    done = syncctl("migrate")
    assert done.returncode == 1
    assert "start it with `syncctl up`, or set SYNC_STORE__URL" in done.stderr


def test_doctor_names_every_problem(syncctl: Syncctl) -> None:
    done = syncctl(
        "doctor",
        SYNC_STORE__URL=f"postgresql://x@127.0.0.1:{free_port()}/x",
        SYNC_REDIS__URL=f"redis://127.0.0.1:{free_port()}",
        SYNC_RAY__MIN_FREE_MB="100000000",
    )
    assert done.returncode == 1
    failed = {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("FAIL")}
    assert failed == {"memory", "postgresql", "redis"}
    assert not syncctl.home.path.exists(), "looking must not make anything"


def test_status_and_down_when_nothing_runs(syncctl: Syncctl) -> None:
    status = syncctl("status")
    assert status.returncode == 3
    assert "Sync does not run" in status.stdout
    document = json.loads(syncctl("status", "--json").stdout)
    assert document == {"home": str(syncctl.home.path), "running": False, "parts": []}
    down = syncctl("down")
    assert down.returncode == 0
    assert "Nothing runs" in down.stdout
