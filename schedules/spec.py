"""What a schedule is: data that says when which job kind is enqueued. No module in here does any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from sync.base.errors import ConfigurationError
from sync.base.ids import SYSTEM_ORG

CatchUp = Literal["skip", "once", "all"]
"""What becomes of ticks that came due while no scheduler was up: dropped; one job for the latest; a job for each."""

Overlap = Literal["allow", "skip"]
"""Whether a tick still enqueues while the job of an earlier tick waits or runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One cadence: either `every` (on an absolute grid, so restarts do not shift it) or `cron` in `zone`.

    catch_up_limit: with `catch_up="all"`, the most jobs one recovery may enqueue; older ticks are dropped.
    spread: jobs start up to this much after their tick, by a constant drawn from org and name, against the
    stampede of everything at full hours.
    """

    name: str
    kind: str
    every: timedelta | None = None
    cron: str | None = None
    zone: str = "UTC"
    args: Mapping[str, Any] = field(default_factory=dict)
    org_id: str = SYSTEM_ORG
    catch_up: CatchUp = "once"
    catch_up_limit: int = 100
    overlap: Overlap = "skip"
    spread: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if (self.every is None) == (self.cron is None):
            raise ConfigurationError(f"Schedule {self.name!r} needs either 'every' or 'cron'.")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise ConfigurationError(f"Schedule {self.name!r}: 'every' must be at least one second.")
        if not 1 <= self.catch_up_limit <= 1000:
            raise ConfigurationError(f"Schedule {self.name!r}: 'catch_up_limit' must be 1 to 1000.")
        if not timedelta(0) <= self.spread <= timedelta(days=1):
            raise ConfigurationError(f"Schedule {self.name!r}: 'spread' must be between nothing and one day.")
