from __future__ import annotations

import contextlib
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sync.scheduling.cron import Cron, TimingError, first_showing, next_change, parse_cron
from sync.scheduling.run_at import resolve_run_at
from sync.scheduling.ticks import plan
from sync.scheduling.timing import Every, constant_offset, fires_between, latest_fires

MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"]

zones = st.sampled_from(ZONES)
walls = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1))  # noqa: DTZ001
instants = walls.map(lambda wall: wall.replace(tzinfo=UTC))


@st.composite
def near_clock_changes(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant within a day of one of its clock changes."""
    zone = draw(st.sampled_from(ZONES[1:4]))
    start = datetime(draw(st.integers(2015, 2034)), draw(st.sampled_from([1, 7])), 1, tzinfo=UTC)
    change = next_change(ZoneInfo(zone), start, start + timedelta(days=200))
    assert change is not None
    return zone, change + timedelta(seconds=draw(st.integers(-86_400, 86_400)))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(2, high).map(lambda step: f"*/{step}"),
        st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}"),
        st.lists(number, min_size=1, max_size=4).map(lambda values: ",".join(map(str, values))),
    )


minutes_and_hours = st.tuples(field(0, 59), field(0, 23)).map(" ".join)
expressions = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)


def matches(cron: Cron, instant: datetime) -> bool:
    """Whether the wall clock matches, judged by walking one second into the minute."""
    wall = instant.astimezone(cron.zone).replace(tzinfo=None)
    return next(CronSim(cron.expression, wall - timedelta(seconds=1))) == wall


@given(expressions, zones, instants)
def test_cron_moves_forward_to_whole_minutes(expression: str, zone: str, after: datetime) -> None:
    fire = parse_cron(expression, zone).next_after(after)
    assert fire is not None
    assert fire > after and fire.second == 0 and fire.microsecond == 0


@given(expressions, zones, instants)
def test_cron_matches_its_own_next_time(expression: str, zone: str, after: datetime) -> None:
    cron = parse_cron(expression, zone)
    fire = cron.next_after(after)
    assert fire is not None
    # Only a named time that the clock skipped may fire at a time it does not show.
    after_gap = cron.names_times and next_change(cron.zone, fire - MINUTE, fire) == fire
    assert matches(cron, fire) or after_gap


@given(expressions, zones, instants, st.integers(0, 10_000))
def test_nothing_fires_between_an_instant_and_its_next_fire(
    expression: str, zone: str, after: datetime, share: int
) -> None:
    cron = parse_cron(expression, zone)
    fire = cron.next_after(after)
    assert fire is not None
    between = after + (fire - after) * share / 10_001
    assert cron.next_after(between) == fire


@settings(max_examples=60)
@given(minutes_and_hours, near_clock_changes())
def test_steps_fire_at_every_matching_minute_of_real_time(times: str, where: tuple[str, datetime]) -> None:
    zone, start = where
    cron = parse_cron(f"{times} * * *", zone)
    assume(not cron.names_times)
    start = start.replace(second=30, microsecond=0)
    minutes = [start + timedelta(seconds=30) + n * MINUTE for n in range(6 * 60)]
    assert list(fires_between(cron, start, minutes[-1])) == [minute for minute in minutes if matches(cron, minute)]


@given(st.integers(0, 59), st.integers(0, 23), near_clock_changes())
def test_named_times_fire_once_for_every_local_day(minute: int, hour: int, where: tuple[str, datetime]) -> None:
    zone, middle = where
    cron = parse_cron(f"{minute} {hour} * * *", zone)
    first_day = middle.astimezone(cron.zone).date() - timedelta(days=2)
    days = [datetime.combine(first_day + timedelta(days=n), time(hour, minute)) for n in range(5)]
    expected = [first_showing(wall, cron.zone) for wall in days]
    assert list(fires_between(cron, expected[0] - MINUTE, expected[-1])) == expected


@given(st.text(max_size=300))
def test_any_text_is_a_cron_expression_or_a_clear_refusal(text: str) -> None:
    with contextlib.suppress(TimingError):
        parse_cron(text)


@given(st.text(alphabet="0123456789*/,-#LWMON @", max_size=60))
def test_text_that_looks_like_cron_is_one_or_a_clear_refusal(text: str) -> None:
    with contextlib.suppress(TimingError):
        parse_cron(text).next_after(datetime(2027, 1, 1, tzinfo=UTC))


periods = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30))


@given(periods, st.floats(0, 0.999), instants)
def test_intervals_stay_on_their_grid(period: timedelta, share: float, after: datetime) -> None:
    every = Every(period, period * share)
    fire = every.next_after(after)
    assert after < fire <= after + period
    assert (fire - datetime(1970, 1, 1, tzinfo=UTC) - every.offset) % period == timedelta(0)
    assert every.next_after(fire) == fire + period


@given(st.text(), st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=1)))
def test_offset_is_constant_and_within_its_width(seed: str, width: timedelta) -> None:
    assert timedelta(0) <= constant_offset(seed, width) < width
    assert constant_offset(seed, width) == constant_offset(seed, width)


def test_offsets_spread_over_the_width() -> None:
    drawn = [constant_offset(f"org-{n}/report", timedelta(minutes=10)) for n in range(1000)]
    per_minute = [sum(1 for offset in drawn if offset // MINUTE == minute) for minute in range(10)]
    assert all(60 < count < 140 for count in per_minute)


@given(periods, instants, st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2)), st.integers(1, 20))
def test_newest_fires_are_the_tail_of_all(period: timedelta, after: datetime, span: timedelta, limit: int) -> None:
    assume(span / period < 5000)
    every = Every(period)
    everything = list(fires_between(every, after, after + span))
    assert latest_fires(every, after, after + span, limit) == everything[-limit:]


@given(
    periods,
    instants,
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400)),
    st.sampled_from(["skip", "once", "all"]),
    st.integers(1, 50),
)
def test_a_plan_fires_each_tick_at_most_once_and_always_moves_on(
    period: timedelta, start: datetime, late: timedelta, policy: str, limit: int
) -> None:
    every = Every(period)
    due = every.next_after(start)
    now = due + late
    planned = plan(every, due_at=due, now=now, catch_up=policy, limit=limit)  # type: ignore[arg-type]
    assert len(planned.fire) <= (limit if policy == "all" else 1)
    assert list(planned.fire) == sorted(set(planned.fire))
    assert all(due <= tick <= now for tick in planned.fire)
    assert planned.next_due_at is not None and planned.next_due_at > now
    if policy != "skip":
        assert planned.fire[-1] == planned.next_due_at - period


@given(walls, zones)
def test_run_at_shows_the_wall_clock_asked_for_unless_it_is_skipped(wall: datetime, zone: str) -> None:
    resolved = resolve_run_at(wall.isoformat(), zone)
    shown = resolved.instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    if resolved.rule == "gap":
        assert timedelta(0) < shown - wall <= timedelta(hours=1)
    else:
        assert shown == wall
        earlier = resolved.instant - timedelta(hours=1)
        assert earlier.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) != wall


@given(near_clock_changes())
def test_run_at_rules_hold_around_clock_changes(where: tuple[str, datetime]) -> None:
    zone, instant = where
    wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    resolved = resolve_run_at(wall.isoformat(), zone)
    assert resolved.instant <= instant  # of two showings, the first
    assert resolved.rule == "fold" if resolved.instant < instant else resolved.rule in {"exact", "fold"}
