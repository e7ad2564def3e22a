"""What goes into a jsonb column by COPY."""

from __future__ import annotations

import msgspec
import pytest

from sync.store.engine import jsonb_value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain", "plain"),
        ("a\x00b\x00\x00c", "abc"),
        ("\\u0000", "\\u0000"),  # a backslash and five characters, which are no NUL
        ("\\\x00", "\\"),
        ('"\\"\x00\n', '"\\"\n'),
    ],
)
def test_only_real_nul_characters_go(given: str, kept: str) -> None:
    value = jsonb_value(msgspec.json.encode({"text": given}))
    assert value is not None and value[:1] == b"\x01"
    assert msgspec.json.decode(value[1:]) == {"text": kept}


def test_nothing_stays_nothing() -> None:
    assert jsonb_value(None) is None
