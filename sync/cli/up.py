"""`syncctl up`: bring everything up in order, look after it, take it down in reverse.

starting   a signal or a failure ends the start, and what was started so far is stopped
ready      once a second: PostgreSQL is restarted when it died; the loss of Ray's head restarts the cluster, whose
           actors come back from the database
stopping   actors finish what they hold; a second signal cuts that short
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sync.base.errors import ConfigurationError, SyncError
from sync.base.settings import Settings, load_settings
from sync.cli.checks import before_start
from sync.cli.home import Home, UpState, local_settings, with_store
from sync.cli.summary import addresses, http_address, print_summary
from sync.store.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from actors.cluster import LocalCluster

_WATCH_S = 1.0
_HEALTHY_TIMEOUT_S = 30.0
_EXIT_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> None:
    """Run until a signal. Errors: ConfigurationError, with nothing left running."""
    settings = load_settings()
    home = Home(settings.home)
    with home.locked():
        home.prepare()
        Launcher(local_settings(settings, home), home).run()


def migrate(url: str) -> None:
    """Errors: ConfigurationError when the database refuses."""
    import sqlalchemy.exc

    from sync.store.migrate import upgrade

    try:
        upgrade(url)
    except sqlalchemy.exc.DBAPIError as error:
        raise ConfigurationError(f"The database could not be migrated: {error.orig}") from error


class _Interrupted(BaseException):
    """A signal during the start."""


class Launcher:
    def __init__(self, settings: Settings, home: Home) -> None:
        self._settings = settings
        self._home = home
        self._state = UpState(pid=os.getpid(), state="starting", since=datetime.now(UTC).isoformat(timespec="seconds"))
        self._state.store = "embedded" if settings.store.url is None else "external"
        self._postgres = EmbeddedPostgres(home.path)
        self._cluster: LocalCluster | None = None
        self._signals = 0
        self._wake = threading.Event()

    def run(self) -> None:
        started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self._handled_signals())
            stack.callback(self._stop)
            try:
                self._start()
            except _Interrupted:
                print("Interrupted.")
                sys.exit(_EXIT_INTERRUPTED)
            self._say(state="ready", step="")
            print_summary(self._state, self._home, time.monotonic() - started)
            self._watch()

    def _start(self) -> None:
        print(f"Starting Sync from {self._home.path}")
        self._clear_leftovers()
        with self._step("Checks"):
            before_start(self._settings, self._home)
        if self._settings.store.url is None:
            with self._step("PostgreSQL 18"):
                self._settings = with_store(self._settings, self._postgres.start())
        with self._step("Schema"):
            migrate(self._url)
        self._start_cluster()

    def _start_cluster(self) -> None:
        from actors.supervisor import ensure_supervisor

        with self._step("Ray"):
            from actors.cluster import start_local

            self._cluster = start_local(self._settings, self._home.run_directory)
            self._reclaim_signals()
        with self._step("Supervisor"):
            ensure_supervisor(self._settings)
        with self._step("HTTP API"):
            from serve_app import build

            self._cluster.serve(build(self._settings), self._settings)
            self._wait_healthy()
        self._state.addresses = addresses(self._settings, self._cluster)

    def _watch(self) -> None:
        while not self._wake.wait(_WATCH_S):
            if self._state.store == "embedded" and not self._postgres.running():
                self._say("PostgreSQL ended by itself; starting it again.")
                self._postgres.start()
            if self._cluster is not None and not self._cluster.alive():
                raise SyncError(f"Ray ended by itself; its logs are in {self._cluster.logs}. Start again: syncctl up.")

    def _stop(self) -> None:
        self._say(state="stopping")
        if self._cluster is not None:
            with self._step("HTTP API"):
                self._cluster.stop_serving()
            with self._step("Finishing what runs"):
                self._drain()
            with self._step("Ray"):
                self._cluster.stop()
        if self._postgres.running():
            with self._step("PostgreSQL"):
                self._postgres.stop()
        print("Stopped.")

    def _drain(self) -> None:
        """Let the actors finish. In a thread, so that a second signal can cut it short."""
        from actors.supervisor import drain_supervisor

        timeout_s = self._settings.queue.drain_timeout_s
        asked = self._signals
        thread = threading.Thread(target=drain_supervisor, args=(timeout_s,), daemon=True)
        thread.start()
        while thread.is_alive() and self._signals == asked:
            thread.join(0.1)

    def _clear_leftovers(self) -> None:
        """What a killed predecessor left: its PostgreSQL, and what Ray did not take down with it."""
        from actors import environment, leftovers

        ended = leftovers.end(self._home.run_directory)
        orphan = self._state.store == "embedded" and self._postgres.stop_orphan()
        if ended or orphan:
            print(f"  Cleared what the last run left behind ({ended} processes{', a PostgreSQL' if orphan else ''}).")
        environment.prepare(self._home.run_directory, self._home.ray_token_file)

    def _wait_healthy(self) -> None:
        import httpx

        address = f"{http_address(self._settings)}/healthz"
        deadline = time.monotonic() + _HEALTHY_TIMEOUT_S
        said = "no answer"
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(address, timeout=2)
                if answer.status_code == 200:
                    return
                said = f"{answer.status_code}: {answer.text[:200]}"
            except httpx.HTTPError as error:
                said = str(error)
            time.sleep(0.05)
        raise ConfigurationError(f"{address} was not healthy after {_HEALTHY_TIMEOUT_S:.0f} s ({said}).")

    @property
    def _url(self) -> str:
        assert self._settings.store.url is not None
        return self._settings.store.url.get_secret_value()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._say(step=name)
        print(f"  {name:<22}", end="", flush=True)
        began = time.monotonic()
        try:
            yield
        except BaseException:
            print("failed")
            raise
        took = time.monotonic() - began
        if self._state.state == "starting":
            self._state.seconds[name] = round(took, 2)
        print(f"{took:5.1f} s", flush=True)

    def _say(self, line: str | None = None, *, state: str | None = None, step: str | None = None) -> None:
        if line is not None:
            print(line, flush=True)
        if state is not None:
            self._state.state = state
        if step is not None:
            self._state.step = step
        self._home.write_state(self._state)

    @contextmanager
    def _handled_signals(self) -> Iterator[None]:
        before: dict[signal.Signals, Callable[..., object] | int | None] = {}
        for number in _SIGNALS:
            before[number] = signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _reclaim_signals(self) -> None:
        # Ray installs a handler of its own for SIGTERM when it connects.
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1
        self._wake.set()
        if self._state.state == "starting":
            raise _Interrupted
