"""Refuses to fill a queue without bound: 429 above `max_waiting` jobs.

Counting costs time in proportion to the backlog, so a count is reused for twenty times as long as it took (half a
second at least); in between, what this process adds is added to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from sync.api.problems import problem
from sync.store.engine import Database

_MIN_AGE_S = 0.5
_REUSE_FACTOR = 20
RETRY_AFTER_S = 10

# Stops counting at the limit. Index: job_pick, job_scheduled_due.
_COUNT = """
SELECT count(*) FROM (
  (SELECT 1 FROM job WHERE queue_id = q.id LIMIT %(limit)s)
  UNION ALL
  (SELECT 1 FROM job_scheduled WHERE queue_id = q.id LIMIT %(limit)s)
) AS held
"""
_HELD = f"SELECT ({_COUNT}) AS held FROM queue q WHERE q.name = %(queue)s"


@dataclass
class _Count:
    held: int
    good_until: float


class BackPressure:
    def __init__(self, database: Database, max_waiting: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._max = max_waiting
        self._monotonic = monotonic
        self._counts: dict[str, _Count] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def admit(self, queue: str, jobs: int) -> None:
        """Make room for `jobs` more in `queue`. Errors: ApiError 429 with Retry-After."""
        count = await self._count(queue)
        if count.held + jobs > self._max:
            detail = f"Queue {queue} holds {count.held:,} jobs and takes {self._max:,}. Send it again later."
            raise problem("queue-full", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        count.held += jobs

    async def _count(self, queue: str) -> _Count:
        async with self._locks.setdefault(queue, asyncio.Lock()):
            known = self._counts.get(queue)
            if known is not None and self._monotonic() < known.good_until:
                return known
            started = self._monotonic()
            held = await self._database.fetch_value(_HELD, {"queue": queue, "limit": self._max})
            now = self._monotonic()
            good_for = max(_MIN_AGE_S, _REUSE_FACTOR * (now - started))
            self._counts[queue] = _Count(held or 0, now + good_for)
            return self._counts[queue]
