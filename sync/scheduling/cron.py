"""Cron expressions in a time zone, with the rules of Debian's cron around clock changes.

- An expression whose minute and hour are both written out (`30 2 * * *`) names *times of day*. A time that the clock
  skips fires once, at the first instant after the gap; a time that the clock shows twice fires at its first showing.
- An expression whose minute or hour starts with `*` (`*/15 * * * *`) follows *real time*: it fires whenever the wall
  clock matches, so never inside a gap and in both showings of a repeated hour.

`cronsim` parses and walks the wall clock; the zone is applied here, because stepping whole hours across a shift of 30
minutes (Lord Howe Island) would miss minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from sync.base.errors import Permanent

MAX_LENGTH = 200
"""No sensible expression is longer, and the parser's work grows with the length."""

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SECOND = timedelta(seconds=1)
# Longer than any clock change lasts, shorter than any two are apart.
_STRIDE = timedelta(days=7)


class TimingError(Permanent):
    """The schedule's timing cannot be used."""


def load_zone(name: str) -> ZoneInfo:
    """The time zone called `name` in the IANA database. Errors: TimingError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise TimingError(f"{name!r} is not a time zone. Use an IANA name such as 'Europe/Berlin' or 'UTC'.") from error


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked five-field expression. Build it with `parse_cron`."""

    expression: str
    zone: ZoneInfo

    @property
    def names_times(self) -> bool:
        """Whether it names times of day rather than following real time (see the module)."""
        minute, hour = self.expression.split()[:2]
        return not minute.startswith("*") and not hour.startswith("*")

    def next_after(self, after: datetime) -> datetime | None:
        """The first fire strictly after `after`, in UTC; None when there is none within 50 years."""
        return self._next_named(after) if self.names_times else self._next_real(after)

    def _next_named(self, after: datetime) -> datetime | None:
        for wall in self._walls(_wall(after, self.zone)):
            fire = first_showing(wall, self.zone)
            # Within the second showing of an hour the wall clock is behind fires that already happened.
            if fire > after:
                return fire
        return None

    def _next_real(self, after: datetime) -> datetime | None:
        start, offset = after, _offset(after, self.zone)
        while True:
            wall = next(self._walls((start + offset).replace(tzinfo=None)), None)
            if wall is None:
                return None
            fire = wall.replace(tzinfo=UTC) - offset
            change = next_change(self.zone, after, fire)
            if change is None:
                return fire
            after = change
            start, offset = change - _SECOND, _offset(change, self.zone)

    def _walls(self, wall: datetime) -> Iterator[datetime]:
        yield from CronSim(self.expression, wall)


def parse_cron(text: str, zone: str = "UTC") -> Cron:
    """Check a five-field expression or a macro such as `@daily`. Errors: TimingError, with what is wrong."""
    where = load_zone(zone)
    if len(text) > MAX_LENGTH:
        raise TimingError(f"A cron expression has at most {MAX_LENGTH} characters; this one has {len(text)}.")
    expression = " ".join(_MACROS.get(text.strip().lower(), text).split())
    if len(expression.split(" ")) != 5:
        raise TimingError(
            f"{text!r} is not a cron expression: write five fields, 'minute hour day-of-month month day-of-week'."
        )
    try:
        CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - a wall clock, on purpose
    except (CronSimError, AssertionError, ValueError) as error:
        raise TimingError(f"{text!r} is not a cron expression: {str(error).lower() or 'malformed'}.") from error
    return Cron(expression, where)


def first_showing(wall: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant at which clocks in `zone` first show `wall`, or the end of the gap that skips it."""
    early = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(early, zone) == wall:
        return early
    before_gap = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return next_change(zone, before_gap, early) or early


def next_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first instant in (start, end] whose UTC offset differs from that at `start`, to the second."""
    before = _offset(start, zone)
    low = start
    while low < end:
        high = min(low + _STRIDE, end)
        if _offset(high, zone) != before:
            return _bisect(zone, low, high)
        low = high
    return None


def _bisect(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    before = _offset(low, zone)
    low = low.replace(microsecond=0)
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return low + _SECOND


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)
