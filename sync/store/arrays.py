"""PostgreSQL array literals, for the statements that pass thousands of values.

psycopg looks at every element of a list in Python, which took a third of a member's CPU. Pass these as parameters with
a cast: `%(ids)s::bigint[]`.
"""

from __future__ import annotations

from collections.abc import Sequence


def int_array(values: list[int]) -> str:
    return "{" + repr(values)[1:-1] + "}"


def text_array(values: Sequence[str]) -> str:
    """Every element is quoted, so none is taken for NULL."""
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * max(0, len(values) - 1):
        joined = '","'.join(value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"' + joined + '"}' if values else "{}"
