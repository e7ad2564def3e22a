from __future__ import annotations

from datetime import datetime
from itertools import islice

import pytest

from sync.scheduling.cron import TimingError, parse_cron
from sync.scheduling.timing import fires_between

FAR = datetime.fromisoformat("2100-01-01T00:00Z")


def fires(expression: str, zone: str, after: str, count: int) -> list[str]:
    cron = parse_cron(expression, zone)
    found = islice(fires_between(cron, datetime.fromisoformat(after), FAR), count)
    return [fire.astimezone(cron.zone).isoformat(timespec="minutes") for fire in found]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2027-03-27T00:00Z",
            ["2027-03-27T02:30+01:00", "2027-03-28T03:00+02:00", "2027-03-29T02:30+02:00"],
            id="skipped time runs once, right after the gap",
        ),
        pytest.param(
            "10,40 2 * * *",
            "Europe/Berlin",
            "2027-03-28T00:00Z",
            ["2027-03-28T03:00+02:00", "2027-03-29T02:10+02:00", "2027-03-29T02:40+02:00"],
            id="two times in one gap run as one",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
            id="repeated time runs once, at its first showing",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T01:10Z",  # 02:10, second showing
            ["2026-10-26T02:30+01:00"],
            id="asked within the second showing, it does not go back",
        ),
        pytest.param(
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            [
                "2026-10-25T02:00+02:00",
                "2026-10-25T02:30+02:00",
                "2026-10-25T02:00+01:00",
                "2026-10-25T02:30+01:00",
                "2026-10-26T02:00+01:00",
            ],
            id="steps follow real time through a repeated hour",
        ),
        pytest.param(
            "*/30 * * * *",
            "Europe/Berlin",
            "2027-03-28T00:20Z",
            ["2027-03-28T01:30+01:00", "2027-03-28T03:00+02:00", "2027-03-28T03:30+02:00"],
            id="steps follow real time across a gap",
        ),
        pytest.param(
            "30 2 * * *",
            "America/New_York",
            "2027-03-13T12:00Z",
            ["2027-03-14T03:00-04:00", "2027-03-15T02:30-04:00"],
            id="New York gap",
        ),
        pytest.param(
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00Z",
            ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
            id="New York fold",
        ),
        pytest.param(
            "0 * * * *",
            "America/New_York",
            "2026-11-01T04:30Z",
            ["2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00", "2026-11-01T02:00-05:00"],
            id="hourly job runs in both showings",
        ),
        pytest.param(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-02T20:00Z",
            ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"],
            id="half-hour gap",
        ),
        pytest.param(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2027-04-02T20:00Z",
            ["2027-04-04T01:45+11:00", "2027-04-05T01:45+10:30"],
            id="half-hour fold",
        ),
        pytest.param(
            "*/20 3 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T10:00Z",
            ["2026-10-04T03:00+11:00", "2026-10-04T03:20+11:00", "2026-10-04T03:40+11:00", "2026-10-05T03:00+11:00"],
            id="the hour after a half-hour gap is complete",
        ),
        pytest.param(
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T20:00Z",  # the day before Samoa left out December 30
            ["2011-12-31T00:00+14:00", "2011-12-31T09:00+14:00", "2012-01-01T09:00+14:00"],
            id="a day that never was",
        ),
    ],
)
def test_clock_changes(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert fires(expression, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("@daily", "2027-01-01T12:00Z", "2027-01-02T00:00+00:00"),
        ("0 0 L * *", "2027-02-01T00:00Z", "2027-02-28T00:00+00:00"),
        ("0 0 29 2 *", "2027-01-01T00:00Z", "2028-02-29T00:00+00:00"),
        ("0 9 * * MON#1", "2027-01-01T00:00Z", "2027-01-04T09:00+00:00"),
        ("0 0 13 * FRI", "2027-01-01T00:30Z", "2027-01-08T00:00+00:00"),  # day fields: either
    ],
)
def test_ordinary_days(expression: str, after: str, expected: str) -> None:
    assert fires(expression, "UTC", after, 1) == [expected]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("60 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 1-100000000 * *", "day-of-month"),
        ("*/0 * * * *", "minute"),
        ("0 0 * * 5#9", "day-of-week"),
        ("1," * 500 + "1 * * * *", "characters"),
        ("@reboot", "five fields"),
    ],
)
def test_nonsense_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(TimingError, match=says):
        parse_cron(text)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "Europe"])
def test_unknown_zones_are_refused(zone: str) -> None:
    with pytest.raises(TimingError, match="not a time zone"):
        parse_cron("* * * * *", zone)
