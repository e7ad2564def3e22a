from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.base.settings import PoolSettings
from sync.supervision.sizing import GROW_PAUSE_S, Load, PoolSizer

BOUNDS = PoolSettings(min=1, max=8, target_lag_s=5)


def sizer(members: int = 1, bounds: PoolSettings = BOUNDS) -> PoolSizer:
    return PoolSizer(bounds, members=members, shrink_after_s=60, now=0)


def test_a_late_queue_grows_its_pool_step_by_step() -> None:
    pool = sizer()
    late = Load(waiting=1000, oldest_age_s=6)
    sizes = [pool.update(late, now=second) for second in range(0, 30, 1)]
    assert sizes[0] == 2
    assert sizes[: int(GROW_PAUSE_S)] == [2] * int(GROW_PAUSE_S)  # the new member gets the time to show its effect
    assert sorted(set(sizes)) == [2, 3, 4, 6, 8]
    assert sizes[-1] == 8


def test_a_long_queue_that_is_served_in_time_does_not_grow_it() -> None:
    assert sizer().update(Load(waiting=100_000, oldest_age_s=4.9), now=10) == 1


def test_an_old_age_without_waiting_jobs_does_not_grow_it() -> None:
    assert sizer().update(Load(waiting=0, oldest_age_s=99), now=10) == 1


def test_quiet_gives_back_one_member_at_a_time() -> None:
    pool = sizer(members=3)
    assert pool.update(Load(), now=59) == 3
    assert pool.update(Load(), now=60) == 2
    assert pool.update(Load(), now=119) == 2
    assert pool.update(Load(), now=120) == 1
    assert pool.update(Load(), now=999) == 1


def test_a_lag_near_the_target_keeps_the_size() -> None:
    pool = sizer(members=3)
    for second in range(0, 600, 10):
        assert pool.update(Load(waiting=5, oldest_age_s=2), now=second) == 3


def test_a_restarted_supervisor_takes_over_the_size_it_finds_within_bounds() -> None:
    assert sizer(members=4).wanted == 4
    assert sizer(members=0).wanted == 1
    assert sizer(members=20).wanted == 8


@given(
    minimum=st.integers(0, 5),
    extra=st.integers(0, 5),
    members=st.integers(0, 20),
    history=st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1e4), st.floats(0, 100)), max_size=50),
)
def test_the_size_never_leaves_its_bounds(
    minimum: int, extra: int, members: int, history: list[tuple[int, float, float]]
) -> None:
    bounds = PoolSettings(min=minimum, max=max(1, minimum + extra))
    pool = sizer(members, bounds)
    now = 0.0
    for waiting, age, passed in history:
        now += passed
        assert bounds.min <= pool.update(Load(waiting, age), now) <= bounds.max
