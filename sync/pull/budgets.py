"""Rate budgets of vendors, shared by every process: counted in rows of `rate_bucket`, or in Redis where there is one.

A call costs a round trip only where it must: for fast budgets a process takes a slice of calls at a time, good for the
next moments, and that nobody has blocked a bucket without a limit is believed as long. A slice grows while all of it is
used in its time and shrinks to what was used, because what is left of it nobody can use any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from connectors.base import Budgets, Claim, Delay
from sync.base.settings import RedisSettings
from sync.pull.redis_budgets import RedisBudgets
from sync.store.engine import Database

BELIEVED_S = 0.05
"""How long a slice or a free bucket is believed: about the time that a call is on its way to the vendor anyway."""
_TAKE = "SELECT seconds, bucket FROM sync_budget_take(%s::text[], %s::int[], %s::float8[], %s::int[])"
_BLOCK = """
INSERT INTO rate_bucket AS b (key, blocked_until) VALUES (%s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET blocked_until = greatest(b.blocked_until, excluded.blocked_until), used_at = now()"""


class PostgresBudgets:
    """`connectors.base.Budgets` in the database. Errors: Transient."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, claims: Sequence[Claim]) -> Delay | None:
        row = await self._database.fetch_one(
            _TAKE,
            (
                [claim.key for claim in claims],
                [claim.limit for claim in claims],
                [claim.window_s for claim in claims],
                [claim.cost for claim in claims],
            ),
        )
        return None if row is None else Delay(row["seconds"], row["bucket"])

    async def block(self, key: str, seconds: float) -> None:
        await self._database.execute(_BLOCK, (key, seconds))


@dataclass(slots=True)
class _Slice:
    calls: float
    until: float
    size: int
    """How many it had."""


class SharedBudgets:
    """`connectors.base.Budgets` of one process, over those that all share."""

    def __init__(self, shared: Budgets, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
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
        await self._shared.block(key, seconds)

    async def close(self) -> None:
        """Let go of connections of its own; they come back when needed."""
        if isinstance(self._shared, RedisBudgets):
            await self._shared.close()

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
        sizes = [self._size(claim) for claim in claims]
        asked = [replace(claim, cost=size) for claim, size in zip(claims, sizes, strict=True)]
        delay = await self._shared.take(asked)
        if delay is not None and asked != list(claims):
            sizes = [claim.cost for claim in claims]  # there may be room for the one call yet
            delay = await self._shared.take(claims)
        if delay is not None:
            return delay
        now = self._monotonic()
        for claim, size in zip(claims, sizes, strict=True):
            last = self._slices.get(claim.key)
            left = last.calls if last is not None and last.until > now else 0  # of one that another task took
            self._slices[claim.key] = _Slice(left + size if claim.limit else float("inf"), now + BELIEVED_S, size)
        return None

    def _size(self, claim: Claim) -> int:
        """Calls to take at a time: never more than the limit allows in the time they are good for."""
        if not claim.limit or not claim.window_s:
            return claim.cost
        most = max(claim.cost, int(claim.limit / claim.window_s * BELIEVED_S))
        last = self._slices.get(claim.key)
        if last is None:
            return claim.cost
        wanted = 2 * last.size if last.calls < claim.cost else last.size - int(last.calls)
        return min(max(wanted, claim.cost), most)


def shared_budgets(database: Database, settings: RedisSettings) -> SharedBudgets:
    """Those that the settings ask for."""
    rows = PostgresBudgets(database)
    if settings.url is None:
        return SharedBudgets(rows)
    return SharedBudgets(RedisBudgets(settings.url.get_secret_value(), settings.prefix, rows))
