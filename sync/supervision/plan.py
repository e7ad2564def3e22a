"""What to start, retire and release: pure functions of what is wanted and what exists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

from sync.supervision.model import Member, Pair, Seat

SEATS = (Seat("a"), Seat("b"))


@dataclass(frozen=True, slots=True)
class MemberPlan:
    start: tuple[Member, ...]
    retire: tuple[Member, ...]


def plan_members(wanted: Mapping[str, int], existing: Collection[Member], retiring: Collection[Member]) -> MemberPlan:
    """Fill every pool from its lowest free index, empty it from its highest.

    A retiring member no longer counts, yet its name is taken until it has left. Pools without a wish are left alone.
    """
    start: list[Member] = []
    retire: list[Member] = []
    for pool, size in wanted.items():
        held = {member.index for member in existing if member.pool == pool}
        serving = sorted(held - {member.index for member in retiring if member.pool == pool})
        free = (index for index in count() if index not in held)
        start += [Member(pool, index) for index in islice(free, max(0, size - len(serving)))]
        retire += [Member(pool, index) for index in serving[size:]]
    return MemberPlan(tuple(start), tuple(retire))


def plan_schedulers(nodes: int, existing: Collection[Seat]) -> tuple[Seat, ...]:
    """The seat to fill next: of a hot pair where a second node can survive the first, otherwise of one scheduler.

    One at a time, so that the second can be placed away from the first. A surplus one is left alone: it waits for the
    lease and costs next to nothing.
    """
    wanted = SEATS if nodes >= 2 else SEATS[:1]
    if nodes < 2 and existing:
        return ()
    return tuple(seat for seat in wanted if seat not in existing)[:1]


@dataclass(frozen=True, slots=True)
class SyncPlan:
    start: tuple[Pair, ...]
    release: tuple[Pair, ...]


def plan_syncs(
    ready: Sequence[Pair],
    existing: Collection[Pair],
    idle: Sequence[Pair],
    *,
    leaving: Collection[Pair] = (),
    slots: int,
    burst: int,
) -> SyncPlan:
    """Start ready pairs, in their order, up to the free slots and `burst` more.

    The surplus actors wait for a place inside Ray: that is the demand an autoscaler sees, and it hands a freed slot on
    without a pass of ours. `idle` (longest idle first) are asked to leave, as many as are missing a place beyond those
    that were asked already and are still `leaving`.
    """
    waiting = [pair for pair in ready if pair not in existing]
    room = max(0, slots + burst - len(existing))
    missing = len(existing) - len(set(leaving) & set(existing)) + len(waiting) - slots
    candidates = [pair for pair in idle if pair in existing and pair not in ready and pair not in leaving]
    return SyncPlan(tuple(waiting[:room]), tuple(candidates[: max(0, missing)]))
