"""Where a pull stands, owned by the runtime: a connector only picks a kind.

    Watermark     everything newer than a mark (a time, or an id that grows); ascending, newest first, or in no order
    DateWindow    whole days, with those that the vendor may still restate read again
    Snapshot      all of it, every time
    Ephemeral     what is so now; nothing to remember

A walk goes through the pages of one span. Its state is stored with every page, so it can stop anywhere:
- a mark never passes what is surely complete. Ascending feeds move it with every page; all others when the walk closes,
  up to the highest value seen in it and never beyond the start of the walk.
- until then the walk itself is the known hole: its span, the page token, how far down it came. A later pull closes the
  hole first (from the token while that is young, else from where it came to), then looks for what is new.
- a backfill has a state of its own with the days asked for, and never touches a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from connectors.base import Cursor
from connectors.http.pagers import Token
from connectors.http.request import Mark, Span
from connectors.http.times import EPOCH, day_start, microseconds, zone

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


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"
    NONE = "none"


ASC, DESC, NONE = Order.ASC, Order.DESC, Order.NONE


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything from a mark on.

    at: reads an item's time, or its growing id; None for items that say nothing about the order.
    order: in which pages come. DESC and NONE move the mark only when the walk closes.
    overlap: how far before the mark to read again each time (times only), for what shows late.
    stop: newest-first walks end by themselves at a page that lies wholly before `since`; for vendors without a filter.
    first: how far back the first pull goes; None for everything.
    reread, reread_every: now and then go back this far, for edits, deletions and counters.
    floor: the id that stands for an instant, where marks are ids (snowflakes); needed for backfills and rereads.
    token_life: how long the vendor honours a page token.
    """

    at: Callable[[Any], Mark | None]
    order: Order = DESC
    overlap: timedelta = timedelta(0)
    stop: bool = True
    first: timedelta | None = None
    reread: timedelta | None = None
    reread_every: timedelta = timedelta(hours=6)
    floor: Callable[[datetime], int] | None = None
    token_life: timedelta = timedelta(minutes=30)
    ids: bool = False
    """Marks are ids. Without `floor` they cannot be compared with times, so nothing can be backfilled."""

    @property
    def backfills(self) -> bool:
        return not self.ids or self.floor is not None

    def begin(self, state: Cursor | None, asked: Asked) -> Walk:
        return _MarkWalk(self, state or {}, asked)

    def read(self, item: Any) -> Mark | None:
        """Where an item stands; nowhere if it cannot be read: its mapping will say so."""
        try:
            return self.at(item)
        except Exception:
            return None

    def mark_at(self, moment: datetime) -> Mark | None:
        if not self.ids:
            return moment
        return self.floor(moment) if self.floor else None


def back_walk(at: Callable[[Any], Mark | None], **options: Any) -> Watermark:
    """A newest-first feed."""
    return Watermark(at, order=DESC, **options)


def sequence(of: Callable[[Any], int | None], **options: Any) -> Watermark:
    """Ids that grow, oldest first."""
    return Watermark(of, order=ASC, ids=True, **options)


class _MarkWalk:
    def __init__(self, kind: Watermark, state: State, asked: Asked) -> None:
        self._kind, self._asked = kind, asked
        self._mark: Mark | None = _load(state.get("mark"))
        self._reread_at: float = state.get("reread", 0.0)
        self._backfill = asked.start is not None
        self._done: bool = bool(state.get("done"))
        self._quiet = True
        self._resumed = False
        # A copy: the state is somebody's, who compares what comes back with it.
        self._open: State | None = dict(state["walk"]) if state.get("walk") else None
        self._run: int | None = state.get("run")
        self._span: Span | None = None
        self._token: Token | None = None
        if self._open is not None:
            self._resume(self._open)
        elif not self._done:
            self._start()

    @property
    def span(self) -> Span | None:
        return self._span

    @property
    def token(self) -> Token | None:
        return self._token

    @property
    def idle(self) -> bool:
        return self._quiet and not self._backfill

    def wants(self, item: Any) -> bool:
        if not self._backfill or self._span is None:
            return True
        value, span = self._kind.read(item), self._span
        if value is None:
            return True
        return _before(span.since, value, equal=True) and (
            span.until is None or not _before(span.until, value, equal=True)
        )

    def saw(self, items: Sequence[Any], following: Token | None) -> None:
        assert self._span is not None
        walk = self._open = self._open or self._new_walk(self._span)
        values = [value for item in items if (value := self._kind.read(item)) is not None]
        self._quiet = self._quiet and not items and following is None
        if values:
            self._note(walk, max(values, key=_order), min(values, key=_order))
        walk["n"] += 1
        walk["token"], walk["at"] = following, self._asked.now.timestamp()
        self._token = following
        if following is None or self._below(values):
            self._close(walk)

    def restart(self) -> None:
        self._token = None
        if self._open is not None:
            self._open["token"] = None
            self._span = self._rest(self._open)

    def shrink(self) -> bool:
        return False

    def job(self) -> State | None:
        return (self._open or {}).get("job")

    def set_job(self, job: State | None) -> None:
        if self._span is None:
            return
        self._open = self._open or self._new_walk(self._span)
        self._open["job"] = job

    def dump(self) -> Cursor:
        state: State = {"mark": _dump(self._mark)}
        if self._reread_at:
            state["reread"] = self._reread_at
        if self._open is not None:
            state["walk"] = dict(self._open)
        elif self._run is not None:
            state["run"] = self._run
        if self._done:
            state["done"] = True
        return state

    # --- spans

    def _start(self) -> None:
        kind, asked = self._kind, self._asked
        if asked.start is not None:
            end = asked.end or asked.now.date()
            until = kind.mark_at(day_start(end + timedelta(days=1), asked.zone))
            self._span = Span(kind.mark_at(day_start(asked.start, asked.zone)), until)
            return
        since = self._mark
        if since is None:
            since = kind.mark_at(asked.now - kind.first) if kind.first else None
        else:
            if isinstance(since, datetime):
                since -= kind.overlap
            if self._rereads():
                back = kind.mark_at(asked.now - (kind.reread or timedelta(0)))
                since = min(since, back, key=_order) if back is not None else since
        self._span, self._token = Span(since), None

    def _rereads(self) -> bool:
        due = self._reread_at + self._kind.reread_every.total_seconds()
        return self._kind.reread is not None and self._asked.now.timestamp() >= due

    def _resume(self, walk: State) -> None:
        """Close the hole that an earlier pull left."""
        self._quiet = False
        self._resumed = self._kind.order is not ASC and not self._backfill
        age = self._asked.now.timestamp() - walk.get("at", 0.0)
        if walk.get("token") is not None and 0 <= age < self._kind.token_life.total_seconds():
            self._token = walk["token"]
            self._span = Span(_load(walk["since"]), _load(walk["until"]))
        else:
            walk["token"] = None
            self._span = self._rest(walk)

    def _rest(self, walk: State) -> Span:
        """What a walk has still to cover without its token: from the lowest place it reached, inclusively."""
        since, until = _load(walk["since"]), _load(walk["until"])
        if self._kind.order is DESC and (low := _load(walk.get("low"))) is not None:
            until = _next(low)
            walk["until"] = _dump(until)
        elif self._kind.order is ASC and (high := _load(walk.get("upper"))) is not None:
            since = high
            walk["since"] = _dump(since)
        return Span(since, until)

    def _new_walk(self, span: Span) -> State:
        return {"since": _dump(span.since), "until": _dump(span.until), "n": 0}

    def _note(self, walk: State, high: Mark, low: Mark) -> None:
        if isinstance(high, datetime):
            # A date in the future (a scheduled post, a broken clock) must not hide what comes before it.
            high = min(high, self._asked.now)
        if (known := _load(walk.get("upper"))) is None or _order(high) > _order(known):
            walk["upper"] = _dump(high)
        if (known := _load(walk.get("low"))) is None or _order(low) < _order(known):
            walk["low"] = _dump(low)
        if self._kind.order is ASC and not self._backfill:
            self._raise_mark(high)

    def _below(self, values: list[Mark]) -> bool:
        """Whether a newest-first walk has reached what is known."""
        since = self._span.since if self._span else None
        if self._kind.order is not DESC or not self._kind.stop or since is None or not values:
            return False
        return all(_order(value) < _order(since) for value in values)

    def _close(self, walk: State) -> None:
        resumed, self._resumed = self._resumed, False
        if self._backfill:
            self._done = True
        elif (upper := _load(walk.get("upper"))) is not None:
            self._raise_mark(upper)
        if not resumed and self._kind.reread is not None and self._rereads():
            self._reread_at = self._asked.now.timestamp()
        self._open, self._span, self._token = None, None, None
        if resumed:
            self._start()
        else:
            self._run = self._asked.run

    def _raise_mark(self, value: Mark) -> None:
        if self._mark is None or _order(value) > _order(self._mark):
            self._mark = value


@dataclass(frozen=True, slots=True)
class DateWindow:
    """Whole days of an account's calendar.

    step: days in one request. lookback: days that the vendor restates; they are read again every `lookback_every`.
    recent: days read again at every pull. settle: how old a day is when its numbers stay; None for never.
    first: days that the first pull goes back. reach: days that the vendor keeps.
    """

    step: int = 1
    lookback: int = 3
    lookback_every: timedelta = timedelta(hours=20)
    recent: int = 2
    settle: timedelta | None = None
    first: int = 30
    reach: int = 3650
    backfills: bool = True

    def begin(self, state: Cursor | None, asked: Asked) -> Walk:
        return _DayWalk(self, state or {}, asked)


class _DayWalk:
    """State: `day` is the last day that was complete when read; `walk` the days under way."""

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

    @property
    def span(self) -> Span | None:
        if self._walk is None:
            return None
        first = date.fromisoformat(self._walk["next"])
        last = min(first + timedelta(days=self._step - 1), date.fromisoformat(self._walk["to"]))
        return Span(
            first_day=first,
            last_day=last,
            starts_at=day_start(first, self._asked.zone),
            ends_at=day_start(last + timedelta(days=1), self._asked.zone),
        )

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
        self._walk["n"] = self._walk.get("n", 0) + 1
        self._token = following
        if following is not None:
            return
        self._walk.pop("job", None)
        span = self.span
        assert span is not None and span.last_day is not None
        following_day = (span.last_day + timedelta(days=1)).isoformat()
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

    def shrink(self) -> bool:
        if self._step <= 1:
            return False
        self._step = max(self._step // 2, 1)
        if self._walk is not None:
            self._walk["step"] = self._step
        self._token = None
        return True

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


def _order(value: Mark) -> int:
    return microseconds(value) if isinstance(value, datetime) else value


def _before(bound: Mark | None, value: Mark, *, equal: bool) -> bool:
    if bound is None:
        return True
    return _order(bound) <= _order(value) if equal else _order(bound) < _order(value)


def _next(value: Mark) -> Mark:
    return value + timedelta(microseconds=1) if isinstance(value, datetime) else value + 1


def _dump(value: Mark | None) -> str | int | None:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _load(value: Any) -> Mark | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value if isinstance(value, int) else None


__all__ = [
    "ASC",
    "DESC",
    "EPOCH",
    "NONE",
    "Asked",
    "CursorKind",
    "DateWindow",
    "Ephemeral",
    "Order",
    "Snapshot",
    "Walk",
    "Watermark",
    "back_walk",
    "sequence",
]
