"""Lists page by an opaque cursor: where the last page ended, not how many rows to skip.

Rows that appear or vanish meanwhile neither repeat nor hide others, and page 1,000 costs what page 1 does.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from sync.api.problems import problem
from sync.api.schemas import MAX_ID

T = TypeVar("T")

MAX_LIMIT = 200
"""Rows of one answer; a page stays well under a megabyte."""


def encode(position: Any) -> str:
    text = json.dumps(position, separators=(",", ":"), default=str)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str) -> Any:
    """Errors: ApiError 422; cursors are ours alone to make."""
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise bad_cursor() from error


def bad_cursor() -> Exception:
    return problem(
        "validation",
        "query:cursor: Not a cursor of this list. Use `nextCursor` of the last page, or leave it out to begin.",
        errors=[{"pointer": "query:cursor", "detail": "Not a cursor of this list."}],
    )


class PageOf(BaseModel, Generic[T]):
    """One page. `nextCursor` is null on the last one."""

    items: list[T]
    nextCursor: str | None = None


def page_of(rows: Sequence[T], limit: int, position: Callable[[T], Any]) -> PageOf[T]:
    """The page of `limit` rows out of `limit + 1` that were asked for: the surplus one says that more follow."""
    items = list(rows[:limit])
    more = len(rows) > limit
    return PageOf[Any](items=items, nextCursor=encode(position(items[-1])) if more else None)


class PageParameters:
    """`limit` and `cursor` of every list."""

    def __init__(
        self,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of one page.")] = 50,
        cursor: Annotated[str | None, Query(max_length=500, description="`nextCursor` of the page before.")] = None,
    ) -> None:
        self.limit = limit
        self.position = None if cursor is None else decode(cursor)

    @property
    def after_id(self) -> int | None:
        """The position of lists whose cursor is the last row's id. Errors: ApiError 422."""
        if self.position is None:
            return None
        if type(self.position) is not int or not 0 <= self.position <= MAX_ID:
            raise bad_cursor()
        return self.position


Paging = Annotated[PageParameters, Depends()]
