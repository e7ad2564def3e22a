from __future__ import annotations

from sync.supervision.health import Suspicions
from sync.supervision.model import Member, Pair, Pulse
from sync.supervision.throttle import StartThrottle

MEMBER = Member("consumer.one-off", 0)
PAIR = Pair("acme", "email")
WELL = Pulse("active", loop_age_s=1, pid=1, node="n")
STUCK = Pulse("active", loop_age_s=61, pid=1, node="n")


def suspicions() -> Suspicions:
    return Suspicions(limit=3, max_loop_age_s=60)


def rounds(judge: Suspicions, pulse: Pulse | None, times: int, lived: bool = False) -> list[bool]:
    return [judge.judge({MEMBER: pulse}, lived=[MEMBER] if lived else [], overdue=[]) != [] for _ in range(times)]


def test_who_once_answered_and_then_misses_three_in_a_row_is_dead() -> None:
    judge = suspicions()
    assert rounds(judge, WELL, 1) == [False]
    assert rounds(judge, None, 3) == [False, False, True]


def test_an_answer_in_between_starts_the_count_anew() -> None:
    judge = suspicions()
    rounds(judge, WELL, 1)
    assert rounds(judge, None, 2) + rounds(judge, WELL, 1) + rounds(judge, None, 2) == [False] * 5


def test_who_never_lived_waits_for_its_place_and_is_spared() -> None:
    assert rounds(suspicions(), None, 20) == [False] * 20


def test_a_trace_in_the_database_proves_that_it_lived() -> None:
    assert rounds(suspicions(), None, 3, lived=True) == [False, False, True]


def test_a_blocked_loop_counts_as_no_answer() -> None:
    assert rounds(suspicions(), STUCK, 3) == [False, False, True]


def test_the_successor_of_a_killed_one_starts_with_a_clean_slate() -> None:
    judge = suspicions()
    rounds(judge, WELL, 1)
    rounds(judge, None, 3)
    assert rounds(judge, None, 10) == [False] * 10


def test_a_sync_whose_lease_ran_out_dies_at_the_first_missed_ping() -> None:
    judge = suspicions()
    assert judge.judge({PAIR: WELL}, lived=[PAIR], overdue=[PAIR]) == []
    assert judge.judge({PAIR: None}, lived=[PAIR], overdue=[PAIR]) == [PAIR]


def test_starts_of_one_pair_come_less_and_less_often() -> None:
    throttle = StartThrottle()
    starts = []
    for second in range(0, 120):
        if throttle.allows(PAIR, second):
            throttle.started(PAIR, second)
            starts.append(second)
    assert starts == [0, 1, 3, 7, 15, 31, 63]


def test_a_pair_that_was_quiet_for_long_starts_at_once_again() -> None:
    throttle = StartThrottle()
    for second in (0, 1, 3, 7):
        throttle.started(PAIR, second)
    assert not throttle.allows(PAIR, 10)
    throttle.started(Pair("other", "email"), 300)
    assert throttle.allows(PAIR, 300)
    throttle.started(PAIR, 300)
    assert throttle.allows(PAIR, 301)
