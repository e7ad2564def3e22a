"""What `syncctl up` and `syncctl status` print for a person."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sync.base.logs import redact
from sync.base.settings import Settings
from sync.cli.home import Home, UpState

if TYPE_CHECKING:
    from actors.cluster import LocalCluster


def addresses(settings: Settings, cluster: LocalCluster) -> dict[str, str]:
    """Everything that can be opened or connected to."""
    assert settings.store.url is not None
    api = settings.http.address
    found = {"api": api, "docs": f"{api}/docs", "dashboard": cluster.dashboard}
    found["postgresql"] = str(redact(settings.store.url.get_secret_value()))
    if settings.redis.url is not None:
        found["redis"] = str(redact(settings.redis.url.get_secret_value()))
    return found


def print_summary(state: UpState, home: Home, seconds: float) -> None:
    found = state.addresses
    command = this_command()
    token = f"{command} demo" if state.demo else f"{command} token --org acme --role admin"
    rows = [
        ("API", found["api"]),
        ("API docs", found["docs"]),
        *((("Console", found["console"]),) if "console" in found else ()),
        ("Ray dashboard", f"{found['dashboard']}  (asks for the token in {_short(home.ray_token_file)})"),
        ("PostgreSQL", f"{state.store}: {found['postgresql']}"),
        ("Redis", found.get("redis", "none: wake-ups go through PostgreSQL")),
        ("Logs", _short(home.logs)),
        ("Get a token", token),
        ("Try", f'curl -H "Authorization: Bearer $({token})" {found["api"]}/sync/status'),
        ("Stop", "Ctrl-C" if sys.stdout.isatty() else f"{command} down"),
    ]
    print(f"\nReady after {seconds:.1f} s.\n")
    for name, value in rows:
        print(f"  {name:<15}{value}")
    if state.demo:
        _print_demo(state, command, token)
    print(flush=True)


def _print_demo(state: UpState, command: str, token: str) -> None:
    api, simulator = state.addresses["api"], state.addresses["simulator"]
    print("\nDemo: the org `demo` and its accounts at simulated vendors. Things happen there all the time.\n")
    for platform, what in state.demo.items():
        print(f"  {platform:<15}{what}")
    call = f'curl -s -H "Authorization: Bearer $({token})"'
    rows = [
        ("Accounts", f"{command} integrations --org demo"),
        ("Runs", f"{command} runs --org demo"),
        ("Sync now", f"{command} trigger --org demo slack"),
        ("What it brought", f"{call} '{api}/sync/activities?limit=5'"),
        ("Numbers", f"{call} '{api}/sync/metrics?limit=5'"),
        ("The vendors", f"curl -s {simulator}/_control"),
        ("Make it happen", f"curl -s {simulator}/_control/slack/grow -d '{{\"events\": 3}}'"),
        ("Revoke a token", f"curl -s {simulator}/_control/slack/revoke -d '{{}}'"),
    ]
    print("\nLook at:\n")
    for name, value in rows:
        print(f"  {name:<17}{value}")


def this_command() -> str:
    """How the reader can call us: by name when that works from anywhere."""
    import shutil

    called = Path(sys.argv[0])
    found = shutil.which("syncctl")
    if found is not None and Path(found).resolve() == called.resolve():
        return "syncctl"
    return _short(called) if called.name == "syncctl" else f"{_short(Path(sys.executable))} -m sync.cli.main"


def _short(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
