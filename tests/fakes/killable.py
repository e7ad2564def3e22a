"""Services of one test's own, to be killed in the middle of the work and started again at the same address."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import redis

from sync.store.embedded import EmbeddedPostgres
from sync.store.migrate import upgrade
from tests.services import free_port, missing

DURABLE = {"fsync": "on", "synchronous_commit": "on", "shared_buffers": "64MB", "max_wal_size": "256MB"}


class KillablePostgres:
    """As durable as in production: what it has confirmed must be there after a kill."""

    def __init__(self, home: Path, options: Mapping[str, str] = DURABLE) -> None:
        self._home, self._options = home, options
        self._server = EmbeddedPostgres(home, options)
        self.url = self._server.start()
        upgrade(self.url)

    def kill(self) -> None:
        """kill -9 of the postmaster; its back ends see it and follow."""
        postmaster, *others = self._processes()
        postmaster.kill()
        psutil.wait_procs(others, timeout=10)

    def freeze(self) -> None:
        """Alive, but it answers nobody."""
        self._frozen = self._processes()
        for process in self._frozen:
            process.suspend()

    def thaw(self) -> None:
        for process in self._frozen:
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        assert self._server.pid is not None
        postmaster = psutil.Process(self._server.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def restart(self) -> None:
        self._server.stop()
        self._server = EmbeddedPostgres(self._home, self._options)
        self._server.start()

    def close(self) -> None:
        self._server.stop(immediate=True)


class KillableRedis:
    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            missing("redis-server", "apt-get install redis-server")
        self._program = str(program)
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def restart(self) -> None:
        self.start()

    def start(self) -> None:
        options = {"--port": str(self._port), "--bind": "127.0.0.1", "--save": "", "--appendonly": "no"}
        command = [self._program, *(part for option in options.items() for part in option)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
        deadline = time.monotonic() + 10
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "Redis did not start"
                    time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Alive, but it answers nobody."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def killable_postgres() -> Iterator[KillablePostgres]:
    with tempfile.TemporaryDirectory(prefix="sync-pg-") as home:
        server = KillablePostgres(Path(home))
        try:
            yield server
        finally:
            server.close()


@contextmanager
def killable_redis() -> Iterator[KillableRedis]:
    server = KillableRedis()
    try:
        yield server
    finally:
        server.kill()
