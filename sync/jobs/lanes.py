"""Fair shares: weighted fair queueing over the orgs that have work in one queue. Pure, rebuilt from the store at will.

Each member keeps one ring per queue. Every org has a virtual time: the jobs it was given divided by its weight. A claim
goes to the orgs that are furthest behind, as much to each as brings them level; so shares are right whatever the size
of the claims, and an org that has just found work waits for nobody's turn to end. An org without work saves nothing up:
it comes back at the present. A lone org gets the whole claim.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sync.jobs.model import LANES

_MAX_ORGS_PER_CLAIM = 64
"""Orgs visited by one claim: 64 index descents cost well under a millisecond."""
_MAX_MARKS = 2000
"""Without its mark, a lane's next claim passes over the index entries of all its deleted rows that vacuum has left."""


@dataclass(frozen=True, slots=True)
class LaneRequest:
    """Ask for up to `quantum` jobs of one org in one lane, all with seq > mark."""

    org_id: str
    lane: int
    mark: int
    quantum: int


_LEAST_WEIGHT = 0.01
"""Below this a single job would move an org's virtual time so far that sums of it lose their precision."""


@dataclass(slots=True)
class _Org:
    weight: float = 1.0
    time: float = 0.0
    lanes: set[int] = field(default_factory=set)
    renewed: set[int] = field(default_factory=set)
    """Lanes heard of since they were last asked: a claim that was already on its way says nothing about them."""


class FairRing:
    def __init__(self) -> None:
        self._orgs: OrderedDict[str, _Org] = OrderedDict()  # orgs with work, in the order of their turns alone
        self._now = 0.0  # virtual: that of the org furthest behind, when last looked at
        self._marks: dict[tuple[str, int], int] = {}
        self._weights: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Whether some normal lane may hold work."""
        return any(_normal(org.lanes) for org in self._orgs.values())

    @property
    def has_solo(self) -> bool:
        """Whether some job waits to run alone."""
        return any(lane >= LANES for org in self._orgs.values() for lane in org.lanes)

    @property
    def orgs(self) -> list[str]:
        return list(self._orgs)

    @property
    def known(self) -> list[tuple[str, int, int]]:
        """Every lane with a mark: (org, lane, mark)."""
        return [(org, lane, mark) for (org, lane), mark in self._marks.items()]

    def activate(self, org_id: str, lane: int) -> None:
        """There may be work in this lane."""
        org = self._orgs.get(org_id)
        if org is None:
            org = self._orgs[org_id] = _Org(self._weights.get(org_id, 1.0), self._now)
        org.lanes.add(lane)
        org.renewed.add(lane)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Shares of orgs that differ from 1; replaces all earlier ones."""
        self._weights = {org_id: max(weight, _LEAST_WEIGHT) for org_id, weight in weights.items()}
        for org_id, org in self._orgs.items():
            org.weight = self._weights.get(org_id, 1.0)

    def reset(self, lanes: Mapping[tuple[str, int], int]) -> None:
        """The store was read completely: these lanes have work, from the given seq on, and so may those that were heard
        of meanwhile.
        """
        for org_id, org in list(self._orgs.items()):
            org.lanes = {lane for lane in org.lanes if (org_id, lane) in lanes or lane in org.renewed}
            if not org.lanes:
                del self._orgs[org_id]
        for (org_id, lane), lowest in sorted(lanes.items()):
            self._mark(org_id, lane, lowest - 1)  # lower than before where rows were committed out of order
            self.activate(org_id, lane)
        for oldest in list(self._marks)[: max(0, len(self._marks) - _MAX_MARKS)]:
            del self._marks[oldest]

    def _mark(self, org_id: str, lane: int, seq: int) -> None:
        self._marks.pop((org_id, lane), None)  # the latest ones stand last
        self._marks[org_id, lane] = seq

    def plan(self, limit: int, caps: Mapping[str, int] | None = None) -> list[LaneRequest]:
        """Shares of a claim of `limit` jobs. caps: the most an org may get now (concurrency limits).

        Inside an org only its most urgent lane with work is asked; the next lane follows once that one runs dry.
        """
        if limit <= 0:
            return []
        now = self._now
        behind = heapq.nsmallest(
            _MAX_ORGS_PER_CLAIM,
            [
                (org.time if org.time > now else now, name)  # one that was at its cap has saved nothing up either
                for name, org in self._orgs.items()
                if min(org.lanes) < LANES and (caps is None or caps.get(name, 1) > 0)
            ],
        )
        if not behind:
            return []
        self._now = behind[0][0]
        for time, name in behind:
            self._orgs[name].time = time
        ready = [name for _, name in behind]
        quanta = self._share_out(ready, limit, caps)
        return [self._request(name, min(_normal(self._orgs[name].lanes)), quantum) for name, quantum in quanta.items()]

    def plan_solo(self, caps: Mapping[str, int] | None = None) -> list[LaneRequest]:
        """One job that must run alone, if there is one; orgs take turns."""
        for name, org in self._orgs.items():
            solo = [lane for lane in org.lanes if lane >= LANES]
            if solo and (caps is None or caps.get(name, 1) > 0):
                self._orgs.move_to_end(name)
                return [self._request(name, min(solo), 1)]
        return []

    def record(self, requests: Iterable[LaneRequest], claimed: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """What a claim brought. claimed: (org, lane) -> (jobs, highest seq)."""
        for request in requests:
            count, highest = claimed.get((request.org_id, request.lane), (0, 0))
            if highest:
                self._mark(request.org_id, request.lane, max(request.mark, highest))
            org = self._orgs.get(request.org_id)
            if org is None:
                continue
            if count < request.quantum:  # ran dry
                if request.lane < LANES:
                    org.time -= (request.quantum - count) / org.weight
                if request.lane not in org.renewed:
                    org.lanes.discard(request.lane)
                if not org.lanes:
                    del self._orgs[request.org_id]

    def _share_out(self, ready: list[str], limit: int, caps: Mapping[str, int] | None) -> dict[str, int]:
        """Brings `ready` (sorted by time) level from below with `limit` jobs, or as many as the caps allow."""
        quanta: dict[str, int] = {}

        def give(name: str, jobs: int) -> None:
            quanta[name] = quanta.get(name, 0) + jobs
            self._orgs[name].time += jobs / self._orgs[name].weight

        def room(name: str) -> int:
            return limit if caps is None else caps.get(name, limit) - quanta.get(name, 0)

        remaining = limit
        while remaining > 0 and ready:
            level = self._level(ready, remaining)
            wanted = {name: int((level - self._orgs[name].time) * self._orgs[name].weight) for name in ready}
            granted = {name: min(jobs, room(name)) for name, jobs in wanted.items() if jobs > 0}
            for name, jobs in granted.items():
                give(name, jobs)
            remaining -= sum(granted.values())
            if granted == {name: jobs for name, jobs in wanted.items() if jobs > 0}:
                break  # no cap was in the way
            ready = sorted((name for name in ready if room(name) > 0), key=lambda name: self._orgs[name].time)
        # What is left of whole jobs goes, one by one, to whoever would be through with it first.
        heap = [(self._orgs[name].time + 1 / self._orgs[name].weight, name) for name in ready if room(name) > 0]
        heapq.heapify(heap)
        while remaining > 0 and heap:
            through, name = heapq.heappop(heap)
            give(name, 1)
            remaining -= 1
            if room(name) > 0:
                heapq.heappush(heap, (through + 1 / self._orgs[name].weight, name))
        return quanta

    def _level(self, ready: list[str], jobs: int) -> float:
        """The virtual time up to which `jobs` jobs bring those of `ready` that are below it."""
        weight = weighted = level = 0.0
        for position, name in enumerate(ready, start=1):
            org = self._orgs[name]
            weight += org.weight
            weighted += org.weight * org.time
            level = (jobs + weighted) / weight
            if position == len(ready) or level <= self._orgs[ready[position]].time:
                break
        return level

    def _request(self, name: str, lane: int, quantum: int) -> LaneRequest:
        self._orgs[name].renewed.discard(lane)
        return LaneRequest(name, lane, self._marks.get((name, lane), 0), quantum)


def _normal(lanes: set[int]) -> list[int]:
    return [lane for lane in lanes if lane < LANES]
