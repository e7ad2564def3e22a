"""Whole days, with those that the vendor may still restate read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from connectors.base import Cursor
from connectors.http.cursors.walk import Asked, State, Walk
from connectors.http.pagers import Token
from connectors.http.request import Span
from connectors.http.times import day_start, zone

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DateWindow:
    """Whole days of an account's calendar.

    step: days in one request. lookback: days that the vendor restates; they are read again every `lookback_every`.
    recent: days read again at every pull. settle: how old a day is when its numbers stay; None for never.
    first: days that the first pull goes back. reach: days that the vendor keeps.
    finest: how little can be asked for, where a day may be too much and the vendor takes instants.
    token_life: how long the vendor honours a page token.
    """

    step: int = 1
    lookback: int = 3
    lookback_every: timedelta = timedelta(hours=20)
    recent: int = 2
    settle: timedelta | None = None
    first: int = 30
    reach: int = 3650
    finest: timedelta = DAY
    token_life: timedelta = timedelta(minutes=30)
    backfills: bool = True

    def begin(self, state: Cursor | None, asked: Asked) -> Walk:
        return _DayWalk(self, state or {}, asked)


class _DayWalk:
    """State: `day` is the last day that was complete when read; `walk` the days under way.

    In the walk: `next` day to `to`, in steps of `step` days; of a day that was too much, `from` (seconds since its
    beginning) and `part` (seconds at a time). `token` belongs to what was asked for, `of`.
    """

    def __init__(self, kind: DateWindow, state: State, asked: Asked) -> None:
        self._kind, self._asked = kind, asked
        self._day: str | None = state.get("day")
        self._full_at: float = state.get("full", 0.0)
        self._run: int | None = state.get("run")
        open_walk: State | None = state.get("walk")
        self._walk = dict(open_walk) if open_walk else None
        self._token: Token | None = None
        self._today = asked.now.astimezone(zone(asked.zone)).date()
        if self._walk is None and not state.get("done"):
            self._walk = self._begin()
        elif self._walk is not None and asked.start is None:
            self._walk["to"] = self._today.isoformat()
        self._done = bool(state.get("done"))
        self._step: int = (self._walk or {}).get("step") or max(kind.step, 1)
        self._resume()

    @property
    def span(self) -> Span | None:
        if self._walk is None:
            return None
        first = date.fromisoformat(self._walk["next"])
        last = min(first + timedelta(days=self._step - 1), date.fromisoformat(self._walk["to"]))
        starts, ends = day_start(first, self._asked.zone), day_start(last + DAY, self._asked.zone)
        if (part := self._walk.get("part")) is not None:
            starts += timedelta(seconds=self._walk["from"])
            ends = min(ends, starts + timedelta(seconds=part))
        return Span(first_day=first, last_day=last, starts_at=starts, ends_at=ends)

    @property
    def token(self) -> Token | None:
        return self._token

    @property
    def idle(self) -> bool:
        return False

    def wants(self, item: Any) -> bool:
        return True

    def saw(self, items: Sequence[Any], following: Token | None) -> None:
        assert self._walk is not None
        span = self.span
        assert span is not None and span.last_day is not None and span.ends_at is not None
        self._walk["n"] = self._walk.get("n", 0) + 1
        self._token = following
        if following is not None:
            self._walk |= {"token": following, "at": self._asked.now.timestamp(), "of": _name(span)}
            return
        self._forget("token", "at", "of", "job")
        if "part" in self._walk and span.ends_at < day_start(span.last_day + DAY, self._asked.zone):
            self._walk["from"] += self._walk["part"]
            return
        self._forget("from", "part")
        following_day = (span.last_day + DAY).isoformat()
        if following_day <= self._walk["to"]:
            self._walk["next"] = following_day
            return
        if self._asked.start is not None:
            self._done = True
        else:
            self._day = self._walk["to"]
            if self._walk.get("full"):
                self._full_at = self._asked.now.timestamp()
            self._run = self._asked.run
        self._walk = None

    def restart(self) -> None:
        self._token = None
        self._forget("token", "at", "of")

    def shrink(self) -> bool:
        if self._walk is None:
            return False
        if self._step > 1:
            self._step = self._walk["step"] = self._step // 2
        elif not self._divide(self._walk):
            return False
        self.restart()
        return True

    def _divide(self, walk: State) -> bool:
        """Less than a day at a time."""
        part = int(walk.get("part", DAY.total_seconds())) // 2
        if part < self._kind.finest.total_seconds():
            return False
        walk |= {"from": walk.get("from", 0), "part": part}
        return True

    def _resume(self) -> None:
        """From the page token, if it still leads through the same days."""
        walk = self._walk or {}
        young = 0 <= self._asked.now.timestamp() - walk.get("at", 0.0) < self._kind.token_life.total_seconds()
        if walk.get("token") is not None and young and (span := self.span) is not None and walk["of"] == _name(span):
            self._token = walk["token"]
        else:
            self._forget("token", "at", "of")

    def _forget(self, *names: str) -> None:
        for name in names:
            (self._walk or {}).pop(name, None)

    def job(self) -> State | None:
        return (self._walk or {}).get("job")

    def set_job(self, job: State | None) -> None:
        if self._walk is None:
            return
        if job is None:
            self._walk.pop("job", None)
        else:
            self._walk["job"] = job

    def dump(self) -> Cursor:
        state: State = {"day": self._day}
        if self._full_at:
            state["full"] = self._full_at
        if self._walk is not None:
            state["walk"] = dict(self._walk)
        elif self._run is not None:
            state["run"] = self._run
        if self._done:
            state["done"] = True
        return state

    def _begin(self) -> State | None:
        kind, asked, today = self._kind, self._asked, self._today
        oldest = today - timedelta(days=kind.reach)
        if asked.start is not None:
            last = min(asked.end or today, today)
            start = max(asked.start, oldest)
            return {"next": start.isoformat(), "to": last.isoformat()} if start <= last else None
        full = asked.now.timestamp() >= self._full_at + kind.lookback_every.total_seconds()
        if self._day is None:
            start = today - timedelta(days=kind.first)
        else:
            back = max(kind.lookback, kind.recent) if full else kind.recent
            start = min(date.fromisoformat(self._day), today - timedelta(days=max(back - 1, 0)))
        return {"next": max(start, oldest).isoformat(), "to": today.isoformat(), "full": full}


def _name(span: Span) -> str:
    assert span.starts_at is not None and span.ends_at is not None
    return f"{span.starts_at.isoformat()}/{span.ends_at.isoformat()}"
