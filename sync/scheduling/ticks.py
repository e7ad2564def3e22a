"""Which ticks of a schedule to fire now, and which to let go. Pure: decided here, done in `runner`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from schedules.spec import CatchUp
from sync.scheduling.timing import Timing, latest_fires

GRACE = timedelta(minutes=1)
"""A tick this late is still on time: a leader change takes ten seconds, a restart half a minute."""


@dataclass(frozen=True, slots=True)
class Plan:
    """fire: due ticks to enqueue, oldest first. next_due_at: None when the schedule never fires again."""

    fire: tuple[datetime, ...]
    next_due_at: datetime | None


def plan(timing: Timing, *, due_at: datetime, now: datetime, catch_up: CatchUp, limit: int) -> Plan:
    """What to do about a schedule whose oldest unfired tick is `due_at`.

    skip: the newest due tick, and only when it is on time. once: the newest due tick, however late. all: every due
    tick, the newest `limit` of them. Every policy moves on past `now`, so nothing is looked at twice.
    """
    if now < due_at:
        return Plan((), due_at)
    wanted = limit if catch_up == "all" else 1
    # `due_at` is a tick by itself, even when the definition has changed since and would not produce it any more.
    late = latest_fires(timing, due_at, now, wanted)
    due = late if len(late) >= wanted else [due_at, *late]
    if catch_up == "skip":
        due = [tick for tick in due if now - tick <= GRACE]
    return Plan(tuple(due), timing.next_after(now))
