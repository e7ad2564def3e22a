"""Which events of its types a subscription wants, by their payload. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sync.base.errors import Permanent

Filter = Mapping[str, Any]
"""Path in the payload (`platform`, `author.name`) -> the value it must have, or a list of which it must have one."""

MAX_PATHS = 20
_PATTERN = re.compile(r"(\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?)")
_PATH = re.compile(r"[A-Za-z0-9_-]{1,100}(\.[A-Za-z0-9_-]{1,100}){0,9}")
_SCALARS = (str, int, float, bool, type(None))


def check_pattern(pattern: str) -> None:
    """Errors: Permanent."""
    if len(pattern) > 100 or not _PATTERN.fullmatch(pattern):
        raise Permanent(f"{pattern[:100]!r} is not a pattern: write a type (`activity.added`), `activity.*` or `*`.")


def check_filter(wanted: Filter) -> None:
    """Errors: Permanent."""
    if len(wanted) > MAX_PATHS:
        raise Permanent(f"A filter has at most {MAX_PATHS} paths.")
    for path, value in wanted.items():
        values = value if isinstance(value, list) else [value]
        if not _PATH.fullmatch(path):
            raise Permanent(f"{path[:100]!r} is not a path in the payload: names separated by dots.")
        if not values or not all(isinstance(one, _SCALARS) for one in values):
            raise Permanent(f"{path!r} is compared with a text, a number, true, false, null, or a list of those.")


def matches(wanted: Filter, payload: Mapping[str, Any]) -> bool:
    return all(_same(_at(payload, path), value) for path, value in wanted.items())


def _at(payload: Any, path: str) -> Any:
    """None where there is nothing."""
    for name in path.split("."):
        if not isinstance(payload, Mapping):
            return None
        payload = payload.get(name)
    return payload


def _same(found: Any, wanted: Any) -> bool:
    values = wanted if isinstance(wanted, list) else [wanted]
    # In Python true equals 1; in JSON it does not.
    return any(found == value and isinstance(found, bool) == isinstance(value, bool) for value in values)
