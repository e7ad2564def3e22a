"""Slack, end to end against the simulator."""

from __future__ import annotations

from simulator.vendors.slack.data import Team
from tests.integration.connectors.conftest import Office

NOISE = {"channel_join"}


def messages(team: Team) -> set[str]:
    return {
        f"{room.id}:{record['ts']}"
        for room in team.bots_channels()
        if not room.archived
        for record in room.feed.records()
        if record.get("subtype") not in NOISE
    }


def replies(office: Office, team: Team) -> set[str]:
    truth = office.world["slack"].truth(team)
    found = set()
    for name, records in truth.items():
        if name.startswith("replies:"):
            channel = name.split(":")[1]
            if not team.channels[channel].archived:
                found |= {f"{channel}:{record['ts']}" for record in records}
    return found


async def test_everything_once_and_then_nothing(office: Office) -> None:
    await office.connect("slack")
    team = office.world["slack"].account()
    runs = await office.sync("slack")
    assert {run.sync_type: run.state for run in runs} == dict.fromkeys(
        ("messages", "comments", "mentions", "presence", "profile", "engagement-metrics"), "succeeded"
    )
    assert await office.ids("message") == messages(team)
    assert await office.ids("comment") == replies(office, team)
    assert await office.ids("presence") == await office.ids("profile") - {team.bot_user}
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    assert (
        await office.value("SELECT count(*) FROM activity WHERE raw IS NULL OR text IS NULL AND kind = 'message'") == 0
    )
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0

    events = await office.value("SELECT count(*) FROM event WHERE type LIKE 'activity.%%' OR type LIKE 'metrics.%%'")
    again = await office.sync("slack")
    assert all(run.state == "succeeded" and run.added == 0 for run in again)
    assert events == await office.value(
        "SELECT count(*) FROM event WHERE (type LIKE 'activity.%%' OR type LIKE 'metrics.%%')"
    )


async def test_what_happens_in_the_workspace_arrives(office: Office) -> None:
    await office.connect("slack")
    slack, team = office.world["slack"], office.world["slack"].account()
    await office.sync("slack", "messages")
    await office.sync("slack", "comments")
    channel = next(room.id for room in team.bots_channels() if room.kind == "public" and not room.archived)

    posted = slack.post(team, channel=channel, text=f"Are you there, <@{team.bot_user}>? :eyes:")
    answered = slack.post(team, channel=channel, text="Yes &c.", user=team.bot_user, thread=posted)
    await office.sync("slack", "messages")
    await office.sync("slack", "comments")
    assert f"{channel}:{posted}" in await office.ids("mention")
    ((parent, thread, direction, text),) = await office.rows(
        "SELECT parent_id, thread_id, direction, text FROM activity WHERE vendor_id = %s", f"{channel}:{answered}"
    )
    assert parent == thread == f"{channel}:{posted}"
    assert (direction, text) == ("out", "Yes &c.")

    slack.edit(team, channel=channel, ts=posted, text="Never mind.")
    slack.delete(team, channel=channel, ts=answered)
    await office.database.execute("UPDATE sync_partition SET cursor = cursor - 'reread'")
    await office.sync("slack", "messages")
    ((text, edited),) = await office.rows(
        "SELECT text, edited_at IS NOT NULL FROM activity WHERE kind = 'message' AND vendor_id = %s",
        f"{channel}:{posted}",
    )
    assert (text, edited) == ("Never mind.", True)
    assert await office.events("activity.changed") >= 1
