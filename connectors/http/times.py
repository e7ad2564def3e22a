"""Times as vendors write them, to aware UTC datetimes and back. None in, None out."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(value: str | None) -> datetime | None:
    """`2026-11-20T19:50:58+0000`, `...Z`, with any fraction; without an offset it is UTC."""
    if not value:
        return None
    found = datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def epoch(value: Any) -> datetime | None:
    """Seconds since 1970, as a number or text; a text keeps its six digits."""
    if value is None or value == "":
        return None
    if isinstance(value, int):
        return EPOCH + timedelta(seconds=value)
    return EPOCH + timedelta(microseconds=int(Decimal(str(value)) * 1_000_000))


def epoch_ms(value: Any) -> datetime | None:
    return None if value is None or value == "" else EPOCH + timedelta(milliseconds=int(value))


def seconds(value: datetime) -> int:
    return int((value - EPOCH) // timedelta(seconds=1))


def milliseconds(value: datetime) -> int:
    return int((value - EPOCH) // timedelta(milliseconds=1))


def microseconds(value: datetime) -> int:
    return int((value - EPOCH) // timedelta(microseconds=1))


def zulu(value: datetime) -> str:
    """`2026-11-20T19:50:58Z`, without a fraction."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def zone(name: str) -> ZoneInfo:
    """By IANA name; UTC for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def day_start(day: date, zone_name: str = "UTC") -> datetime:
    """The instant at which a day begins in a zone, in UTC."""
    return datetime.combine(day, time(), tzinfo=zone(zone_name)).astimezone(UTC)


def day_span(day: date | str, zone_name: str = "UTC") -> tuple[datetime, datetime]:
    """A day as half-open instants; 23 or 25 hours when clocks change."""
    found = date.fromisoformat(day) if isinstance(day, str) else day
    return day_start(found, zone_name), day_start(found + timedelta(days=1), zone_name)
