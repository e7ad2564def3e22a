"""The seam between a pull and the store of what it pulls: mail today, activities and metrics with other platforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync.events import Event
from sync.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Source:
    """Whose records they are."""

    org_id: str
    platform: str
    integration_id: int
    account: str
    sync_type: str


@dataclass(slots=True)
class Applied:
    """What one page did to the store. `skipped` counts records kept aside because they could not be read."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    events: list[Event] = field(default_factory=list)

    def include(self, other: Applied) -> None:
        self.added += other.added
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.skipped += other.skipped
        self.events += other.events


class Sink(Protocol):
    def prepare(self, records: Sequence[Any]) -> Any:
        """Everything that needs no database: parsing, hashing. Runs in a thread, before the transaction."""
        ...

    async def apply(self, tx: Transaction, source: Source, prepared: Any, *, force: bool) -> Applied:
        """Write the records of one page; repeating a page changes nothing and reports no event.

        `force` asks for the events of unchanged records too. The caller appends the events it returns.
        """
        ...
