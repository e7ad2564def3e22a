"""Small pure parts of the API under any input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.api import paging
from sync.api.paging import PageParameters, page_of
from sync.api.text import storable, unstorable_path
from sync.base.errors import ApiError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_a_cursor_carries_its_position(position: Any) -> None:
    cursor = paging.encode(position)
    assert paging.decode(cursor) == position
    assert cursor.isascii() and not set(cursor) & set("&=+/ ")


@given(st.text(max_size=500))
def test_any_other_text_is_refused_or_harmless(cursor: str) -> None:
    try:
        after = PageParameters(cursor=cursor, limit=10).after_id
    except ApiError as error:
        assert error.status == 422
    else:
        assert after is None or 0 <= after < 2**63


@given(st.lists(st.integers(0, 1000), unique=True, max_size=60).map(sorted), st.integers(1, 20))
def test_pages_tile_the_list(rows: list[int], limit: int) -> None:
    seen: list[int] = []
    after = -1
    while True:
        page = page_of([row for row in rows if row > after][: limit + 1], limit, lambda row: row)
        seen += page.items
        if page.nextCursor is None:
            break
        assert len(page.items) == limit
        after = paging.decode(page.nextCursor)
    assert seen == rows


@given(json_values)
def test_text_that_cannot_be_stored_is_found_wherever_it_is(value: Any) -> None:
    found = unstorable_path(value)
    assert (found is None) == all(storable(text) for text in _texts(value))


@pytest.mark.parametrize(("text", "fits"), [("ä€😀", True), ("a\x00", False), ("\ud800", False), ("", True)])
def test_what_postgres_can_store(text: str, fits: bool) -> None:
    assert storable(text) is fits


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for part in value.values() for text in _texts(part))]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else []
