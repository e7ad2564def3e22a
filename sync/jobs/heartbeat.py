"""The sign of life of a worker process, from a thread of its own so that a busy event loop cannot silence it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from sync.base.logs import get_logger
from sync.store.sql import load_sql

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a beat reports."""

    running: int
    done: int
    failed: int
    state: str
    succeeded: list[int]
    """Queues with a success since the last beat."""


class Heartbeat:
    """Beats every `every_s` seconds until stopped.

    on_dead: called (on the beating thread) when the worker's row is gone: it was declared dead, its leases are rescued.
    on_cancel: called with the ids of jobs somebody asked to cancel.
    """

    def __init__(
        self,
        url: str,
        worker_id: int,
        every_s: float,
        vitals: Callable[[], Vitals],
        on_dead: Callable[[], object],
        on_cancel: Callable[[list[int]], object],
    ) -> None:
        self._url = url
        self._worker_id = worker_id
        self._every_s = every_s
        self._vitals = vitals
        self._on_dead = on_dead
        self._on_cancel = on_cancel
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._last = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    @property
    def age_s(self) -> float:
        """Seconds since the last beat that reached the database."""
        return time.monotonic() - self._last

    def _run(self) -> None:
        connection: psycopg.Connection[tuple[int, list[int] | None]] | None = None
        while not self._stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(
                        self._url,
                        autocommit=True,
                        connect_timeout=5,
                        application_name="sync.heartbeat",
                        options="-c synchronous_commit=off -c statement_timeout=5000",
                        prepare_threshold=None,
                    )
                if not self._beat(connection):
                    self._on_dead()
                    break
            except psycopg.Error as error:
                log.warning("heartbeat.missed", error=str(error), age_s=round(self.age_s, 1))
                if connection is not None:
                    connection.close()
                    connection = None
            self._stop.wait(self._every_s)
        if connection is not None:
            connection.close()

    def _beat(self, connection: psycopg.Connection[tuple[int, list[int] | None]]) -> bool:
        vitals = self._vitals()
        row = connection.execute(
            load_sql("heartbeat"),
            {
                "worker": self._worker_id,
                "running": vitals.running,
                "done": vitals.done,
                "failed": vitals.failed,
                "state": vitals.state,
                "succeeded": vitals.succeeded,
            },
        ).fetchone()
        if row is None:
            return False
        self._last = time.monotonic()
        if row[1]:
            self._on_cancel(row[1])
        return True
