"""A cluster as the supervisor sees it, in memory, and a database that says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from sync.supervision.model import Capacity, FleetError, Pair, Pulse, Who

WELL = Pulse("active", loop_age_s=0, pid=1, node="n")


class FakeFleet:
    """Actors live from `start` to `retire` or `kill`. `silent` ones do not answer, `stubborn` ones do not leave."""

    def __init__(self, *, nodes: int = 1, sync_slots: int = 4) -> None:
        self.alive: set[Who] = set()
        self.silent: set[Who] = set()
        self.stubborn: set[Who] = set()
        self.killed: list[Who] = []
        self.released: list[Pair] = []
        self.retired: list[Who] = []
        self.size = Capacity(nodes, sync_slots)
        self.reachable = True
        self.retire_gate = asyncio.Event()
        self.retire_gate.set()

    async def existing(self) -> set[Who]:
        self._check()
        return set(self.alive)

    async def capacity(self) -> Capacity:
        self._check()
        return self.size

    async def start(self, who: Who) -> bool:
        self._check()
        new = who not in self.alive
        self.alive.add(who)
        return new

    async def ping(self, who: Who) -> Pulse | None:
        return WELL if who in self.alive - self.silent else None

    async def retire(self, who: Who, timeout_s: float) -> bool:
        await self.retire_gate.wait()
        self.retired.append(who)
        if who in self.stubborn:
            return False
        self.alive.discard(who)
        return True

    async def release(self, pair: Pair) -> None:
        self.released.append(pair)

    async def kill(self, who: Who) -> None:
        self.killed.append(who)
        self.alive.discard(who)

    def _check(self) -> None:
        if not self.reachable:
            raise FleetError("the head does not answer")


class FakeWork:
    """Answers with its fields; raises `failure` while it is set."""

    def __init__(self) -> None:
        self.by_pool: dict[str, float] = {}
        self.ready: list[Pair] = []
        self.idle: list[Pair] = []
        self.traces: list[Who] = []
        self.overdue: list[Pair] = []
        self.failure: Exception | None = None
        self.rescues = 0
        self.recoveries = 0

    async def lags(self) -> Mapping[str, float]:
        self._check()
        return self.by_pool

    async def ready_pairs(self, limit: int) -> Sequence[Pair]:
        self._check()
        return self.ready[:limit]

    async def idle_pairs(self) -> Sequence[Pair]:
        self._check()
        return self.idle

    async def lived(self) -> Collection[Who]:
        self._check()
        return self.traces

    async def expired(self) -> Collection[Pair]:
        self._check()
        return self.overdue

    async def rescue(self) -> None:
        self._check()
        self.rescues += 1

    async def recover(self) -> None:
        self._check()
        self.recoveries += 1

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
