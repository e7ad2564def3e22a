"""What a pull asks of a cursor, and the walk that a cursor answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from connectors.base import Cursor
from connectors.http.pagers import Token
from connectors.http.request import Span

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pull wants from a cursor."""

    now: datetime
    zone: str = "UTC"
    start: date | None = None
    """Given: a backfill of the days from here to `end`."""
    end: date | None = None
    run: int | None = None


class Walk(Protocol):
    """One way through the pages of a partition. The session drives it."""

    @property
    def span(self) -> Span | None:
        """What is to be covered now; None when all is done."""
        ...

    @property
    def token(self) -> Token | None:
        """Where in the span to continue; None at its beginning."""
        ...

    @property
    def idle(self) -> bool:
        """Whether closing found nothing that is worth a write."""
        ...

    def wants(self, item: Any) -> bool:
        """Whether the item lies in the days asked for."""
        ...

    def saw(self, items: Sequence[Any], following: Token | None) -> None:
        """A page was read; `following` leads to the next one. May close the span and open the next."""
        ...

    def restart(self) -> None:
        """The page token is dead."""
        ...

    def shrink(self) -> bool:
        """Cover less at a time; False if that is not possible."""
        ...

    def job(self) -> State | None:
        """The report job of this span, if one was made."""
        ...

    def set_job(self, job: State | None) -> None: ...

    def dump(self) -> Cursor | None: ...


class CursorKind(Protocol):
    @property
    def backfills(self) -> bool: ...

    def begin(self, state: Cursor | None, asked: Asked) -> Walk: ...
