"""What a handler gets beside its arguments."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from sync.base.errors import LeaseLost
from sync.base.logs import get_logger
from sync.store.engine import Database, Transaction
from sync.store.sql import load_sql

if TYPE_CHECKING:
    from sync.jobs.model import Job
    from sync.jobs.queue import Queue


class JobContext:
    """One attempt of one job."""

    __slots__ = ("_database", "_lease_id", "_started", "_worker_id", "finished_in_transaction", "job", "queue")

    def __init__(self, job: Job, *, lease_id: int, worker_id: int, database: Database, queue: Queue) -> None:
        self.job = job
        self.queue = queue
        self.finished_in_transaction = False
        self._lease_id = lease_id
        self._worker_id = worker_id
        self._database = database
        self._started = time.monotonic()

    @property
    def log(self) -> Any:
        return get_logger("sync.job").bind(
            job_id=self.job.id, kind=self.job.kind, org_id=self.job.org_id, attempt=self.job.attempt + 1
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction whose commit also ends the job: what it writes happens exactly once.

        The check that this worker still holds the job comes last, so the lease row is locked only for the commit.
        Return Done (or nothing) after the block. Errors: LeaseLost, and nothing was written.
        """
        async with self._database.transaction() as tx:
            yield tx
            touched = await tx.execute(
                load_sql("finish_one"),
                {
                    "lease": self._lease_id,
                    "worker": self._worker_id,
                    "job": self.job.id,
                    "duration_ms": int((time.monotonic() - self._started) * 1000),
                    "attempt": self.job.attempt + 1,
                    "org": self.job.org_id,
                    "kind": self.job.kind,
                    "unique_key": self.job.unique_key,
                },
            )
            if touched != 1:
                raise LeaseLost(f"Job {self.job.id} was taken over by another worker; its changes were rolled back.")
        self.finished_in_transaction = True

    async def progress(self, percent: float, message: str | None = None, checkpoint: Any = None) -> None:
        """Show how far this job is (0 to 100), and keep a checkpoint that later attempts can read."""
        await self._database.execute(
            load_sql("progress"),
            {
                "job": self.job.id,
                "org": self.job.org_id,
                "percent": percent,
                "message": message,
                "checkpoint": None if checkpoint is None else msgspec.json.encode(checkpoint).decode(),
            },
        )

    async def checkpoint(self) -> Any:
        """What an earlier attempt left with `progress(checkpoint=...)`, or None."""
        return await self._database.fetch_value(
            "SELECT checkpoint FROM job_progress WHERE job_id = %(job)s", {"job": self.job.id}
        )
