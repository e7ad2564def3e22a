"""What a complete list does not show any more, for vendors that mark nothing as deleted.

- Only a pull that read the list from its beginning to its end says anything. One that was parked or stopped on the way,
  went on from a stored page, ended early at what is known or met an item that cannot be read says nothing, neither way.
- What we hold has to be missing from two such pulls in a row; then it is marked as deleted.
- If too much is missing at once it is the vendor who does not show it: somebody is told, and nothing is marked. A list
  that is empty says nothing about the few things it may have held: it may be closed to us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from connectors.base import Cursor
from connectors.http.pagers import Token
from connectors.http.request import Context
from connectors.records import ActivityKind, ActivityRecord, Warned

if TYPE_CHECKING:
    from connectors.http.api import Api

FEW = 3
SHARE = 0.3
"""Of what we hold: more than this, and more than a few, does not vanish at once."""
LONGEST = 200_000
"""Longer lists are not counted: a worker's memory has an end."""
MOST = 1000
"""Marks of one pull; the next ones bring the others."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Declared on a stream whose list holds all there are: those of our records that belong to it."""

    kind: ActivityKind
    of: Callable[[Any, Context], str | None]
    """An item's vendor_id; None for one that is no such record."""
    prefix: str = ""
    """How the vendor_ids of these records begin."""
    data: Mapping[str, str] = field(default_factory=dict)
    """What they have in `data`."""


class Census:
    """Counts one pull through a list."""

    def __init__(self, listed: Listed, api: Api, ctx: Context, state: Cursor | None, *, begun: bool) -> None:
        self._listed, self._api, self._ctx = listed, api, ctx
        self._whole = not begun
        self._ended = False
        self._seen: set[int] = set()
        before = state or {}
        self._before: list[str] = before.get("missing", [])
        self._warned = bool(before.get("warned"))

    @property
    def state(self) -> Cursor:
        """What the next pull has to know; it belongs into the cursor of the part."""
        found: Cursor = {"missing": self._before} if self._before else {}
        return {**found, "warned": True} if self._warned else found

    def saw(self, items: Sequence[Any], following: Token | None) -> None:
        self._ended = following is None
        for item in items:
            try:
                if (found := self._listed.of(item, self._ctx)) is not None:
                    self._seen.add(_short(found))
            except Exception:
                self.spoil()
        if len(self._seen) > LONGEST:
            self.spoil()

    def spoil(self) -> None:
        """Something happened after which nobody knows whether all was seen."""
        self._whole = False
        self._seen.clear()

    async def close(self) -> list[ActivityRecord | Warned]:
        """What follows from it, once the pull has come to its end."""
        if not (self._whole and self._ended):
            return []
        held, missing, count = 0, list[str](), 0
        listed = self._listed
        async for ids in self._api.living(listed.kind, listed.prefix, listed.data):
            held += len(ids)
            for vendor_id in ids:
                if _short(vendor_id) not in self._seen:
                    count += 1
                    if len(missing) < MOST:
                        missing.append(vendor_id)
        if count <= FEW and not self._seen:
            return []
        if count > max(FEW, SHARE * held):
            self._before, self._warned = [], True
            return [self._warning(count, held)]
        gone = sorted(set(missing) & set(self._before))
        self._before = [vendor_id for vendor_id in missing if vendor_id not in set(gone)]
        over, self._warned = self._warned, False
        marks = [ActivityRecord(kind=listed.kind, vendor_id=it, occurred_at=None, deleted=True) for it in gone]
        return [*marks, *([self._warning(0, held, over=True)] if over else [])]

    def _warning(self, count: int, held: int, *, over: bool = False) -> Warned:
        title = f"{self._api.connector.title} does not show {count} of {held} things that it showed before"
        detail = "So many do not vanish at once, so nothing was marked as deleted. See whether the account is in order."
        return Warned(key=self._ctx.partition.key, title=title, detail=detail, over=over)


def _short(vendor_id: str) -> int:
    """Eight bytes instead of a text: lists are long."""
    return int.from_bytes(blake2b(vendor_id.encode(), digest_size=8).digest())
