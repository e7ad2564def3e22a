from __future__ import annotations

from datetime import datetime

import pytest

from sync.scheduling.cron import TimingError
from sync.scheduling.run_at import resolve_run_at


@pytest.mark.parametrize(
    ("text", "zone", "instant", "rule"),
    [
        ("2027-05-01T09:00", "Europe/Berlin", "2027-05-01T07:00Z", "exact"),
        ("2027-05-01", "America/New_York", "2027-05-01T04:00Z", "exact"),
        ("2027-05-01T09:00+02:00", None, "2027-05-01T07:00Z", "exact"),
        ("2027-05-01T09:00Z", None, "2027-05-01T09:00Z", "exact"),
        ("2027-05-01T09:00+02:00", "Europe/Berlin", "2027-05-01T07:00Z", "exact"),
        ("2027-03-28T02:30", "Europe/Berlin", "2027-03-28T01:30Z", "gap"),  # 03:30 there
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30Z", "fold"),  # the first 02:30
        ("2026-10-25T02:30+01:00", "Europe/Berlin", "2026-10-25T01:30Z", "exact"),  # the second, asked for
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:45Z", "gap"),
    ],
)
def test_local_times_become_instants(text: str, zone: str | None, instant: str, rule: str) -> None:
    resolved = resolve_run_at(text, zone)
    assert resolved.instant == datetime.fromisoformat(instant)
    assert resolved.rule == rule


@pytest.mark.parametrize(
    ("text", "zone", "says"),
    [
        ("May 1", "UTC", "not a time"),
        ("2027-05-01T09:00", None, "no time zone"),
        ("2027-05-01T09:00", "Berlin", "not a time zone"),
        ("2027-05-01T09:00-05:00", "Europe/Berlin", "Give one of the two"),
        ("9999-12-31T23:59", "UTC", "outside the years"),
        ("0001-01-01", "UTC", "outside the years"),
    ],
)
def test_what_cannot_be_understood_is_refused(text: str, zone: str | None, says: str) -> None:
    with pytest.raises(TimingError, match=says):
        resolve_run_at(text, zone)
