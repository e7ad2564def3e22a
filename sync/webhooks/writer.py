"""Writes deliveries in groups: whoever waits while a commit is on its way shares the next one.

A caller returns only when its row is durable. One that gives up takes nothing with it: its row stays in the group.

The job that applies rows is enqueued in their transaction, but not more often than `_JOB_EVERY_S`: rows that come in
between share one a moment later. Should the process die in that moment, the look of every minute finds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from sync.base.errors import Transient
from sync.base.logs import get_logger
from sync.jobs.model import NewJob
from sync.jobs.queue import Queue
from sync.store.arrays import text_array
from sync.store.dedicated import DedicatedConnection
from sync.store.engine import Database, StoreError
from sync.webhooks.handlers import APPLY
from sync.webhooks.model import NewDelivery

log = get_logger(__name__)

_GROUP = 500
_MAX_WAITING = 5_000
"""Beyond this many calls in memory the vendor has to send again."""
_TRIES = 2
_PAUSE_S = 0.2
_JOB_EVERY_S = 0.05
_INSERT = """
INSERT INTO webhook_delivery (dedup_key, platform, integration_id, headers, query, body)
SELECT * FROM unnest(%s::bytea[], %s::text[], %s::bigint[], %s::json[], %s::json[], %s::bytea[])
ON CONFLICT (dedup_key) DO NOTHING"""

_Waiting = tuple[NewDelivery, asyncio.Future[None]]


class GroupWriter:
    def __init__(self, database: Database, queue: Queue, patience_s: float) -> None:
        self._database = database
        self._queue = queue
        self._patience_s = patience_s
        self._connection = DedicatedConnection(database)
        self._gathered: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._job_after = 0.0
        self._owed: asyncio.Task[None] | None = None
        self.groups = 0
        self.rows = 0

    async def put(self, delivery: NewDelivery) -> None:
        """Return when it is durable. Errors: Transient, and the vendor should send it again."""
        if len(self._gathered) >= _MAX_WAITING:
            raise Transient("Too many webhooks wait to be written.")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathered.append((delivery, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups(), name="webhooks.writer")
        handle = asyncio.get_running_loop().call_later(self._patience_s, _give_up, future)
        try:
            await future
        finally:
            handle.cancel()

    async def close(self) -> None:
        """Wait for what is under way; its callers may be gone, its vendors not."""
        for task in (self._writer, self._owed):
            if task is not None:
                await asyncio.wait([task], timeout=10)
        await self._connection.drop()

    async def _write_groups(self) -> None:
        """Until nothing is left; the next `put` starts another."""
        while self._gathered:
            group, self._gathered = self._gathered[:_GROUP], self._gathered[_GROUP:]
            try:
                await self._write([delivery for delivery, _ in group])
            except asyncio.CancelledError:
                _settle([*group, *self._gathered], Transient("The process is stopping."))
                self._gathered = []
                raise
            except Transient as error:
                log.warning("webhooks.not_written", calls=len(group), error=str(error))
                _settle(group, error)
            except Exception as error:
                await self._one_by_one(group, error)
            else:
                _settle(group)

    async def _one_by_one(self, group: Sequence[_Waiting], error: Exception) -> None:
        """One row that PostgreSQL refuses must not fail the others."""
        if len(group) == 1:
            log.error("webhooks.refused_by_store", platform=group[0][0].platform, error=str(error))
            _settle(group, error)
            return
        for one in group:
            try:
                await self._write([one[0]])
            except (Transient, StoreError) as own:
                _settle([one], own)
            else:
                _settle([one])

    async def _write(self, deliveries: Sequence[NewDelivery]) -> None:
        """A group whose commit got lost on the way may be there or not: written again, it is there once."""
        for left in reversed(range(_TRIES)):
            try:
                return await self._write_once(deliveries)
            except Transient:
                if not left:
                    raise
                await asyncio.sleep(_PAUSE_S)

    async def _write_once(self, deliveries: Sequence[NewDelivery]) -> None:
        encode = msgspec.json.encode
        params = (
            [delivery.dedup_key for delivery in deliveries],
            text_array([delivery.platform for delivery in deliveries]),
            [delivery.integration_id for delivery in deliveries],
            text_array([encode(delivery.headers).decode() for delivery in deliveries]),
            text_array([encode(delivery.query).decode() for delivery in deliveries]),
            [delivery.body for delivery in deliveries],
        )
        now = asyncio.get_running_loop().time()
        if now < self._job_after:
            await self._connection.execute(_INSERT, params)
            if self._owed is None or self._owed.done():
                self._owed = asyncio.create_task(self._enqueue_later(), name="webhooks.job")
        else:
            async with self._database.transaction() as tx:
                if await tx.execute(_INSERT, params):
                    await self._queue.enqueue(NewJob(APPLY, {}), tx)
            self._job_after = now + _JOB_EVERY_S
        self.groups += 1
        self.rows += len(deliveries)

    async def _enqueue_later(self) -> None:
        """The job of the rows that came too soon after the last one."""
        await asyncio.sleep(_JOB_EVERY_S)
        try:
            await self._queue.enqueue(NewJob(APPLY, {}))
        except Transient as error:
            log.warning("webhooks.no_job", error=str(error))


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(Transient("The webhook was not written in time."))


def _settle(group: Sequence[_Waiting], error: Exception | None = None) -> None:
    for _, future in group:
        if future.done():  # its caller gave up
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
