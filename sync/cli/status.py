"""`syncctl status`: what runs, seen from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sync.base.settings import Settings, load_settings
from sync.cli import tokens
from sync.cli.home import Home, UpState, local_settings
from sync.store.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    import psycopg

RUNNING, WRONG, NOT_RUNNING = 0, 1, 3
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Part:
    name: str
    ok: bool
    detail: str


def show(*, as_json: bool) -> int:
    """Print it; the exit code."""
    settings = load_settings()
    home = Home(settings.home)
    state = home.read_state()
    parts = look(settings, home, state) if state is not None else []
    code = NOT_RUNNING if state is None else RUNNING if all(part.ok for part in parts) else WRONG
    if as_json:
        print(json.dumps(_document(home, state, parts), indent=2))
    elif state is None:
        print(f"Sync does not run from {home.path}. Start it: syncctl up")
    else:
        print(
            f"Sync is {state.state}{f' ({state.step})' if state.step else ''}: process {state.pid}, since {state.since}"
        )
        for part in parts:
            print(f"  {'ok  ' if part.ok else 'FAIL'}  {part.name:<12}{part.detail}")
    return code


def look(settings: Settings, home: Home, state: UpState) -> list[Part]:
    """Ask every part; one that does not answer says so instead of stopping the others."""
    completed = local_settings(settings, home)
    parts = [_asked("postgresql", lambda: _postgres(settings, home))]
    if state.state == "ready":
        api, dashboard = state.addresses["api"], state.addresses["dashboard"]
        parts.append(_asked("api", lambda: _http(f"{api}/healthz")))
        parts.append(_asked("consumers", lambda: _consumers(api, completed, _serving(settings, home))))
        parts.append(_asked("dashboard", lambda: _http(f"{dashboard}/api/gcs_healthz")))
    return parts


def _asked(name: str, question: Callable[[], str]) -> Part:
    try:
        return Part(name, True, question())
    except Exception as error:
        return Part(name, False, str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)


def _connected(settings: Settings, home: Home) -> psycopg.Connection[tuple[Any, ...]]:
    import psycopg

    url = settings.store.url.get_secret_value() if settings.store.url else EmbeddedPostgres(home.path).url()
    if url is None:
        raise RuntimeError("the embedded server does not run")
    return psycopg.connect(url, connect_timeout=int(_TIMEOUT_S))


def _postgres(settings: Settings, home: Home) -> str:
    with _connected(settings, home) as connection:
        version = connection.info.server_version
        return f"version {version // 10000}.{version % 10000}, {'external' if settings.store.url else 'embedded'}"


def _http(address: str) -> str:
    import httpx

    answer = httpx.get(address, timeout=_TIMEOUT_S)
    if answer.status_code != 200:
        raise RuntimeError(f"{address} answers {answer.status_code}")
    return f"{address} answers in {answer.elapsed.total_seconds() * 1000:.0f} ms"


def _consumers(api: str, settings: Settings, serving: Collection[str]) -> str:
    """`serving`: the pools that there are job kinds for."""
    import httpx

    if settings.auth.secret is None:
        return "not asked: tokens come from the identity provider"
    token = tokens.sign("_system", "viewer", "syncctl:status", hours=0.1, platform=True, settings=settings)
    answer = httpx.get(f"{api}/sync/info", headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    rows: list[dict[str, Any]] = answer.json().get("consumers", [])
    said = ", ".join(_consumer(row) for row in rows) or "none yet"
    if missing := without_workers(rows, serving, settings):
        raise RuntimeError(f"no worker serves {' and '.join(missing)}: {said}")
    return said


def without_workers(rows: Iterable[Mapping[str, Any]], serving: Collection[str], settings: Settings) -> list[str]:
    """Pools that should have a member and have none."""
    from sync.supervision.pools import bounds

    empty = [str(row["name"]) for row in rows if not row["workers"]]
    return [pool for pool in empty if pool in serving and bounds(settings, pool).min > 0]


def _serving(settings: Settings, home: Home) -> set[str]:
    with _connected(settings, home) as connection:
        rows = connection.execute(
            "SELECT DISTINCT q.pool FROM job_kind k JOIN queue q ON q.id = k.queue_id WHERE k.retired_at IS NULL"
        )
        return {pool for (pool,) in rows}


def _consumer(row: dict[str, Any]) -> str:
    return f"{row['name']} {row['state']} ({row['workers']} workers, {row['depth']} waiting)"


def _document(home: Home, state: UpState | None, parts: list[Part]) -> dict[str, Any]:
    return {
        "home": str(home.path),
        "running": state is not None,
        **(asdict(state) if state is not None else {}),
        "parts": [asdict(part) for part in parts],
    }
