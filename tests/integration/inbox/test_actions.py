"""What people do with conversations, and how messages answer to it."""

from __future__ import annotations

import pytest

from connectors.records import ActivityRecord
from sync.base.errors import ApiError
from sync.inbox.contacts import Person, remember
from sync.inbox.conversations import ConversationFilter
from sync.inbox.rules import email_identity
from sync.store.engine import Database
from tests.integration.inbox.conftest import NOON, Desk, at, comment, message, names, open_desk


async def test_a_closed_conversation_reopens_with_a_later_message_only(desk: Desk) -> None:
    org = desk.source.org_id
    await desk.bring(message("m1", occurred_at=at(10)))
    row = await desk.conversations.decide(org, (await desk.only())["id"], "closed", "agent")
    assert row["status"] == "closed"
    await desk.bring(message("late", occurred_at=at(5)), message("ours", by="us", occurred_at=at(20)))
    assert (await desk.only())["status"] == "closed"
    await desk.bring(message("m1", occurred_at=at(10), text="edited", version=1))
    assert (await desk.only())["status"] == "closed"
    await desk.bring(message("m2", occurred_at=at(30)))
    assert (await desk.only())["status"] == "open"
    assert [what for what in await desk.told() if what != "changed"] == ["opened", "closed", "reopened"]


async def test_one_that_was_put_off_comes_back_when_they_answer(desk: Desk) -> None:
    org = desk.source.org_id
    await desk.bring(message("m1", occurred_at=at(1)))
    row = await desk.conversations.decide(org, (await desk.only())["id"], "pending", "agent")
    assert names(await desk.list(status="pending"), "id") == [row["id"]] and await desk.list(status="open") == []
    await desk.bring(message("m2", occurred_at=at(2)))
    assert names(await desk.list(status="open"), "id") == [row["id"]]
    await desk.conversations.decide(org, row["id"], "closed", "agent")
    await desk.conversations.decide(org, row["id"], "open", "agent")
    assert (await desk.only())["status"] == "open"


async def test_what_arrives_late_is_unread_though_it_was_written_before_the_last_look(desk: Desk) -> None:
    org = desk.source.org_id
    await desk.bring(message("m1", occurred_at=at(10)))
    assert (await desk.conversations.read(org, (await desk.only())["id"], "agent"))["unread"] == 0
    await desk.bring(message("late", occurred_at=at(5)))
    assert (await desk.only())["unread"] == 1
    await desk.bring(message("ours", by="us", occurred_at=at(20)))
    assert (await desk.only())["unread"] == 0  # answered, wherever that was
    await desk.bring(message("m2", occurred_at=at(30)), message("m3", occurred_at=at(31)))
    assert (await desk.only())["unread"] == 2


async def test_history_from_before_the_account_was_connected_waits_for_nobody(desk: Desk) -> None:
    days = 60 * 24
    await desk.bring(message("old", occurred_at=at(-40 * days)), message("new", "t2", occurred_at=at(-10 * days)))
    new, old = await desk.list()
    assert (new["status"], new["unread"], old["status"], old["unread"]) == ("open", 1, "closed", 0)
    await desk.bring(message("again", occurred_at=at(0)))
    again = (await desk.list())[0]
    assert (again["id"], again["status"], again["unread"]) == (old["id"], "open", 1)


async def test_assigning_tells_once(desk: Desk) -> None:
    org = desk.source.org_id
    await desk.bring(message("m1"))
    conversation = (await desk.only())["id"]
    for _ in range(2):
        row = await desk.conversations.assign(org, conversation, "agent-7", "boss")
    assert row["assignee"] == "agent-7" and await desk.told() == ["opened", "assigned"]
    assert names(await desk.list(assignee="agent-7"), "id") == [conversation]
    assert await desk.list(assigned=False) == []
    await desk.conversations.assign(org, conversation, None, "boss")
    assert await desk.list(assigned=True) == []


async def test_lists_are_filtered_and_paged(desk: Desk) -> None:
    org = desk.source.org_id
    await desk.bring(
        *(message(f"m{n}", f"t{n}", by=f"p{n}", occurred_at=at(n // 2)) for n in range(5)),
        comment("c1", by="ada", occurred_at=at(9), text="50% off_er?"),
    )
    every = await desk.list()
    pages, place = [], None
    while page := await desk.conversations.list(org, ConversationFilter(), before=place, limit=2):
        pages += page
        place = (page[-1]["last_message_at"], page[-1]["id"])
    assert names(pages, "id") == names(every, "id") and len(every) == 6
    assert names(await desk.list(kind="comment"), "last_message_preview") == ["50% off_er?"]
    assert names(await desk.list(text="50% off_"), "kind") == ["comment"]
    assert await desk.list(text="%") == await desk.list(kind="comment")
    assert names(await desk.list(text="p3"), "contact_name") == ["P3"]
    assert await desk.list(platform="slack") == [] and len(await desk.list(place="page", unread=True)) == 6
    contact = every[0]["contact_id"]
    assert names(await desk.list(contact_id=contact), "id") == [every[0]["id"]]


async def test_nobody_sees_or_changes_what_belongs_to_another_org(desk: Desk, db: Database) -> None:
    await desk.bring(message("m1"))
    row = await desk.only()
    act = desk.conversations
    for attempt in (
        act.show("globex", row["id"]),
        act.messages("globex", row["id"]),
        act.assign("globex", row["id"], "me", "me"),
        act.decide("globex", row["id"], "closed", "me"),
        act.read("globex", row["id"], "me"),
        act.contact("globex", row["contact_id"]),
    ):
        with pytest.raises(ApiError) as refused:
            await attempt
        assert refused.value.status == 404
    assert await desk.only() == row
    assert await act.list("globex", ConversationFilter()) == []


# --- contacts


async def test_a_profile_with_an_address_joins_the_sender_of_mails_and_the_one_who_writes(db: Database) -> None:
    desk = await open_desk(db, "slack")
    org = desk.source.org_id
    async with db.transaction() as tx:
        await remember(tx, [Person(org, (("email", "ada@acme.test"),), NOON, "Ada L.", email="ada@acme.test")])
    await desk.bring(message("C:1", "C:1", by="ada"))
    assert await _count(db, org) == 2
    profile = ActivityRecord(kind="profile", vendor_id="ada", occurred_at=None, data={"email": "Ada@Acme.test"})
    await desk.bring(profile)
    assert await _count(db, org) == 1
    contact = await desk.conversations.contact(org, (await desk.only())["contact_id"])
    assert [one["kind"] for one in contact["identities"]] == ["email", "slack"] and contact["email"] == "ada@acme.test"
    merged = await db.fetch_value("SELECT id FROM contact WHERE org_id = %s AND merged_into IS NOT NULL", (org,))
    assert (await desk.conversations.contact(org, merged))["id"] == contact["id"]
    assert len(await desk.list(contact_id=merged)) == 1


async def test_a_shared_address_joins_nobody(db: Database) -> None:
    desk = await open_desk(db, "slack")
    profiles = [
        ActivityRecord(kind="profile", vendor_id=who, occurred_at=None, data={"email": "info@acme.test"})
        for who in ("ada", "bob")
    ]
    await desk.bring(message("C:1", "C:1", by="ada"), message("C:2", "C:2", by="bob"), *profiles)
    assert await _count(db, desk.source.org_id) == 2
    assert email_identity("info+x@acme.test") is None and email_identity("no mail") is None
    assert email_identity(" Ada@Acme.Test ") == ("email", "ada@acme.test")


async def test_senders_of_mails_are_contacts(db: Database) -> None:
    desk = await open_desk(db, "email", account="us@acme.test")
    mail = await db.fetch_value(
        """INSERT INTO mail_message (org_id, integration_id, content_key, state, received_at, subject, from_name,
             from_address, size) VALUES (%s, %s, 'x', 'stored', now(), 'Hi', 'Eve', 'Eve@Else.test', 1) RETURNING id""",
        (desk.source.org_id, desk.source.integration_id),
    )
    await db.execute(
        "INSERT INTO event (org_id, type, subject, payload) VALUES (%s, 'mail.received', 'x', %s::jsonb)",
        (desk.source.org_id, f'{{"id": {mail}}}'),
    )
    await desk.follow()
    rows = await db.fetch_all("SELECT name, email FROM contact WHERE org_id = %s", (desk.source.org_id,))
    assert rows == [{"name": "Eve", "email": "eve@else.test"}]


async def _count(db: Database, org: str) -> int:
    return int(await db.fetch_value("SELECT count(*) FROM contact WHERE org_id = %s AND merged_into IS NULL", (org,)))
