"""How many members a pool should have: grows with the lag of its queues, shrinks slowly after quiet."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from sync.base.settings import PoolSettings

GROW_PAUSE_S = 4.0
"""A new member needs 1-2 s until it claims (0.5 CPU-s of start-up); judge its effect before adding another."""
_REMEMBER_S = 600.0


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

    def update(self, lag_s: float, now: float) -> int:
        """lag_s: how long the oldest job that could run has been waiting; 0 when none waits."""
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


class SeqTimes:
    """When a row of `job` became claimable, told from its `seq`.

    A row's `enqueued_at` cannot say it: a job that was scheduled months ago, or retried, gets a new `seq` when it comes
    up. So the newest `seq` is noted at every look, and a row is at most as old as the last look that did not know it.
    What came before the first look counts from there.
    """

    def __init__(self) -> None:
        self._seqs: deque[int] = deque()
        self._times: deque[float] = deque()

    def note(self, newest: int, now: float) -> None:
        self._seqs.append(newest)
        self._times.append(now)
        while len(self._times) > 1 and now - self._times[1] > _REMEMBER_S:
            self._seqs.popleft()
            self._times.popleft()

    def age_s(self, seq: int, now: float) -> float:
        known = bisect_left(self._seqs, seq)  # the first look that knew it
        return now - self._times[max(0, known - 1)] if self._times else 0.0
