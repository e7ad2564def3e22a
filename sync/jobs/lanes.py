"""Fair shares: deficit round robin over the orgs that have work in one queue. Pure, rebuilt from the store at will.

Each member keeps one ring per queue. An org's turn adds its weight's share to its deficit and asks for as many jobs; a
turn that the claim has no room for goes on in the next one, so small claims are shared like large ones. What an org
did not have is forgotten, so nobody saves up while idle, and a lone org gets the whole claim.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sync.jobs.model import LANES

_MAX_ORGS_PER_CLAIM = 64
"""Orgs visited by one claim: 64 index descents cost well under a millisecond."""


@dataclass(frozen=True, slots=True)
class LaneRequest:
    """Ask for up to `quantum` jobs of one org in one lane, all with seq > mark."""

    org_id: str
    lane: int
    mark: int
    quantum: int


@dataclass(slots=True)
class _Org:
    weight: float = 1.0
    deficit: float = 0.0
    lanes: set[int] = field(default_factory=set)
    renewed: set[int] = field(default_factory=set)
    """Lanes heard of since they were last asked: a claim that was already on its way says nothing about them."""

    def spend(self, unit: float, most: int) -> int:
        """Jobs to ask for now. A turn is worth `unit * weight` jobs; one that was cut short is finished first."""
        share = unit * self.weight
        self.deficit = min(self.deficit, share + 1)  # cut short when claims were larger
        if self.deficit < 1:
            self.deficit += share
        quantum = min(int(self.deficit), most)
        self.deficit -= quantum
        return quantum


class FairRing:
    def __init__(self) -> None:
        self._orgs: OrderedDict[str, _Org] = OrderedDict()  # orgs with work; the next one to serve stands first
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
            org = self._orgs[org_id] = _Org(self._weights.get(org_id, 1.0))
        org.lanes.add(lane)
        org.renewed.add(lane)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Shares of orgs that differ from 1; replaces all earlier ones."""
        self._weights = dict(weights)
        for org_id, org in self._orgs.items():
            org.weight = self._weights.get(org_id, 1.0)

    def reset(self, lanes: Iterable[tuple[str, int]]) -> None:
        """The store was read completely: exactly these lanes have work; marks start over."""
        present = set(lanes)
        self._marks.clear()
        for org_id, org in list(self._orgs.items()):
            org.lanes = {lane for lane in org.lanes if (org_id, lane) in present}
            if not org.lanes:
                del self._orgs[org_id]
        for org_id, lane in sorted(present):
            self.activate(org_id, lane)

    def plan(self, limit: int, caps: Mapping[str, int] | None = None) -> list[LaneRequest]:
        """Shares of a claim of `limit` jobs. caps: the most an org may get now (concurrency limits).

        Inside an org only its most urgent lane with work is asked; the next lane follows once that one runs dry.
        """
        ready = [
            name
            for name, org in self._orgs.items()
            if _normal(org.lanes) and (caps is None or caps.get(name, limit) > 0)
        ]
        ready = ready[:_MAX_ORGS_PER_CLAIM]
        quanta: dict[str, int] = {}
        remaining = limit
        while remaining > 0 and ready:  # again for fractions of jobs, and for what caps leave to others
            unit = max(1.0, remaining / sum(self._orgs[name].weight for name in ready))
            for name in ready:
                most = remaining if caps is None else min(remaining, caps.get(name, limit) - quanta.get(name, 0))
                quantum = self._orgs[name].spend(unit, most)
                if quantum:
                    quanta[name] = quanta.get(name, 0) + quantum
                    remaining -= quantum
                if remaining == 0 and self._orgs[name].deficit >= 1:
                    break  # its turn goes on in the next claim
                self._orgs.move_to_end(name)
                if remaining == 0:
                    break
            if caps is not None:
                ready = [name for name in ready if caps.get(name, limit) > quanta.get(name, 0)]
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
            key = (request.org_id, request.lane)
            if highest:
                self._marks[key] = max(self._marks.get(key, 0), highest)
            org = self._orgs.get(request.org_id)
            if org is None:
                continue
            if count < request.quantum:  # ran dry
                org.deficit = 0.0
                if request.lane not in org.renewed:
                    org.lanes.discard(request.lane)
                if not org.lanes:
                    del self._orgs[request.org_id]

    def _request(self, name: str, lane: int, quantum: int) -> LaneRequest:
        self._orgs[name].renewed.discard(lane)
        return LaneRequest(name, lane, self._marks.get((name, lane), 0), quantum)


def _normal(lanes: set[int]) -> list[int]:
    return [lane for lane in lanes if lane < LANES]
