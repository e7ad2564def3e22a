"""From "May 1 at 9 in Berlin" to one instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sync.scheduling.cron import TimingError, load_zone

_YEARS = range(1970, 2200)


@dataclass(frozen=True, slots=True)
class RunAt:
    """The instant, and how it was found.

    rule: `exact`, the clock shows that time once; `gap`, the clock skips it, and the job runs as much later as the
    clock jumps (02:30 becomes 03:30); `fold`, the clock shows it twice, and the first time counts.
    """

    instant: datetime
    rule: Literal["exact", "gap", "fold"]


def resolve_run_at(text: str, zone: str | None = None) -> RunAt:
    """Read an ISO 8601 time. Without an offset it is the wall clock in `zone`; a bare date is that day's midnight.

    An offset says everything, so a zone beside it is refused unless both agree. The rules for skipped and repeated
    times are those of RFC 5545 (iCalendar). Errors: TimingError.
    """
    when = _parse(text)
    where = None if zone is None else load_zone(zone)
    if when.tzinfo is not None:
        if where is not None and when.astimezone(where).utcoffset() != when.utcoffset():
            raise TimingError(f"{text!r} carries an offset that {zone} does not have then. Give one of the two.")
        return RunAt(when.astimezone(UTC), "exact")
    if where is None:
        raise TimingError(f"{text!r} has no time zone: add an offset ('+02:00', 'Z') or name a zone ('Europe/Berlin').")
    first, second = (when.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return RunAt(first, "exact")
    return RunAt(first, "fold" if first < second else "gap")


def _parse(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise TimingError(
            f"{text!r} is not a time. Write it like '2027-05-01T09:00' or '2027-05-01T09:00+02:00'."
        ) from error
    if when.year not in _YEARS:
        raise TimingError(f"{text!r} lies outside the years {_YEARS.start} to {_YEARS.stop - 1}.")
    return when
