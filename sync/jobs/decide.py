"""What becomes of an attempt, decided purely: from a returned outcome or a raised error to an `Ended`."""

from __future__ import annotations

import random
import traceback
from typing import Any

import msgspec

from sync.base.errors import Permanent, Transient
from sync.jobs.claim import Lease
from sync.jobs.model import LANES, Job, Meta
from sync.jobs.outcome import Cancel, Done, Ending, Snooze
from sync.jobs.retry import Backoff

MAX_CRASHES = 3
"""A job whose worker died this often, the last times running alone, is taken for the cause."""
_MAX_ERRORS = 10
"""Errors kept with a job: the first and the latest ones."""
_MAX_TEXT = 4000
_MAX_SNOOZE_S = 366 * 86_400.0


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
    def crashes(self) -> int:
        """A worker that survived this attempt clears the job of what earlier ones died of: without that, a job that
        snoozes for months would die of three unlucky restarts."""
        return 0 if self.ending in (Ending.RETRY, Ending.SNOOZE) else self.job.crashes

    @property
    def meta(self) -> Meta | None:
        """The job's meta with this attempt's error added."""
        if self.error is None:
            return self.job.meta
        meta = dict(self.job.meta or {})
        earlier = meta.get("errors")
        errors = [*(earlier if isinstance(earlier, list) else ()), self.error]
        meta["errors"] = errors if len(errors) <= _MAX_ERRORS else [errors[0], *errors[-(_MAX_ERRORS - 1) :]]
        return meta


def from_outcome(lease: Lease, job: Job, outcome: object, duration_ms: int) -> Ended:
    """Errors: TypeError for anything but an outcome, so that a forgotten `return Snooze` does not pass as success."""
    if outcome is None or isinstance(outcome, Done):
        return Ended(lease, job, Ending.DONE, duration_ms)
    if isinstance(outcome, Snooze):
        seconds = min(max(0.0, outcome.seconds), _MAX_SNOOZE_S)
        return Ended(lease, job, Ending.SNOOZE, duration_ms, seconds, _reason(outcome.reason))
    if isinstance(outcome, Cancel):
        return Ended(lease, job, Ending.CANCELLED, duration_ms, reason=_reason(outcome.reason))
    raise TypeError(f"The handler of {job.kind} returned {type(outcome).__name__}, not an outcome.")


def from_error(
    lease: Lease, job: Job, error: BaseException, duration_ms: int, backoff: Backoff, rng: random.Random
) -> Ended:
    """Retry, unless attempts are used up or the error says never again.

    LeaseLost is no exception: if it was this job's lease, the finish finds out and changes nothing.
    """
    described = describe(job, error)
    if isinstance(error, Permanent) or job.attempt + 1 >= job.max_attempts:
        return Ended(lease, job, Ending.DEAD, duration_ms, error=described)
    server_delay = error.retry_after_s if isinstance(error, Transient) else None
    delay = backoff.delay(job.attempt + 1, rng, retry_after_s=server_delay)
    return Ended(lease, job, Ending.RETRY, duration_ms, delay, error=described)


def refused(ended: Ended, error: Exception) -> Ended:
    """The dead letter in place of a result that the store would not take."""
    described = {"attempt": ended.job.attempt + 1, "class": "ResultRefused", "message": _text(error)}
    return Ended(ended.lease, ended.job, Ending.DEAD, ended.duration_ms, error=described)


def describe(job: Job, error: BaseException) -> dict[str, Any]:
    """An error as it is stored: class, text, the last frames."""
    frames = traceback.format_tb(error.__traceback__)[-6:]
    return {
        "attempt": job.attempt + 1,
        "class": type(error).__name__,
        "message": _text(error),
        "trace": _text("".join(frames)[-_MAX_TEXT:]),
    }


def _reason(reason: object) -> str | None:
    return None if reason is None else _text(reason)


def _text(value: object) -> str:
    """Text that PostgreSQL and JSON can hold, whatever a handler said."""
    try:
        text = str(value)
    except Exception as error:
        text = f"(its text could not be made: {type(error).__name__})"
    return text[:_MAX_TEXT].replace("\x00", "").encode("utf-8", "replace").decode()
