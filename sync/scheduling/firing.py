"""Fires due schedules: one transaction per schedule holds its ticks, their jobs and the new due time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sync.base.errors import SyncError, Transient
from sync.base.logs import get_logger
from sync.jobs.model import NewJob
from sync.scheduling.cron import TimingError
from sync.scheduling.model import COLUMNS, StoredSchedule
from sync.scheduling.ticks import Plan, plan
from sync.store.engine import Database, Transaction

if TYPE_CHECKING:
    from sync.jobs.queue import Queue

log = get_logger(__name__)

Outcome = Literal["enqueued", "skipped", "failed", "manual"]

_PEEK = """
SELECT clock_timestamp() AS now, (SELECT min(next_due_at) FROM schedule WHERE next_due_at IS NOT NULL) AS next_due_at
"""
_DUE = "SELECT id FROM schedule WHERE next_due_at <= clock_timestamp() ORDER BY next_due_at, id LIMIT %(limit)s"
# Another leader in its last moments may hold the row: then that one fires it, and we come by again.
_LOCK = f"""
SELECT {COLUMNS}, clock_timestamp() AS now FROM schedule
WHERE id = %(id)s AND next_due_at <= clock_timestamp() FOR UPDATE SKIP LOCKED
"""
_TICK = """
INSERT INTO schedule_tick (schedule_id, due_at, outcome, error) VALUES (%(id)s, %(due_at)s, %(outcome)s, %(error)s)
ON CONFLICT DO NOTHING
"""
_TICK_JOB = """
UPDATE schedule_tick SET job_id = %(job)s, outcome = %(outcome)s WHERE schedule_id = %(id)s AND due_at = %(due_at)s
"""
_ADVANCE = """
UPDATE schedule SET next_due_at = %(next)s, last_due_at = coalesce(%(due)s, last_due_at),
  last_fired_at = CASE WHEN %(fired)s THEN clock_timestamp() ELSE last_fired_at END,
  last_job_id = coalesce(%(job)s, last_job_id), last_error = %(error)s
WHERE id = %(id)s
"""
_STOP = "UPDATE schedule SET next_due_at = NULL, last_error = %(error)s WHERE id = %(id)s"
_REVIEW = f"SELECT {COLUMNS}, clock_timestamp() AS now FROM schedule WHERE next_due_at > clock_timestamp()"
_PULL_BACK = "UPDATE schedule SET next_due_at = %(next)s WHERE id = %(id)s AND next_due_at = %(was)s"


@dataclass(frozen=True, slots=True)
class Fired:
    """duty: the kind to run in the scheduler itself, or None when jobs went to the queue."""

    enqueued: int = 0
    skipped: int = 0
    failed: int = 0
    duty: tuple[int, str] | None = None


class Firing:
    """Safe to run in several processes at once."""

    def __init__(self, database: Database, queue: Queue, duties: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._queue = queue
        self._duties = duties

    async def peek(self) -> tuple[datetime, datetime | None]:
        """The database's time, and when the next schedule is due. One cheap query."""
        row = await self._database.fetch_one(_PEEK)
        assert row is not None
        return row["now"], row["next_due_at"]

    async def due(self, limit: int) -> list[int]:
        return [row["id"] for row in await self._database.fetch_all(_DUE, {"limit": limit})]

    async def fire(self, schedule_id: int) -> Fired:
        """Fire one schedule if it is still due. Its own fault is recorded in its row and does not raise.

        Errors: Transient, and nothing happened.
        """
        try:
            async with self._database.transaction() as tx:
                found = await _lock(tx, schedule_id)
                return Fired() if found is None else await self._fire(tx, *found)
        except Transient:
            raise
        except TimingError as error:
            # A zone that the newest tzdata dropped, say: without a next time it stands still until somebody looks.
            log.error("schedule.stopped", schedule_id=schedule_id, error=error.message)
            await self._database.execute(_STOP, {"id": schedule_id, "error": error.message})
            return Fired(failed=1)
        except Exception as error:
            # Its transaction is gone, so the failure is recorded in another one; the next tick gets its own chance.
            log.error("schedule.failed", schedule_id=schedule_id, exc_info=not isinstance(error, SyncError))
            return await self._record_failure(schedule_id, f"{type(error).__name__}: {error}")

    async def review(self) -> int:
        """Bring due times back that a clock once ahead has pushed too far away; how many. Ticks stay unique."""
        moved = 0
        async with self._database.transaction() as tx:
            for row in await tx.fetch_all(_REVIEW):
                now = row.pop("now")
                schedule = StoredSchedule(**row)
                expected = _expected(schedule, now)
                if expected is not None and schedule.next_due_at is not None and expected < schedule.next_due_at:
                    moved += await tx.execute(
                        _PULL_BACK, {"id": schedule.id, "next": expected, "was": schedule.next_due_at}
                    )
        return moved

    async def note_error(self, schedule_id: int, reason: str) -> None:
        await self._database.execute(
            "UPDATE schedule SET last_error = %(error)s WHERE id = %(id)s", {"id": schedule_id, "error": reason}
        )

    async def _fire(self, tx: Transaction, schedule: StoredSchedule, now: datetime) -> Fired:
        planned = _plan(schedule, now)
        if schedule.kind in self._duties:
            await _advance(tx, schedule, planned, fired=bool(planned.fire))
            return Fired(duty=(schedule.id, schedule.kind) if planned.fire else None)
        outcomes: list[Outcome] = []
        job_id: int | None = None
        for tick in planned.fire:
            if await tx.execute(_TICK, {"id": schedule.id, "due_at": tick, "outcome": "enqueued", "error": None}):
                outcome, job_id = await self._enqueue(tx, schedule, tick)
                outcomes.append(outcome)
        await _advance(tx, schedule, planned, fired="enqueued" in outcomes, job_id=job_id)
        return Fired(enqueued=outcomes.count("enqueued"), skipped=outcomes.count("skipped"))

    async def _enqueue(self, tx: Transaction, schedule: StoredSchedule, tick: datetime) -> tuple[Outcome, int]:
        result = await self._queue.enqueue(job_of(schedule, tick), tx)
        outcome: Outcome = "enqueued" if result.created else "skipped"
        await tx.execute(_TICK_JOB, {"id": schedule.id, "due_at": tick, "job": result.job_id, "outcome": outcome})
        return outcome, result.job_id

    async def _record_failure(self, schedule_id: int, reason: str) -> Fired:
        async with self._database.transaction() as tx:
            found = await _lock(tx, schedule_id)
            if found is None:
                return Fired()
            schedule, now = found
            planned = _plan(schedule, now)
            for tick in planned.fire:
                await tx.execute(_TICK, {"id": schedule.id, "due_at": tick, "outcome": "failed", "error": reason})
            await _advance(tx, schedule, planned, error=reason)
        return Fired(failed=1)


def job_of(schedule: StoredSchedule, tick: datetime, *, manual: bool = False) -> NewJob:
    """The job of one tick. `overlap="skip"` is the queue's own unique key: held from enqueue until the job ends."""
    return NewJob(
        kind=schedule.kind,
        args=schedule.args,
        org_id=schedule.org_id,
        run_at=None if manual else schedule.starts_at(tick),
        unique_key=f"schedule:{schedule.id}" if schedule.overlap == "skip" else None,
        meta={"schedule": schedule.name, "due_at": tick.isoformat()},
    )


def _plan(schedule: StoredSchedule, now: datetime) -> Plan:
    assert schedule.next_due_at is not None
    return plan(
        schedule.timing,
        due_at=schedule.next_due_at,
        now=now,
        catch_up=schedule.catch_up,
        limit=schedule.catch_up_limit,
    )


def _expected(schedule: StoredSchedule, now: datetime) -> datetime | None:
    try:
        return schedule.timing.next_after(now)
    except TimingError:
        return None  # `fire` records it when its time comes


async def _lock(tx: Transaction, schedule_id: int) -> tuple[StoredSchedule, datetime] | None:
    row: dict[str, Any] | None = await tx.fetch_one(_LOCK, {"id": schedule_id})
    if row is None:
        return None
    now = row.pop("now")
    return StoredSchedule(**row), now


async def _advance(
    tx: Transaction,
    schedule: StoredSchedule,
    planned: Plan,
    *,
    fired: bool = False,
    job_id: int | None = None,
    error: str | None = None,
) -> None:
    await tx.execute(
        _ADVANCE,
        {
            "id": schedule.id,
            "next": planned.next_due_at,
            "due": planned.fire[-1] if planned.fire else None,
            "fired": fired,
            "job": job_id,
            "error": error,
        },
    )
