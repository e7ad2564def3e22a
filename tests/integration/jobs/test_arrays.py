"""Array literals mean to PostgreSQL what the list meant."""

from __future__ import annotations

import pytest

from sync.store.arrays import int_array, text_array
from sync.store.engine import Database


@pytest.mark.parametrize("values", [[], [7], [-1, 0, 2**62]])
async def test_numbers(db: Database, values: list[int]) -> None:
    assert await db.fetch_value("SELECT %(values)s::bigint[]", {"values": int_array(values)}) == values


@pytest.mark.parametrize(
    "values", [[], [""], ["org-1", "_system"], ["NULL", "a,b", "{}", " x "], ['"', "\\", 'a","b', "é\n"]]
)
async def test_texts(db: Database, values: list[str]) -> None:
    assert await db.fetch_value("SELECT %(values)s::text[]", {"values": text_array(values)}) == values
