"""Rate limits as vendors keep them: counted per rule and key, told in headers, and remembered against the caller."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(slots=True)
class Rule:
    """At most `max` points in `period` seconds.

    window: counted from the first call, then anew. aligned: windows begin at multiples of the period (a day: 00:00
    UTC). sliding: over the last `period` seconds. bucket: points come back continuously.
    """

    name: str
    max: float
    period: float
    kind: Literal["window", "aligned", "sliding", "bucket"] = "window"
    per: tuple[str, ...] = ("app", "account")
    """What shares one budget: app, account, token, route."""
    penalty: float = 0
    """Seconds that each call made while blocked adds to the block."""
    retry_after: float | None = None
    """What the vendor announces, when it is not the time until points come back."""


@dataclass(slots=True)
class Usage:
    """Where one budget stands after a call."""

    rule: Rule
    key: str
    used: float
    remaining: float
    reset_at: float
    over: bool = False
    retry_after: float = 0

    @property
    def percent(self) -> float:
        return 100.0 * self.used / self.rule.max if self.rule.max else 100.0


@dataclass(slots=True)
class Meter:
    """One budget: a rule and a key."""

    rule: Rule
    key: str
    start: float = 0.0
    used: float = 0.0
    blocked_until: float = 0.0
    accepted: int = 0
    over_limit: int = 0
    early: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    recent: deque[tuple[float, float]] = field(default_factory=deque)
    windows: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=500))
    """Finished windows (start, points used)."""

    def look(self, now: float) -> Usage:
        self._roll(now)
        return self._usage(now)

    def take(self, now: float, cost: float) -> None:
        """Spend points that `look` has shown to be there."""
        if self.accepted == 0:
            self.first_at = now
        self.accepted += 1
        self.last_at = now
        if self.used == 0 and self.rule.kind == "window":
            self.start = now
        self.used += cost
        if self.rule.kind == "sliding":
            self.recent.append((now, cost))

    def refuse(self, now: float, cost: float) -> Usage:
        """Count a call over the limit and say when to come back."""
        usage = self._usage(now)
        self.over_limit += 1
        if now < self.blocked_until:
            self.early += 1
            self.blocked_until += self.rule.penalty
        wait = max(self._until_free(now, cost), self.blocked_until - now)
        if self.rule.retry_after is not None:
            wait = max(self.rule.retry_after, self.blocked_until - now)
        self.blocked_until = max(self.blocked_until, now + wait)
        usage.over, usage.retry_after = True, wait
        return usage

    def state(self) -> dict[str, Any]:
        return {
            "rule": self.rule.name,
            "key": self.key,
            "max": self.rule.max,
            "period": self.rule.period,
            "used": self.used,
            "accepted": self.accepted,
            "over_limit": self.over_limit,
            "early": self.early,
            "blocked_until": self.blocked_until,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "windows": list(self.windows)[-100:],
        }

    def _roll(self, now: float) -> None:
        rule = self.rule
        if rule.kind == "bucket":
            self.used = max(0.0, self.used - (now - self.start) * rule.max / rule.period)
            self.start = now
        elif rule.kind == "sliding":
            while self.recent and self.recent[0][0] <= now - rule.period:
                self.used -= self.recent.popleft()[1]
        elif now >= self.start + rule.period:
            if self.used:
                self.windows.append((self.start, self.used))
            self.used = 0.0
            self.start = now - now % rule.period if rule.kind == "aligned" else now

    def _reset_at(self, now: float) -> float:
        if self.rule.kind == "bucket":
            return now + self.used * self.rule.period / self.rule.max
        if self.rule.kind == "sliding":
            return (self.recent[0][0] if self.recent else now) + self.rule.period
        return self.start + self.rule.period

    def _until_free(self, now: float, cost: float) -> float:
        if self.rule.kind == "bucket":
            return max(0.0, (self.used + cost - self.rule.max) * self.rule.period / self.rule.max)
        return max(0.0, self._reset_at(now) - now)

    def _usage(self, now: float) -> Usage:
        return Usage(self.rule, self.key, self.used, max(self.rule.max - self.used, 0), self._reset_at(now))


class Limiter:
    """All budgets of one vendor. Switched off it still counts, and refuses nothing."""

    def __init__(self, rules: Iterable[Rule], *, enabled: bool = True) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.meters: dict[tuple[str, str], Meter] = {}
        self.enabled = enabled

    def spend(self, claims: Iterable[tuple[str, str]], now: float, cost: float = 1) -> list[Usage]:
        """Spend on every claimed (rule, key), or on none: then the usage that was over is marked and comes first."""
        meters = [self.meter(rule, key) for rule, key in claims]
        for meter in meters:
            usage = meter.look(now)
            full = usage.used + cost > meter.rule.max + 1e-9 or now < meter.blocked_until
            if full and self.enabled:
                return [meter.refuse(now, cost), *(m.look(now) for m in meters if m is not meter)]
        for meter in meters:
            meter.take(now, cost)
        usages = [meter.look(now) for meter in meters]
        if self.enabled:
            return usages
        # Headers that told of a used-up budget would stop a caller although nothing is refused.
        return [replace(usage, used=0.0, remaining=usage.rule.max) for usage in usages]

    def meter(self, rule: str, key: str) -> Meter:
        meter = self.meters.get((rule, key))
        if meter is None:
            meter = self.meters[rule, key] = Meter(self.rules[rule], key)
        return meter

    def block(self, rule: str, key: str, until: float) -> None:
        """Refuse everything under this key until then."""
        self.meter(rule, key).blocked_until = until

    def change(self, rule: str, **values: Any) -> Rule:
        """Set a rule's `max`, `period` ... while it runs."""
        found = self.rules[rule]
        for name, value in values.items():
            setattr(found, name, value)
        return found

    def reset(self) -> None:
        self.meters.clear()

    def totals(self) -> dict[str, int]:
        meters = self.meters.values()
        return {
            "accepted": sum(meter.accepted for meter in meters),
            "over_limit": sum(meter.over_limit for meter in meters),
            "early": sum(meter.early for meter in meters),
        }
