"""Records in the order they came into being, small or huge, still growing while they are read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from simulator.dice import mix

Record = dict[str, Any]
View = Callable[[Record], Any]

_CACHED = 250_000


@dataclass(frozen=True, slots=True)
class Past:
    """How the generated part of a feed comes about: `count` records from `start` to `end` (units of the feed's key).

    `make(key, index)` builds a record and must depend on nothing else; keys are spread evenly with some jitter.
    """

    count: int
    start: int
    end: int
    make: Callable[[int, int], Record]
    seed: int = 0

    def key(self, index: int) -> int:
        step = (self.end - self.start) // max(self.count, 1)
        return self.start + index * step + mix(self.seed, index) % max(step, 1)


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
        self._past = past
        self._made: dict[int, Record] = {}
        """Records of the past that were changed, and everything appended, by key."""
        self._deleted: set[int] = set()
        self._appended: list[int] = []
        self._past_keys: _PastKeys = _PastKeys(past)
        self._encoded: dict[int, dict[str, msgspec.Raw]] = {}
        self.version = 0

    # --- reading

    def __len__(self) -> int:
        return len(self._past_keys) + len(self._appended) - len(self._deleted)

    def __iter__(self) -> Iterator[int]:
        """Living keys, oldest first."""
        for key in self._past_keys:
            if key not in self._deleted:
                yield key
        for key in list(self._appended):
            if key not in self._deleted:
                yield key

    def __contains__(self, key: int) -> bool:
        if key in self._deleted:
            return False
        return key in self._made or self._past_keys.index_of(key) is not None

    def get(self, key: int) -> Record | None:
        if key in self._deleted:
            return None
        if (record := self._made.get(key)) is not None:
            return record
        index = self._past_keys.index_of(key)
        return None if index is None or self._past is None else self._past.make(key, index)

    def newest(self) -> int | None:
        for key in reversed(self._appended):
            if key not in self._deleted:
                return key
        for index in range(len(self._past_keys) - 1, -1, -1):
            if (key := self._past_keys[index]) not in self._deleted:
                return key
        return None

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
        parts: list[tuple[Any, int, int]] = []
        for keys in (self._past_keys, self._appended):
            first = 0 if above is None else bisect_right(keys, above)
            end = len(keys) if below is None else bisect_left(keys, below)
            parts.append((keys, first, end))
        if newest_first:
            parts.reverse()
        for keys, first, end in parts:
            places = range(end - 1, first - 1, -1) if newest_first else range(first, end)
            for place in places:
                if (key := keys[place]) not in self._deleted:
                    yield key

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
        if newest is None and len(self._past_keys):
            newest = self._past_keys[len(self._past_keys) - 1]
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

    def touch(self, key: int) -> None:
        """Something outside the record that its views show has changed."""
        self._forget(key)

    def _forget(self, key: int) -> None:
        self.version += 1
        self._encoded.pop(key, None)


class _PastKeys:
    """The keys of the generated part, computed when asked, searchable like a list."""

    def __init__(self, past: Past | None) -> None:
        self._past = past

    def __len__(self) -> int:
        return self._past.count if self._past else 0

    def __getitem__(self, index: int) -> int:
        if self._past is None or not 0 <= index < self._past.count:
            raise IndexError(index)
        return self._past.key(index)

    def __iter__(self) -> Iterator[int]:
        return (self[index] for index in range(len(self)))

    def index_of(self, key: int) -> int | None:
        index = bisect_left(self, key)
        return index if index < len(self) and self[index] == key else None
