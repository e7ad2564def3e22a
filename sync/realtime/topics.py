"""What can be listened to, and which events somebody wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from sync.events import LoggedEvent

TOPICS: dict[str, tuple[str, ...]] = {
    "activities": ("activity", "metrics", "mail"),
    "conversations": ("conversation",),
    "runs": ("sync",),
    "integrations": ("integration",),
    "notifications": ("notification",),
    "alerts": ("alert",),
    "broadcasts": ("broadcast",),
}
"""Topic -> the first words of the event types that belong to it."""
PERSONAL = frozenset({"notifications"})
"""Topics whose events are for one user: the subject of the token."""

_TOPIC_OF = {family: topic for topic, families in TOPICS.items() for family in families}

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Names = Annotated[list[Name], msgspec.Meta(min_length=1, max_length=50)]
Number = Annotated[int, msgspec.Meta(ge=1)]
Numbers = Annotated[list[Number], msgspec.Meta(min_length=1, max_length=50)]


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of the payload and the values that they must have; a list means any of them."""

    platform: Name | Names | None = None
    integration_id: Number | Numbers | None = None
    conversation_id: Number | Numbers | None = None
    topic: Name | Names | None = None
    """Of broadcasts, as their subscriptions name it."""


class Selection:
    """Topics with their filters, ready to be asked for every event."""

    __slots__ = ("_conditions",)

    def __init__(self, filters: Mapping[str, Filter]) -> None:
        """Errors: ValueError for a topic that does not exist."""
        if unknown := filters.keys() - TOPICS.keys():
            raise ValueError(f"There is no topic {sorted(unknown)[0]!r}. Topics: {', '.join(TOPICS)}.")
        self._conditions = {topic: _conditions(wanted) for topic, wanted in filters.items()}

    @property
    def topics(self) -> list[str]:
        return list(self._conditions)

    def wants(self, topic: str, event: LoggedEvent, user: str) -> bool:
        conditions = self._conditions.get(topic)
        if conditions is None:
            return False
        if topic in PERSONAL and not _is_for(event, user):
            return False
        return all(_field(event, name) in values for name, values in conditions)


def topic_of(event_type: str) -> str | None:
    """None: events of this type are not for clients."""
    return _TOPIC_OF.get(event_type.partition(".")[0])


def _conditions(wanted: Filter) -> tuple[tuple[str, frozenset[Any]], ...]:
    given = ((name, getattr(wanted, name)) for name in wanted.__struct_fields__)
    return tuple((name, frozenset(_listed(value))) for name, value in given if value is not None)


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else (value,)


def _field(event: LoggedEvent, name: str) -> Any:
    if name == "conversation_id" and event.subject.startswith("conversation:"):
        number = event.subject.removeprefix("conversation:")
        return int(number) if number.isdecimal() else None
    return event.payload.get(name)


def _is_for(event: LoggedEvent, user: str) -> bool:
    return event.payload.get("user") == user or event.subject == f"user:{user}"
