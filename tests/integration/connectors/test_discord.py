"""Discord, end to end against the simulator."""

from __future__ import annotations

import pytest

from connectors.discord.parse import SAID
from simulator.vendors.discord import Discord
from simulator.vendors.discord.data import Guild
from simulator.vendors.discord.records import FORUM, NEWS, TEXT
from sync.base.errors import ConfigurationError
from tests.integration.connectors.conftest import ORG, Office

TYPES = ("messages", "posts", "comments", "mentions", "presence", "profile", "engagement-metrics")


@pytest.fixture
def discord(office: Office) -> Discord:
    vendor = office.world["discord"]
    assert isinstance(vendor, Discord)
    return vendor


def told(guild: Guild, *kinds: int) -> set[str]:
    """Messages of the readable channels of these types."""
    return {
        f"{channel.id}:{record['id']}"
        for channel in guild.channels.values()
        if channel.type in kinds and channel.readable
        for record in channel.feed.records()
        if record["type"] in SAID
    }


def in_threads(guild: Guild, *, posts: bool) -> set[str]:
    return {
        f"{thread.id}:{record['id']}"
        for thread in guild.threads.values()
        for record in thread.feed.records()
        if record["type"] in SAID and (record["id"] == str(thread.id)) is posts
    }


def mentioning(guild: Guild) -> set[str]:
    places = [c for c in guild.channels.values() if c.readable] + list(guild.threads.values())
    return {
        f"{place.id}:{record['id']}"
        for place in places
        for record in place.feed.records()
        if record["mentions"] and record["type"] in SAID
    }


async def test_everything_once_and_then_nothing(office: Office, discord: Discord) -> None:
    await office.connect("discord")
    guild = discord.account()
    runs = await office.sync("discord")
    assert {run.sync_type: (run.state, run.error_text) for run in runs} == dict.fromkeys(TYPES, ("succeeded", None))
    assert await office.ids("message") == told(guild, TEXT, 2)
    assert await office.ids("post") == told(guild, NEWS) | in_threads(guild, posts=True)
    assert await office.ids("comment") == in_threads(guild, posts=False)
    assert await office.ids("mention") == mentioning(guild)
    assert await office.ids("presence") == {guild.id}
    assert await office.ids("profile") == {guild.id, *guild.by_id}
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity WHERE deleted_at IS NOT NULL") == 0
    assert await office.value("SELECT value FROM metric_point WHERE metric = 'members'") == len(guild.by_id)

    await office.sync("discord", "engagement-metrics")  # of messages that were not yet stored the first time
    again = await office.sync("discord")
    assert {run.sync_type: (run.state, run.added) for run in again} == dict.fromkeys(TYPES, ("succeeded", 0))
    assert await office.events("activity.changed") == 0
    assert await office.events("activity.deleted") == 0


async def test_a_quiet_server_costs_one_call(office: Office, discord: Discord) -> None:
    await office.connect("discord")
    await office.sync("discord", "messages")
    before = office.requests("discord")
    await office.sync("discord", "messages")
    assert office.requests("discord") - before == 1
    discord.post(discord.account(), channel=_channel(discord, TEXT), text="one more")
    await office.sync("discord", "messages")
    assert office.requests("discord") - before == 3


def _channel(discord: Discord, kind: int, name: str = "") -> str:
    channels = discord.account().channels.values()
    return str(next(c.id for c in channels if c.type == kind and name in c.name))


async def test_new_messages_replies_and_threads_arrive(office: Office, discord: Discord) -> None:
    await office.connect("discord")
    guild, general, forum = discord.account(), _channel(discord, TEXT), _channel(discord, FORUM)
    for sync_type in ("messages", "posts", "comments"):
        await office.sync("discord", sync_type)
    asked = discord.post(guild, channel=general, text=f"<@{discord.bot['id']}> are you there?")
    answer = discord.post(guild, channel=general, text="Yes", user=discord.bot["id"], reply_to=asked)
    post = discord.thread(guild, channel=forum, name="Which kettle?", text="The blue one?")
    reply = discord.post(guild, channel=post, text="The green one.")
    talk = discord.thread(guild, channel=general, name="More of it", message=asked, text="Over here")
    for sync_type in ("messages", "posts", "comments"):
        (run,) = await office.sync("discord", sync_type)
        assert run.state == "succeeded"
    columns = "kind, parent_id, thread_id, place, direction, title, text"
    rows = {
        row[0]: row[1:]
        for row in await office.rows(
            f"SELECT vendor_id, {columns} FROM activity WHERE occurred_at > now() - interval '1 min'"
        )
        if row[1] != "mention"
    }
    root, forum_root = f"{general}:{asked}", f"{post}:{post}"
    assert rows[root] == ("message", None, root, general, "in", None, f"<@{discord.bot['id']}> are you there?")
    assert rows[f"{general}:{answer}"] == ("message", root, root, general, "out", None, "Yes")
    assert rows[forum_root] == ("post", None, forum_root, forum, "in", "Which kettle?", "The blue one?")
    assert rows[f"{post}:{reply}"] == ("comment", forum_root, forum_root, forum, "in", None, "The green one.")
    over = next(value for value in rows.values() if value[-1] == "Over here")
    assert over[:4] == ("comment", root, root, general) and talk == asked
    assert root in await office.ids("mention")


async def test_edits_deletions_and_reactions_are_found_when_messages_are_read_again(
    office: Office, discord: Discord
) -> None:
    await office.connect("discord")
    guild, general = discord.account(), _channel(discord, TEXT)
    one = discord.post(guild, channel=general, text=f"first <@{discord.bot['id']}>")
    two = discord.post(guild, channel=general, text="second")
    await office.sync("discord", "messages")
    discord.edit(guild, channel=general, message=two, text="second, better")
    discord.delete(guild, channel=general, message=one)
    discord.react(guild, channel=general, message=two, emoji="🔥", by=7)
    (run,) = await office.sync("discord", "engagement-metrics")
    assert run.state == "succeeded", run.error_text
    rows = await office.rows(
        "SELECT kind, deleted_at IS NOT NULL AS gone, text, edited_at IS NOT NULL AS edited, "
        "counters ->> 'reactions' AS reactions FROM activity "
        "WHERE vendor_id IN (%s, %s) ORDER BY vendor_id, kind",
        f"{general}:{one}",
        f"{general}:{two}",
    )
    assert rows == [
        ("mention", True, f"first <@{discord.bot['id']}>", False, None),
        ("message", True, f"first <@{discord.bot['id']}>", False, None),
        ("message", False, "second, better", True, "7"),
    ]
    assert await office.events("activity.deleted") == 2
    assert await office.rows("SELECT value, dimensions FROM metric_point WHERE entity = %s", f"{general}:{two}") == [
        (7, '{"emoji":"🔥"}')
    ]
    (run,) = await office.sync("discord", "engagement-metrics")
    assert await office.events("activity.deleted") == 2


async def test_a_lost_permission_deletes_nothing(office: Office, discord: Discord) -> None:
    await office.connect("discord")
    await office.sync("discord", "messages")
    for grant in discord.auth.grants:
        grant.scopes -= {"READ_MESSAGE_HISTORY"}
    (run,) = await office.sync("discord", "engagement-metrics")
    assert run.state == "succeeded"
    assert await office.value("SELECT count(*) FROM activity WHERE deleted_at IS NOT NULL") == 0


async def test_closed_channels_are_left_alone_and_intents_block_one_sync_type(office: Office, discord: Discord) -> None:
    await office.connect("discord")
    staff = _channel(discord, TEXT, "staff")
    await office.sync("discord", "messages")
    await office.sync("discord", "messages")
    assert office.requests("discord", f"/channels/{staff}/messages") == 1
    discord.intents(discord.account(), on=[])
    (profile,) = await office.sync("discord", "profile")
    assert profile.state == "succeeded"
    assert await office.ids("profile") == {discord.account().id}
    (mentions,) = await office.sync("discord", "mentions")
    assert mentions.state == "failed" and "privileged intent" in (mentions.error_text or "")
    (integration,) = await office.integrations.list(ORG)
    assert integration.state == "active"


@pytest.mark.parametrize("reason", ["user", "deleted", "token"])
async def test_a_lost_server_expires_and_comes_back(office: Office, discord: Discord, reason: str) -> None:
    integration = await office.connect("discord")
    await office.sync("discord", "messages")
    discord.revoke(None, reason)
    (run,) = await office.sync("discord", "messages")
    assert run.state == "failed"
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert ("no longer in" if reason != "token" else "token") in (shown.reason or "")
    posted = discord.post(discord.account(), channel=_channel(discord, TEXT), text="meanwhile")
    await office.reconnect(integration)
    (run,) = await office.sync("discord", "messages")
    assert (run.state, run.added) == ("succeeded", 1)
    assert f"{_channel(discord, TEXT)}:{posted}" in await office.ids("message")


async def test_a_backfill_brings_its_days_and_leaves_the_cursor_alone(office: Office, discord: Discord) -> None:
    from datetime import UTC, datetime, timedelta

    await office.connect("discord")
    await office.sync("discord", "messages")
    cursors = await office.rows("SELECT partition, cursor FROM sync_partition WHERE run_id = 0 ORDER BY 1")
    everything = await office.ids("message")
    await office.database.execute("TRUNCATE activity CASCADE")
    day = (datetime.now(UTC) - timedelta(days=4)).date()
    run = await office.sync_through("discord", "messages", startDate=day.isoformat(), endDate=day.isoformat())
    assert run.added > 0
    rows = await office.rows(
        "SELECT vendor_id, (occurred_at AT TIME ZONE 'UTC')::date FROM activity WHERE kind = 'message'"
    )
    assert {found for _, found in rows} == {day}
    assert {vendor_id for vendor_id, _ in rows} < everything
    assert await office.rows("SELECT partition, cursor FROM sync_partition WHERE run_id = 0 ORDER BY 1") == cursors


async def test_a_token_of_nobody_cannot_be_connected(office: Office, discord: Discord) -> None:
    office.learn(discord.connect())
    with pytest.raises(ConfigurationError):
        await office.integrations.connect(ORG, "discord", discord.account().id, {"guild": "x"}, {}, by="test", label="")
