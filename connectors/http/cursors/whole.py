"""All of it, every time; or what is so now, with nothing to remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from connectors.base import Cursor
from connectors.http.cursors.walk import Asked, State, Walk
from connectors.http.pagers import Token
from connectors.http.request import Span


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All items, every time."""

    token_life: timedelta = timedelta(minutes=30)
    backfills: bool = False

    def begin(self, state: Cursor | None, asked: Asked) -> Walk:
        return _PlainWalk(state or {}, asked, self.token_life, keeps=True)


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """What is so at this moment."""

    backfills: bool = False

    def begin(self, state: Cursor | None, asked: Asked) -> Walk:
        return _PlainWalk({}, asked, timedelta(0), keeps=False)


class _PlainWalk:
    idle = False

    def __init__(self, state: State, asked: Asked, token_life: timedelta, *, keeps: bool) -> None:
        self._asked, self._keeps = asked, keeps
        self.span: Span | None = Span()
        self.token: Token | None = None
        self._walk: State = {}
        found: State = state.get("walk") or {}
        if 0 <= asked.now.timestamp() - found.get("at", 0.0) < token_life.total_seconds():
            self._walk, self.token = dict(found), found.get("token")
        elif found.get("job"):
            self._walk = {"job": found["job"]}

    def wants(self, item: Any) -> bool:
        return True

    def saw(self, items: Sequence[Any], following: Token | None) -> None:
        number = self._walk.get("n", 0) + 1
        self.token = following
        self._walk = (
            {"token": following, "at": self._asked.now.timestamp(), "n": number} if following is not None else {}
        )
        if following is None:
            self.span = None

    def restart(self) -> None:
        self.token = None

    def shrink(self) -> bool:
        return False

    def job(self) -> State | None:
        return self._walk.get("job")

    def set_job(self, job: State | None) -> None:
        self._walk = {**self._walk, "job": job} if job else {}

    def dump(self) -> Cursor | None:
        if self._walk:
            return {"walk": self._walk}
        if self._keeps or self._asked.run is not None:
            return {"at": self._asked.now.timestamp(), "run": self._asked.run}
        return None
