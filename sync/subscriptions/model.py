"""Who subscribes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sync.events import LoggedEvent
from sync.store.engine import Transaction


class Subscriber(Protocol):
    """Code that follows the log, for all orgs. Registered in `sync.catalogue.build_subscribers`.

    A new one begins with the oldest event that the log still has.
    """

    @property
    def name(self) -> str:
        """For ever: its position is stored under it."""
        ...

    @property
    def patterns(self) -> tuple[str, ...]:
        """Which types it gets: `activity.*`. `*` alone is everything."""
        ...

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        """Write the effects of these events, which come in the order of the log.

        Use only `tx`: what it writes commits together with the subscriber's position, so it happens exactly once. No
        network call. Raising rolls everything back (see the package's docstring for what follows).
        """
        ...


class Feed(Protocol):
    """A subscriber as the consumer sees it: of the code, or of a row."""

    @property
    def name(self) -> str: ...
    @property
    def org_id(self) -> str | None: ...
    @property
    def patterns(self) -> Sequence[str]: ...
    def wants(self, event: LoggedEvent) -> bool: ...
    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None: ...


@dataclass(frozen=True, slots=True)
class CodeFeed:
    subscriber: Subscriber
    org_id: str | None = None

    @property
    def name(self) -> str:
        return self.subscriber.name

    @property
    def patterns(self) -> Sequence[str]:
        return () if "*" in self.subscriber.patterns else self.subscriber.patterns

    def wants(self, event: LoggedEvent) -> bool:
        return True

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        await self.subscriber.handle(tx, events)
