"""Brings the wanted actors into being and keeps them there. See the package's docstring for the parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

from sync.base.errors import Transient
from sync.base.logs import get_logger
from sync.base.settings import Settings
from sync.supervision.health import Suspicions
from sync.supervision.loop import PartLoop
from sync.supervision.model import Fleet, Member, Pair, Seat, Who
from sync.supervision.plan import plan_members, plan_schedulers, plan_syncs
from sync.supervision.pools import POOLS, bounds, check_pools
from sync.supervision.sizing import PoolSizer
from sync.supervision.throttle import StartThrottle

log = get_logger(__name__)
LEAVE_WITHIN_S = 10.0
"""Who is still there so long after it was asked to leave has found work."""

T = TypeVar("T")
W = TypeVar("W", Member, Seat, Pair)


class Work(Protocol):
    """What the database says there is to do."""

    async def lags(self) -> Mapping[str, float]:
        """By pool, for how many seconds its oldest job that could run has been waiting; no entry: none waits."""
        ...

    async def ready_pairs(self, limit: int) -> Sequence[Pair]: ...

    async def idle_pairs(self) -> Sequence[Pair]:
        """Pairs that hold a lease and run nothing, longest idle first."""
        ...

    async def lived(self) -> Collection[Who]:
        """Who left a trace of life: a heartbeat row, a lease."""
        ...

    async def expired(self) -> Collection[Pair]:
        """Pairs whose holder let its lease run out."""
        ...

    async def rescue(self) -> object: ...

    async def recover(self) -> object: ...


@dataclass(frozen=True, slots=True)
class PoolState:
    pool: str
    purpose: str
    wanted: int
    members: tuple[int, ...]
    retiring: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PartState:
    name: str
    failures: int
    error: str | None


@dataclass(frozen=True, slots=True)
class SupervisorInfo:
    pools: tuple[PoolState, ...]
    schedulers: tuple[str, ...]
    syncs: tuple[Pair, ...]
    parts: tuple[PartState, ...]
    draining: bool


class Supervisor:
    """`run()` until `stop()`. The steps are public: each is one pass of its part."""

    def __init__(
        self, fleet: Fleet, work: Work, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        check_pools(settings)
        self._fleet = fleet
        self._work = work
        self._settings = settings
        self._clock = clock
        self._sizers: dict[str, PoolSizer] = {}
        self._retiring: dict[Member, asyncio.Task[None]] = {}
        self._throttle = StartThrottle()
        self._asked: dict[Pair, float] = {}  # idle syncs that were asked to leave, and when
        rules = settings.supervisor
        self._suspicions = Suspicions(limit=rules.ping_failures, max_loop_age_s=2 * rules.watchdog_s)
        self._known: set[Who] = set()
        self._running: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self.draining = False
        self._parts = {
            "members": PartLoop("members", rules.members_every_s, self.reconcile_members),
            "schedulers": PartLoop("schedulers", rules.schedulers_every_s, self.reconcile_schedulers),
            "syncs": PartLoop("syncs", rules.syncs_every_s, self.reconcile_syncs),
            "health": PartLoop("health", rules.ping_every_s, self.check_health),
            "rescue": PartLoop("rescue", settings.queue.rescue_every_s, work.rescue),
            "recover": PartLoop("recover", rules.recover_every_s, work.recover),
        }

    async def run(self) -> None:
        """All parts side by side, until `stop()` or cancellation."""
        self._running = [
            asyncio.create_task(part.run(), name=f"supervisor.{part.name}") for part in self._parts.values()
        ]
        try:
            await self._stopped.wait()
        finally:
            await self._halt()

    def stop(self) -> None:
        """Let `run()` return. The actors live on."""
        self._stopped.set()

    def wake_syncs(self) -> None:
        """A run was queued: look for it now instead of at the next pass."""
        self._parts["syncs"].wake()

    async def reconcile_members(self) -> None:
        existing = {who for who in await self._look() if isinstance(who, Member)}
        self._retiring = {member: task for member, task in self._retiring.items() if not task.done()}
        wanted = self._sizes(existing, await self._lags())
        plan = plan_members(wanted, existing, self._retiring)
        for member in plan.retire:
            log.info("supervisor.retire", **asdict(member))
            self._retiring[member] = asyncio.create_task(self._retire(member))
        await self._start(plan.start)

    async def reconcile_schedulers(self) -> None:
        existing = {who for who in await self._look() if isinstance(who, Seat)}
        capacity = await self._fleet.capacity()
        await self._start(plan_schedulers(capacity.nodes, existing))

    async def reconcile_syncs(self) -> bool:
        """True while pairs wait for a place: idle ones have been asked to leave, so it is worth looking again soon."""
        ready = await self._work.ready_pairs(self._settings.supervisor.ready_limit)
        if not ready:
            return False
        existing = {who for who in await self._look() if isinstance(who, Pair)}
        now = self._clock()
        due = [pair for pair in ready if pair not in existing and self._throttle.allows(pair, now)]
        slots = (await self._fleet.capacity()).sync_slots
        scarce = len(existing) + len(due) > slots
        idle = await self._work.idle_pairs() if scarce else ()
        self._asked = {pair: at for pair, at in self._asked.items() if pair in existing and now - at < LEAVE_WITHIN_S}
        plan = plan_syncs(due, existing, idle, leaving=self._asked, slots=slots, burst=self._settings.supervisor.burst)
        for pair in await self._start(plan.start):
            self._throttle.started(pair, now)
        await _all(self._fleet.release(pair) for pair in plan.release)
        self._asked |= dict.fromkeys(plan.release, now)
        return scarce

    async def check_health(self) -> None:
        existing = await self._look()
        pulses = dict(zip(existing, await _all(self._fleet.ping(who) for who in existing), strict=True))
        silent = [who for who, pulse in pulses.items() if pulse is None]
        lived = await self._work.lived() if silent else ()
        expired = await self._work.expired() if any(isinstance(who, Pair) for who in silent) else ()
        for who in self._suspicions.judge(pulses, lived=lived, overdue=expired):
            log.warning("supervisor.kill", **asdict(who), pulse=pulses[who])
            await self._fleet.kill(who)

    async def drain(self, timeout_s: float) -> tuple[Who, ...]:
        """Create nothing more, let every actor finish and leave; who had to be killed after `timeout_s`.

        Schedulers go first, so that nothing new is enqueued for members that are about to leave. Who does not answer
        (it waits for a place, or hangs) holds nothing that a time-out would save.
        """
        self.draining = True
        await self._halt()
        existing = sorted(await self._look(), key=repr)
        pulses = await _all(self._fleet.ping(who) for who in existing)
        silent = tuple(who for who, pulse in zip(existing, pulses, strict=True) if pulse is None)
        alive = [who for who in existing if who not in silent]
        stayed = await self._retire_all([who for who in alive if isinstance(who, Seat)], timeout_s)
        stayed += await self._retire_all([who for who in alive if not isinstance(who, Seat)], timeout_s)
        for who in silent + stayed:
            log.warning("supervisor.kill", **asdict(who), reason="did not leave in time")
            await self._fleet.kill(who)
        return stayed

    def info(self) -> SupervisorInfo:
        return SupervisorInfo(
            pools=tuple(self._pool_state(pool) for pool in POOLS),
            schedulers=tuple(sorted(who.letter for who in self._known if isinstance(who, Seat))),
            syncs=tuple(sorted(who for who in self._known if isinstance(who, Pair))),
            parts=tuple(PartState(name, p.health.failures, p.health.error) for name, p in self._parts.items()),
            draining=self.draining,
        )

    def _pool_state(self, pool: str) -> PoolState:
        members = (who for who in self._known if isinstance(who, Member) and who.pool == pool)
        return PoolState(
            pool=pool,
            purpose=POOLS[pool].purpose,
            wanted=self._sizers[pool].wanted if pool in self._sizers else bounds(self._settings, pool).min,
            members=tuple(sorted(member.index for member in members)),
            retiring=tuple(sorted(member.index for member in self._retiring if member.pool == pool)),
        )

    async def _halt(self) -> None:
        tasks = [*self._running, *self._retiring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> set[Who]:
        self._known = await self._fleet.existing()
        return self._known

    async def _lags(self) -> Mapping[str, float] | None:
        # Without the database the pools keep their sizes: lost members are still replaced, and wait for it.
        try:
            return await self._work.lags()
        except Transient as error:
            log.warning("supervisor.lags_unknown", error=str(error))
            return None

    def _sizes(self, existing: Iterable[Member], lags: Mapping[str, float] | None) -> dict[str, int]:
        now = self._clock()
        sizes = {}
        for pool in POOLS:
            if pool not in self._sizers:
                self._sizers[pool] = PoolSizer(
                    bounds(self._settings, pool),
                    members=sum(member.pool == pool for member in existing),
                    shrink_after_s=self._settings.supervisor.shrink_after_s,
                    now=now,
                )
            sizer = self._sizers[pool]
            sizes[pool] = sizer.wanted if lags is None else sizer.update(lags.get(pool, 0.0), now)
        return sizes

    async def _start(self, whos: Sequence[W]) -> list[W]:
        """Who was really created."""
        if self.draining:
            return []
        created = await _all(self._fleet.start(who) for who in whos)
        started = [who for who, new in zip(whos, created, strict=True) if new]
        for who in started:
            log.info("supervisor.start", **asdict(who))
        return started

    async def _retire(self, member: Member) -> None:
        if not await self._fleet.retire(member, self._settings.queue.drain_timeout_s):
            await self._fleet.kill(member)

    async def _retire_all(self, whos: Sequence[Who], timeout_s: float) -> tuple[Who, ...]:
        left = await _all(self._fleet.retire(who, timeout_s) for who in whos)
        return tuple(who for who, gone in zip(whos, left, strict=True) if not gone)


async def _all(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Side by side. All are tried before the first failure is raised."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
