"""What becomes of an attempt: whatever it returned or raised, one ending, within its rules, that can be stored."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.base.errors import ConfigurationError, LeaseLost, Permanent, RateLimited, Transient
from sync.jobs.claim import Lease
from sync.jobs.decide import MAX_CRASHES, Ended, from_error, from_outcome, refused
from sync.jobs.model import LANES, Job
from sync.jobs.outcome import Cancel, Done, Ending, Snooze
from sync.jobs.retry import Backoff

BACKOFF = Backoff()
texts = st.text(st.characters(), max_size=50)  # with NUL, with halves of surrogate pairs


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    max_attempts = draw(st.integers(1, 30))
    return Job(
        id=draw(st.integers(1, 2**62)),
        seq=1,
        lane=draw(st.integers(0, 2 * LANES - 1)),
        attempt=draw(st.integers(0, max_attempts)),
        max_attempts=max_attempts,
        crashes=draw(st.integers(0, MAX_CRASHES - 1)),
        enqueued_s=0.0,
        org_id="acme",
        kind="test.kind",
        unique_key=None,
        meta=draw(st.none() | st.just({"correlation_id": "c"}) | st.just({"errors": "no list"})),
        args=msgspec.Raw(b"{}"),
    )


def lease() -> Lease:
    return Lease(1, 1, 1)


def storable(value: Any) -> bool:
    text = msgspec.json.encode(value).decode()
    return "\\u0000" not in text.replace("\\\\", "")


@given(jobs(), st.floats(allow_nan=True, allow_infinity=True), st.none() | texts)
def test_a_snooze_spends_no_attempt_and_has_a_time_to_end(job: Job, seconds: float, reason: str | None) -> None:
    ended = from_outcome(lease(), job, Snooze(seconds, reason), 5)
    assert ended.ending is Ending.SNOOZE
    assert ended.attempts_spent == job.attempt
    assert 0 <= ended.delay_s < 400 * 86_400
    assert storable(ended.reason)


@given(jobs(), texts)
def test_done_and_cancel_end_the_job(job: Job, reason: str) -> None:
    for outcome, ending in ((None, Ending.DONE), (Done(), Ending.DONE), (Cancel(reason), Ending.CANCELLED)):
        ended = from_outcome(lease(), job, outcome, 5)
        assert ended.ending is ending
        assert ended.attempts_spent == job.attempt + 1
        assert storable(ended.reason)


@pytest.mark.parametrize("outcome", [True, "done", Snooze, 0, {}])
def test_any_other_return_value_is_a_bug_not_a_success(outcome: object) -> None:
    job = Job(1, 1, 2, 0, 3, 0, 0.0, "acme", "test.kind", None, None, msgspec.Raw(b"{}"))
    with pytest.raises(TypeError, match=r"test\.kind"):
        from_outcome(lease(), job, outcome, 5)


@given(
    jobs(),
    st.sampled_from([Permanent, ConfigurationError, Transient, RateLimited, LeaseLost, ZeroDivisionError, OSError]),
    texts,
    st.integers(0, 2**32),
)
def test_a_failure_is_retried_while_attempts_are_left_and_may_help(
    job: Job, kind: type[Exception], text: str, seed: int
) -> None:
    ended = from_error(lease(), job, kind(text), 5, BACKOFF, random.Random(seed))
    last = job.attempt + 1 >= job.max_attempts
    assert ended.ending is (Ending.DEAD if last or issubclass(kind, Permanent) else Ending.RETRY)
    assert ended.attempts_spent == job.attempt + 1
    if ended.ending is Ending.RETRY:
        assert BACKOFF.floor_s <= ended.delay_s <= BACKOFF.cap_s
    assert ended.error is not None
    assert ended.error["class"] == kind.__name__
    assert storable(ended.meta)


@given(jobs(), st.floats(0, 1e9), st.integers(0, 2**32))
def test_a_delay_that_the_other_side_asks_for_is_waited_out_up_to_a_day(job: Job, wanted: float, seed: int) -> None:
    ended = from_error(lease(), job, Transient(retry_after_s=wanted), 5, BACKOFF, random.Random(seed))
    if ended.ending is Ending.RETRY:
        assert ended.delay_s >= min(wanted, BACKOFF.server_cap_s)
        assert ended.delay_s <= max(BACKOFF.cap_s, BACKOFF.server_cap_s * 1.1)


@given(jobs(), st.integers(1, 40))
def test_errors_gather_up_to_a_bound_and_the_first_one_stays(job: Job, failures: int) -> None:
    if job.meta is not None and not isinstance(job.meta.get("errors", []), list):
        job.meta = None
    for attempt in range(failures):
        job.attempt, job.max_attempts = attempt, failures + 1
        ended = from_error(lease(), job, Transient(f"failure {attempt + 1}"), 5, BACKOFF, random.Random(1))
        job.meta = ended.meta
    assert job.meta is not None
    numbers = [error["attempt"] for error in job.meta["errors"]]
    assert numbers[0] == 1
    assert numbers[-1] == failures
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(failures, 10)


@given(jobs(), st.sampled_from(Ending))
def test_only_a_survived_attempt_leads_back_among_the_others_and_clears_the_crashes(job: Job, ending: Ending) -> None:
    ended = Ended(lease(), job, ending)
    assert 0 <= ended.lane < LANES
    cleared = ending in (Ending.RETRY, Ending.SNOOZE)
    assert ended.crashes == (0 if cleared else job.crashes)


@given(jobs(), texts)
def test_a_result_that_was_refused_becomes_a_dead_letter_with_the_refusal(job: Job, text: str) -> None:
    ended = refused(Ended(lease(), job, Ending.RETRY, error={"message": "unstorable"}), ValueError(text))
    assert ended.ending is Ending.DEAD
    assert ended.meta is not None
    assert [error["class"] for error in ended.meta["errors"]] == ["ResultRefused"]
    assert storable(ended.meta)
