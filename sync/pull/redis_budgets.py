"""Rate budgets in Redis, by the same rules and one clock (that of Redis), with PostgreSQL behind them.

Redis may lose everything at any time, so what counts is known twice: blocks are written to PostgreSQL as well, and each
process remembers what it took itself. An *era* names what Redis holds: a random word that the first taker stores there.
Whoever finds another era than he knew (Redis was emptied, is away, came back) hands over before his first call on a
bucket: for a window of up to a minute the bucket is blocked until his last call is out of it, for a longer one his
calls of the last window are counted again. While Redis is away, PostgreSQL counts, and Redis is tried now and then.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.base import Budgets, Claim, Delay
from sync.base.errors import Transient
from sync.base.logs import get_logger

log = get_logger(__name__)

RETRY_S = 5.0
TIMEOUT_S = 1.0
_BLOCKED_AT_MOST_S = 60.0
_MARGIN = 1.03
"""A slot of a bucket counts a little longer than a window, and calls are remembered by hundredths of it."""

# KEYS: the era, buckets. ARGV: the era as known, a new one; then limit, window_s and cost of each bucket.
# The twin of the SQL function sync_budget_take: a hash of slot -> calls for each bucket, and `blocked` -> until when.
_TAKE = """
local era = redis.call('GET', KEYS[1])
if not era then
  era = ARGV[2]
  redis.call('SET', KEYS[1], era)
end
if era ~= ARGV[1] then return {'era', era} end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local longest, bucket, plans = 0, 0, {}
for i = 2, #KEYS do
  local limit, window, cost = tonumber(ARGV[3 * i - 3]), tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local blocked = redis.call('HGET', KEYS[i], 'blocked')
  local wait = blocked and math.max(tonumber(blocked) - now, 0) or 0
  if limit > 0 then
    local width = window / 100
    local keep = 101 + math.ceil(math.min(math.max(window * 0.005, 0.03), 0.5) / width)
    local this, used, slots, over = math.floor(now / width), 0, {}, {}
    local all = redis.call('HGETALL', KEYS[i])
    for j = 1, #all, 2 do
      local slot = tonumber(all[j])
      if slot and slot > this - keep and slot <= this then
        slots[#slots + 1] = {slot, tonumber(all[j + 1])}
        used = used + tonumber(all[j + 1])
      elseif slot then
        over[#over + 1] = all[j]
      end
    end
    if used + cost > limit and used > 0 then
      table.sort(slots, function(a, b) return a[1] < b[1] end)
      local freed, until_slot = 0, 0
      for _, slot in ipairs(slots) do
        freed = freed + slot[2]
        until_slot = slot[1] + keep
        if used - freed + cost <= limit then break end
      end
      wait = math.max(wait, until_slot * width - now)
    end
    plans[#plans + 1] = {KEYS[i], string.format('%.0f', this), cost, over, math.ceil(keep * width * 1000) + 1000}
  end
  if wait > longest then longest, bucket = wait, i - 1 end
end
if longest > 0 then return {'wait', string.format('%.6f', longest), bucket} end
for _, plan in ipairs(plans) do
  if #plan[4] > 0 then redis.call('HDEL', plan[1], unpack(plan[4])) end
  redis.call('HINCRBY', plan[1], plan[2], plan[3])
  if redis.call('PTTL', plan[1]) < plan[5] then redis.call('PEXPIRE', plan[1], plan[5]) end
end
return {'taken'}
"""
# KEYS: a bucket. ARGV: seconds.
_BLOCK = """
local time = redis.call('TIME')
local till = time[1] + time[2] / 1e6 + tonumber(ARGV[1])
local blocked = redis.call('HGET', KEYS[1], 'blocked')
if not blocked or tonumber(blocked) < till then
  redis.call('HSET', KEYS[1], 'blocked', string.format('%.6f', till))
end
local keep = math.ceil(tonumber(ARGV[1]) * 1000) + 1000
if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], keep) end
"""


@dataclass(slots=True)
class Uses:
    """What this process took of one bucket in the last window, and where it was counted."""

    era: str
    window_s: float = 0.0
    calls: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, claim: Claim) -> None:
        self.window_s = claim.window_s
        self.forget(now)
        if self.calls and now - self.calls[-1][0] < claim.window_s / 100:
            at, cost = self.calls.pop()
            self.calls.append((at, cost + claim.cost))
        else:
            self.calls.append((now, claim.cost))

    def forget(self, now: float) -> None:
        while self.calls and now - self.calls[0][0] > self.window_s * _MARGIN:
            self.calls.popleft()


class RedisBudgets:
    """`connectors.base.Budgets`. One per process; connects at the first call."""

    def __init__(
        self, url: str, prefix: str, fallback: Budgets, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._prefix = f"{prefix}:budget"
        self._fallback = fallback
        self._monotonic = monotonic
        self._client: Any = None
        self._scripts: tuple[Any, Any] | None = None
        self._era = ""
        self._away_until = 0.0
        self._aways = 0
        self._uses: dict[str, Uses] = {}

    async def take(self, claims: Sequence[Claim]) -> Delay | None:
        if self._there():
            try:
                delay = await self._take_there(claims)
            except _errors() as error:
                self._lost(error)
            else:
                return self._noted(claims, delay, self._era)
        era = f"away {self._aways}"
        await self._hand_over(claims, era)
        return self._noted(claims, await self._fallback.take(claims), era)

    async def block(self, key: str, seconds: float) -> None:
        await self._fallback.block(key, seconds)
        if self._there():
            try:
                await self._block_there(key, seconds)
            except _errors() as error:
                self._lost(error)

    async def close(self) -> None:
        if self._client is not None:
            client, self._client, self._scripts = self._client, None, None
            await client.aclose()

    def _there(self) -> bool:
        return self._monotonic() >= self._away_until

    def _lost(self, error: BaseException) -> None:
        if self._era or not self._aways:
            log.warning("budgets.redis_away", error=str(error) or type(error).__name__)
        self._era = ""
        self._aways += 1
        self._away_until = self._monotonic() + RETRY_S

    async def _take_there(self, claims: Sequence[Claim]) -> Delay | None:
        keys = [f"{self._prefix}:era", *(f"{self._prefix}:{claim.key}" for claim in claims)]
        numbers = [number for claim in claims for number in (claim.limit, claim.window_s, claim.cost)]
        for _ in range(5):
            if self._era:
                await self._hand_over(claims, self._era)
            take, _block = self._loaded()
            status, *rest = await _bounded(take(keys, [self._era, secrets.token_hex(8), *numbers]))
            if status == b"taken":
                return None
            if status == b"wait":
                return Delay(float(rest[0]), claims[int(rest[1]) - 1].key)
            self._era = rest[0].decode()
        raise Transient("Redis loses what it is told again and again.")

    async def _block_there(self, key: str, seconds: float) -> None:
        _take, block = self._loaded()
        await _bounded(block([f"{self._prefix}:{key}"], [seconds]))

    def _loaded(self) -> tuple[Any, Any]:
        if self._scripts is None:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            # One more try, at once: the server may have closed a connection that lay idle.
            once = Retry(NoBackoff(), 1)
            self._client = Redis.from_url(
                self._url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S, retry=once
            )
            self._scripts = (self._client.register_script(_TAKE), self._client.register_script(_BLOCK))
        return self._scripts

    async def _hand_over(self, claims: Sequence[Claim], era: str) -> None:
        """Tell who counts from now on what he cannot know."""
        for claim in claims:
            uses = self._uses.get(claim.key)
            if uses is not None and uses.era == era:
                continue
            there = era == self._era
            if there and (blocked := await self._fallback.take([Claim(claim.key)])) is not None:
                await self._block_there(claim.key, blocked.seconds)
            if uses is not None:
                await self._hand_over_uses(claim, uses, there)
            self._uses[claim.key] = uses = uses or Uses(era)
            uses.era = era

    async def _hand_over_uses(self, claim: Claim, uses: Uses, there: bool) -> None:
        now = self._monotonic()
        uses.forget(now)
        if not claim.limit or not uses.calls:
            return
        if claim.window_s > _BLOCKED_AT_MOST_S:
            again = replace(claim, cost=min(sum(cost for _, cost in uses.calls), claim.limit))
            await (self._count_there(again) if there else self._fallback.take([again]))
            return
        seconds = uses.calls[-1][0] + claim.window_s * _MARGIN - now
        await (self._block_there(claim.key, seconds) if there else self._fallback.block(claim.key, seconds))

    async def _count_there(self, claim: Claim) -> None:
        take, _block = self._loaded()
        keys = [f"{self._prefix}:era", f"{self._prefix}:{claim.key}"]
        await _bounded(take(keys, [self._era, self._era, claim.limit, claim.window_s, claim.cost]))

    def _noted(self, claims: Sequence[Claim], delay: Delay | None, era: str) -> Delay | None:
        if delay is None:
            now = self._monotonic()
            for claim in claims:
                if claim.limit:
                    self._uses.setdefault(claim.key, Uses(era)).add(now, claim)
            if len(self._uses) > 10_000:
                self._uses = {k: u for k, u in self._uses.items() if u.calls and now - u.calls[-1][0] <= u.window_s}
        return delay


async def _bounded(call: Any) -> Any:
    async with asyncio.timeout(2 * TIMEOUT_S):
        return await call


def _errors() -> tuple[type[BaseException], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)
