"""Figures that behave: counts that grow, days that are restated until they settle, money that stays exact."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from simulator.dice import chance

DAY_S = 86_400


def growing(now: float, born: float, ceiling: float, half_life_s: float = 2 * DAY_S) -> int:
    """A lifetime counter (likes, views): rises fast, flattens, never falls."""
    age = max(now - born, 0.0)
    return int(ceiling * (1 - 0.5 ** (age / half_life_s)))


def daily(
    now: float,
    day: date,
    mean: float,
    *key: int | str,
    zone: str = "UTC",
    settle_days: float = 3,
    late_share: float = 0.15,
) -> int:
    """A figure for one day of an account's calendar, as known now.

    0 before the day begins, growing while it runs, then restated upwards by `late_share` in all until `settle_days`
    after its end; final from then on. The same key and day always end at the same number.
    """
    final = settled(day, mean, *key)
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()
    age = now - start
    if age <= 0:
        return 0
    early = final * (1 - late_share)
    if age < DAY_S:
        return int(early * age / DAY_S)
    late = age - DAY_S
    if late >= settle_days * DAY_S:
        return final
    return int(early + (final - early) * late / (settle_days * DAY_S))


def settled(day: date, mean: float, *key: int | str) -> int:
    """The final figure of a day: weekends lower, some noise, now and then a spike."""
    spread = 0.6 + 0.8 * chance("day", day.toordinal(), *key)
    weekend = 0.7 if day.weekday() >= 5 else 1.0
    spike = 4.0 if chance("spike", day.toordinal(), *key) > 0.98 else 1.0
    return int(mean * spread * weekend * spike)


def is_final(now: float, day: date, *, zone: str = "UTC", settle_days: float = 3) -> bool:
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()
    return now - start >= (1 + settle_days) * DAY_S


def money(cents: int, digits: int = 2) -> str:
    """Minor units as the decimal text vendors send ("55.13"; no fraction for yen)."""
    return str(Decimal(cents).scaleb(-digits)) if digits else str(cents)


def today(now: float, zone: str = "UTC") -> date:
    return datetime.fromtimestamp(now, ZoneInfo(zone)).date()


def days(first: date, last: date) -> list[date]:
    """Both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def iso(at: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return datetime.fromtimestamp(math.floor(at), UTC).strftime(form)
