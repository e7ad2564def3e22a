"""Desks: accounts whose activities come in as a sync would store them, and a projector that follows."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.records import ActivityRecord, Author
from sync.events import EventLog, Position, append_events
from sync.inbox.conversations import ConversationFilter, Conversations
from sync.inbox.projector import InboxProjector
from sync.sink import Source
from sync.social.sink import SocialSink
from sync.store.engine import Database

NOON = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
_numbers = itertools.count(1)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


@dataclass
class Desk:
    """One account of one org."""

    db: Database
    source: Source
    conversations: Conversations
    position: Position

    async def store(self, *records: ActivityRecord) -> None:
        """As a page of a sync does."""
        sink = SocialSink()
        async with self.db.transaction() as tx:
            applied = await sink.apply(tx, self.source, sink.prepare(records), force=False)
            await append_events(tx, applied.events)

    async def follow(self, projector: InboxProjector | None = None) -> int:
        """Hand everything new of this org to the projector; how many events that were."""
        projector = projector or InboxProjector()
        async with self.db.transaction() as tx:
            events, self.position = await EventLog.read(tx, self.position, org_id=self.source.org_id)
        wanted = [event for event in events if not event.type.startswith("conversation.")]
        if wanted:
            async with self.db.transaction() as tx:
                await projector.handle(tx, wanted)
        return len(wanted)

    async def bring(self, *records: ActivityRecord) -> None:
        await self.store(*records)
        await self.follow()

    async def list(self, **wanted: Any) -> list[dict[str, Any]]:
        return await self.conversations.list(self.source.org_id, ConversationFilter(**wanted))

    async def only(self) -> dict[str, Any]:
        (row,) = await self.list()
        return row

    async def texts(self, conversation_id: int) -> list[str]:
        rows = await self.conversations.messages(self.source.org_id, conversation_id)
        return [row["text"] for row in rows]

    async def told(self) -> list[str]:
        rows = await self.db.fetch_all(
            "SELECT type FROM event WHERE org_id = %s AND type LIKE 'conversation.%%' ORDER BY id",
            (self.source.org_id,),
        )
        return [row["type"].removeprefix("conversation.") for row in rows]


async def open_desk(db: Database, platform: str = "facebook", org: str | None = None, account: str = "page") -> Desk:
    org = org or f"org-{next(_numbers)}"
    integration = await db.fetch_value(
        "INSERT INTO integration (org_id, platform, account) VALUES (%s, %s, %s) RETURNING id", (org, platform, account)
    )
    source = Source(org, platform, integration, account, "comments")
    return Desk(db, source, Conversations(db), Position())


def comment(vendor_id: str, parent: str = "post", *, by: str = "ada", **more: Any) -> ActivityRecord:
    """Under the post `post` of our page `us`; written a minute after the one with the number before."""
    return ActivityRecord(
        kind="comment",
        vendor_id=vendor_id,
        parent_id=parent,
        thread_id=more.pop("root", "post"),
        place="page",
        author=Author(id=by, name=by.title()),
        direction="out" if by == "us" else "in",
        **{"occurred_at": at(0), "text": f"says {vendor_id}", **more},
    )


def message(vendor_id: str, thread: str | None = "t1", *, by: str = "ada", **more: Any) -> ActivityRecord:
    return ActivityRecord(
        kind="message",
        vendor_id=vendor_id,
        thread_id=thread,
        place="page",
        author=Author(id=by, name=by.title()),
        direction="out" if by == "us" else "in",
        **{"occurred_at": at(0), "text": f"says {vendor_id}", **more},
    )


@pytest.fixture
async def desk(db: Database) -> AsyncIterator[Desk]:
    yield await open_desk(db)


def names(rows: Sequence[dict[str, Any]], key: str) -> list[Any]:
    return [row[key] for row in rows]
