"""Fair shares: deficit round robin over the orgs that have work in one queue. Pure, rebuilt from the store at will.

Each member keeps one ring per queue. An org's turn adds its weight's share to its deficit and asks for as many jobs;
what it did not have is forgotten, so nobody saves up while idle, and a lone org gets the whole claim.
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
        if not ready or limit <= 0:
            return []
        unit = max(1.0, limit / sum(self._orgs[name].weight for name in ready))
        quanta: dict[str, int] = {}
        remaining = limit
        while remaining > 0 and not quanta:  # weights below 1 may need several rounds before anybody has a whole job
            for name in ready:
                org = self._orgs[name]
                org.deficit = min(org.deficit, unit * org.weight + 1) + unit * org.weight
                quantum = min(int(org.deficit), remaining, limit if caps is None else caps.get(name, limit))
                if quantum > 0:
                    quanta[name] = quantum
                    remaining -= quantum
                self._orgs.move_to_end(name)
                if remaining == 0:
                    break
        return [self._request(name, quantum) for name, quantum in quanta.items()]

    def plan_solo(self) -> LaneRequest | None:
        """One job that must run alone; orgs take turns."""
        for name, org in self._orgs.items():
            solo = [lane for lane in org.lanes if lane >= LANES]
            if solo:
                self._orgs.move_to_end(name)
                lane = min(solo)
                return LaneRequest(name, lane, self._marks.get((name, lane), 0), 1)
        return None

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
            org.deficit = max(0.0, org.deficit - count)
            if count < request.quantum:  # ran dry
                org.deficit = 0.0
                org.lanes.discard(request.lane)
                if not org.lanes:
                    del self._orgs[request.org_id]

    def _request(self, name: str, quantum: int) -> LaneRequest:
        lane = min(_normal(self._orgs[name].lanes))
        return LaneRequest(name, lane, self._marks.get((name, lane), 0), quantum)


def _normal(lanes: set[int]) -> list[int]:
    return [lane for lane in lanes if lane < LANES]
