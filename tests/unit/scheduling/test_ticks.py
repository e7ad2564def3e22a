from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.scheduling.cron import TimingError, parse_cron
from sync.scheduling.ticks import plan
from sync.scheduling.timing import Every, parse_interval

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)
HOURLY = Every(timedelta(hours=1))
MINUTE = timedelta(minutes=1)


def test_nothing_is_due_before_its_time() -> None:
    planned = plan(HOURLY, due_at=NOON, now=NOON - MINUTE, catch_up="once", limit=1)
    assert planned.fire == () and planned.next_due_at == NOON


def test_on_time_tick_fires_under_every_policy() -> None:
    for policy in ("skip", "once", "all"):
        planned = plan(HOURLY, due_at=NOON, now=NOON + timedelta(seconds=1), catch_up=policy, limit=10)
        assert planned.fire == (NOON,)
        assert planned.next_due_at == NOON + timedelta(hours=1)


def test_skip_drops_what_is_late() -> None:
    planned = plan(HOURLY, due_at=NOON, now=NOON + 30 * MINUTE, catch_up="skip", limit=10)
    assert planned.fire == () and planned.next_due_at == NOON + timedelta(hours=1)


def test_once_fires_the_latest_of_many() -> None:
    planned = plan(HOURLY, due_at=NOON, now=NOON + timedelta(hours=5, minutes=7), catch_up="once", limit=10)
    assert planned.fire == (NOON + timedelta(hours=5),)


def test_all_fires_each_up_to_its_limit_and_drops_the_oldest() -> None:
    now = NOON + timedelta(hours=5, minutes=7)
    assert len(plan(HOURLY, due_at=NOON, now=now, catch_up="all", limit=10).fire) == 6
    assert plan(HOURLY, due_at=NOON, now=now, catch_up="all", limit=2).fire == (
        NOON + timedelta(hours=4),
        NOON + timedelta(hours=5),
    )


def test_a_month_of_silence_is_not_walked_tick_by_tick() -> None:
    hourly = parse_cron("7 * * * *", "Europe/Berlin")
    asked = []

    class Counting:
        def next_after(self, after: datetime) -> datetime | None:
            asked.append(after)
            return hourly.next_after(after)

    planned = plan(Counting(), due_at=NOON, now=NOON + timedelta(days=31), catch_up="once", limit=1)
    assert planned.fire == (NOON + timedelta(days=31) - 53 * MINUTE,)
    assert len(asked) < 20


def test_a_schedule_that_never_fires_again_ends() -> None:
    class Last:
        def next_after(self, after: datetime) -> datetime | None:
            return None

    planned = plan(Last(), due_at=NOON, now=NOON, catch_up="once", limit=1)
    assert planned.fire == (NOON,) and planned.next_due_at is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("6 h", 21_600), ("1D", 86_400), ("366d", 366 * 86_400)]
)
def test_intervals_are_read(text: str, seconds: int) -> None:
    assert parse_interval(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1.5h", "0s", "367d", "999999999d", "5 weeks", "٣m5"])
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(TimingError):
        parse_interval(text)
