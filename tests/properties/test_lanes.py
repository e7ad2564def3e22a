"""The fair ring against a store that is a dictionary: nobody starves, nothing is left lying, weights and caps hold."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.jobs.lanes import FairRing, LaneRequest
from sync.jobs.model import LANES

Claimed = dict[tuple[str, int], tuple[int, int]]


@dataclass
class Store:
    """Rows of one queue: lane -> ascending seqs. Claims as claim.sql does."""

    lanes: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    seq: int = 0
    got: Counter[str] = field(default_factory=Counter)

    def add(self, org: str, lane: int = 2, count: int = 1) -> None:
        rows = self.lanes.setdefault((org, lane), [])
        rows.extend(range(self.seq + 1, self.seq + 1 + count))
        self.seq += count

    def claim(self, requests: list[LaneRequest]) -> Claimed:
        claimed: Claimed = {}
        for request in requests:
            rows = self.lanes.get((request.org_id, request.lane), [])
            first = bisect_right(rows, request.mark)
            taken = rows[first : first + request.quantum]
            if taken:
                claimed[request.org_id, request.lane] = (len(taken), taken[-1])
                self.got[request.org_id] += len(taken)
                del rows[first : first + request.quantum]
        return claimed

    @property
    def waiting(self) -> int:
        return sum(len(rows) for rows in self.lanes.values())

    def with_work(self) -> dict[tuple[str, int], int]:
        return {lane: rows[0] for lane, rows in self.lanes.items() if rows}


def scanned(store: Store, weights: Mapping[str, float] | None = None) -> FairRing:
    ring = FairRing()
    ring.set_weights(weights or {})
    ring.reset(store.with_work())
    return ring


def claim(ring: FairRing, store: Store, limit: int, caps: Mapping[str, int] | None = None) -> int:
    requests = ring.plan(limit, caps)
    claimed = store.claim(requests)
    ring.record(requests, claimed)
    return sum(count for count, _ in claimed.values())


stores = st.dictionaries(
    st.tuples(st.sampled_from([f"org-{n}" for n in range(8)]), st.integers(0, LANES - 1)),
    st.integers(min_value=1, max_value=50),
    min_size=1,
    max_size=20,
)
weights = st.dictionaries(
    st.sampled_from([f"org-{n}" for n in range(8)]),
    st.floats(min_value=1e-30, max_value=100, exclude_min=False),
    max_size=8,
)


def filled(counts: Mapping[tuple[str, int], int]) -> Store:
    store = Store()
    for (org, lane), count in counts.items():
        store.add(org, lane, count)
    return store


@given(stores, weights, st.integers(1, 60))
def test_everything_is_claimed_in_the_end(
    counts: dict[tuple[str, int], int], shares: dict[str, float], limit: int
) -> None:
    store = filled(counts)
    ring = scanned(store, shares)
    total, claims = store.waiting, 0
    while ring:
        claim(ring, store, limit)
        claims += 1
        assert claims <= total + 2 * len(counts), "a claim that brings nothing must bring the end nearer"
    assert store.waiting == 0


@given(stores, weights, st.integers(1, 500))
def test_a_plan_gives_out_exactly_what_was_asked_for(
    counts: dict[tuple[str, int], int], shares: dict[str, float], limit: int
) -> None:
    requests = scanned(filled(counts), shares).plan(limit)
    assert sum(request.quantum for request in requests) == limit
    assert all(request.quantum > 0 for request in requests)
    assert len({request.org_id for request in requests}) == len(requests)


@given(st.floats(min_value=0.01, max_value=100), st.integers(1, 1000))
def test_a_lone_org_gets_the_whole_claim(weight: float, limit: int) -> None:
    store = Store()
    store.add("lone", count=limit * 3)
    ring = scanned(store, {"lone": weight})
    assert [claim(ring, store, limit) for _ in range(3)] == [limit] * 3


@given(
    stores,
    weights,
    st.integers(1, 60),
    st.dictionaries(st.sampled_from([f"org-{n}" for n in range(8)]), st.integers(-1, 7)),
)
def test_caps_hold_and_leave_their_rest_to_others(
    counts: dict[tuple[str, int], int], shares: dict[str, float], limit: int, some: dict[str, int]
) -> None:
    ring = scanned(filled(counts), shares)
    caps = {org: some.get(org, limit) for org in ring.orgs}
    granted = {request.org_id: request.quantum for request in ring.plan(limit, caps)}
    assert all(quantum <= caps[org] for org, quantum in granted.items())
    assert sum(granted.values()) == min(limit, sum(max(0, cap) for cap in caps.values()))


@given(stores, st.integers(1, 60), st.randoms(use_true_random=False))
def test_marks_only_rise_until_a_full_scan(counts: dict[tuple[str, int], int], limit: int, rng: random.Random) -> None:
    store = filled(counts)
    ring = scanned(store)
    before: dict[tuple[str, int], int] = {}
    while ring:
        if rng.random() < 0.3:
            org, lane = rng.choice(list(counts))
            store.add(org, lane)
            ring.activate(org, lane)
        requests = ring.plan(limit)
        assert all(request.mark >= before.get((request.org_id, request.lane), 0) for request in requests)
        ring.record(requests, store.claim(requests))
        now = {(org, lane): mark for org, lane, mark in ring.known}
        assert all(now[key] >= mark for key, mark in before.items())
        before = now
        if rng.random() < 0.2:
            break
    for rows in store.lanes.values():  # committed late, below the marks
        rows.insert(0, 0)
    ring.reset(store.with_work())
    while ring:
        claim(ring, store, limit)
    assert store.waiting == 0


def test_a_look_keeps_the_marks_of_empty_lanes_and_what_was_heard_meanwhile() -> None:
    store = Store()
    store.add("org", count=5)
    ring = scanned(store)
    assert claim(ring, store, 5) == 5
    found = store.with_work()
    store.add("org")
    ring.activate("org", 2)
    ring.reset(found)
    assert ring.known == [("org", 2, 5)]
    assert claim(ring, store, 5) == 1


@pytest.mark.parametrize("limit", [1, 2, 7, 64, 1000])
def test_one_flooding_org_delays_another_by_one_plan_or_two(limit: int) -> None:
    store = Store()
    store.add("flood", count=100_000)
    ring = scanned(store)
    for _ in range(5):
        claim(ring, store, limit)
    store.add("quiet")
    ring.activate("quiet", 2)
    plans = 0
    while not store.got["quiet"]:
        claim(ring, store, limit)
        plans += 1
    assert plans <= 2


@pytest.mark.parametrize("limit", [1, 3, 10, 64, 999])
@pytest.mark.parametrize(("heavy", "light"), [(3.0, 1.0), (0.3, 0.1), (30.0, 10.0)])
def test_weights_three_to_one_give_shares_three_to_one(limit: int, heavy: float, light: float) -> None:
    """Also where every claim is small, as it is for slow jobs."""
    store = Store()
    store.add("heavy", count=40_000)
    store.add("light", count=40_000)
    ring = scanned(store, {"heavy": heavy, "light": light})
    while sum(store.got.values()) < 8000:
        claim(ring, store, limit)
    assert store.got["heavy"] / store.got["light"] == pytest.approx(3, rel=0.1)


def test_a_turn_begun_in_a_large_claim_is_not_finished_in_many_small_ones() -> None:
    """Otherwise an org could hold everybody else up for as long as it takes to hand out a thousand jobs singly."""
    store = Store()
    store.add("heavy", count=5000)
    store.add("light", count=5000)
    ring = scanned(store, {"heavy": 3.0})
    claim(ring, store, 999)
    got = store.got["light"]
    for _ in range(5):
        claim(ring, store, 1)
    assert store.got["light"] > got


@pytest.mark.parametrize("limit", [1, 50, 1000])
def test_none_of_a_thousand_orgs_starves(limit: int) -> None:
    store = Store()
    orgs = [f"org-{n:04}" for n in range(1000)]
    for org in orgs:
        store.add(org, count=8)
    ring = scanned(store)
    claims = 0
    while len(store.got) < len(orgs):
        claim(ring, store, limit)
        claims += 1
    # 64 orgs share a claim; each has had its first job before any has had its ninth
    assert claims <= max(len(orgs) / min(limit, 64) * 1.2, 2)


def test_urgent_lanes_of_an_org_go_first_and_solo_lanes_never_mix() -> None:
    store = Store()
    for lane in (3, 0, 2, 5):
        store.add("org", lane, count=4)
    ring = scanned(store)
    seen: list[int] = []
    while ring:
        requests = ring.plan(10)
        assert all(request.lane < LANES for request in requests)
        claimed = store.claim(requests)
        seen += [lane for _, lane in claimed]
        ring.record(requests, claimed)
    assert seen == [0, 2, 3]
    assert ring.has_solo
    alone = 0
    while ring.has_solo:
        requests = ring.plan_solo()
        assert [request.quantum for request in requests] == [1]
        claimed = store.claim(requests)
        alone += len(claimed)
        ring.record(requests, claimed)
    assert alone == 4


def test_a_hint_that_comes_while_a_claim_is_on_its_way_is_not_lost() -> None:
    """The claim did not see the new row; its empty hands must not silence the lane until the next look."""
    store = Store()
    store.add("org")
    ring = scanned(store)
    requests = ring.plan(10)
    claimed = store.claim(requests)
    store.add("org")
    ring.activate("org", 2)
    ring.record(requests, claimed)
    assert ring
    assert claim(ring, store, 10) == 1
    assert not ring


def test_orgs_take_turns_alone_and_those_at_their_cap_are_passed_over() -> None:
    ring = FairRing()
    ring.reset({("a", 6): 1, ("b", 6): 1, ("c", 6): 1})
    turns = [ring.plan_solo({"a": 1, "b": 0, "c": 1})[0].org_id for _ in range(4)]
    assert turns == ["a", "c", "a", "c"]
    assert ring.plan_solo({"a": 0, "b": 0, "c": 0}) == []
