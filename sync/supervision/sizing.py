"""How many members a pool should have: grows with the age of its oldest waiting job, shrinks slowly after quiet."""

from __future__ import annotations

from dataclasses import dataclass

from sync.base.settings import PoolSettings

GROW_PAUSE_S = 4.0
"""A new member needs 1-2 s until it claims (0.5 CPU-s of start-up); judge its effect before adding another."""


@dataclass(frozen=True, slots=True)
class Load:
    """What waits in the queues of one pool, paused ones left out."""

    waiting: int = 0
    oldest_age_s: float = 0.0


class PoolSizer:
    """Wanted size of one pool over time; `now` is monotonic seconds.

    A lag above the target grows the pool, by half at a time, at most every GROW_PAUSE_S. A pool that stayed within a
    quarter of its target for `shrink_after_s` gives one member back, and then waits as long again.
    """

    def __init__(self, bounds: PoolSettings, *, members: int, shrink_after_s: float, now: float) -> None:
        self._bounds = bounds
        self._shrink_after_s = shrink_after_s
        self._quiet_since = now
        self._grown_at = now - GROW_PAUSE_S
        self.wanted = self._clamp(members)

    def update(self, load: Load, now: float) -> int:
        lag_s = load.oldest_age_s if load.waiting else 0.0
        if lag_s > self._bounds.target_lag_s / 4:
            self._quiet_since = now
        if lag_s > self._bounds.target_lag_s and now - self._grown_at >= GROW_PAUSE_S:
            self.wanted = self._clamp(self.wanted + max(1, self.wanted // 2))
            self._grown_at = now
        elif now - self._quiet_since >= self._shrink_after_s:
            self.wanted = self._clamp(self.wanted - 1)
            self._quiet_since = now
        return self.wanted

    def _clamp(self, members: int) -> int:
        return min(max(members, self._bounds.min), self._bounds.max)
