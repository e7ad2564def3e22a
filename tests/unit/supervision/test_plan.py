from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.supervision.model import Member, Pair, Seat
from sync.supervision.plan import MemberPlan, plan_members, plan_schedulers, plan_syncs

P = "consumer.one-off"


def member(index: int) -> Member:
    return Member(P, index)


def pairs(*orgs: str) -> list[Pair]:
    return [Pair(org, "email") for org in orgs]


def test_an_empty_cluster_gets_everything() -> None:
    plan = plan_members({P: 2, "processor.billing": 1}, (), ())
    assert plan == MemberPlan(start=(member(0), member(1), Member("processor.billing", 0)), retire=())


def test_a_gap_is_filled_at_its_own_index() -> None:
    assert plan_members({P: 3}, {member(0), member(2)}, ()).start == (member(1),)


def test_surplus_leaves_from_the_top() -> None:
    assert plan_members({P: 1}, {member(0), member(1), member(5)}, ()).retire == (member(1), member(5))


def test_a_retiring_member_is_not_retired_again_and_its_name_not_reused() -> None:
    existing = {member(0), member(1)}
    assert plan_members({P: 1}, existing, {member(1)}) == MemberPlan((), ())
    assert plan_members({P: 2}, existing, {member(1)}).start == (member(2),)


def test_pools_without_a_wish_are_left_alone() -> None:
    assert plan_members({}, {member(0)}, ()) == MemberPlan((), ())


@given(size=st.integers(0, 6), held=st.sets(st.integers(0, 9)), leaving=st.sets(st.integers(0, 9)))
def test_a_plan_carried_out_leaves_nothing_to_do(size: int, held: set[int], leaving: set[int]) -> None:
    existing = {member(index) for index in held}
    retiring = {member(index) for index in leaving & held}
    plan = plan_members({P: size}, existing, retiring)
    assert not existing & set(plan.start)
    after = (existing | set(plan.start)) - retiring - set(plan.retire)
    assert len(after) == size
    assert plan_members({P: size}, after, ()) == MemberPlan((), ())


def test_one_scheduler_alone_a_pair_from_two_nodes_on() -> None:
    assert plan_schedulers(1, ()) == (Seat("a"),)
    assert plan_schedulers(0, ()) == (Seat("a"),)
    assert plan_schedulers(2, ()) == (Seat("a"),)
    assert plan_schedulers(2, {Seat("a")}) == (Seat("b"),)
    assert plan_schedulers(2, {Seat("b")}) == (Seat("a"),)
    assert plan_schedulers(3, {Seat("a"), Seat("b")}) == ()


def test_a_lone_scheduler_may_sit_on_either_seat() -> None:
    assert plan_schedulers(1, {Seat("b")}) == ()


def test_ready_pairs_start_in_their_order_within_the_free_slots_and_the_burst() -> None:
    ready = pairs("a", "b", "c", "d", "e")
    plan = plan_syncs(ready, pairs("x"), (), slots=3, burst=1)
    assert plan.start == tuple(ready[:3])


def test_existing_pairs_are_not_started_twice() -> None:
    assert plan_syncs(pairs("a"), pairs("a"), (), slots=3, burst=1).start == ()


def test_without_a_slot_in_the_cluster_the_burst_still_shows_the_demand() -> None:
    assert plan_syncs(pairs("a", "b", "c"), (), (), slots=0, burst=2).start == tuple(pairs("a", "b"))


def test_waiting_actors_count_against_the_burst() -> None:
    assert plan_syncs(pairs("c"), pairs("a", "b"), (), slots=1, burst=1).start == ()


def test_idle_ones_leave_only_when_a_place_is_missing_and_longest_idle_first() -> None:
    existing = pairs("x", "y", "z")
    idle = pairs("z", "y")
    assert plan_syncs(pairs("a"), existing, idle, slots=4, burst=0).release == ()
    assert plan_syncs(pairs("a"), existing, idle, slots=3, burst=4).release == tuple(pairs("z"))
    assert plan_syncs(pairs("a", "b", "c", "d"), existing, idle, slots=3, burst=4).release == tuple(pairs("z", "y"))


def test_nobody_is_asked_in_place_of_one_that_is_leaving() -> None:
    existing = pairs("w", "x", "y", "z")
    idle = pairs("y", "z")
    assert plan_syncs((), existing, idle, leaving=pairs("y"), slots=3, burst=4).release == ()
    assert plan_syncs((), existing, idle, leaving=pairs("y", "gone"), slots=2, burst=4).release == tuple(pairs("z"))


def test_an_idle_pair_that_has_new_work_or_has_left_already_is_not_asked() -> None:
    assert plan_syncs(pairs("a", "z"), pairs("z"), pairs("z", "gone"), slots=1, burst=0).release == ()
