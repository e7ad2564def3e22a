"""Schedules as they are stored and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from schedules.spec import CatchUp, Overlap
from sync.scheduling.timing import Timing, constant_offset, make_timing

COLUMNS = """id, org_id, name, source, cron, every, zone, kind, args, catch_up, catch_up_limit, overlap, spread,
  created_at, created_by, paused_at, paused_by, paused_reason, retired_at, next_due_at, last_due_at, last_fired_at,
  last_job_id, last_error, version"""


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """One row of `schedule`."""

    id: int
    org_id: str
    name: str
    source: Literal["code", "user"]
    cron: str | None
    every: timedelta | None
    zone: str
    kind: str
    args: Mapping[str, Any]
    catch_up: CatchUp
    catch_up_limit: int
    overlap: Overlap
    spread: timedelta
    created_at: datetime
    created_by: str | None
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    retired_at: datetime | None
    next_due_at: datetime | None
    last_due_at: datetime | None
    last_fired_at: datetime | None
    last_job_id: int | None
    last_error: str | None
    version: int

    @property
    def state(self) -> Literal["active", "paused", "retired", "finished"]:
        if self.retired_at is not None:
            return "retired"
        if self.paused_at is not None:
            return "paused"
        return "finished" if self.next_due_at is None else "active"

    @property
    def timing(self) -> Timing:
        return timing_of(self.org_id, self.name, every=self.every, cron=self.cron, zone=self.zone, spread=self.spread)

    def starts_at(self, tick: datetime) -> datetime:
        """When the job of `tick` may start. The spread of an interval is already in its grid."""
        if self.cron is None or not self.spread:
            return tick
        return tick + constant_offset(f"{self.org_id}/{self.name}", self.spread)


@dataclass(frozen=True, slots=True)
class Tick:
    """What became of one tick of a schedule."""

    due_at: datetime
    fired_at: datetime
    outcome: Literal["enqueued", "skipped", "failed", "manual"]
    job_id: int | None
    error: str | None


def timing_of(
    org_id: str, name: str, *, every: timedelta | None, cron: str | None, zone: str, spread: timedelta
) -> Timing:
    """Errors: TimingError."""
    offset = constant_offset(f"{org_id}/{name}", min(spread, every)) if every is not None else timedelta(0)
    return make_timing(every=every, cron=cron, zone=zone, offset=offset)
