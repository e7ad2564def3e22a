"""What follows from the way a run ended. Pure: an error and the run's history in, one verdict out."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sync.base.errors import (
    IntegrationRevoked,
    LeaseLost,
    Permanent,
    RateLimited,
    ScopeMissing,
    SyncError,
    Transient,
)
from sync.jobs.retry import Backoff

BACKOFF = Backoff(base_s=5.0, factor=2.0, cap_s=900.0, floor_s=1.0)
_SPREAD = 0.02
"""Jitter of waits for a budget of ours, as a share. Little, because the budget itself lets no more through than the
limit, and what nobody uses of a window is lost."""
_CROWDED_S = (1.0, 3.0)
"""At least, within these bounds: who waited in vain for a short window has many beside him who use it up."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is recorded: `code` for programs, `text` for people."""

    code: str
    text: str
    bug: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Back to the queue. A parked run (the vendor asked us to wait) has not failed: it spends no attempt."""

    after_s: float
    problem: Problem | None
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    problem: Problem


@dataclass(frozen=True, slots=True)
class Block:
    """Fail, and stop this sync type until somebody reconnects."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Expire:
    """Fail, and stop the whole account until somebody reconnects."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Abandon:
    """Write nothing: another worker has this run now."""


Verdict = Again | Fail | Block | Expire | Abandon


def decide(error: BaseException, *, attempt: int, fruitless: int, max_attempts: int, rng: random.Random) -> Verdict:
    """The verdict on a run whose `attempt` ended with `error`.

    `fruitless`: attempts in a row, this one included, that committed no page; only these count towards the limit.
    """
    problem = describe(error)
    match error:
        case LeaseLost():
            return Abandon()
        case IntegrationRevoked():
            confirm_after_s = error.fields.get("confirm_after_s")
            if confirm_after_s and attempt <= 1:
                return Again(confirm_after_s, problem)
            return Expire(problem)
        case ScopeMissing():
            return Block(problem)
        case Permanent():
            return Fail(problem)
        case RateLimited() if problem.code == "budget" and error.retry_after_s is not None:
            wait_s = error.retry_after_s * (1 + rng.uniform(0, _SPREAD))
            return Again(max(wait_s, rng.uniform(*_CROWDED_S)), problem, parked=True)
        case RateLimited():
            return Again(BACKOFF.delay(attempt, rng, error.retry_after_s), problem, parked=True)
    if fruitless >= max_attempts:
        return Fail(problem)
    retry_after_s = error.retry_after_s if isinstance(error, Transient) else None
    return Again(BACKOFF.delay(max(fruitless, 1), rng, retry_after_s), problem)


def describe(error: BaseException) -> Problem:
    if isinstance(error, SyncError):
        return Problem(str(error.fields.get("code") or type(error).__name__), error.message)
    return Problem(type(error).__name__, f"Unexpected {type(error).__name__}: {error}"[:1000], bug=True)
