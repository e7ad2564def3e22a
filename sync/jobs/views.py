"""What operators see of jobs and queues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from sync.base.logs import redact
from sync.jobs.model import LANES
from sync.jobs.outcome import Ending

STATES = ("waiting", "scheduled", "retrying", "running", "done", "cancelled", "dead", "discarded")
OPEN_STATES = ("waiting", "scheduled", "retrying", "running")
FINISHED_STATES = ("done", "cancelled", "dead", "discarded")

WORKER_DIED = {"class": "WorkerDied", "message": "Its worker process died each time this job ran."}
"""The error of a job that nobody was left to report on."""

_ENDING_NAMES = {ending: ending.name.lower() for ending in Ending}


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue. Counts stop at the cap they were asked with."""

    id: int
    name: str
    pool: str
    waiting: int
    scheduled: int
    running: int
    dead: int
    lag_s: float | None
    """Age of the oldest waiting job."""
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    last_success_at: datetime | None
    concurrency: int | None
    org_concurrency: int | None


@dataclass(frozen=True, slots=True)
class JobView:
    """One job in a list. args are redacted, and absent for finished jobs, whose arguments are not kept."""

    id: int
    org_id: str
    kind: str
    queue: str
    state: str
    priority: int | None
    attempt: int
    max_attempts: int | None
    enqueued_at: datetime | None
    run_at: datetime | None
    finished_at: datetime | None
    args: Any
    error: Any
    progress: Any


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One line of the run log."""

    attempt: int
    outcome: str
    finished_at: datetime
    duration_ms: int
    worker_id: int | None
    error: Any


@dataclass(frozen=True, slots=True)
class JobDetail:
    job: JobView
    attempts: list[AttemptView]
    correlation_id: str | None
    unique_key: str | None
    crashes: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first; `next_before` asks for the following ones."""

    items: list[JobView]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs an operation concerns. Empty fields match everything."""

    ids: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    kind: str | None = None
    queue: str | None = None
    error_class: str | None = None

    @property
    def empty(self) -> bool:
        return not (self.ids or self.kind or self.queue or self.error_class)


def job_view(row: dict[str, Any]) -> JobView:
    progress = None
    if row.get("percent") is not None:
        progress = {"percent": row["percent"], "message": row["progress_message"], "at": row["progress_at"]}
    return JobView(
        id=row["id"],
        org_id=row["org_id"],
        kind=row["kind"],
        queue=row["queue"],
        state=row["state"],
        priority=None if row["lane"] is None else row["lane"] % LANES,
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        enqueued_at=row["enqueued_at"],
        run_at=row["run_at"],
        finished_at=row["finished_at"],
        args=None if row["args"] is None else redact(msgspec.json.decode(row["args"])),
        error=row.get("error"),
        progress=progress,
    )


def attempt_view(row: dict[str, Any]) -> AttemptView:
    return AttemptView(
        attempt=row["attempt"],
        outcome=_ENDING_NAMES[Ending(row["outcome"])],
        finished_at=row["finished_at"],
        duration_ms=row["duration_ms"],
        worker_id=row["worker_id"],
        error=row["error"],
    )
