"""The line of a consumer in `worker`: that is how status pages and the supervisor know that it lives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from sync.base.errors import SyncError
from sync.base.logs import get_logger
from sync.base.settings import QueueSettings
from sync.jobs.heartbeat import Heartbeat, Vitals
from sync.jobs.rescue import disown_predecessors
from sync.store.engine import Database

log = get_logger(__name__)

_REGISTER = """
INSERT INTO worker (name, pool, node, pid) VALUES (%(name)s, %(pool)s, %(node)s, %(pid)s)
RETURNING id, (SELECT id FROM queue WHERE name = 'datatype') AS queue_id
"""


class Presence:
    """Beats beside the event loop. Being declared dead costs nothing: no work hangs on this line."""

    def __init__(
        self, database: Database, settings: QueueSettings, pool: str, name: str, node: str, counts: Callable[[], Vitals]
    ) -> None:
        self._database = database
        self._settings = settings
        self._pool, self._name, self._node = pool, name, node
        self._counts = counts
        self._heartbeat: Heartbeat | None = None
        self._worker_id = 0
        self._queue_id = 0
        self._done = 0
        self._again: asyncio.Task[None] | None = None
        self._gone = False

    async def start(self) -> None:
        """Errors: Transient when PostgreSQL cannot be reached."""
        await disown_predecessors(self._database, self._name, self._node)
        row = await self._database.fetch_one(
            _REGISTER, {"name": self._name, "pool": self._pool, "node": self._node, "pid": os.getpid()}
        )
        assert row is not None
        self._worker_id, self._queue_id = row["id"], row["queue_id"]
        loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(
            self._database.url,
            self._worker_id,
            self._settings.heartbeat_s,
            self._vitals,
            on_dead=lambda: loop.call_soon_threadsafe(self._declared_dead),
            on_cancel=lambda _ids: None,
        )
        self._heartbeat.start()

    async def stop(self) -> None:
        self._gone = True
        if self._again is not None:
            self._again.cancel()
        if self._heartbeat is not None:
            await asyncio.to_thread(self._heartbeat.stop)
        try:
            await self._database.execute("DELETE FROM worker WHERE id = %s", (self._worker_id,))
        except SyncError as error:
            log.warning("worker.not_signed_off", name=self._name, error=str(error))

    def _vitals(self) -> Vitals:
        counts = self._counts()
        moved, self._done = counts.done > self._done, counts.done
        return Vitals(counts.running, counts.done, counts.failed, counts.state, [self._queue_id] if moved else [])

    def _declared_dead(self) -> None:
        if not self._gone:
            self._again = asyncio.create_task(self._reborn(), name="presence")

    async def _reborn(self) -> None:
        while True:
            try:
                return await self.start()
            except SyncError as error:
                log.warning("worker.register_failed", error=str(error))
                await asyncio.sleep(self._settings.heartbeat_s)
