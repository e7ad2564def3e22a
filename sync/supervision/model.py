"""Who the supervisor looks after, and what it knows about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One process of an actor pool."""

    pool: str
    index: int


@dataclass(frozen=True, slots=True, order=True)
class Seat:
    """One of the two places for a scheduler."""

    letter: str


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """All syncs of one org on one platform."""

    org_id: str
    platform: str


Who = Member | Seat | Pair


@dataclass(frozen=True, slots=True)
class Pulse:
    """The answer to a ping. It comes from a thread beside the event loop, so a blocked loop shows as its age."""

    state: str
    loop_age_s: float
    pid: int
    node: str


@dataclass(frozen=True, slots=True)
class Capacity:
    nodes: int
    sync_slots: int


class FleetError(Exception):
    """The cluster did not answer in time; whether the order was carried out is unknown."""


class Fleet(Protocol):
    """The living actors. Every call is bounded in time and safe to repeat. Errors: FleetError."""

    async def existing(self) -> set[Who]:
        """All that hold a name: running, restarting, or waiting for a place."""
        ...

    async def capacity(self) -> Capacity: ...

    async def start(self, who: Who) -> bool:
        """Create; False when the name is taken."""
        ...

    async def ping(self, who: Who) -> Pulse | None:
        """None: no answer in time, or gone."""
        ...

    async def retire(self, who: Who, timeout_s: float) -> bool:
        """Let it finish what it holds, for at most `timeout_s`, and exit. True when it is gone."""
        ...

    async def release(self, pair: Pair) -> None:
        """Ask an idle sync actor for its place; one that has work stays."""
        ...

    async def kill(self, who: Who) -> None: ...
