"""The inbox is the same in whatever order, how often and in how large batches its activities came."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.records import ActivityRecord, Author
from sync.base.settings import StoreSettings
from sync.inbox.projector import InboxProjector
from sync.store.engine import Database
from tests.integration.inbox.conftest import Desk, at, open_desk

PEOPLE = ("ada", "bob", "us")
EMAILS = (None, "ada@acme.test", "bob@acme.test", "support@acme.test")


@st.composite
def worlds(draw: st.DrawFn) -> list[ActivityRecord]:
    """Comments in trees, direct messages, profiles; each perhaps edited and deleted later. Times are all different."""
    records: list[ActivityRecord] = []
    count = draw(st.integers(1, 7))
    for number in range(count):
        parent = draw(st.sampled_from(["post", None, *(f"c{other}" for other in range(-1, count) if other != number)]))
        records += draw(versions(said("comment", f"c{number}", draw, number, parent_id=parent, thread_id="post")))
    for number in range(draw(st.integers(0, 4))):
        thread = draw(st.sampled_from(["t1", "t2", None]))
        records += draw(versions(said("message", f"m{number}", draw, 20 + number, thread_id=thread)))
    for who in PEOPLE[:2]:
        if (email := draw(st.sampled_from(EMAILS))) is not None:
            author = Author(id=who, name=f"{who} by profile")
            profile = ActivityRecord(kind="profile", vendor_id=who, occurred_at=at(50), author=author)
            profile.data = {"email": email}
            records.append(profile)
    return records


def said(kind: Any, vendor_id: str, draw: st.DrawFn, minute: int, **more: Any) -> ActivityRecord:
    who = draw(st.sampled_from(PEOPLE))
    ours = draw(st.sampled_from(["out", "echo"])) if who == "us" else "in"
    days = draw(st.sampled_from([0, 0, 0, 60 * 24 * 40]))  # some are history
    return ActivityRecord(
        kind=kind,
        vendor_id=vendor_id,
        place="page",
        author=Author(id=who, name=who.title()),
        direction=ours,
        occurred_at=at(minute - days),
        text=f"{vendor_id} first",
        **more,
    )


@st.composite
def versions(draw: st.DrawFn, first: ActivityRecord) -> list[ActivityRecord]:
    found = [first]
    if draw(st.booleans()):
        found.append(changed(first, version=1, text=f"{first.vendor_id} edited", edited_at=at(60)))
    if draw(st.integers(0, 3)) == 0:
        found.append(changed(first, version=2, deleted=True, text=f"{first.vendor_id} last"))
    return found


def changed(record: ActivityRecord, **more: Any) -> ActivityRecord:
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    return ActivityRecord(**{**values, **more})


async def state(desk: Desk) -> dict[str, Any]:
    """Everything that the inbox says about this org, without the numbers that depend on who came first."""
    org = desk.source.org_id
    conversations = await desk.db.fetch_all(
        """SELECT c.thread_key, c.kind, c.root_id, c.place, c.status, c.unread, c.opened_at, c.last_in_at,
                  c.last_message_at, c.last_message_direction, c.last_message_preview, a.vendor_id AS last_message,
                  (SELECT array_agg(k.kind || ' ' || k.value ORDER BY k.kind, k.value) FROM contact_identity k
                   WHERE k.contact_id = c.contact_id) AS contact
           FROM conversation c LEFT JOIN activity a ON a.id = c.last_message_id
           WHERE c.org_id = %s AND c.merged_into IS NULL AND c.last_message_at IS NOT NULL ORDER BY c.thread_key""",
        (org,),
    )
    messages = await desk.db.fetch_all(
        """SELECT vendor_id, thread_key, incoming, deleted, occurred_at FROM inbox_message WHERE org_id = %s
           ORDER BY kind, vendor_id""",
        (org,),
    )
    contacts = await desk.db.fetch_all(
        """SELECT name, handle, email, named_at,
                  (SELECT array_agg(k.kind || ' ' || k.value ORDER BY k.kind, k.value) FROM contact_identity k
                   WHERE k.contact_id = p.id) AS identities
           FROM contact p WHERE org_id = %s AND merged_into IS NULL ORDER BY 5""",
        (org,),
    )
    number = str(desk.source.integration_id)
    for row in (*conversations, *contacts):
        for name in ("contact", "identities"):
            if row.get(name):
                row[name] = [one.replace(f" {number}:", " ") for one in row[name]]
    for row in contacts:
        row["named_at"] = row["named_at"] is not None  # profiles are dated when they are stored
    return {"conversations": conversations, "messages": messages, "contacts": contacts}


async def played(
    db: Database, records: list[ActivityRecord], rng: random.Random | None, *, follow: str
) -> tuple[Desk, dict[str, Any]]:
    """Store the records one by one in some order, some of them twice, and let the projector follow."""
    desk = await open_desk(db)
    order = list(records)
    if rng is not None:
        order += rng.choices(records, k=len(records) // 2)
        rng.shuffle(order)
    for record in order:
        await desk.store(changed(record))
        if follow == "each" or (follow == "some" and rng is not None and rng.random() < 0.4):
            await desk.follow()
    await desk.follow()
    if rng is not None:  # events that are delivered again, in another order
        ids = [row["id"] for row in await db.fetch_all("SELECT id FROM activity WHERE org_id = %s", (_org(desk),))]
        for some in (rng.sample(ids, k=(len(ids) + 1) // 2), ids[::-1]):
            async with db.transaction() as tx:
                await InboxProjector().project(tx, some)
    return desk, await state(desk)


def _org(desk: Desk) -> str:
    return desk.source.org_id


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Hypothesis calls its examples synchronously; they share a loop and a database."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


async def _database(pg_url: str) -> AsyncIterator[Database]:
    async with Database(pg_url, StoreSettings(), application="test", pool_size=3, relaxed=True) as database:
        yield database


def test_order_repetition_and_batches_do_not_matter(pg_url: str, loop: asyncio.AbstractEventLoop) -> None:
    opened = _database(pg_url)
    db = loop.run_until_complete(anext(opened))

    @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(worlds(), st.integers(0, 2**32))
    def check(records: list[ActivityRecord], seed: int) -> None:
        loop.run_until_complete(_compare(db, records, seed))

    try:
        check()
    finally:
        loop.run_until_complete(opened.aclose())  # type: ignore[attr-defined]


async def _compare(db: Database, records: list[ActivityRecord], seed: int) -> None:
    _, expected = await played(db, records, None, follow="end")
    for number, follow in enumerate(("each", "some", "end")):
        desk, found = await played(db, records, random.Random(seed + number), follow=follow)
        assert found == expected, follow
        await _sound(desk, records)


async def _sound(desk: Desk, records: list[ActivityRecord]) -> None:
    """What must hold for any inbox, worked out apart from it."""
    by_id = {record.vendor_id: record for record in records if record.kind == "comment"}
    rows = await desk.db.fetch_all(
        "SELECT vendor_id, kind, thread_key, incoming FROM inbox_message WHERE org_id = %s", (_org(desk),)
    )
    opened = {row["thread_key"] for row in rows if row["incoming"]}
    stored = await desk.db.fetch_all(
        "SELECT thread_key FROM conversation WHERE org_id = %s AND merged_into IS NULL", (_org(desk),)
    )
    assert {row["thread_key"] for row in stored} == opened
    together: dict[str, set[str]] = {}
    for row in rows:
        if row["kind"] == "comment":
            together.setdefault(row["thread_key"], set()).add(row["vendor_id"])
    for record in by_id.values():
        if record.parent_id in by_id:
            assert any({record.vendor_id, record.parent_id} <= members for members in together.values())
