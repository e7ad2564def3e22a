"""What becomes of an attempt, decided purely: from a returned outcome or a raised error to an `Ended`."""

from __future__ import annotations

import random
import traceback
from typing import Any

import msgspec

from sync.base.errors import LeaseLost, Permanent, Transient
from sync.jobs.claim import Lease
from sync.jobs.model import LANES, Job, Meta
from sync.jobs.outcome import Cancel, Ending, Outcome, Snooze
from sync.jobs.retry import Backoff

MAX_CRASHES = 3
"""A job whose worker died this often, the last times running alone, is taken for the cause."""
_MAX_ERRORS = 10
"""Errors kept with a job: the first and the latest ones."""
_MAX_TEXT = 4000


class Ended(msgspec.Struct, gc=False):
    """The result of one attempt, ready to be written."""

    lease: Lease
    job: Job
    ending: Ending
    duration_ms: int = 0
    delay_s: float = 0.0
    reason: str | None = None
    error: dict[str, Any] | None = None
    recorded: bool = False
    """Already written by the handler's own transaction."""

    @property
    def attempts_spent(self) -> int:
        """Failures count, snoozes and interruptions do not."""
        return self.job.attempt + (self.ending in (Ending.RETRY, Ending.DEAD, Ending.DONE, Ending.CANCELLED))

    @property
    def lane(self) -> int:
        """Where the job continues: having lived through an attempt, it need not run alone any more."""
        return self.job.lane % LANES

    @property
    def meta(self) -> Meta | None:
        """The job's meta with this attempt's error added."""
        if self.error is None:
            return self.job.meta
        meta = dict(self.job.meta or {})
        errors = [*meta.get("errors", ()), self.error]
        meta["errors"] = errors if len(errors) <= _MAX_ERRORS else [errors[0], *errors[-(_MAX_ERRORS - 1) :]]
        return meta


def from_outcome(lease: Lease, job: Job, outcome: Outcome | None, duration_ms: int) -> Ended:
    if isinstance(outcome, Snooze):
        return Ended(lease, job, Ending.SNOOZE, duration_ms, max(0.0, outcome.seconds), outcome.reason)
    if isinstance(outcome, Cancel):
        return Ended(lease, job, Ending.CANCELLED, duration_ms, reason=outcome.reason)
    return Ended(lease, job, Ending.DONE, duration_ms)


def from_error(
    lease: Lease, job: Job, error: BaseException, duration_ms: int, backoff: Backoff, rng: random.Random
) -> Ended:
    """Retry, unless attempts are used up or the error says never again. LeaseLost: somebody else has the job."""
    if isinstance(error, LeaseLost):
        return Ended(lease, job, Ending.LOST, duration_ms, error=describe(job, error))
    described = describe(job, error)
    if isinstance(error, Permanent) or job.attempt + 1 >= job.max_attempts:
        return Ended(lease, job, Ending.DEAD, duration_ms, error=described)
    server_delay = error.retry_after_s if isinstance(error, Transient) else None
    delay = backoff.delay(job.attempt + 1, rng, retry_after_s=server_delay)
    return Ended(lease, job, Ending.RETRY, duration_ms, delay, error=described)


def describe(job: Job, error: BaseException) -> dict[str, Any]:
    """An error as it is stored: class, text, the last frames."""
    frames = traceback.format_tb(error.__traceback__)[-6:]
    return {
        "attempt": job.attempt + 1,
        "class": type(error).__name__,
        "message": str(error)[:_MAX_TEXT].replace("\x00", ""),
        "trace": "".join(frames)[-_MAX_TEXT:].replace("\x00", ""),
    }
