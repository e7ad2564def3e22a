"""The rules of the inbox, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.inbox import rules
from sync.inbox.replies import may_resend
from sync.inbox.rules import Choice, Groups, Node, Said

NOON = datetime(2027, 5, 1, 12, tzinfo=UTC)


def said(platform: str, kind: str, **more: Any) -> Said:
    values = {"parent_id": None, "root_id": None, "place": "p", "author_id": "ada", **more}
    return Said(platform=platform, kind=kind, vendor_id="x", **values)


def test_which_messages_hang_in_a_tree() -> None:
    assert rules.in_tree(said("facebook", "comment")) and not rules.in_tree(said("facebook", "message"))
    assert not rules.in_tree(said("slack", "comment")) and rules.in_tree(said("discord", "message"))


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"root_id": "t"}, "thread:t"),
        ({}, "peer:p:ada"),
        ({"incoming": False, "to": "bob"}, "peer:p:bob"),
        ({"incoming": False}, "single:x"),
    ],
)
def test_threads_of_direct_messages(more: dict[str, Any], key: str) -> None:
    assert rules.flat_key(said("twitter", "message", **more)) == key


def test_the_topmost_comment_names_the_thread() -> None:
    known = {"c": Node("post", "post"), "r": Node("c", "post"), "lost": Node("gone", "post"), "bare": Node(None, None)}
    assert rules.tree_key("r", known) == rules.tree_key("c", known) == "comment:c"
    assert rules.tree_key("lost", known) == "comment:gone" and rules.tree_key("bare", known) == "comment:bare"
    assert rules.tree_key("bare", known, "message") == "thread:bare"


def test_comments_that_answer_each_other_are_one_thread() -> None:
    known = {"a": Node("b", "post"), "b": Node("a", "post"), "c": Node("b", "post")}
    assert {rules.tree_key(one, known) for one in known} == {"comment:a"}


def test_a_decision_holds_up_to_the_message_that_was_seen() -> None:
    closed = Choice("closed", (NOON, 7))
    assert rules.status_of(closed, (NOON, 7)) == rules.status_of(closed, None) == "closed"
    assert rules.status_of(closed, (NOON, 8)) == "open"
    assert rules.status_of(Choice("open", None), (NOON, 1)) == "open"
    first = rules.first_choice(NOON)
    assert rules.status_of(first, (NOON - timedelta(days=31), 1)) == "closed"
    assert rules.status_of(first, (NOON - timedelta(days=29), 1)) == "open"


def test_of_two_decisions_the_later_counts() -> None:
    early, late, nobody = (
        Choice("closed", None, NOON),
        Choice("pending", None, NOON + timedelta(1)),
        Choice("closed", None),
    )
    assert rules.merged_choice(early, late) is rules.merged_choice(late, early) is late
    assert rules.merged_choice(nobody, early) is early and rules.merged_choice(nobody, nobody) is nobody


def test_previews_are_one_short_line() -> None:
    assert rules.preview_of(" a\n b ", None, None) == "a b" and rules.preview_of(None, "Title", None) == "Title"
    assert rules.preview_of("", None, [{"kind": "image"}, {}]) == "[image, file]" and not rules.preview_of(
        None, None, ()
    )
    assert len(rules.preview_of("x" * 500, None, None)) == rules.PREVIEW


def test_identities() -> None:
    assert rules.vendor_identity("slack", 5, "U1", None) == ("slack", "5:U1")
    assert rules.vendor_identity("twitter", 5, "12", "ada") == ("twitter", "12")
    assert rules.vendor_identity("twitter", 5, None, "Ada") == ("twitter", "@ada")
    assert rules.vendor_identity("reddit", 5, None, "[deleted]") is None
    assert rules.email_identity("A@b.test") == ("email", "a@b.test")
    for shared in ("info@b.test", "no-reply@b.test", "support+1@b.test", "a b@c.test", "", None):
        assert rules.email_identity(shared) is None


def test_groups_do_not_depend_on_the_order() -> None:
    pairs = [(("a", "1"), ("b", "2")), (("c", "3"), ("d", "4")), (("b", "2"), ("c", "3")), (("e", "5"),)]
    for order in (pairs, pairs[::-1]):
        groups = Groups()
        for pair in order:
            groups.add(*pair)
        assert sorted(map(len, groups.groups())) == [1, 4]


def test_who_may_be_asked_again() -> None:
    assert not may_resend(None, NOON, NOON)
    assert may_resend(timedelta(minutes=2), NOON, NOON + timedelta(minutes=1))
    assert not may_resend(timedelta(minutes=2), NOON, NOON + timedelta(minutes=3))
