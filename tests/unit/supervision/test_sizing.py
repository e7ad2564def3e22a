from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.base.settings import PoolSettings
from sync.supervision.sizing import GROW_PAUSE_S, PoolSizer, SeqTimes

BOUNDS = PoolSettings(min=1, max=8, target_lag_s=5)


def sizer(members: int = 1, bounds: PoolSettings = BOUNDS) -> PoolSizer:
    return PoolSizer(bounds, members=members, shrink_after_s=60, now=0)


def test_a_late_queue_grows_its_pool_step_by_step() -> None:
    pool = sizer()
    sizes = [pool.update(lag_s=6, now=second) for second in range(30)]
    assert sizes[: int(GROW_PAUSE_S)] == [2] * int(GROW_PAUSE_S)  # the new member gets the time to show its effect
    assert sorted(set(sizes)) == [2, 3, 4, 6, 8]
    assert sizes[-1] == 8


def test_a_queue_that_is_served_in_time_does_not_grow_it() -> None:
    assert sizer().update(4.9, now=10) == 1


def test_quiet_gives_back_one_member_at_a_time() -> None:
    pool = sizer(members=3)
    assert [pool.update(0, now=now) for now in (59, 60, 119, 120, 999)] == [3, 2, 2, 1, 1]


def test_a_lag_near_the_target_keeps_the_size() -> None:
    pool = sizer(members=3)
    assert {pool.update(2, now=second) for second in range(0, 600, 10)} == {3}


def test_a_restarted_supervisor_takes_over_the_size_it_finds_within_bounds() -> None:
    assert [sizer(members=found).wanted for found in (4, 0, 20)] == [4, 1, 8]


@given(
    minimum=st.integers(0, 5),
    extra=st.integers(0, 5),
    members=st.integers(0, 20),
    history=st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 100)), max_size=50),
)
def test_the_size_never_leaves_its_bounds(
    minimum: int, extra: int, members: int, history: list[tuple[float, float]]
) -> None:
    bounds = PoolSettings(min=minimum, max=max(1, minimum + extra))
    pool = sizer(members, bounds)
    now = 0.0
    for lag_s, passed in history:
        now += passed
        assert bounds.min <= pool.update(lag_s, now) <= bounds.max


def test_a_row_is_as_old_as_the_last_look_that_did_not_know_it() -> None:
    times = SeqTimes()
    for now, newest in ((0, 10), (2, 10), (4, 30)):
        times.note(newest, now)
    assert times.age_s(31, now=5) == 1  # it came after the last look
    assert times.age_s(11, now=5) == 3  # after the look at 2, known at 4
    assert times.age_s(10, now=5) == 5
    assert times.age_s(3, now=5) == 5  # older than our memory


def test_an_age_keeps_growing_while_memory_is_trimmed() -> None:
    times = SeqTimes()
    for second in range(0, 2000, 2):
        times.note(100 + second, second)
    assert 600 <= times.age_s(50, now=2000) <= 604
    assert times.age_s(2000, now=2000) <= 104


@given(looks=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 10)), min_size=1, max_size=40))
def test_a_newer_row_is_never_older(looks: list[tuple[int, int]]) -> None:
    times = SeqTimes()
    newest = now = 0
    for arrived, passed in looks:
        newest, now = newest + arrived, now + passed
        times.note(newest, now)
    ages = [times.age_s(seq, now) for seq in range(1, newest + 2)]
    assert ages == sorted(ages, reverse=True)
