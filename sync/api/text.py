"""Text that PostgreSQL can store. JSON allows two things it cannot: NUL characters and halves of surrogate pairs."""

from __future__ import annotations

from typing import Any


def storable(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unstorable_path(value: Any, path: str = "") -> str | None:
    """JSON pointer of the first text in `value` that cannot be stored; None when all of it can."""
    if isinstance(value, str):
        return None if storable(value) else path
    if isinstance(value, dict):
        for name, part in value.items():
            found = path if not storable(name) else unstorable_path(part, f"{path}/{name}")
            if found is not None:
                return found
    if isinstance(value, list):
        for index, part in enumerate(value):
            found = unstorable_path(part, f"{path}/{index}")
            if found is not None:
                return found
    return None
