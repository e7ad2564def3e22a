"""Records in the order they came into being, small or huge, still growing while they are read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

Record = dict[str, Any]
View = Callable[[Record], Any]

_CACHED = 250_000


class Past:
    """How the generated part of a feed comes about: `count` records from `start` to `end` (units of the feed's key).

    `make(key, index)` builds a record and must depend on nothing else. Keys are spread evenly, each moved by some
    jitter within its own step, so that key and index follow from each other without a search.
    """

    __slots__ = ("count", "make", "seed", "start", "step")

    def __init__(self, count: int, start: int, end: int, make: Callable[[int, int], Record], seed: int = 0) -> None:
        self.count = max(count, 0)
        self.start = start
        self.step = max((end - start) // max(count, 1), 1)
        self.make = make
        self.seed = seed & 0xFFFFFFFFFFFFFFFF

    def key(self, index: int) -> int:
        jitter = (index ^ self.seed) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        return self.start + index * self.step + (jitter >> 11) % self.step

    def index(self, key: int) -> int | None:
        place = (key - self.start) // self.step
        return place if 0 <= place < self.count and self.key(place) == key else None

    def first_from(self, key: int) -> int:
        """Index of the first key that is not smaller."""
        place = (key - self.start) // self.step
        if place < 0:
            return 0
        if place >= self.count:
            return self.count
        return place if self.key(place) >= key else place + 1


@dataclass(slots=True)
class Slice:
    """A part of a feed as a page wants it."""

    keys: list[int]
    items: list[msgspec.Raw]
    more: bool

    @property
    def last(self) -> int:
        return self.keys[-1]


class Feed:
    """Append-only by an integer key that only grows (a time, a snowflake); records can be edited and deleted.

    Nothing of the past is made before it is read, so an account of 100,000 records costs nothing until then. What was
    read stays encoded, per view, which makes the second reading of a page nearly free.
    """

    def __init__(self, past: Past | None = None) -> None:
        self._past = past or Past(0, 0, 0, lambda _key, _index: {})
        self._made: dict[int, Record] = {}
        """Records of the past that were changed, and everything appended, by key."""
        self._deleted: set[int] = set()
        self._appended: list[int] = []
        self._encoded: dict[int, dict[str, msgspec.Raw]] = {}
        self.version = 0

    # --- reading

    def __len__(self) -> int:
        return self._past.count + len(self._appended) - len(self._deleted)

    def __iter__(self) -> Iterator[int]:
        """Living keys, oldest first."""
        return self._walk(None, None, newest_first=False)

    def __contains__(self, key: int) -> bool:
        return key not in self._deleted and (key in self._made or self._past.index(key) is not None)

    def get(self, key: int) -> Record | None:
        if key in self._deleted:
            return None
        if (record := self._made.get(key)) is not None:
            return record
        index = self._past.index(key)
        return None if index is None else self._past.make(key, index)

    def newest(self) -> int | None:
        return next(self._walk(None, None, newest_first=True), None)

    def records(self) -> Iterator[Record]:
        for key in self:
            if (record := self.get(key)) is not None:
                yield record

    def slice(
        self,
        limit: int,
        *,
        above: int | None = None,
        below: int | None = None,
        newest_first: bool = True,
        view: View | None = None,
        view_name: str = "",
    ) -> Slice:
        """Up to `limit` records strictly between two keys, from the newest or the oldest end.

        `view_name` names the view for the cache: two views with one name must do the same. A view that answers None
        leaves the record out of the page without making the page longer (vendors filter like that).
        """
        keys: list[int] = []
        more = False
        for key in self._walk(above, below, newest_first):
            if len(keys) == limit:
                more = True
                break
            keys.append(key)
        items = [raw for key in keys if (raw := self.encoded(key, view, view_name)) is not None]
        return Slice(keys, items, more)

    def encoded(self, key: int, view: View | None = None, view_name: str = "") -> msgspec.Raw | None:
        views = self._encoded.get(key)
        if views is not None and (cached := views.get(view_name)) is not None:
            return cached
        record = self.get(key)
        shown = view(record) if view and record is not None else record
        if shown is None:
            return None
        raw = msgspec.Raw(msgspec.json.encode(shown))
        if views is None:
            if len(self._encoded) >= _CACHED:
                self._encoded.clear()
            views = self._encoded[key] = {}
        views[view_name] = raw
        return raw

    def _walk(self, above: int | None, below: int | None, newest_first: bool) -> Iterator[int]:
        parts = [self._past_between(above, below, newest_first), self._appended_between(above, below, newest_first)]
        for part in reversed(parts) if newest_first else parts:
            for key in part:
                if key not in self._deleted:
                    yield key

    def _past_between(self, above: int | None, below: int | None, newest_first: bool) -> Iterator[int]:
        first = 0 if above is None else self._past.first_from(above + 1)
        end = self._past.count if below is None else self._past.first_from(below)
        return map(self._past.key, range(end - 1, first - 1, -1) if newest_first else range(first, end))

    def _appended_between(self, above: int | None, below: int | None, newest_first: bool) -> list[int]:
        first = 0 if above is None else bisect_right(self._appended, above)
        end = len(self._appended) if below is None else bisect_left(self._appended, below)
        part = self._appended[first:end]
        return part[::-1] if newest_first else part

    # --- changing

    def append(self, key: int, record: Record) -> int:
        """Add a record under a key that is newer than all others (see `free_key`)."""
        if key != self.free_key(key):
            raise ValueError(f"Key {key} is not newer than the newest one.")
        self._appended.append(key)
        self._made[key] = record
        self.version += 1
        return key

    def free_key(self, key: int) -> int:
        """The key itself if it is newer than all others, else the next one that is."""
        newest = self._appended[-1] if self._appended else None
        if newest is None and self._past.count:
            newest = self._past.key(self._past.count - 1)
        return key if newest is None or key > newest else newest + 1

    def edit(self, key: int, **changes: Any) -> Record:
        """Set fields of a living record."""
        record = self.get(key)
        if record is None:
            raise KeyError(key)
        self._made[key] = record = {**record, **changes}
        self._forget(key)
        return record

    def delete(self, key: int) -> bool:
        if key not in self:
            return False
        self._deleted.add(key)
        self._forget(key)
        return True

    def restore(self, key: int) -> None:
        """Undo a deletion; the record is back in its old place."""
        self._deleted.discard(key)
        self._forget(key)

    def touch(self, key: int) -> None:
        """Something outside the record that its views show has changed."""
        self._forget(key)

    def _forget(self, key: int) -> None:
        self.version += 1
        self._encoded.pop(key, None)
