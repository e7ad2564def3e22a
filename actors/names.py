"""Names of actors, both ways. What the dashboard, the logs, pause and the console show is built here and nowhere else.

    supervisor              brings the others into being
    scheduler.a  .b         timers; one of them leads
    consumer.one-off.0      member 0 of the pool `consumer.one-off`
    sync:acme:email         the one place where org `acme` syncs from platform `email`

A name is an admission check, not a lock: Ray may free it before the old process is gone (docs/decisions/0004).
"""

from __future__ import annotations

import re

from sync.base.errors import Permanent
from sync.base.ids import check_org_id, check_platform
from sync.supervision.model import Member, Pair, Seat, Who
from sync.supervision.plan import SEATS
from sync.supervision.pools import POOLS

NAMESPACE = "sync"
SUPERVISOR = "supervisor"

_MEMBER = re.compile(r"(?P<pool>[a-z]+\.[a-z-]+)\.(?P<index>0|[1-9][0-9]{0,3})")


def pool_member(pool: str, index: int) -> str:
    if pool not in POOLS:
        raise Permanent(f"There is no actor pool {pool!r}. Pools: {', '.join(POOLS)}.")
    if not 0 <= index <= 9999:
        raise Permanent(f"A pool has members 0 to 9999, not {index}.")
    return f"{pool}.{index}"


def scheduler(letter: str) -> str:
    if Seat(letter) not in SEATS:
        raise Permanent(f"There is no scheduler {letter!r}, only {' and '.join(seat.letter for seat in SEATS)}.")
    return f"scheduler.{letter}"


def sync_actor(org_id: str, platform: str) -> str:
    """Errors: Permanent for a part that could be mistaken for another name."""
    return f"sync:{check_org_id(org_id)}:{check_platform(platform)}"


def name_of(who: Who) -> str:
    match who:
        case Member(pool, index):
            return pool_member(pool, index)
        case Seat(letter):
            return scheduler(letter)
        case Pair(org_id, platform):
            return sync_actor(org_id, platform)


def parse(name: str) -> Who | None:
    """Whose name this is. None: the supervisor's own, or of nobody we look after."""
    try:
        if name.startswith("sync:"):
            _, org_id, platform = name.split(":")
            return Pair(check_org_id(org_id), check_platform(platform))
    except (ValueError, Permanent):
        return None
    if name.startswith("scheduler."):
        seat = Seat(name.removeprefix("scheduler."))
        return seat if seat in SEATS else None
    found = _MEMBER.fullmatch(name)
    return Member(found["pool"], int(found["index"])) if found and found["pool"] in POOLS else None
