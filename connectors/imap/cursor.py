"""Where a pull of one folder stands, and what may follow.

UIDs ascend in the order of arrival within one UIDVALIDITY, with gaps; they mean nothing under another one. So:
- continue after `uid` while UIDVALIDITY is the same;
- when it differs, all UIDs are void: scan again from the first. The store recognises what it has by content, so
  nothing is reported twice;
- a server that renumbers at every visit (broken, but they exist) would be scanned for ever: from the third time in a
  row only mail of the last days before the newest one seen is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

_RESETS_TRUSTED = 3
_LOOK_BACK = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Position:
    """`resets`: renumberings in a row. `newest`: the latest arrival seen."""

    uidvalidity: int | None = None
    uid: int = 0
    newest: datetime | None = None
    resets: int = 0

    @classmethod
    def load(cls, cursor: dict[str, Any] | None) -> Position:
        if not cursor:
            return cls()
        newest = cursor.get("newest")
        return cls(
            uidvalidity=cursor.get("uidvalidity"),
            uid=cursor.get("uid", 0),
            newest=datetime.fromisoformat(newest) if newest else None,
            resets=cursor.get("resets", 0),
        )

    def dump(self) -> dict[str, Any]:
        return {
            "uidvalidity": self.uidvalidity,
            "uid": self.uid,
            "newest": self.newest.isoformat() if self.newest else None,
            "resets": self.resets,
        }

    def opened(self, uidvalidity: int) -> Position:
        """The position to continue from, now that the folder shows this UIDVALIDITY."""
        if self.uidvalidity == uidvalidity:
            return replace(self, resets=0)
        return replace(self, uidvalidity=uidvalidity, uid=0, resets=0 if self.uidvalidity is None else self.resets + 1)

    def after(self, uid: int, arrivals: Iterable[datetime]) -> Position:
        """The position once everything up to `uid` is stored."""
        seen = [*arrivals, self.newest] if self.newest else list(arrivals)
        return replace(self, uid=max(uid, self.uid), newest=max(seen, default=None))

    @property
    def since(self) -> date | None:
        """The day before which a scan need not look; None for all of it."""
        if self.resets >= _RESETS_TRUSTED and self.newest is not None:
            return (self.newest - _LOOK_BACK).date()
        return None


def new_uids(found: Iterable[int], position: Position) -> list[int]:
    """Ascending UIDs after the position. `n:*` always matches the highest UID, even one below n: dropped here."""
    return sorted({uid for uid in found if uid > position.uid})


def search_key(position: Position, since: date | None = None, before: date | None = None) -> str:
    """Arguments of UID SEARCH. Days are the server's, so the caller widens a range by one on either side."""
    parts = [f"UID {position.uid + 1}:*"]
    parts += [f"SINCE {_imap_day(since)}"] if since else []
    parts += [f"BEFORE {_imap_day(before)}"] if before else []
    return " ".join(parts)


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _imap_day(day: date) -> str:
    # Not strftime: month names must be English whatever the locale.
    return f"{day.day}-{_MONTHS[day.month - 1]}-{day.year:04d}"
