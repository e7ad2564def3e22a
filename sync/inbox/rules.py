"""The rules of the inbox. Pure: no clock, no database."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Status = Literal["open", "pending", "closed"]
Identity = tuple[str, str]
"""(kind, value): what a contact is known by. The kind is a platform, or `email`."""

KINDS = ("comment", "message")
"""Kinds of activities that make conversations. A mention is a copy of one of these, or a post of its own."""
HISTORY = timedelta(days=30)
PREVIEW = 200
UNREAD_CAP = 1000
"""Counting stops here."""

_THREADED = frozenset({"slack", "discord", "telegram", "twitch"})
"""Where comments have a vendor's thread of their own; elsewhere their `thread_id` is the post, and a post has many."""
_CHAINED = frozenset({"discord"})
"""Where a message names only the one that it answers: the thread is their chain."""
_ACCOUNT_SCOPED = frozenset({"slack", "facebook", "tiktok"})
"""Where a person's id is only unique within a workspace, Page or business account."""
_EMAIL = re.compile(r"[^@\s\"<>(),;:\\]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])")
_SHARED = frozenset(
    {
        *("abuse", "accounts", "admin", "billing", "contact", "enquiries", "feedback", "hello", "help", "hr", "info"),
        *("invoices", "it", "jobs", "kontakt", "mail", "mailer-daemon", "marketing", "no-reply", "noreply", "office"),
        *("donotreply", "do-not-reply", "orders", "postmaster", "press", "sales", "security", "service", "shop"),
        *("support", "team", "webmaster"),
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """A comment or message, as far as the inbox cares."""

    platform: str
    kind: str
    vendor_id: str
    parent_id: str | None
    root_id: str | None
    """The post, or the vendor's thread (`thread_id` of the activity)."""
    place: str | None
    author_id: str | None
    to: str | None = None
    """Whom it was written to, where the vendor says so."""
    incoming: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A comment in its tree."""

    parent_id: str | None
    root_id: str | None


def in_tree(said: Said) -> bool:
    """Whether its conversation depends on what is above it."""
    return said.platform in _CHAINED if said.kind == "message" else said.platform not in _THREADED


def root_of(said: Said) -> str | None:
    """The post or thread, where the vendor names it and not just what was answered."""
    return None if said.kind == "message" and said.platform in _CHAINED else said.root_id


def flat_key(said: Said) -> str:
    """The thread of what is in no tree: the vendor's, else the other person at this place."""
    if said.root_id is not None:
        return f"thread:{said.root_id}"
    peer = said.author_id if said.incoming else said.to
    return f"peer:{said.place or ''}:{peer}" if peer else f"single:{said.vendor_id}"


def tree_key(vendor_id: str, known: Mapping[str, Node], kind: str = "comment") -> str:
    """The thread of a comment: its topmost ancestor, known or only named.

    A chain of messages bears the name of the thread that may hang on its first one.

    One post has many conversations, one under each top-level comment. Ids of comments are unique in an account, so the
    post need not be part of the key, and a vendor who leaves it out of some answers does no harm.
    """
    name = "comment" if kind == "comment" else "thread"
    seen = [vendor_id]
    while True:
        node = known.get(seen[-1])
        if node is None:  # named as a parent only
            return f"{name}:{seen[-1]}"
        parent = node.parent_id
        if parent is None or (parent == node.root_id and parent not in known):
            return f"{name}:{seen[-1]}"
        if parent in seen:  # comments that answer each other: the same name for all of them
            return f"{name}:{min(seen[seen.index(parent) :])}"
        seen.append(parent)


Position = tuple[datetime, int]
"""(occurred_at, activity id): the order of messages in a conversation."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What people (or the account's age) decided, and up to which message it holds; None: for ever."""

    status: Status
    through: Position | None
    at: datetime | None = None
    """When somebody decided; None: nobody did."""


def status_of(choice: Choice, last_in: Position | None) -> Status:
    """An incoming message after the one that was seen opens the conversation again."""
    if choice.status != "open" and choice.through is not None and last_in is not None and last_in > choice.through:
        return "open"
    return choice.status


def first_choice(connected_at: datetime) -> Choice:
    """Before anybody decides: what is history is closed."""
    return Choice("closed", (connected_at - HISTORY, 0))


def merged_choice(one: Choice, other: Choice) -> Choice:
    """Of two conversations that turn out to be one: what was decided last."""
    decided = [choice for choice in (one, other) if choice.at is not None]
    return max(decided, key=lambda choice: (choice.at, choice.status), default=one)


def preview_of(text: str | None, title: str | None, attachments: Any) -> str:
    """One line for lists."""
    line = " ".join((text or title or "").split())
    if line:
        return line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…"
    kinds = [str(found.get("kind") or "file") for found in attachments or () if isinstance(found, dict)]
    return f"[{', '.join(kinds[:5])}]" if kinds else ""


# --- contacts


def vendor_identity(platform: str, integration_id: int, author_id: str | None, handle: str | None) -> Identity | None:
    """What a vendor knows an author by. A handle serves only where there is no id."""
    own = author_id or (f"@{handle.lower()}" if handle and handle != "[deleted]" else None)
    if own is None:
        return None
    return (platform, f"{integration_id}:{own}" if platform in _ACCOUNT_SCOPED else own)


def email_identity(address: str | None) -> Identity | None:
    """An address that stands for one person. Shared ones (info@, support@) do not: they would join strangers."""
    clean = (address or "").strip().lower()
    if not _EMAIL.fullmatch(clean) or clean.partition("@")[0].partition("+")[0] in _SHARED:
        return None
    return ("email", clean)


class Groups:
    """Identities that belong together because one record named them together; the order of records does not matter."""

    def __init__(self) -> None:
        self._above: dict[Identity, Identity] = {}

    def add(self, *identities: Identity) -> None:
        first = self._top(identities[0])
        for other in identities[1:]:
            self._above[self._top(other)] = first

    def groups(self) -> list[list[Identity]]:
        found: dict[Identity, list[Identity]] = {}
        for identity in self._above:
            found.setdefault(self._top(identity), []).append(identity)
        return [sorted(members) for members in found.values()]

    def _top(self, identity: Identity) -> Identity:
        above: Callable[[Identity], Identity] = lambda one: self._above.setdefault(one, one)  # noqa: E731
        while above(identity) != identity:
            identity = above(identity)
        return identity
