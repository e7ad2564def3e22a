"""Who wants which event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sync.events import LoggedEvent
from sync.realtime.topics import TOPICS, Filter, Selection, topic_of


def event(type: str = "activity.added", subject: str = "thing:1", **payload: Any) -> LoggedEvent:
    return LoggedEvent(1, "acme", type, subject, payload, 1, None, None, datetime(2027, 5, 1, tzinfo=UTC))


def selection(of: str, /, **fields: Any) -> Selection:
    return Selection({of: msgspec.convert(fields, Filter)})


@pytest.mark.parametrize(
    ("type", "topic"),
    [
        ("activity.added", "activities"),
        ("metrics.changed", "activities"),
        ("mail.received", "activities"),
        ("conversation.opened", "conversations"),
        ("sync.failed", "runs"),
        ("integration.expired", "integrations"),
        ("notification.created", "notifications"),
        ("alert.raised", "alerts"),
        ("broadcast.sent", "broadcasts"),
        ("row.changed", None),
        ("activitylike.added", None),
        ("", None),
    ],
)
def test_the_first_word_of_a_type_decides_its_topic(type: str, topic: str | None) -> None:
    assert topic_of(type) == topic


def test_only_what_was_asked_for_is_wanted() -> None:
    wanted = selection("activities")
    assert wanted.wants("activities", event(), "ada")
    assert not any(wanted.wants(topic, event(), "ada") for topic in TOPICS if topic != "activities")


def test_a_filter_names_one_value_or_several() -> None:
    one = selection("activities", platform="slack")
    several = selection("activities", platform=["slack", "reddit"], integration_id=7)
    assert one.wants("activities", event(platform="slack"), "ada")
    assert not one.wants("activities", event(platform="reddit"), "ada")
    assert several.wants("activities", event(platform="reddit", integration_id=7), "ada")
    assert not several.wants("activities", event(platform="reddit", integration_id=8), "ada")


def test_an_event_without_the_field_does_not_match() -> None:
    assert not selection("activities", platform="slack").wants("activities", event(), "ada")


def test_a_conversation_is_known_by_its_subject() -> None:
    one = selection("conversations", conversation_id=[17])
    assert one.wants("conversations", event("conversation.changed", "conversation:17", id=17), "ada")
    assert not one.wants("conversations", event("conversation.changed", "conversation:18", id=17), "ada")
    assert not one.wants("conversations", event("conversation.changed", "conversation:x"), "ada")


def test_notifications_are_for_their_user_alone() -> None:
    wanted = selection("notifications")
    mine = event("notification.created", "notification:1", user="ada")
    addressed = event("notification.created", "user:ada")
    for_all = event("notification.created", "notification:2")
    assert wanted.wants("notifications", mine, "ada") and wanted.wants("notifications", addressed, "ada")
    assert not any(wanted.wants("notifications", one, "bob") for one in (mine, addressed, for_all))
    assert not wanted.wants("notifications", for_all, "ada")


def test_broadcasts_are_told_apart_by_the_topic_of_their_subscription() -> None:
    one = selection("broadcasts", topic="orders")
    assert one.wants("broadcasts", event("broadcast.sent", "topic:orders", topic="orders"), "ada")
    assert not one.wants("broadcasts", event("broadcast.sent", "topic:stock", topic="stock"), "ada")


def test_an_unknown_topic_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"no topic 'weather'.*activities"):
        Selection({"weather": Filter()})


@pytest.mark.parametrize(
    "wrong", [{"platform": ""}, {"platform": []}, {"integration_id": 0}, {"integration_id": "7"}, {"author": "ada"}]
)
def test_a_filter_that_cannot_match_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Filter)
