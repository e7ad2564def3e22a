"""When a schedule fires: `Cron`, or `Every` on an absolute grid. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Protocol

from sync.scheduling.cron import TimingError, parse_cron

_INTERVAL = re.compile(r"(\d{1,9}) ?(s|m|h|d)", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MAX_INTERVAL = timedelta(days=366)


class Timing(Protocol):
    def next_after(self, after: datetime) -> datetime | None:
        """The first fire strictly after `after`, in UTC; None: never again."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """Fires at `offset` plus whole multiples of `period` since the Unix epoch: no drift, and restarts shift nothing."""

    period: timedelta
    offset: timedelta = timedelta(0)

    def next_after(self, after: datetime) -> datetime:
        passed = (after - _EPOCH - self.offset) // self.period
        return _EPOCH + self.offset + (passed + 1) * self.period


def make_timing(*, every: timedelta | None, cron: str | None, zone: str, offset: timedelta = timedelta(0)) -> Timing:
    """Errors: TimingError."""
    if cron is not None:
        return parse_cron(cron, zone)
    if every is None:
        raise TimingError("A schedule needs a cron expression or an interval.")
    if every < timedelta(seconds=1):
        raise TimingError("A schedule's interval must be at least one second.")
    return Every(every, offset % every)


def parse_interval(text: str) -> timedelta:
    """Read `90s`, `5m`, `6h` or `1d`. Errors: TimingError."""
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        raise TimingError(f"{text!r} is not an interval: write a whole number and a unit, like 90s, 5m, 6h or 1d.")
    interval = timedelta(**{_UNITS[found[2].lower()]: min(int(found[1]), 100_000_000)})
    if not timedelta(seconds=1) <= interval <= MAX_INTERVAL:
        raise TimingError(f"An interval lies between one second and {MAX_INTERVAL.days} days, not {text!r}.")
    return interval


def constant_offset(seed: str, width: timedelta) -> timedelta:
    """A delay below `width` that is always the same for `seed`, and spread evenly over seeds."""
    draw = int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big") / 2**64
    return timedelta(microseconds=int(draw * (width / timedelta(microseconds=1))))


def fires_between(timing: Timing, after: datetime, until: datetime) -> Iterator[datetime]:
    """Fires in (after, until], oldest first."""
    fire = timing.next_after(after)
    while fire is not None and fire <= until:
        yield fire
        fire = timing.next_after(fire)


def latest_fires(timing: Timing, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The newest `limit` fires in (after, until], oldest first.

    Looks back in doubling windows, so that a minute-by-minute schedule after a month of silence costs no 43,200 steps.
    """
    window = timedelta(minutes=1)
    while True:
        start = max(after, until - window)
        found = list(fires_between(timing, start, until))
        if len(found) >= limit or start == after:
            return found[-limit:]
        window *= 2
