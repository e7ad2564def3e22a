"""What operators do with deliveries: list, show, count, replay.

A delivery may concern several orgs at once, so an org sees what was told about its accounts, and the body only if that
concerns nobody else. Whoever holds a platform token sees everything, what nobody's account matched included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sync.base.errors import ApiError
from sync.jobs.model import NewJob
from sync.jobs.queue import Queue
from sync.store.engine import Database, Transaction
from sync.webhooks.handlers import APPLY
from sync.webhooks.model import DeliveryState

_MAX_REPLAY = 10_000
# `org` NULL is for the whole install.
_MINE = "EXISTS (SELECT FROM webhook_event e WHERE e.delivery_id = d.id AND e.org_id = %(org)s)"
_ALONE = "NOT EXISTS (SELECT FROM webhook_event e WHERE e.delivery_id = d.id AND e.org_id IS DISTINCT FROM %(org)s)"
_VISIBLE = f"(%(org)s::text IS NULL OR {_MINE})"
_LIST = f"""
SELECT d.id, d.platform, d.integration_id, d.received_at, d.state, d.attempts, d.next_at, d.applied_at, d.error,
       octet_length(d.body) AS size,
       (SELECT count(*) FROM webhook_event e
        WHERE e.delivery_id = d.id AND (%(org)s::text IS NULL OR e.org_id = %(org)s)) AS events
FROM webhook_delivery d
WHERE {_VISIBLE} AND (%(platform)s::text IS NULL OR d.platform = %(platform)s)
  AND (%(states)s::text[] IS NULL OR d.state = ANY (%(states)s)) AND (%(before)s::bigint IS NULL OR d.id < %(before)s)
ORDER BY d.id DESC LIMIT %(limit)s"""
_SHOW = f"""
SELECT d.id, d.platform, d.integration_id, d.received_at, d.state, d.attempts, d.next_at, d.applied_at, d.error,
       octet_length(d.body) AS size, d.headers,
       CASE WHEN %(org)s::text IS NULL OR {_ALONE} THEN d.body END AS body
FROM webhook_delivery d WHERE d.id = %(id)s AND {_VISIBLE}"""
_EVENTS = """
SELECT number, org_id, integration_id, account, key, outcome, records, added, changed, dirty FROM webhook_event
WHERE delivery_id = %(id)s AND (%(org)s::text IS NULL OR org_id = %(org)s) ORDER BY number, integration_id"""
_COUNTS = f"""
SELECT d.platform, d.state, count(*) AS deliveries FROM webhook_delivery d
WHERE d.received_at > now() - interval '24 hours' AND {_VISIBLE}
GROUP BY 1, 2 ORDER BY 1, 2"""
_REPLAY = f"""
WITH chosen AS (
  SELECT d.id FROM webhook_delivery d
  WHERE {_VISIBLE} AND d.next_at IS NULL AND (%(org)s::text IS NULL OR {_ALONE})
    AND (%(ids)s::bigint[] IS NULL OR d.id = ANY (%(ids)s))
    AND (%(platform)s::text IS NULL OR d.platform = %(platform)s)
    AND (%(states)s::text[] IS NULL OR d.state = ANY (%(states)s))
  ORDER BY d.id LIMIT %(limit)s
  FOR UPDATE OF d SKIP LOCKED
), forgotten AS (
  DELETE FROM webhook_event e USING chosen WHERE e.delivery_id = chosen.id
)
UPDATE webhook_delivery d SET state = 'stored', attempts = 0, next_at = now(), error = NULL
FROM chosen WHERE d.id = chosen.id"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which deliveries: of these ids, or of this platform and these states."""

    ids: Sequence[int] | None = None
    platform: str | None = None
    states: Sequence[DeliveryState] | None = None


Rows = list[dict[str, Any]]


class Deliveries:
    """`org_id` None is for the operator of the install: everything."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue

    async def list(self, org_id: str | None, choice: Choice, *, before: int | None = None, limit: int = 50) -> Rows:
        """Newest first; `before` is the last id of the page before."""
        values = {"org": org_id, **_values(choice), "before": before, "limit": limit}
        return await self._database.fetch_all(_LIST, values)

    async def show(self, org_id: str | None, delivery_id: int) -> dict[str, Any]:
        """With its events and, where it concerns nobody else, its body. Errors: ApiError 404."""
        values = {"org": org_id, "id": delivery_id}
        row = await self._database.fetch_one(_SHOW, values)
        if row is None:
            raise ApiError(404, "No such delivery", f"There is no webhook delivery {delivery_id} in your org.")
        return {**row, "told": await self._database.fetch_all(_EVENTS, values)}

    async def counts(self, org_id: str | None) -> Rows:
        """Deliveries of the last 24 hours by platform and state."""
        return await self._database.fetch_all(_COUNTS, {"org": org_id})

    async def replay(self, org_id: str | None, choice: Choice, tx: Transaction) -> int:
        """Apply again what has ended; how many. An org may replay only what concerns nobody else."""
        values = {"org": org_id, **_values(choice), "ids": choice.ids and list(choice.ids), "limit": _MAX_REPLAY}
        touched = await tx.execute(_REPLAY, values)
        if touched:
            await self._queue.enqueue(NewJob(APPLY, {}), tx)
        return touched


def _values(choice: Choice) -> dict[str, Any]:
    return {"platform": choice.platform, "states": list(choice.states) if choice.states else None}
