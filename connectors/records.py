"""What connectors hand over: one type per kind of record (`SyncType.stores`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

MAIL = "mail"
SOCIAL = "social"
"""Activities and metrics, in any mixture: ActivityRecord, MetricRecord, Rejected."""

ActivityKind = Literal["post", "comment", "message", "mention", "reaction", "presence", "profile"]
Direction = Literal["in", "out", "echo"]


@dataclass(frozen=True, slots=True)
class MailRecord:
    """One mail at one place of a mailbox. The place is unique; the same mail may have several."""

    folder: str
    uidvalidity: int
    uid: int
    flags: tuple[str, ...]
    received_at: datetime | None
    size: int
    raw: bytes | None
    """The mail as the server keeps it; None when it would not hand it out."""
    complete: bool = True
    """False: larger than the limit, `raw` is its beginning."""


class Author(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str | None = None
    name: str | None = None
    handle: str | None = None
    url: str | None = None


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: str
    """image, video, audio, file, link, card ..."""
    url: str | None = None
    id: str | None = None
    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    alt: str | None = None


class ActivityRecord(msgspec.Struct, kw_only=True):
    """Something that somebody did: a post, a comment, a message; or what is so now: a presence, a profile.

    `vendor_id` is unique among records of its kind in an account, and never a float. The same record handed over
    again is an update: it counts only if its `version` is not lower than the stored one and its content differs.
    """

    kind: ActivityKind
    vendor_id: str
    occurred_at: datetime | None
    """None where the vendor does not say: then the time of storing counts."""
    parent_id: str | None = None
    """vendor_id of what it answers: of the post a comment is about, of the comment a reply is to."""
    thread_id: str | None = None
    """What belongs to one conversation: a thread, a direct conversation, the post of comments."""
    place: str | None = None
    """Where it happened, if the account has several places: a channel, a page, a board, a subreddit."""
    author: Author | None = None
    direction: Direction = "in"
    """in: from others. out: written by us here. echo: written as the account, but elsewhere."""
    text: str | None = None
    title: str | None = None
    permalink: str | None = None
    attachments: tuple[Attachment, ...] = ()
    edited_at: datetime | None = None
    deleted: bool = False
    """With no author and no content: a mark on what is stored, which keeps its own; nothing where nothing is stored."""
    version: int = 0
    """Grows with every change where the vendor has such a number (an edit time in ms); 0 where it has none."""
    counters: dict[str, int] | None = None
    """Likes, replies, views as they stand now. They change often: a change of these alone emits no event."""
    data: dict[str, Any] | None = None
    """What else matters and has no field."""
    raw: Any = None
    """The vendor's own object; filled in by the runtime if left out."""


class MetricRecord(msgspec.Struct, kw_only=True):
    """One number about one entity over one window. Its key is everything but value, currency and is_final."""

    entity: str
    """The vendor's id of what was measured."""
    entity_kind: str
    """account, page, post, campaign, ad_group, ad ..."""
    metric: str
    value: Decimal | int | None
    """Exact, never a float. Money in units of `currency`. None: the vendor has no number (yet)."""
    start: datetime
    end: datetime
    """Half-open. A day is the account's day, as instants. A number that stands for ever has start == end."""
    dimensions: dict[str, str] | None = None
    """Breakdown: {"country": "DE"}."""
    currency: str | None = None
    is_final: bool | None = None
    """Whether the vendor will not restate it. None: the runtime decides by the stream's `settle`."""
    place: str | None = None
    """The ad account, page or channel it belongs to."""
    parent: str | None = None
    """The entity above it: the campaign of an ad."""


class Rejected(msgspec.Struct, kw_only=True):
    """An item that could not be read. It is kept aside, and the run goes on."""

    error: str
    raw: Any
    place: str | None = None


class Warned(msgspec.Struct, kw_only=True):
    """Something a person has to look at: an open alert until the same comes with `over`."""

    key: str
    """Which of a sync type's."""
    title: str
    detail: str | None = None
    over: bool = False
