"""Patterns and filters: what is accepted, and what fits."""

from __future__ import annotations

from typing import Any

import pytest

from sync.base.errors import Permanent
from sync.subscriptions.filters import MAX_PATHS, check_filter, check_pattern, matches

PAYLOAD = {"platform": "slack", "n": 1, "flag": True, "none": None, "author": {"name": "ada", "tags": ["a"]}}


@pytest.mark.parametrize(
    "pattern", ["*", "activity.*", "activity.added", "data.shop.orders.inserted", "data.t2.*", "a"]
)
def test_patterns(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "A.b", "*.added", "a.*.b", "a..b", ".a", "a.", "a b", "a.*x", "a" * 101, "a\n"]
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(Permanent):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"platform": "slack"}, True),
        ({"platform": ["slack", "email"]}, True),
        ({"platform": "email"}, False),
        ({"platform": "slack", "n": 2}, False),
        ({"n": 1}, True),
        ({"n": True}, False),
        ({"flag": 1}, False),
        ({"flag": True}, True),
        ({"none": None}, True),
        ({"absent": None}, True),
        ({"author.name": "ada"}, True),
        ({"author.name.first": "ada"}, False),
        ({"author.tags": "a"}, False),
    ],
)
def test_what_fits(wanted: dict[str, Any], fits: bool) -> None:
    check_filter(wanted)
    assert matches(wanted, PAYLOAD) is fits


@pytest.mark.parametrize(
    "wanted", [{"": 1}, {"a..b": 1}, {"a": {}}, {"a": []}, {"a": [[1]]}, {str(n): 1 for n in range(MAX_PATHS + 1)}]
)
def test_what_is_no_filter(wanted: dict[str, Any]) -> None:
    with pytest.raises(Permanent):
        check_filter(wanted)
