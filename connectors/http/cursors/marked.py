"""Everything from a mark on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from connectors.base import Cursor
from connectors.http.cursors.marks import before, dump, just_after, load, order_of
from connectors.http.cursors.walk import Asked, State, Walk
from connectors.http.pagers import Token
from connectors.http.request import Mark, Span
from connectors.http.times import day_start


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
        self._mark: Mark | None = load(state.get("mark"))
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
        return before(span.since, value, equal=True) and (
            span.until is None or not before(span.until, value, equal=True)
        )

    def saw(self, items: Sequence[Any], following: Token | None) -> None:
        assert self._span is not None
        walk = self._open = self._open or self._new_walk(self._span)
        values = [value for item in items if (value := self._kind.read(item)) is not None]
        self._quiet = self._quiet and not items and following is None
        if values:
            self._note(walk, max(values, key=order_of), min(values, key=order_of))
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
        state: State = {"mark": dump(self._mark)}
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
                since = min(since, back, key=order_of) if back is not None else since
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
            self._span = Span(load(walk["since"]), load(walk["until"]))
        else:
            walk["token"] = None
            self._span = self._rest(walk)

    def _rest(self, walk: State) -> Span:
        """What a walk has still to cover without its token: from the lowest place it reached, inclusively."""
        since, until = load(walk["since"]), load(walk["until"])
        if self._kind.order is DESC and (low := load(walk.get("low"))) is not None:
            until = just_after(low)
            walk["until"] = dump(until)
        elif self._kind.order is ASC and (high := load(walk.get("upper"))) is not None:
            since = high
            walk["since"] = dump(since)
        return Span(since, until)

    def _new_walk(self, span: Span) -> State:
        return {"since": dump(span.since), "until": dump(span.until), "n": 0}

    def _note(self, walk: State, high: Mark, low: Mark) -> None:
        if isinstance(high, datetime):
            # A date in the future (a scheduled post, a broken clock) must not hide what comes before it.
            high = min(high, self._asked.now)
        if (known := load(walk.get("upper"))) is None or order_of(high) > order_of(known):
            walk["upper"] = dump(high)
        if (known := load(walk.get("low"))) is None or order_of(low) < order_of(known):
            walk["low"] = dump(low)
        if self._kind.order is ASC and not self._backfill:
            self._raise_mark(high)

    def _below(self, values: list[Mark]) -> bool:
        """Whether a newest-first walk has reached what is known."""
        since = self._span.since if self._span else None
        if self._kind.order is not DESC or not self._kind.stop or since is None or not values:
            return False
        return all(order_of(value) < order_of(since) for value in values)

    def _close(self, walk: State) -> None:
        resumed, self._resumed = self._resumed, False
        if self._backfill:
            self._done = True
        elif (upper := load(walk.get("upper"))) is not None:
            self._raise_mark(upper)
        if not resumed and self._kind.reread is not None and self._rereads():
            self._reread_at = self._asked.now.timestamp()
        self._open, self._span, self._token = None, None, None
        if resumed:
            self._start()
        else:
            self._run = self._asked.run

    def _raise_mark(self, value: Mark) -> None:
        if self._mark is None or order_of(value) > order_of(self._mark):
            self._mark = value
