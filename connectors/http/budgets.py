"""Rate budgets: what a call is counted on, and what answers tell about it.

A connector declares budgets; the session claims every budget of a call before making it and blocks one when the vendor
says that it is used up. Keys name what shares a budget, so all actors that call for one app or account meet there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from connectors.base import Account, Claim, Delay
from connectors.http.request import Reply, Request

Scope = Literal["app", "account", "token"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer tells about a budget."""

    used: float
    """Share that is used, 1.0 is all."""
    reset_s: float
    """Seconds until calls are welcome again, if it is used up."""
    part: str | None = None
    """Which partition it is about, where budgets are per ad account or page (`Budget.per_part`)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit of the vendor.

    Counted by us where `limit` calls per `window` are known; else only blocked by what answers say. Counting is
    sliding: no span of the length of a window holds more than `limit` calls, which obeys fixed windows as well.
    """

    name: str
    scope: Scope = "account"
    """app: all accounts of our app share it. account: each account has its own. token: all users of one token."""
    limit: int = 0
    window: timedelta = timedelta(minutes=1)
    endpoints: tuple[str, ...] = ()
    """Classes of calls (`Request.endpoint`) that count; all when empty."""
    per_endpoint: bool = False
    """Each class of calls has this budget for itself."""
    per_part: bool = False
    """Each partition (ad account, page) has this budget for itself: its throttling lets the others go on."""
    read: Callable[[Reply], Sequence[Usage]] | None = None
    """Usage as headers tell it."""
    stop_at: float = 1.0
    """Share of use at which we stop by ourselves."""

    @property
    def breadth(self) -> int:
        """How much a block of it stops; throttling blocks the narrowest budget that a call is counted on."""
        return 0 if self.per_part else 1 if self.per_endpoint else 3 if self.scope == "app" else 2

    def covers(self, request: Request) -> bool:
        return not self.endpoints or request.kind in self.endpoints

    def key(self, platform: str, account: Account, request: Request, part: str) -> str:
        owner = {"app": "", "account": account.account, "token": str(hash_text(request.token or account.account))}
        places = [platform, account.installation.client_id or "-", self.name, owner[self.scope]]
        places.append(request.kind if self.per_endpoint else "")
        places.append(part if self.per_part else "")
        return "|".join(places)

    def claim(self, platform: str, account: Account, request: Request, part: str) -> Claim:
        limit = account.installation.limits.get(self.name, self.limit)
        return Claim(self.key(platform, account, request, part), limit, self.window.total_seconds(), request.cost)


CALLS = Budget("calls")
"""For calls that no declared budget covers."""


def hash_text(text: str) -> str:
    """A short name for something that must not be written down."""
    from hashlib import blake2b

    return blake2b(text.encode(), digest_size=9).hexdigest()


def remaining(
    remaining: str, reset: str, *, limit: str = "", reset_is: Literal["epoch", "seconds"] = "epoch", reserve: float = 1
) -> Callable[[Reply], Sequence[Usage]]:
    """Read `X-RateLimit-Remaining`-like headers: used up when fewer than `reserve` calls remain."""

    def read(reply: Reply) -> Sequence[Usage]:
        left, resets = _number(reply.header(remaining)), _number(reply.header(reset))
        if left is None or resets is None:
            return ()
        seconds = resets - time.time() if reset_is == "epoch" else resets
        total = _number(reply.header(limit)) if limit else None
        used = 1.0 if left < reserve else 1.0 - left / total if total else 0.0
        return (Usage(used, max(seconds, 1.0)),)

    return read


def _number(value: str) -> float | None:
    # Structured headers carry the binding number first: `60, 100;w=1`.
    try:
        found = float(value.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0])
    except ValueError:
        return None
    return found if math.isfinite(found) else None


class LocalBudgets:
    """Budgets of one process, for tests and tools; the runtime brings shared ones."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._calls: dict[str, list[float]] = {}
        self._blocked: dict[str, float] = {}

    async def take(self, claims: Sequence[Claim]) -> Delay | None:
        now = self._now()
        waits = [Delay(self._wait(claim, now), claim.key) for claim in claims]
        longest = max(waits, key=lambda delay: delay.seconds, default=None)
        if longest is not None and longest.seconds > 0:
            return longest
        for claim in claims:
            if claim.limit:
                self._calls.setdefault(claim.key, []).extend([now] * claim.cost)
        return None

    async def block(self, key: str, seconds: float) -> None:
        self._blocked[key] = max(self._blocked.get(key, 0.0), self._now() + seconds)

    def _wait(self, claim: Claim, now: float) -> float:
        blocked = self._blocked.get(claim.key, 0.0) - now
        if not claim.limit:
            return blocked
        calls = self._calls[claim.key] = [at for at in self._calls.get(claim.key, []) if at > now - claim.window_s]
        room = claim.limit - claim.cost - len(calls)
        return max(blocked, calls[-room - 1] + claim.window_s - now if room < 0 and calls else 0.0)
