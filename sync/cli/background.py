"""`syncctl up --detach` and `syncctl down`: starting without a terminal, and stopping what runs elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from sync.base.errors import ConfigurationError, SyncError
from sync.base.settings import load_settings
from sync.cli.home import Home
from sync.cli.summary import print_summary, this_command
from sync.store.embedded import EmbeddedPostgres

_POLL_S = 0.1
_READY_TIMEOUT_S = 120.0
_KILLED_GRACE_S = 5.0


def start(*, wait: bool, demo: bool = False) -> None:
    """Errors: ConfigurationError with what the start said when it failed (only with `wait`)."""
    home = Home(load_settings().home)
    with home.locked():  # say "already running" here and now, not in a log
        home.prepare()
    log = home.logs / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sync.cli.main", "up", *(["--demo"] if demo else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    print(f"Starting as process {process.pid}; it writes to {log}.", flush=True)
    if not wait:
        return
    began = time.monotonic()
    while time.monotonic() - began < _READY_TIMEOUT_S:
        state = home.read_state()
        if state is not None and state.pid == process.pid and state.state == "ready":
            print_summary(state, home, time.monotonic() - began)
            return
        if process.poll() is not None:
            said = [line.removeprefix("syncctl: ") for line in log.read_text(errors="replace").splitlines() if line]
            explained = [line for line in said if not line.startswith("  ")]
            raise ConfigurationError(
                f"It did not start: {explained[-1] if explained else 'no reason given'} (see {log})"
            )
        time.sleep(_POLL_S)
    raise SyncError(
        f"It is not ready after {_READY_TIMEOUT_S:.0f} s: see {log}, or stop it with {this_command()} down."
    )


def stop(timeout_s: float) -> None:
    """Stop what runs, drained; what does not stop in time is killed. Afterwards nothing of it is left."""
    settings = load_settings()
    home = Home(settings.home)
    owner = home.owner()
    if owner is not None:
        print(f"Stopping process {owner} ...", flush=True)
        _end(owner, timeout_s)
    if not home.path.exists():
        print(f"Nothing runs from {home.path}.")
        return
    with home.locked():
        cleared = _clear(home)
    if owner is None:
        print(f"Cleared what a killed run left behind ({cleared})." if cleared else f"Nothing runs from {home.path}.")
    else:
        print("Stopped.")


def _end(pid: int, timeout_s: float) -> None:
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        print(f"It did not stop within {timeout_s:.0f} s; killing it.", flush=True)
        os.kill(pid, signal.SIGKILL)
        process.wait(_KILLED_GRACE_S)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied as error:
        raise ConfigurationError(f"Process {pid} belongs to another account: stop it as that account.") from error


def _clear(home: Home) -> str:
    from actors import leftovers

    ended = leftovers.end(home.run_directory)
    parts = [f"{ended} processes"] if ended else []
    if EmbeddedPostgres(home.path).stop_orphan():
        parts.append("a PostgreSQL")
    return " and ".join(parts)
