"""What people and the API do with schedules, and how those in the code become rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, LiteralString

import msgspec

from schedules.spec import Schedule
from sync.base.errors import ApiError, Permanent
from sync.base.ids import SYSTEM_ORG, check_org_id
from sync.base.logs import get_logger
from sync.jobs.catalogue import Catalogue
from sync.jobs.model import EnqueueResult
from sync.scheduling.cron import TimingError
from sync.scheduling.firing import job_of
from sync.scheduling.model import COLUMNS, StoredSchedule, Tick, timing_of
from sync.signals import Signals
from sync.store.engine import Conflict, Database, Transaction

if TYPE_CHECKING:
    from sync.jobs.queue import Queue

log = get_logger(__name__)

TOPIC = "schedule"
"""Signal: definitions changed, so the next due time may have moved."""

MAX_PER_ORG = 1000
MIN_USER_INTERVAL = timedelta(seconds=10)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DEFINITION: LiteralString = """
  cron = %(cron)s, every = %(every)s, zone = %(zone)s, kind = %(kind)s, args = %(args)s, catch_up = %(catch_up)s,
  catch_up_limit = %(catch_up_limit)s, overlap = %(overlap)s, spread = %(spread)s
"""
_INSERT = f"""
INSERT INTO schedule (org_id, name, source, cron, every, zone, kind, args, catch_up, catch_up_limit, overlap, spread,
  created_by, next_due_at)
VALUES (%(org)s, %(name)s, %(source)s, %(cron)s, %(every)s, %(zone)s, %(kind)s, %(args)s, %(catch_up)s,
  %(catch_up_limit)s, %(overlap)s, %(spread)s, %(by)s, %(next)s)
RETURNING {COLUMNS}
"""
_UPDATE = f"""
UPDATE schedule SET {_DEFINITION}, source = %(source)s, retired_at = NULL, version = version + 1, last_error = NULL,
  next_due_at = CASE WHEN paused_at IS NULL THEN %(next)s::timestamptz END
WHERE org_id = %(org)s AND name = %(name)s
"""
_RETIRE = """
UPDATE schedule SET retired_at = now(), next_due_at = NULL
WHERE source = 'code' AND retired_at IS NULL AND NOT (name = ANY(%(names)s)) RETURNING name
"""
_PAUSE = f"""
UPDATE schedule SET paused_at = now(), paused_by = %(by)s, paused_reason = %(reason)s, next_due_at = NULL
WHERE id = %(id)s RETURNING {COLUMNS}
"""
_RESUME = f"""
UPDATE schedule SET paused_at = NULL, paused_by = NULL, paused_reason = NULL, next_due_at = %(next)s
WHERE id = %(id)s RETURNING {COLUMNS}
"""
_MANUAL_TICK = """
INSERT INTO schedule_tick (schedule_id, due_at, job_id, outcome) VALUES (%(id)s, clock_timestamp(), %(job)s, 'manual')
"""
_AUDIT = """
INSERT INTO audit (org_id, actor, action, target, detail) VALUES (%(org)s, %(by)s, %(action)s, %(target)s, %(detail)s)
"""


@dataclass(frozen=True, slots=True)
class SchedulePage:
    schedules: list[StoredSchedule]
    cursor: int | None
    """Pass it back for the next page; None on the last."""


@dataclass(frozen=True, slots=True)
class ScheduleDetail:
    schedule: StoredSchedule
    upcoming: list[datetime]
    ticks: list[Tick]
    """Newest first."""


class Schedules:
    """Errors of every method that names a schedule: ApiError 404 when the org has none of that name."""

    def __init__(self, database: Database, signals: Signals, catalogue: Catalogue, queue: Queue) -> None:
        self._database = database
        self._signals = signals
        self._catalogue = catalogue
        self._queue = queue

    async def list(self, org_id: str | None, cursor: int | None = None, limit: int = 50) -> SchedulePage:
        """In order of creation. `org_id=None` is for operators of the whole system."""
        rows = await self._database.fetch_all(
            f"""SELECT {COLUMNS} FROM schedule
                WHERE (%(org)s::text IS NULL OR org_id = %(org)s) AND id > %(cursor)s ORDER BY id LIMIT %(limit)s""",
            {"org": org_id, "cursor": cursor or 0, "limit": limit + 1},
        )
        found = [StoredSchedule(**row) for row in rows]
        return SchedulePage(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def show(self, org_id: str, name: str, *, upcoming: int = 5, ticks: int = 20) -> ScheduleDetail:
        async with self._database.transaction() as tx:
            schedule = await _find(tx, org_id, name)
            now = await tx.fetch_value("SELECT now()")
            rows = await tx.fetch_all(
                """SELECT due_at, fired_at, outcome, job_id, error FROM schedule_tick WHERE schedule_id = %(id)s
                   ORDER BY due_at DESC LIMIT %(limit)s""",
                {"id": schedule.id, "limit": ticks},
            )
        fires = _upcoming(schedule, now, upcoming) if schedule.state == "active" else []
        return ScheduleDetail(schedule, fires, [Tick(**row) for row in rows])

    async def create(self, definition: Schedule, by: str) -> StoredSchedule:
        """Errors: ApiError 409 for a taken name, 422 for a definition that cannot work."""
        params = self._checked(definition)
        try:
            async with self._database.transaction() as tx:
                await _refuse_too_many(tx, definition.org_id)
                params["next"] = _first_due(definition, await tx.fetch_value("SELECT now()"))
                row = await tx.fetch_one(_INSERT, {**params, "source": "user", "by": by})
                assert row is not None
                created = StoredSchedule(**row)
                await self._changed(tx, created, by, "schedule.created", {"kind": created.kind})
                return created
        except Conflict as error:
            raise ApiError(409, "Name taken", f"There is a schedule {definition.name!r} already.") from error

    async def pause(self, org_id: str, name: str, by: str, reason: str | None = None) -> StoredSchedule:
        """Its ticks do not count as missed while it is paused. Pausing twice keeps the first reason."""
        async with self._database.transaction() as tx:
            schedule = await _find(tx, org_id, name)
            if schedule.paused_at is not None:
                return schedule
            row = await tx.fetch_one(_PAUSE, {"id": schedule.id, "by": by, "reason": reason})
            await self._changed(tx, schedule, by, "schedule.paused", {"reason": reason})
            assert row is not None
            return StoredSchedule(**row)

    async def resume(self, org_id: str, name: str, by: str) -> StoredSchedule:
        """Goes on with the first tick after now."""
        async with self._database.transaction() as tx:
            schedule = await _find(tx, org_id, name)
            if schedule.paused_at is None:
                return schedule
            now = await tx.fetch_value("SELECT now()")
            due = None if schedule.retired_at is not None else schedule.timing.next_after(now)
            row = await tx.fetch_one(_RESUME, {"id": schedule.id, "next": due})
            await self._changed(tx, schedule, by, "schedule.resumed", {})
            assert row is not None
            return StoredSchedule(**row)

    async def delete(self, org_id: str, name: str, by: str) -> None:
        """Jobs it has enqueued stay. Errors: ApiError 409 for one that the code defines."""
        async with self._database.transaction() as tx:
            schedule = await _find(tx, org_id, name)
            if schedule.source == "code" and schedule.retired_at is None:
                raise ApiError(409, "Defined in code", f"Schedule {name!r} belongs to the system: pause it instead.")
            await tx.execute("DELETE FROM schedule WHERE id = %(id)s", {"id": schedule.id})
            await self._changed(tx, schedule, by, "schedule.deleted", {})

    async def run_now(self, org_id: str, name: str, by: str) -> EnqueueResult | None:
        """Enqueue its job at once, also while paused; the regular ticks stay as they are.

        Returns None for a schedule that the scheduler carries out itself: that one is made due. Errors: ApiError 409
        when such a one is not active.
        """
        async with self._database.transaction() as tx:
            schedule = await _find(tx, org_id, name)
            await self._changed(tx, schedule, by, "schedule.run", {})
            if self._catalogue.find(schedule.kind) is None:
                await _make_due(tx, schedule)
                return None
            now = await tx.fetch_value("SELECT clock_timestamp()")
            result = await self._queue.enqueue(job_of(schedule, now, manual=True), tx)
            if result.created:
                await tx.execute(_MANUAL_TICK, {"id": schedule.id, "job": result.job_id})
            return result

    async def sync_code(self, definitions: Iterable[Schedule]) -> None:
        """Make the rows of source `code` equal to `definitions`; safe to repeat.

        An unchanged definition keeps its due time, so ticks missed while nothing ran are still owed. A changed one
        starts anew from now, and one that has left the code is retired.
        """
        wanted = list(definitions)
        async with self._database.transaction() as tx:
            await tx.execute("SELECT pg_advisory_xact_lock(hashtext('sync.schedules'))")
            now = await tx.fetch_value("SELECT now()")
            rows = await tx.fetch_all(
                f"SELECT {COLUMNS} FROM schedule WHERE source = 'code' OR name = ANY(%(names)s) FOR UPDATE",
                {"names": [definition.name for definition in wanted]},
            )
            stored = {(row["org_id"], row["name"]): StoredSchedule(**row) for row in rows}
            for definition in wanted:
                await _sync_one(tx, definition, stored.get((definition.org_id, definition.name)), now)
            retired = await tx.fetch_all(_RETIRE, {"names": [definition.name for definition in wanted]})
        for row in retired:
            log.info("schedule.retired", schedule=row["name"])

    def _checked(self, definition: Schedule) -> dict[str, Any]:
        try:
            check_org_id(definition.org_id)
            if not _NAME.fullmatch(definition.name):
                raise Permanent("A schedule's name is 1 to 64 letters, digits, '_', '.' or '-'.")
            if definition.every is not None and definition.every < MIN_USER_INTERVAL:
                raise Permanent(f"'every' must be at least {MIN_USER_INTERVAL.total_seconds():.0f} seconds.")
            kind = self._catalogue.get(definition.kind)
            kind.encode(definition.args)
            if not kind.tenants and definition.org_id != SYSTEM_ORG:
                raise Permanent(f"Jobs of the kind {kind.kind} serve the whole install or Sync itself: no org may.")
            return _params(definition)
        except Permanent as error:
            raise ApiError(422, "Invalid schedule", error.message) from error

    async def _changed(
        self, tx: Transaction, schedule: StoredSchedule, by: str, action: str, detail: dict[str, Any]
    ) -> None:
        await tx.execute(
            _AUDIT,
            {
                "org": schedule.org_id,
                "by": by,
                "action": action,
                "target": f"schedule:{schedule.name}",
                "detail": msgspec.json.encode(detail).decode(),
            },
        )
        tx.after_commit(self._wake)

    async def _wake(self) -> None:
        self._signals.publish(TOPIC)


async def _find(tx: Transaction, org_id: str, name: str) -> StoredSchedule:
    row = await tx.fetch_one(
        f"SELECT {COLUMNS} FROM schedule WHERE org_id = %(org)s AND name = %(name)s FOR UPDATE",
        {"org": org_id, "name": name},
    )
    if row is None:
        raise ApiError(404, "No such schedule", f"There is no schedule {name!r}.")
    return StoredSchedule(**row)


async def _refuse_too_many(tx: Transaction, org_id: str) -> None:
    count = await tx.fetch_value("SELECT count(*) FROM schedule WHERE org_id = %(org)s", {"org": org_id})
    if count >= MAX_PER_ORG:
        raise ApiError(409, "Too many schedules", f"An org can have {MAX_PER_ORG} schedules.")


async def _make_due(tx: Transaction, schedule: StoredSchedule) -> None:
    if schedule.state != "active":
        raise ApiError(409, "Not active", f"Schedule {schedule.name!r} is {schedule.state}: resume it instead.")
    await tx.execute("UPDATE schedule SET next_due_at = clock_timestamp() WHERE id = %(id)s", {"id": schedule.id})


async def _sync_one(tx: Transaction, definition: Schedule, stored: StoredSchedule | None, now: datetime) -> None:
    params = {**_params(definition), "source": "code", "by": "code", "next": _first_due(definition, now)}
    if stored is None:
        await tx.fetch_one(_INSERT, params)
    elif stored.retired_at is not None or _differs(definition, stored):
        await tx.execute(_UPDATE, params)


def _differs(definition: Schedule, stored: StoredSchedule) -> bool:
    if stored.source != "code":
        return True  # an operator's schedule under a name that the code now claims
    fields = ("cron", "every", "zone", "kind", "catch_up", "catch_up_limit", "overlap", "spread")
    return dict(definition.args) != dict(stored.args) or any(
        getattr(definition, field) != getattr(stored, field) for field in fields
    )


def _first_due(definition: Schedule, now: datetime) -> datetime:
    timing = timing_of(
        definition.org_id,
        definition.name,
        every=definition.every,
        cron=definition.cron,
        zone=definition.zone,
        spread=definition.spread,
    )
    due = timing.next_after(now)
    if due is None:
        raise ApiError(422, "Invalid schedule", f"{definition.cron!r} never fires.")
    return due


def _upcoming(schedule: StoredSchedule, now: datetime, count: int) -> list[datetime]:
    try:
        timing = schedule.timing
    except TimingError:
        return []

    def fires() -> Iterable[datetime]:
        fire = timing.next_after(now)
        while fire is not None:
            yield fire
            fire = timing.next_after(fire)

    return list(islice(fires(), count))


def _params(definition: Schedule) -> dict[str, Any]:
    timing_of(
        definition.org_id,
        definition.name,
        every=definition.every,
        cron=definition.cron,
        zone=definition.zone,
        spread=definition.spread,
    )
    return {
        "org": definition.org_id,
        "name": definition.name,
        "cron": definition.cron,
        "every": definition.every,
        "zone": definition.zone,
        "kind": definition.kind,
        "args": msgspec.json.encode(dict(definition.args)).decode(),
        "catch_up": definition.catch_up,
        "catch_up_limit": definition.catch_up_limit,
        "overlap": definition.overlap,
        "spread": definition.spread,
    }
