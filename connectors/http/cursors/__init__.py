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

from connectors.http.cursors.days import DateWindow
from connectors.http.cursors.marked import ASC, DESC, NONE, Order, Watermark, back_walk, sequence
from connectors.http.cursors.walk import Asked, CursorKind, Walk
from connectors.http.cursors.whole import Ephemeral, Snapshot

__all__ = [
    "ASC",
    "DESC",
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
