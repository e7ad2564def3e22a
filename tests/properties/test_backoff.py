from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.jobs.retry import Backoff

attempts = st.integers(min_value=0, max_value=100_000)
seeds = st.integers(min_value=0, max_value=2**32)


@st.composite
def backoffs(draw: st.DrawFn) -> Backoff:
    base = draw(st.floats(min_value=0.01, max_value=600))
    return Backoff(
        base_s=base,
        factor=draw(st.floats(min_value=1, max_value=10)),
        cap_s=draw(st.floats(min_value=base, max_value=86_400)),
        floor_s=draw(st.floats(min_value=0, max_value=base)),
    )


@given(backoffs(), attempts)
def test_ceiling_never_shrinks_and_never_passes_the_cap(backoff: Backoff, attempt: int) -> None:
    assert backoff.base_s <= backoff.ceiling(attempt) <= backoff.cap_s
    assert backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1) * (1 + 1e-12)


@given(backoffs(), attempts, seeds)
def test_delay_lies_between_floor_and_ceiling(backoff: Backoff, attempt: int, seed: int) -> None:
    delay = backoff.delay(attempt, random.Random(seed))
    assert backoff.floor_s <= delay <= max(backoff.ceiling(attempt), backoff.floor_s * 1.1)


@given(backoffs(), attempts, seeds, st.floats(min_value=0, max_value=86_400))
def test_server_given_delay_is_waited_out(backoff: Backoff, attempt: int, seed: int, retry_after: float) -> None:
    delay = backoff.delay(attempt, random.Random(seed), retry_after)
    assert delay >= retry_after
    assert delay <= max(backoff.ceiling(attempt), retry_after * 1.1, backoff.floor_s * 1.1)


@given(attempts, seeds, st.sampled_from([-1.0, -math.inf, math.nan]))
def test_nonsense_from_the_server_is_ignored(attempt: int, seed: int, retry_after: float) -> None:
    backoff = Backoff()
    assert backoff.delay(attempt, random.Random(seed), retry_after) == backoff.delay(attempt, random.Random(seed))


def test_server_cannot_park_a_job_for_ever() -> None:
    assert Backoff().delay(1, random.Random(1), math.inf) <= 86_400 * 1.1


def test_jitter_uses_the_whole_range() -> None:
    rng = random.Random(7)
    delays = [Backoff(floor_s=0).delay(5, rng) for _ in range(2000)]
    assert min(delays) < 0.05 * 32 and max(delays) > 0.95 * 32
    assert sum(delays) / len(delays) == pytest.approx(16, rel=0.1)


def test_attempts_grow_as_written() -> None:
    assert [Backoff().ceiling(n) for n in (1, 2, 3, 4)] == [2, 4, 8, 16]
    assert Backoff().ceiling(1000) == 3600


@pytest.mark.parametrize("wrong", [{"base_s": 0}, {"factor": 0.5}, {"cap_s": 1}, {"floor_s": 3}, {"server_cap_s": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Backoff needs"):
        Backoff(**wrong)
