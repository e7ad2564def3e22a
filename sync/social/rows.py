"""Values as PostgreSQL takes them: JSON that is encoded already, texts without NUL."""

from __future__ import annotations

import msgspec

encode = msgspec.json.Encoder(order=None, decimal_format="string").encode
encode_sorted = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


def clean(text: str | None) -> str | None:
    """PostgreSQL has no NUL in texts."""
    return text.replace("\x00", "") if text and "\x00" in text else text
