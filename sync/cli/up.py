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
from sync.base.files import private_directory
from sync.base.settings import Settings, load_settings
from sync.cli.checks import before_start
from sync.cli.driver import Driver
from sync.cli.home import Home, UpState, local_settings, with_store
from sync.cli.summary import addresses, print_summary
from sync.store.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from actors.cluster import LocalCluster
    from sync.cli.demo import Demo

_WATCH_S = 1.0
_LOSS_WINDOW_S = 600.0
_MAX_LOSSES = 3
_EXIT_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(*, demo: bool = False) -> None:
    """Run until a signal. Errors: ConfigurationError, with nothing left running."""
    settings = load_settings()
    home = Home(settings.home)
    with home.locked():
        home.prepare()
        private_directory(home.run_directory)
        Launcher(local_settings(settings, home), home, demo=demo).run()


def migrate(url: str) -> None:
    """Errors: ConfigurationError when the database refuses."""
    import sqlalchemy.exc

    from sync.store.migrate import upgrade

    try:
        upgrade(url)
    except sqlalchemy.exc.DBAPIError as error:
        said = str(error.orig).strip().splitlines()[0]
        raise ConfigurationError(f"The database could not be migrated: {said}") from error


def _demo(settings: Settings, home: Home) -> Demo:
    from sync.cli.demo import Demo

    return Demo(home, settings)


def _rest_demo(settings: Settings, home: Home) -> None:
    if home.demo_file.exists():  # else its imports, 12 MB, are for nothing
        from sync.cli.demo import rest

        rest(settings, home)


class _Interrupted(BaseException):
    """A signal at a time when it is to end what goes on."""


class Launcher:
    def __init__(self, settings: Settings, home: Home, *, demo: bool = False) -> None:
        self._settings = settings
        self._home = home
        self._state = UpState(pid=os.getpid(), state="starting", since=datetime.now(UTC).isoformat(timespec="seconds"))
        self._state.store = "embedded" if settings.store.url is None else "external"
        self._postgres = EmbeddedPostgres(home.path)
        self._cluster: LocalCluster | None = None
        self._demo = _demo(settings, home) if demo else None
        self._losses: list[float] = []
        self._was_ready = False
        self._breakable = False
        self._wake = threading.Event()

    def run(self) -> None:
        started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self._handled_signals())
            stack.callback(self._stop)
            try:
                with self._interruptible():
                    self._start()
            except _Interrupted:
                print("Interrupted.")
                sys.exit(_EXIT_INTERRUPTED)
            self._was_ready = True
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
        if self._demo is None:
            _rest_demo(self._settings, self._home)
        else:
            with self._step("Simulated vendors"):
                self._settings = self._demo.start(self._settings)
        self._start_cluster()
        if self._demo is not None:
            with self._step("Demo accounts"):
                self._state.demo = self._demo.connect(self._settings.http.address)

    def _start_cluster(self) -> None:
        from actors.cluster import start_local

        with self._driver() as driver:  # it imports while Ray starts
            with self._step("Ray"):
                self._cluster = start_local(self._settings, self._home.run_directory)
            steps = driver.carry_out("start", self._cluster.address, self._settings)
            for name in ("Supervisor", "HTTP API", "Workers"):
                with self._step(name):
                    next(steps, None)
        self._home.link_ray_logs(self._cluster.logs)
        self._state.addresses = addresses(self._settings, self._cluster)
        if self._demo is not None:
            self._state.addresses["simulator"] = self._demo.address

    def _watch(self) -> None:
        while not self._wake.wait(_WATCH_S):
            if self._state.store == "embedded" and not self._postgres.running():
                print("PostgreSQL ended by itself; starting it again.", flush=True)
                self._postgres.stop()
                self._postgres.start()
            if self._demo is not None and self._demo.heal(self._settings.http.address):
                print(
                    "A part of the demo ended by itself; it was started again and its accounts reconnected.", flush=True
                )
            if self._cluster is None:
                continue
            if not self._cluster.alive():
                self._restart_cluster(self._cluster)
            elif healed := self._cluster.heal():
                print(f"Started again: {', '.join(healed)}.", flush=True)

    def _restart_cluster(self, lost: LocalCluster) -> None:
        """Errors: SyncError when it was lost too often: then a person has to look."""
        now = time.monotonic()
        self._losses = [at for at in self._losses if now - at < _LOSS_WINDOW_S] + [now]
        if len(self._losses) > _MAX_LOSSES:
            raise SyncError(
                f"Ray ended {_MAX_LOSSES + 1} times within {_LOSS_WINDOW_S / 60:.0f} minutes: see {lost.logs}"
            )
        print("Ray ended by itself; starting it again. Nothing is lost: work and times are in PostgreSQL.", flush=True)
        self._say(state="starting")
        self._cluster = None
        lost.stop()
        try:
            with self._interruptible():
                self._start_cluster()
        except _Interrupted:
            return
        self._say(state="ready", step="")
        print("Ready again.", flush=True)

    def _stop(self) -> None:
        self._say(state="stopping")
        if self._cluster is not None:
            if self._was_ready and self._cluster.alive():
                self._drain(self._cluster)
            with self._step("Ray"):
                self._cluster.stop()
        if self._demo is not None:
            self._demo.stop()
        if self._postgres.running():
            with self._step("PostgreSQL"):
                self._postgres.stop()
        print("Stopped.")

    def _drain(self, cluster: LocalCluster) -> None:
        """Let what runs finish. Cut short by another signal, and no reason to stop stopping."""
        try:
            with self._interruptible(), self._driver() as driver:
                steps = driver.carry_out("stop", cluster.address, self._settings)
                for name in ("HTTP API", "Finishing what runs"):
                    with self._step(name):
                        next(steps, None)
        except (_Interrupted, SyncError) as error:
            why = str(error) or "interrupted"
            print(f"  Not everything finished ({why}); it is taken up again at the next start.", flush=True)

    @contextmanager
    def _driver(self) -> Iterator[Driver]:
        driver = Driver(self._home.logs / "driver.log")
        try:
            yield driver
        finally:
            driver.end()

    def _clear_leftovers(self) -> None:
        """What a killed predecessor left: its PostgreSQL, and what Ray did not take down with it."""
        from actors import environment, leftovers

        ended = leftovers.end(self._home.run_directory)
        orphan = self._state.store == "embedded" and self._postgres.stop_orphan()
        if ended or orphan:
            print(f"  Cleared what the last run left behind ({ended} processes{', a PostgreSQL' if orphan else ''}).")
        environment.prepare(self._home.run_directory, self._home.ray_token_file)

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

    def _say(self, *, state: str | None = None, step: str | None = None) -> None:
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

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._wake.set()
        if self._breakable:
            self._breakable = False
            raise _Interrupted

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A signal ends this block: starting, and waiting for others to finish. Elsewhere it waits for its turn."""
        self._breakable = True
        try:
            yield
        finally:
            self._breakable = False
