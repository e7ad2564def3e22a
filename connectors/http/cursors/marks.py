"""Marks: times, or ids that grow; how they compare and how they are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http.request import Mark
from connectors.http.times import microseconds


def order_of(value: Mark) -> int:
    return microseconds(value) if isinstance(value, datetime) else value


def before(bound: Mark | None, value: Mark, *, equal: bool) -> bool:
    if bound is None:
        return True
    return order_of(bound) <= order_of(value) if equal else order_of(bound) < order_of(value)


def just_after(value: Mark) -> Mark:
    return value + timedelta(microseconds=1) if isinstance(value, datetime) else value + 1


def dump(value: Mark | None) -> str | int | None:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def load(value: Any) -> Mark | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value if isinstance(value, int) else None
