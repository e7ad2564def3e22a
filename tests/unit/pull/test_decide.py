from __future__ import annotations

import random

import pytest

from sync.base.errors import (
    ConfigurationError,
    IntegrationRevoked,
    LeaseLost,
    Permanent,
    RateLimited,
    ScopeMissing,
    Transient,
)
from sync.pull.decide import BACKOFF, Abandon, Again, Block, Expire, Fail, Verdict, decide


def _decide(error: BaseException, *, attempt: int = 1, fruitless: int = 1) -> Verdict:
    return decide(error, attempt=attempt, fruitless=fruitless, max_attempts=3, rng=random.Random(1))


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (LeaseLost(), Abandon),
        (IntegrationRevoked(), Expire),
        (ScopeMissing(), Block),
        (ConfigurationError(), Fail),
        (Permanent(), Fail),
        (RateLimited(), Again),
        (Transient(), Again),
        (OSError("x"), Again),
        (KeyError("x"), Again),
    ],
)
def test_every_error_has_its_consequence(error: Exception, verdict: type) -> None:
    assert type(_decide(error)) is verdict


def test_only_attempts_without_a_page_count_towards_the_limit() -> None:
    assert isinstance(_decide(Transient(), attempt=50, fruitless=2), Again)
    assert isinstance(_decide(Transient(), attempt=3, fruitless=3), Fail)


def test_a_rate_limit_never_fails_a_run_and_waits_as_told() -> None:
    verdict = _decide(RateLimited(retry_after_s=1000), attempt=99, fruitless=99)
    assert isinstance(verdict, Again)
    assert verdict.parked
    assert 1000 <= verdict.after_s <= 1100


def test_whoever_waits_until_midnight_is_back_soon_after() -> None:
    delays = [BACKOFF.delay(1, random.Random(seed), 80_000) for seed in range(200)]
    assert all(80_000 <= delay <= 80_000 + BACKOFF.cap_s for delay in delays)


def test_a_budget_of_ours_is_waited_for_no_longer_than_needed() -> None:
    verdict = _decide(RateLimited(retry_after_s=20, code="budget"), attempt=9)
    assert isinstance(verdict, Again)
    assert verdict.parked
    assert 20 <= verdict.after_s <= 20.4
    crowded = _decide(RateLimited(retry_after_s=0.1, code="budget"))
    assert isinstance(crowded, Again)
    assert 1 <= crowded.after_s <= 3


def test_backoff_stays_within_its_bounds() -> None:
    delays = [v.after_s for n in range(200) if isinstance(v := _decide(Transient(), fruitless=n % 3), Again)]
    assert all(BACKOFF.floor_s <= delay <= BACKOFF.cap_s for delay in delays)


def test_a_doubtful_refusal_is_confirmed_once() -> None:
    doubtful = IntegrationRevoked(confirm_after_s=300)
    assert _decide(doubtful) == Again(300, Expire(problem=_problem(doubtful)).problem)
    assert isinstance(_decide(doubtful, attempt=2), Expire)


def _problem(error: IntegrationRevoked):  # type: ignore[no-untyped-def]
    verdict = _decide(error, attempt=2)
    assert isinstance(verdict, Expire)
    return verdict.problem


def test_bugs_are_told_apart() -> None:
    verdict = _decide(KeyError("x"))
    assert isinstance(verdict, Again)
    assert verdict.problem is not None
    assert verdict.problem.bug
    assert verdict.problem.code == "KeyError"
