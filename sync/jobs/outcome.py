"""How an attempt ends. Handlers return one of these (None means Done) and raise failures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Ending(IntEnum):
    """Values of job_run.outcome."""

    DONE = 0
    RETRY = 1
    SNOOZE = 2
    CANCELLED = 3
    DEAD = 4
    LOST = 5
    INTERRUPTED = 6
    DISCARDED = 7


@dataclass(frozen=True, slots=True)
class Done:
    """The work is finished."""


@dataclass(frozen=True, slots=True)
class Snooze:
    """Not now: come back in `seconds`. Spends no attempt and pages nobody."""

    seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The work has become pointless."""

    reason: str


Outcome = Done | Snooze | Cancel
