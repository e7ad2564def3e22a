"""Twitch, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from simulator.vendors.twitch import Twitch
from simulator.vendors.twitch.data import Channel
from tests.integration.connectors.conftest import ORG, Office

TYPES = ("posts", "presence", "profile", "engagement-metrics")


@pytest.fixture
def twitch(office: Office) -> Twitch:
    vendor = office.world["twitch"]
    assert isinstance(vendor, Twitch)
    return vendor


@pytest.fixture
def channel(twitch: Twitch) -> Channel:
    return twitch.account()


def shown(channel: Channel) -> set[str]:
    return {str(r["id"]) for feed in (channel.videos, channel.clips) for r in feed.records()}


def people(channel: Channel) -> set[str]:
    followers = {f"follower:{r['user_id']}" for r in channel.followers.records()}
    subscribers = {f"subscriber:{r['user_id']}" for r in channel.subscribers}
    return followers | subscribers | {channel.id, f"channel:{channel.id}"}


async def test_everything_once_and_then_nothing(office: Office, twitch: Twitch, channel: Channel) -> None:
    await office.connect("twitch")
    runs = await office.sync("twitch")
    assert {run.sync_type: (run.state, run.error_text) for run in runs} == dict.fromkeys(TYPES, ("succeeded", None))
    assert await office.ids("post") == shown(channel)
    assert await office.ids("profile") == people(channel)
    assert await office.ids("presence") == {channel.id}
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    await office.sync("twitch", "engagement-metrics")  # of posts that were not yet stored the first time
    totals = dict(await office.rows("SELECT metric, value FROM metric_point WHERE entity = %s", channel.id))
    assert (totals["followers"], totals["subscribers"]) == (len(channel.followers), len(channel.subscribers))
    viewed = {row[0] for row in await office.rows("SELECT entity FROM metric_point WHERE metric = 'views'")}
    assert viewed == shown(channel)
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'votes'") == 6

    again = await office.sync("twitch")
    assert {run.sync_type: run.state for run in again} == dict.fromkeys(TYPES, "succeeded")
    assert sum(run.added for run in again if run.sync_type != "engagement-metrics") == 0
    assert await office.events("activity.changed") == 0


async def test_what_happens_on_the_channel_arrives(office: Office, twitch: Twitch, channel: Channel) -> None:
    await office.connect("twitch")
    await office.sync("twitch")
    video, clip = twitch.upload(channel, title="How we test"), twitch.clip(channel, title="What a shot")
    follower = twitch.follow(channel)
    runs = await office.sync("twitch")
    added = {run.sync_type: run.added for run in runs}
    assert (added["posts"], added["profile"]) == (2, 1)
    assert {video, clip} <= await office.ids("post")
    assert f"follower:{follower}" in await office.ids("profile")

    twitch.retitle(channel, video=video, title="How we really test")
    gone = next(str(r["id"]) for r in channel.videos.records())
    twitch.remove_video(channel, video=gone)
    await office.sync("twitch", "engagement-metrics")
    rows = await office.rows(
        "SELECT title, deleted_at IS NOT NULL AS gone FROM activity WHERE vendor_id IN (%s, %s) ORDER BY occurred_at",
        gone,
        video,
    )
    assert [row[1] for row in rows] == [True, False]
    assert rows[0][0] and rows[1][0] == "How we really test"
    assert await office.events("activity.deleted") == 1
    await office.sync("twitch", "posts")
    assert await office.events("activity.deleted") == 1


async def test_a_stream_that_ends_is_no_longer_live(office: Office, twitch: Twitch, channel: Channel) -> None:
    await office.connect("twitch")
    await office.sync("twitch", "presence")
    query = "SELECT data ->> 'live' AS live, counters ->> 'viewers' AS viewers FROM activity WHERE kind = 'presence'"
    ((live, viewers),) = await office.rows(query)
    assert live == "true" and int(viewers) > 0
    twitch.offline(channel)
    await office.sync("twitch", "presence")
    assert await office.rows(query) == [("false", None)]


async def test_tokens_are_renewed_after_a_refusal(office: Office, twitch: Twitch, channel: Channel) -> None:
    await office.connect("twitch")
    await office.sync("twitch", "posts")
    twitch.auth.expire_account(channel, twitch.now())
    (run,) = await office.sync("twitch", "profile")
    assert run.state == "succeeded", run.error_text
    assert twitch.auth.counters["refreshes"] == 1
    assert await office.value("SELECT renewals FROM integration") == 1


async def test_less_consent_brings_less_and_blocks_nothing(office: Office, twitch: Twitch, channel: Channel) -> None:
    await office.connect("twitch", scopes=["user:read:chat"])
    runs = await office.sync("twitch")
    assert {run.sync_type: run.state for run in runs} == dict.fromkeys(TYPES, "succeeded")
    assert await office.ids("profile") == {channel.id, f"channel:{channel.id}"}
    totals = dict(await office.rows("SELECT metric, value FROM metric_point WHERE entity = %s", channel.id))
    assert totals["followers"] == len(channel.followers) and "subscribers" not in totals


@pytest.mark.parametrize("how", ["revoke", "suspend"])
async def test_a_lost_account_expires_and_comes_back(
    office: Office, twitch: Twitch, channel: Channel, how: str
) -> None:
    integration = await office.connect("twitch")
    await office.sync("twitch", "posts")
    if how == "revoke":
        twitch.revoke(channel)
        (run,) = await office.sync("twitch", "posts")
    else:
        channel.gone = True
        (run,) = await office.sync("twitch", "profile")
    assert run.state == "failed"
    shown_ = await office.integrations.show(ORG, integration.id)
    assert shown_.state == "expired"
    assert ("deleted or suspended" if how == "suspend" else "reconnect") in (shown_.reason or "")
    channel.gone = False
    clip = twitch.clip(channel)
    await office.reconnect(integration)
    (run,) = await office.sync("twitch", "posts")
    assert run.state == "succeeded" and clip in await office.ids("post")


async def test_a_used_up_bucket_parks_the_run(office: Office, twitch: Twitch) -> None:
    twitch.limits.change("points", max=20)
    await office.connect("twitch")
    (run,) = await office.sync("twitch", "posts")
    assert run.state == "queued"
    assert run.not_before > datetime.now(UTC) + timedelta(seconds=10)
    assert twitch.limits.totals()["over_limit"] == 0


async def test_a_backfill_brings_its_days_and_leaves_the_cursor_alone(
    office: Office, twitch: Twitch, channel: Channel
) -> None:
    await office.connect("twitch")
    await office.sync("twitch", "posts")
    cursors = await office.rows("SELECT partition, cursor FROM sync_partition WHERE run_id = 0 ORDER BY 1")
    await office.database.execute("TRUNCATE activity CASCADE")
    day = (datetime.now(UTC) - timedelta(days=4)).date()
    run = await office.sync_through("twitch", "posts", startDate=day.isoformat(), endDate=day.isoformat())
    assert run.added > 0
    rows = await office.rows("SELECT DISTINCT (occurred_at AT TIME ZONE 'UTC')::date AS day FROM activity")
    assert rows == [(day,)]
    assert await office.rows("SELECT partition, cursor FROM sync_partition WHERE run_id = 0 ORDER BY 1") == cursors
