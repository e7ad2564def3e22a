"""Where jobs are: every enqueued job in exactly one place, every unique key held by exactly one open job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sync.store.engine import Database

_PLACES = """
SELECT 'waiting' AS place, coalesce(job_id, seq) AS id, queue_id, org_id, unique_key FROM job
UNION ALL SELECT 'scheduled', job_id, queue_id, org_id, unique_key FROM job_scheduled
UNION ALL SELECT 'dead', job_id, queue_id, org_id, NULL FROM job_dead
UNION ALL SELECT 'running', (e->>0)::bigint, l.queue_id, e->>7, e->>9
  FROM job_lease l CROSS JOIN LATERAL json_array_elements(l.jobs::json) e
  WHERE NOT (e->>0)::bigint = ANY (l.finished)
UNION ALL SELECT CASE outcome WHEN 0 THEN 'done' WHEN 3 THEN 'cancelled' ELSE 'discarded' END,
  job_id, queue_id, org_id, NULL FROM job_run WHERE outcome IN (0, 3, 7)
"""


class Misplaced(AssertionError):
    """A job is nowhere, or in two places, or a key is held by nobody or by the wrong one."""


async def check_places(db: Database, enqueued: Iterable[int] = ()) -> dict[int, str]:
    """Where every job is. enqueued: ids that must be somewhere. Errors: Misplaced."""
    async with db.transaction() as tx:  # one snapshot
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows = await tx.fetch_all(_PLACES)
        keys = await tx.fetch_all("SELECT queue_id, org_id, key, job_id FROM job_unique")
    counted = Counter(row["id"] for row in rows)
    places = {row["id"]: row["place"] for row in rows}
    if twice := {job_id: count for job_id, count in counted.items() if count > 1}:
        raise Misplaced(f"in several places: {[row for row in rows if row['id'] in twice]}")
    if lost := set(enqueued) - places.keys():
        raise Misplaced(f"lost: {sorted(lost)}")
    held = {(row["queue_id"], row["org_id"], row["key"]): row["job_id"] for row in keys}
    wanted = {(row["queue_id"], row["org_id"], row["unique_key"]): row["id"] for row in rows if row["unique_key"]}
    if held != wanted:
        raise Misplaced(f"keys held: {held}; by open jobs: {wanted}")
    return places


async def outcomes(db: Database) -> list[int]:
    """Of all attempts, in order."""
    return [row["outcome"] for row in await db.fetch_all("SELECT outcome FROM job_run ORDER BY finished_at, job_id")]


async def nothing_left(db: Database) -> bool:
    """No job waits or runs."""
    row = await db.fetch_one(
        "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM job_lease)"
        " + (SELECT count(*) FROM job_scheduled) AS n"
    )
    return row is not None and row["n"] == 0
