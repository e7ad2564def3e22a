"""How long a failed job waits before its next attempt. Pure: the random source comes in."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: uniform between `floor_s` and `base_s * factor ** (attempt - 1)`, capped.

    Full jitter spreads the jobs that failed together in one outage; the floor keeps a fast failure from spinning.
    """

    base_s: float = 2.0
    factor: float = 2.0
    cap_s: float = 3600.0
    floor_s: float = 0.2
    server_cap_s: float = 86_400.0
    """The most that the other side may make us wait, whatever its Retry-After says."""

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s or self.factor < 1 or not 0 <= self.floor_s <= self.base_s:
            raise ValueError(f"Backoff needs 0 <= floor_s <= base_s <= cap_s, 0 < base_s and factor >= 1, not {self}.")
        if self.server_cap_s < 0:
            raise ValueError(f"Backoff needs server_cap_s >= 0, not {self.server_cap_s}.")

    def ceiling(self, attempt: int) -> float:
        """The longest wait after `attempt` spent attempts (1 is the first); never shrinks as attempts grow."""
        # In logarithms, because factor ** attempt overflows long before attempt reaches its own limit of 1000.
        if (max(attempt, 1) - 1) * math.log(self.factor) >= math.log(self.cap_s / self.base_s):
            return self.cap_s
        return self.base_s * self.factor ** (max(attempt, 1) - 1)

    def delay(self, attempt: int, rng: random.Random, retry_after_s: float | None = None) -> float:
        """Seconds until the next attempt.

        A server-given delay is waited out in full, plus up to a tenth of it as jitter, at most `cap_s`: who was sent
        away until midnight is back soon after.
        """
        floor = self.floor_s
        if retry_after_s is not None and retry_after_s > floor:
            floor = min(retry_after_s, max(self.server_cap_s, floor))
        return rng.uniform(floor, max(self.ceiling(attempt), floor + min(floor * 0.1, self.cap_s)))
