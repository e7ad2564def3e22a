"""Which messages make which conversation."""

from __future__ import annotations

from typing import Any

from connectors.records import ActivityRecord, Attachment, Author
from sync.inbox.projector import InboxProjector
from sync.store.engine import Database
from tests.integration.inbox.conftest import Desk, at, comment, message, names, open_desk


async def test_each_top_level_comment_is_a_conversation_with_the_replies_below_it(desk: Desk) -> None:
    await desk.bring(
        comment("c1", occurred_at=at(1)),
        comment("c2", by="bob", occurred_at=at(2)),
        comment("r1", "c1", by="us", occurred_at=at(3)),
        comment("r2", "r1", by="eve", occurred_at=at(4)),
    )
    rows = await desk.list()
    assert names(rows, "last_message_preview") == ["says r2", "says c2"]
    assert names(rows, "contact_name") == ["Ada", "Bob"]
    assert await desk.texts(rows[0]["id"]) == ["says c1", "says r1", "says r2"]
    assert rows[0]["root_id"] == "post" and rows[0]["kind"] == "comment" and rows[0]["unread"] == 1
    assert await desk.told() == ["opened", "opened"]


async def test_a_reply_that_comes_before_its_parents_moves_when_they_come(desk: Desk) -> None:
    await desk.bring(comment("r2", "r1", occurred_at=at(3)))
    first = await desk.only()
    await desk.bring(comment("r1", "c1", by="us", occurred_at=at(2)))
    assert (await desk.only())["id"] == first["id"]
    await desk.bring(comment("c1", by="bob", occurred_at=at(1)))
    row = await desk.only()
    assert row["id"] == first["id"] and row["contact_name"] == "Bob"
    assert await desk.texts(row["id"]) == ["says c1", "says r1", "says r2"]


async def test_two_conversations_that_turn_out_to_be_one_are_merged_with_what_people_did(desk: Desk) -> None:
    org = desk.source.org_id
    await desk.bring(comment("c1", occurred_at=at(1)), comment("r2", "r1", by="bob", occurred_at=at(3)))
    late, early = await desk.list()
    await desk.conversations.assign(org, late["id"], "agent-7", "boss")
    await desk.conversations.read(org, early["id"], "boss")
    await desk.bring(comment("r1", "c1", by="eve", occurred_at=at(2)))
    row = await desk.only()
    assert row["id"] == early["id"] and row["assignee"] == "agent-7"
    assert row["unread"] == 3  # what was not read anywhere must not get lost; better twice
    assert (await desk.conversations.show(org, late["id"]))["id"] == early["id"]
    assert await desk.texts(late["id"]) == ["says c1", "says r1", "says r2"]
    await desk.conversations.decide(org, late["id"], "closed", "boss")
    assert (await desk.only())["status"] == "closed"


async def test_own_messages_and_echoes_join_a_conversation_and_open_none(desk: Desk) -> None:
    echo = message("e1", "t2", by="us", occurred_at=at(2))
    echo.direction = "echo"
    await desk.bring(message("o1", by="us", occurred_at=at(1)), echo, comment("oc", by="us"))
    assert await desk.list() == [] and await desk.told() == []
    await desk.bring(message("m1", occurred_at=at(3)), message("m2", "t2", by="bob", occurred_at=at(4)))
    rows = await desk.list()
    assert [await desk.texts(row["id"]) for row in rows] == [["says e1", "says m2"], ["says o1", "says m1"]]
    assert names(rows, "unread") == [1, 1]


async def test_direct_messages_go_by_the_vendors_thread_else_by_the_other_person(db: Database) -> None:
    desk = await open_desk(db, "twitter")
    answer = message("m3", None, by="us", occurred_at=at(3), data={"to": "ada"})
    await desk.bring(message("m1", None, occurred_at=at(1)), message("m2", None, by="bob", occurred_at=at(2)), answer)
    rows = await desk.list()
    assert [await desk.texts(row["id"]) for row in rows] == [["says m1", "says m3"], ["says m2"]]


async def test_replies_of_a_chat_follow_its_own_threads(db: Database) -> None:
    desk = await open_desk(db, "slack")
    await desk.bring(
        message("C1:1", "C1:1", occurred_at=at(1)),
        comment("C1:2", "C1:1", root="C1:1", by="bob", occurred_at=at(2)),
        message("C1:3", "C1:3", by="bob", occurred_at=at(3)),
    )
    rows = await desk.list()
    assert [await desk.texts(row["id"]) for row in rows] == [["says C1:3"], ["says C1:1", "says C1:2"]]
    assert names(rows, "kind") == ["message", "message"]


async def test_answers_in_a_discord_channel_are_one_chain_with_the_thread_on_its_first_message(db: Database) -> None:
    desk = await open_desk(db, "discord")

    def said(number: int, above: int | None, **more: Any) -> ActivityRecord:
        record = message(f"C:{number}", f"C:{above or number}", occurred_at=at(number), **more)
        record.parent_id = f"C:{above}" if above else None
        return record

    thread = comment("T:4", "C:1", root="C:1", occurred_at=at(4))
    await desk.bring(said(3, 2, by="bob"), thread)
    await desk.bring(said(2, 1, by="us"), said(5, None, by="eve"))
    assert len(await desk.list()) == 2  # what hangs on the first message, and Eve
    await desk.bring(said(1, None))
    rows = await desk.list()
    assert [await desk.texts(row["id"]) for row in rows] == [
        ["says C:5"],
        ["says C:1", "says C:2", "says C:3", "says T:4"],
    ]


async def test_posts_mentions_and_presence_are_no_conversations(desk: Desk) -> None:
    kinds = ("post", "mention", "reaction", "presence", "profile")
    await desk.bring(*(ActivityRecord(kind=kind, vendor_id="x", occurred_at=at(0), text="hi") for kind in kinds))
    assert await desk.list() == []


async def test_edits_and_deletes_change_what_the_list_shows(desk: Desk) -> None:
    files = (Attachment("image"), Attachment("file"))
    await desk.bring(message("m1", occurred_at=at(1)), message("m2", occurred_at=at(2), text=None, attachments=files))
    assert (await desk.only())["last_message_preview"] == "[image, file]"
    await desk.bring(message("m2", occurred_at=at(2), text="a\n long  line", version=1))
    assert (await desk.only())["last_message_preview"] == "a long line"
    await desk.bring(ActivityRecord(kind="message", vendor_id="m2", occurred_at=None, deleted=True, version=2))
    row = await desk.only()
    assert row["last_message_preview"] == "says m1" and row["unread"] == 1
    await desk.bring(ActivityRecord(kind="message", vendor_id="m1", occurred_at=None, deleted=True, version=2))
    assert await desk.list() == []
    assert (await desk.conversations.show(desk.source.org_id, row["id"]))["last_message_at"] is None


async def test_a_batch_costs_the_same_statements_whatever_its_size(db: Database) -> None:
    counts = []
    for size in (5, 200):
        desk = await open_desk(db)
        await desk.store(*(comment(f"c{n}", by=f"p{n}", occurred_at=at(n)) for n in range(size)))
        async with db.transaction() as tx:
            rows = await tx.fetch_all("SELECT id FROM activity WHERE org_id = %s", (desk.source.org_id,))
            counting = _Counting(tx)
            await InboxProjector().project(counting, names(rows, "id"))  # type: ignore[arg-type]
            counts.append(counting.count)
        assert len(await desk.list()) == min(size, 50)
    assert counts[0] == counts[1] < 25


async def test_people_are_contacts_of_their_org_and_platform(db: Database) -> None:
    one, other = await open_desk(db, "twitter", "acme", "a"), await open_desk(db, "twitter", "acme", "b")
    stranger, reddit = await open_desk(db, "twitter", "globex"), await open_desk(db, "reddit", "acme")
    for desk in (one, other, stranger, reddit):
        await desk.bring(message("m1"))
    contacts = [row["contact_id"] for row in await one.list()]
    assert len(contacts) == 3 and len(set(contacts)) == 2  # the two accounts on X have the same person
    assert (await stranger.only())["contact_id"] not in contacts
    nameless = ActivityRecord(kind="message", vendor_id="n", thread_id="t9", occurred_at=at(9), author=Author())
    await reddit.bring(nameless)
    assert (await reddit.list())[0]["contact_id"] is None


class _Counting:
    """A transaction that counts statements."""

    def __init__(self, tx: object) -> None:
        self._tx = tx
        self.count = 0

    def __getattr__(self, name: str) -> object:
        self.count += name in ("execute", "fetch_all", "fetch_one", "fetch_value")
        return getattr(self._tx, name)
