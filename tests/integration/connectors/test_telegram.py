"""Telegram, end to end against the simulator."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.telegram.connector import TELEGRAM
from simulator.vendors.telegram import Telegram
from simulator.vendors.telegram.data import Bot
from sync.pull.model import ClaimedRun
from sync.pull.worker import ExitReason
from tests.integration.connectors.conftest import ORG, Office


@pytest.fixture
def telegram(office: Office) -> Telegram:
    vendor = office.world["telegram"]
    assert isinstance(vendor, Telegram)
    return vendor


@pytest.fixture
def bot(telegram: Telegram) -> Bot:
    return telegram.account()


def waiting(bot: Bot, *kinds: str) -> set[str]:
    """Ids of what the queue's updates of these kinds tell."""
    found = set()
    for update in bot.updates.records():
        for kind in kinds:
            if (item := update.get(kind)) is not None and not item.get("is_automatic_forward"):
                if kind == "message_reaction":
                    found.add(f"{item['chat']['id']}:{item['message_id']}:{item['user']['id']}")
                elif "text" in item or "caption" in item:
                    connection = f"{item['business_connection_id']}:" if "business_connection_id" in item else ""
                    found.add(f"{connection}{item['chat']['id']}:{item['message_id']}")
    return found


async def test_the_whole_queue_once_and_then_nothing(office: Office, telegram: Telegram, bot: Bot) -> None:
    await office.connect("telegram")
    runs = await office.sync("telegram")
    assert {run.sync_type: (run.state, run.error_text) for run in runs} == dict.fromkeys(
        ("messages", "profile", "engagement-metrics"), ("succeeded", None)
    )
    assert await office.ids("post") == waiting(bot, "channel_post", "edited_channel_post")
    talk = await office.ids("message") | await office.ids("comment")
    assert talk == waiting(bot, "message", "business_message")
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert bot.confirmed == bot.next_update

    again = await office.sync("telegram")
    assert {run.sync_type: run.state for run in again} == {run.sync_type: "succeeded" for run in runs}
    assert next(run for run in again if run.sync_type == "messages").added == 0
    assert await office.events("activity.changed") == 0
    asked = {chat for chat in bot.chats.values() if chat.type != "private" and not chat.migrated_to}
    counted = await office.rows("SELECT entity, value FROM metric_point WHERE metric = 'members'")
    assert dict(counted).items() <= {str(chat.id): chat.members for chat in asked}.items() and counted
    assert await office.ids("profile") >= {bot.id, *dict(counted)}


async def test_what_happens_in_the_chats_arrives(office: Office, telegram: Telegram, bot: Bot) -> None:
    await office.connect("telegram")
    await office.sync("telegram", "messages")
    channel, group = bot.first("channel"), bot.first("group")
    talk = bot.chats[channel.linked or 0]
    post = telegram.post(bot, text="Spring drop 🌷")
    comment = telegram.comment(bot, post=post, text="Where?")
    call = telegram.message(bot, chat=group.id, text=f"🌷 @{bot.user['username']} help")
    telegram.count(bot, message=post, emoji="❤", by=14)
    telegram.react(bot, chat=talk.id, message=comment, emoji="👍", user=bot.people[0]["id"])
    telegram.edit(bot, chat=channel.id, message=post, text="Spring drop, today 🌷")
    await office.sync("telegram", "messages")
    ((text, edited, direction),) = await office.rows(
        "SELECT text, edited_at IS NOT NULL AS edited, direction FROM activity WHERE kind = 'post' AND vendor_id = %s",
        f"{channel.id}:{post}",
    )
    assert (text, edited, direction) == ("Spring drop, today 🌷", True, "out")
    ((parent, their_thread),) = await office.rows(
        "SELECT parent_id, thread_id FROM activity WHERE kind = 'comment' AND vendor_id = %s", f"{talk.id}:{comment}"
    )
    assert parent == f"{channel.id}:{post}"
    assert their_thread == f"{talk.id}:{channel.copies[post]}"
    assert f"{group.id}:{call}" in await office.ids("mention")
    assert await office.rows("SELECT parent_id, text FROM activity WHERE kind = 'reaction'") == [
        (f"{talk.id}:{comment}", "👍")
    ]
    assert await office.rows(
        "SELECT value, dimensions FROM metric_point WHERE entity = %s ORDER BY dimensions", f"{channel.id}:{post}"
    ) == [(14, ""), (14, '{"reaction":"❤"}')]

    business = next(chat for chat in bot.chats.values() if chat.business)
    secret = telegram.message(bot, chat=business.id, text="for you only")
    telegram.delete(bot, chat=business.id, message=secret)
    telegram.kick(bot, chat=group.id)
    await office.sync("telegram", "messages")
    ((gone, text),) = await office.rows(
        "SELECT deleted_at IS NOT NULL AS gone, text FROM activity WHERE vendor_id = %s",
        f"{business.business}:{business.id}:{secret}",
    )
    assert (gone, text) == (True, "for you only")
    ((gone, status),) = await office.rows(
        "SELECT deleted_at IS NOT NULL AS gone, data ->> 'status' AS status FROM activity WHERE kind = 'profile'"
    )
    assert (gone, status) == (True, "kicked")


def _small_pages(size: int) -> Any:
    from dataclasses import replace

    streams = tuple(replace(stream, page_size=size) for stream in TELEGRAM.streams)
    return replace(TELEGRAM, streams=streams)


@pytest.mark.parametrize("page", [1, 3])
async def test_a_stop_after_any_page_loses_no_update(office: Office, telegram: Telegram, bot: Bot, page: int) -> None:
    office.connectors["telegram"] = _small_pages(7)
    await office.connect("telegram")
    (triggered,) = await office.runs.trigger(ORG, "telegram", "messages")

    def stop(_run: ClaimedRun, number: int) -> None:
        if number == page:
            worker.stop()

    worker = office.worker("telegram", page_committed=stop)
    assert await worker.run_until_idle() is ExitReason.STOPPED
    assert bot.confirmed < bot.next_update
    await office.work("telegram")
    assert (await office.runs.show(ORG, triggered.run_id)).state == "succeeded"
    assert await office.ids("message") | await office.ids("comment") == waiting(bot, "message", "business_message")


async def test_a_page_is_stored_before_the_next_one_is_asked_for(office: Office, telegram: Telegram, bot: Bot) -> None:
    """Asking confirms: what the vendor has let go must be in the store."""
    office.connectors["telegram"] = _small_pages(5)
    await office.connect("telegram")
    confirmed: list[int] = []

    def look(_run: ClaimedRun, _number: int) -> None:
        confirmed.append(bot.confirmed)

    await office.runs.trigger(ORG, "telegram", "messages")
    await office.worker("telegram", page_committed=look).run_until_idle()
    first = next(iter(bot.updates))
    # When page n is committed, at most the pages before it were confirmed.
    assert [reached - first for reached in confirmed[1:4]] == [5, 10, 15]


async def test_a_revoked_token_expires_the_bot_and_a_new_one_goes_on(
    office: Office, telegram: Telegram, bot: Bot
) -> None:
    integration = await office.connect("telegram")
    await office.sync("telegram", "messages")
    telegram.revoke(bot)
    (run,) = await office.sync("telegram", "messages")
    assert run.state == "failed"
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired" and "new token" in (shown.reason or "")
    telegram.message(bot, chat=bot.first("group").id, text="meanwhile")
    await office.reconnect(integration)
    (run,) = await office.sync("telegram", "messages")
    assert (run.state, run.added) == ("succeeded", 1)


async def test_a_webhook_shuts_the_queue_and_says_so(office: Office, telegram: Telegram, bot: Bot) -> None:
    from simulator.webhooks import Target

    await office.connect("telegram")
    telegram.hooks.add(Target("http://127.0.0.1:9/x", bot))
    (run,) = await office.sync("telegram", "messages")
    assert run.state == "failed" and "webhook" in (run.error_text or "")
    (integration,) = await office.integrations.list(ORG)
    assert integration.state == "active"


async def test_a_chat_that_is_lost_does_not_stop_the_others(office: Office, telegram: Telegram, bot: Bot) -> None:
    await office.connect("telegram")
    await office.sync("telegram", "messages")
    lost = bot.first("supergroup")
    telegram.message(bot, chat=lost.id, text="x")
    await office.sync("telegram", "messages")
    lost.deleted = True
    (run,) = await office.sync("telegram", "engagement-metrics")
    assert run.state == "succeeded"
    counted = {row[0] for row in await office.rows("SELECT entity FROM metric_point WHERE metric = 'members'")}
    assert counted and str(lost.id) not in counted


async def test_the_token_is_nowhere_to_be_read(office: Office, telegram: Telegram) -> None:
    await office.connect("telegram")
    office.world.faults.add("error", vendor="telegram", status=500)
    (run,) = await office.sync("telegram", "messages")
    token = telegram.connect().access_token
    assert run.error_text and token not in run.error_text and token.partition(":")[2] not in str(run)
