"""Replies through simulated vendors: sent once, found again as what the next pull brings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from connectors.registry import PLATFORMS
from simulator.server import running
from simulator.world import World
from sync.base.errors import ApiError
from sync.base.sealing import Sealer, new_key
from sync.base.settings import ConnectorSettings, SecretsSettings, Settings, SyncSettings
from sync.inbox.conversations import ConversationFilter, Conversations
from sync.inbox.handlers import inbox_kinds
from sync.inbox.projector import InboxProjector
from sync.inbox.replies import ReplyDesk
from sync.inbox.sending import ReplySender
from sync.jobs.catalogue import Catalogue
from sync.jobs.outcome import Cancel, Done, Snooze
from sync.jobs.queue import Queue
from sync.pull.accounts import Accounts
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database
from tests.integration.connectors.conftest import ORG, Office

PULLED = {
    "slack": ("messages", "comments"),
    "telegram": ("messages",),
    "discord": ("messages", "comments"),
    "reddit": ("comments", "messages"),
    "facebook": ("comments", "messages"),
    "twitter": ("comments", "messages"),
    "linkedin": ("comments",),
    "tiktok": ("comments", "messages"),
}


@dataclass
class Counter:
    """An office with an inbox, and somebody at it."""

    office: Office
    conversations: Conversations
    desk: ReplyDesk
    sender: ReplySender

    async def sync(self, platform: str) -> None:
        for sync_type in PULLED[platform]:
            await self.office.sync_through(platform, sync_type)
        await self.project()

    async def project(self) -> None:
        async with self.office.database.transaction() as tx:
            rows = await tx.fetch_all("SELECT id FROM activity")
            await InboxProjector().project(tx, [row["id"] for row in rows])

    async def list(self, **wanted: Any) -> list[dict[str, Any]]:
        return await self.conversations.list(ORG, ConversationFilter(**wanted), limit=500)

    async def reply(self, conversation: int, text: str = "It leaves <today> & soon.", **more: Any) -> dict[str, Any]:
        row, _ = await self.desk.reply(ORG, conversation, text, "agent", **more)
        return row

    async def send(self, reply: dict[str, Any], *, last_attempt: bool = False) -> tuple[Any, dict[str, Any]]:
        outcome = await self.sender.send(ORG, reply["id"], last_attempt=last_attempt)
        return outcome, await self.desk.show(ORG, reply["id"])

    async def messages(self, conversation: int) -> list[dict[str, Any]]:
        return list(await self.conversations.messages(ORG, conversation, limit=500))


@pytest.fixture
def vendors(request: pytest.FixtureRequest) -> list[str]:
    return [getattr(request, "param", "slack")]


@pytest.fixture
async def counter(vendors: list[str], db: Database) -> AsyncIterator[Counter]:
    world = World(7, vendors=vendors)
    async with running(world):
        signals = Signals(LocalTransport())
        secrets = SecretsSettings(keys={"k1": new_key()}, current="k1")
        settings = Settings(secrets=secrets, sync=SyncSettings(lease_ttl_s=30.0), connectors=ConnectorSettings())
        office = Office(world, db, signals, settings, Sealer(secrets))
        for vendor in vendors:
            await office.connect(vendor)
        catalogue = Catalogue(inbox_kinds(db, office.settings))
        await catalogue.install(db)
        queue = Queue(db, signals, catalogue)
        await queue.open()
        accounts = _accounts(office)
        yield Counter(
            office,
            Conversations(db),
            ReplyDesk(db, queue, PLATFORMS),
            ReplySender(db, accounts, PLATFORMS),
        )
        await accounts.close()
        await queue.close()


def _accounts(office: Office) -> Accounts:
    return Accounts(office.database, office.sealer, office.settings)


async def _open(counter: Counter, platform: str) -> dict[str, Any]:
    """A conversation with something to answer, as new as there is."""
    found = await counter.list(platform=platform)
    return next(row for row in found if row["last_message_direction"] == "in")


@pytest.mark.parametrize("vendors", list(PULLED), indirect=True)
async def test_a_reply_goes_out_and_comes_back_as_the_same_message(counter: Counter, vendors: list[str]) -> None:
    (platform,) = vendors
    await counter.sync(platform)
    before = len(await counter.list())
    conversation = await _open(counter, platform)
    outcome, reply = await counter.send(await counter.reply(conversation["id"]))
    assert isinstance(outcome, Done) and reply["state"] == "sent", reply
    await counter.project()
    (own,) = [one for one in await counter.messages(conversation["id"]) if one["text"] == reply["text"]]
    assert (own["id"], own["direction"], own["reply_id"]) == (reply["activity_id"], "out", reply["id"])
    await counter.sync(platform)
    again = [one for one in await counter.messages(conversation["id"]) if one["text"].endswith(reply["text"])]
    assert [(one["id"], one["direction"], one["reply_id"]) for one in again] == [(own["id"], "out", reply["id"])]
    shown = await counter.conversations.show(ORG, conversation["id"])
    assert shown["unread"] == 0 and len(await counter.list()) == before


@pytest.mark.parametrize("vendors", ["twitter"], indirect=True)
async def test_direct_messages_on_x_are_answered_and_long_posts_refused(counter: Counter) -> None:
    await counter.sync("twitter")
    talk = next(row for row in await counter.list(kind="message") if row["last_message_direction"] == "in")
    _, reply = await counter.send(await counter.reply(talk["id"], "Until six."))
    assert reply["state"] == "sent", reply
    await counter.sync("twitter")
    own = [one for one in await counter.messages(talk["id"]) if one["text"] == "Until six."]
    assert [one["reply_id"] for one in own] == [reply["id"]]
    comment = (await counter.list(kind="comment"))[0]
    assert "280 characters" in str(await _refused(counter, comment["id"], 422, text="字" * 141))


@pytest.mark.parametrize("vendors", ["facebook"], indirect=True)
async def test_direct_messages_are_answered_while_the_window_is_open(counter: Counter, db: Database) -> None:
    facebook = counter.office.world["facebook"]
    account = next(iter(facebook.accounts.values()))
    facebook.actions["message"](account, text="Are you open today?")
    await counter.sync("facebook")
    (talk,) = [
        row for row in await counter.list(kind="message") if row["last_message_preview"] == "Are you open today?"
    ]
    _, reply = await counter.send(await counter.reply(talk["id"], "Until six."))
    assert reply["state"] == "sent", reply
    await counter.sync("facebook")
    assert [one["text"] for one in await counter.messages(talk["id"])][-2:] == ["Are you open today?", "Until six."]
    old = (await counter.list(kind="message"))[-1]
    _, refused = await counter.send(await counter.reply(old["id"], "Too late."))
    assert refused["state"] == "failed" and "24 hours" in refused["reason"], refused


# --- at most once


PATHS = {"slack": "*chat.postMessage", "discord": "*/messages", "telegram": "*sendMessage"}


def posts(counter: Counter, platform: str) -> int:
    """Calls that say something."""
    entries = counter.office.world.log.entries(vendor=platform)
    paths = ("chat.postMessage", "/sendMessage")
    return sum(entry.method == "POST" and (entry.path.endswith(paths) or platform == "discord") for entry in entries)


async def told(counter: Counter, platform: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A conversation, and a reply to it that waits."""
    await counter.sync(platform)
    conversation = await _open(counter, platform)
    return conversation, await counter.reply(conversation["id"])


async def test_an_answer_that_was_lost_is_not_sent_again_and_its_echo_clears_it_up(counter: Counter) -> None:
    conversation, reply = await told(counter, "slack")
    counter.office.world.faults.add("cut", vendor="slack", endpoint=PATHS["slack"], count=1)
    outcome, reply = await counter.send(reply)
    assert isinstance(outcome, Done) and reply["state"] == "unknown" and "may have arrived" in reply["reason"]
    await counter.send(reply)
    assert posts(counter, "slack") == 1
    await counter.sync("slack")
    found = await counter.desk.show(ORG, reply["id"])
    assert found["state"] == "sent" and found["reason"] is None
    own = [one for one in await counter.messages(conversation["id"]) if one["reply_id"] == reply["id"]]
    assert [one["text"] for one in own] == [reply["text"]]


async def test_a_worker_that_dies_in_mid_call_leaves_the_same_doubt(counter: Counter) -> None:
    _, reply = await told(counter, "slack")
    counter.office.world.faults.add("latency", vendor="slack", endpoint=PATHS["slack"], seconds=30)
    task = asyncio.create_task(counter.sender.send(ORG, reply["id"], last_attempt=False))
    async with asyncio.timeout(60):
        while (await counter.desk.show(ORG, reply["id"]))["state"] != "sending":
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    counter.office.world.faults.clear()
    _, found = await counter.send(reply)
    assert found["state"] == "unknown" and "cut off" in found["reason"]


@pytest.mark.parametrize("vendors", ["discord"], indirect=True)
async def test_where_the_vendor_drops_repeats_it_is_sent_until_an_answer_comes(counter: Counter) -> None:
    conversation, reply = await told(counter, "discord")
    fault = counter.office.world.faults.add("cut", vendor="discord", endpoint=PATHS["discord"], count=1)
    with pytest.raises(Exception, match="did not answer"):
        await counter.send(reply)
    assert fault.hits == 1 and (await counter.desk.show(ORG, reply["id"]))["state"] == "sending"
    outcome, reply = await counter.send(reply)
    assert isinstance(outcome, Done) and reply["state"] == "sent" and posts(counter, "discord") == 2
    await counter.sync("discord")
    own = [one for one in await counter.messages(conversation["id"]) if one["text"] == reply["text"]]
    assert [one["reply_id"] for one in own] == [reply["id"]]


async def test_what_surely_did_not_arrive_is_tried_again_or_fails_with_a_reason(counter: Counter, db: Database) -> None:
    _, reply = await told(counter, "slack")
    counter.office.world.faults.add("limited", vendor="slack", endpoint=PATHS["slack"], count=1, retry_after=30)
    outcome, reply = await counter.send(reply)
    assert isinstance(outcome, Snooze) and 1 < outcome.seconds <= 31 and reply["state"] == "queued"
    await counter.office.no_waiting()
    counter.sender = ReplySender(db, _accounts(counter.office), PLATFORMS)  # forgets the block
    counter.office.world.faults.add("missing_scope", vendor="slack", endpoint=PATHS["slack"], scope="chat:write")
    outcome, reply = await counter.send(reply)
    assert isinstance(outcome, Cancel) and reply["state"] == "failed" and reply["reason"]
    outcome, again = await counter.send(reply)
    assert again == reply and isinstance(outcome, Done)


async def test_a_reply_is_taken_down_once_per_key_and_only_where_it_can_go(counter: Counter, db: Database) -> None:
    conversation, _ = await told(counter, "slack")
    one = await counter.reply(conversation["id"], "Hello", idempotency_key="k1")
    two, made = await counter.desk.reply(ORG, conversation["id"], "Hello", "agent", idempotency_key="k1")
    assert one["id"] == two["id"] and not made
    jobs = "SELECT count(*) FROM job WHERE kind = 'inbox.reply' AND args->>'reply_id' = %s"
    assert await db.fetch_value(jobs, (str(one["id"]),)) == 1
    for text, key, status in (("Other", "k1", 409), ("x" * 13_000, None, 422)):
        await _refused(counter, conversation["id"], status, text=text, idempotency_key=key)
    await _refused(counter, conversation["id"], 422, target_id=2**40)
    await db.execute("UPDATE integration SET state = 'expired', reason = 'Password changed.'")
    refused = await _refused(counter, conversation["id"], 409)
    assert "Password changed. Reconnect" in str(refused)


async def test_platforms_without_replies_say_so(counter: Counter, db: Database) -> None:
    integration = await db.fetch_value(
        "INSERT INTO integration (org_id, platform, account) VALUES (%s, 'pinterest', 'p') RETURNING id", (ORG,)
    )
    await db.execute(
        """INSERT INTO activity (org_id, integration_id, platform, kind, vendor_id, direction, occurred_at, version,
             content_hash) VALUES (%s, %s, 'pinterest', 'message', 'm', 'in', now(), 0, '')""",
        (ORG, integration),
    )
    await counter.project()
    (conversation,) = await counter.list(platform="pinterest")
    assert "cannot reply on Pinterest" in str(await _refused(counter, conversation["id"], 422))


async def _refused(counter: Counter, conversation: int, status: int, **more: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await counter.desk.reply(ORG, conversation, **{"text": "Hello", "by": "agent", **more})
    assert refused.value.status == status
    return refused.value
