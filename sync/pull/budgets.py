"""Rate budgets of vendors, shared by every process: rows of `rate_bucket`, decided by the database's clock.

A call costs a statement only where it must: for fast budgets a process takes a slice of calls at a time, good for the
next moments, and that nobody has blocked a bucket without a limit is believed as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connectors.base import Claim, Delay
from sync.store.engine import Database

BELIEVED_S = 0.05
"""How long a slice or a free bucket is believed: about the time that a call is on its way to the vendor anyway."""
_TAKE = "SELECT seconds, bucket FROM sync_budget_take(%s::text[], %s::int[], %s::float8[], %s::int[])"
_BLOCK = """
INSERT INTO rate_bucket AS b (key, blocked_until) VALUES (%s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET blocked_until = greatest(b.blocked_until, excluded.blocked_until), used_at = now()"""


@dataclass(slots=True)
class _Slice:
    calls: float
    until: float


class SharedBudgets:
    """`connectors.base.Budgets` on PostgreSQL. One per process."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._slices: dict[str, _Slice] = {}
        self._blocked: dict[str, float] = {}

    async def take(self, claims: Sequence[Claim]) -> Delay | None:
        now = self._monotonic()
        if (blocked := self._longest_block(claims, now)) is not None:
            return blocked
        asked = [claim for claim in claims if not self._has(claim, now)]
        if asked and (delay := await self._ask(asked)) is not None:
            return delay
        if asked and (blocked := self._longest_block(claims, self._monotonic())) is not None:
            return blocked  # by an answer that came while we asked
        for claim in claims:
            if (found := self._slices.get(claim.key)) is not None:
                found.calls -= claim.cost
        if len(self._slices) > 10_000:
            self._slices = {key: found for key, found in self._slices.items() if found.until > now}
        return None

    async def block(self, key: str, seconds: float) -> None:
        self._blocked[key] = max(self._blocked.get(key, 0.0), self._monotonic() + seconds)
        self._slices.pop(key, None)
        await self._database.execute(_BLOCK, (key, seconds))

    def _longest_block(self, claims: Sequence[Claim], now: float) -> Delay | None:
        waits = [Delay(self._blocked[claim.key] - now, claim.key) for claim in claims if claim.key in self._blocked]
        for delay in waits:
            if delay.seconds <= 0:
                del self._blocked[delay.key]
        return max((delay for delay in waits if delay.seconds > 0), key=lambda delay: delay.seconds, default=None)

    def _has(self, claim: Claim, now: float) -> bool:
        found = self._slices.get(claim.key)
        return found is not None and found.until > now and found.calls >= claim.cost

    async def _ask(self, claims: Sequence[Claim]) -> Delay | None:
        sizes = [_slice(claim) for claim in claims]
        row = await self._database.fetch_one(
            _TAKE,
            (
                [claim.key for claim in claims],
                [claim.limit for claim in claims],
                [claim.window_s for claim in claims],
                sizes,
            ),
        )
        if row is not None:
            return Delay(row["seconds"], row["bucket"])
        until = self._monotonic() + BELIEVED_S
        for claim, size in zip(claims, sizes, strict=True):
            self._slices[claim.key] = _Slice(size if claim.limit else float("inf"), until)
        return None


def _slice(claim: Claim) -> int:
    """Calls to take at a time: as many as the limit allows in the time they are good for."""
    if not claim.limit or not claim.window_s:
        return claim.cost
    return max(claim.cost, int(claim.limit / claim.window_s * BELIEVED_S))
