"""Decides what each event of some deliveries means for each account. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.http import HookEvent
from connectors.records import ActivityRecord
from sync.webhooks.model import Holder, Outcome, Stored


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a delivery; without an event, why the delivery cannot be read."""

    delivery: Stored
    number: int
    event: HookEvent | None
    error: str | None = None


@dataclass(slots=True)
class Step:
    """One event for one account; without a holder nobody has that account."""

    told: Told
    event: HookEvent
    holder: Holder | None
    outcome: Outcome
    added: int = 0
    changed: int = 0
    kept: bool = False
    """Applied by an earlier attempt of the same delivery."""


Known = Mapping[tuple[int, str], tuple[int, int]]
"""Integration and key of applied events -> the delivery that brought it, and its number there."""


def decide(told: Sequence[Told], holders: Mapping[tuple[str, str], Sequence[Holder]], known: Known) -> list[Step]:
    seen = dict(known)
    steps: list[Step] = []
    for one in told:
        if one.event is None:
            continue
        found = holders.get((one.delivery.platform, one.event.account), ())
        if not found:
            steps.append(Step(one, one.event, None, "unknown"))
        for holder in found:
            steps.append(_step(one, one.event, holder, seen))
    return steps


def _step(told: Told, event: HookEvent, holder: Holder, seen: dict[tuple[int, str], tuple[int, int]]) -> Step:
    key, place = (holder.id, event.key), (told.delivery.id, told.number)
    if event.key and key in seen:
        if seen[key] == place:
            return Step(told, event, holder, "applied", kept=True)
        return Step(told, event, holder, "duplicate")
    if holder.state != "active":
        return Step(told, event, holder, "inactive")
    if event.key:
        seen[key] = place
    return Step(told, event, holder, "applied")


def is_mark(record: object) -> bool:
    """Whether it says only that something is gone, as `sync.social.activities` understands it."""
    return (
        isinstance(record, ActivityRecord)
        and record.deleted
        and not (record.text or record.title or record.author or record.attachments)
    )
