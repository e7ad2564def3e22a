"""TikTok, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from simulator.vendors.tiktok import TikTok
from simulator.vendors.tiktok.data import Creator
from sync.pull.model import Integration
from tests.integration.connectors.conftest import ORG, Office

TYPES = ("posts", "comments", "messages", "mentions", "engagement-metrics", "ads-metrics", "profile")
UNPACED = {"tiktok.qps": 0, "tiktok.qpm": 0, "tiktok.messaging": 0}


@pytest.fixture
def tiktok(office: Office) -> TikTok:
    """Ten calls a second would make these tests slow; the limits have a test of their own."""
    vendor = office.world["tiktok"]
    assert isinstance(vendor, TikTok)
    vendor.limits.enabled = False
    office.change(connectors=office.settings.connectors.model_copy(update={"limits": UNPACED}))
    return vendor


@pytest.fixture
def me(tiktok: TikTok) -> Creator:
    return tiktok.account()


def truth(tiktok: TikTok, me: Creator, feed: str, name: str) -> set[str]:
    found = tiktok.truth(me)
    return {record[name] for key, records in found.items() if key.partition(":")[0] == feed for record in records}


async def told(office: Office) -> int:
    return int(await office.value("SELECT count(*) FROM event WHERE type LIKE 'activity.%%'"))


async def test_everything_once_and_then_nothing(office: Office, tiktok: TikTok, me: Creator) -> None:
    await office.connect("tiktok")
    for sync_type in TYPES:
        await office.sync_through("tiktok", sync_type)
    assert await office.ids("post") == truth(tiktok, me, "videos", "item_id")
    said = truth(tiktok, me, "comments", "comment_id") | truth(tiktok, me, "ad_comments", "comment_id")
    assert await office.ids("comment") == said
    assert await office.ids("message") == truth(tiktok, me, "messages", "message_id")
    mentions = truth(tiktok, me, "mentions", "item_id") | truth(tiktok, me, "comment_mentions", "comment_id")
    assert await office.ids("mention") == mentions
    assert await office.ids("profile") == {me.id}
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity WHERE raw::text LIKE '%%act.%%'") == 0
    names = {row[0] for row in await office.rows("SELECT DISTINCT metric FROM metric_point")}
    assert {"followers", "video_views", "full_video_watched_rate", "daily_new_followers", "spend"} <= names

    before = await told(office)
    for sync_type in TYPES:
        assert (await office.sync_through("tiktok", sync_type)).added == 0
    assert await told(office) == before


async def test_what_happens_arrives(office: Office, tiktok: TikTok, me: Creator) -> None:
    await office.connect("tiktok")
    for sync_type in ("posts", "comments", "messages"):
        await office.sync_through("tiktok", sync_type)
    video = tiktok.post(me, text="Spring drop 🌷 #newin")
    comment = tiktok.comment(me, video=video, text="How much?")
    answers = [tiktok.comment(me, video=video, parent=comment, text=f"{n} €", ours=True) for n in range(5)]
    talk = next(talk.id for talk in me.talks.values() if talk.kind == "STRANGER")
    asked = tiktok.message(me, conversation=talk, text="Is the blue one in stock? 😀")
    answered = tiktok.message(me, conversation=talk, text="Yes", ours=True)
    for sync_type in ("posts", "comments", "messages"):
        await office.sync_through("tiktok", sync_type)
    rows = await office.rows(
        "SELECT vendor_id, parent_id, thread_id, direction, text FROM activity WHERE vendor_id = ANY(%s)",
        [video, comment, answers[0], answers[4], asked, answered],
    )
    assert {row[0]: row[1:] for row in rows} == {
        video: (None, video, "out", "Spring drop 🌷 #newin"),
        comment: (video, video, "in", "How much?"),
        answers[0]: (comment, video, "out", "0 €"),
        answers[4]: (comment, video, "out", "4 €"),
        asked: (None, talk, "in", "Is the blue one in stock? 😀"),
        answered: (None, talk, "out", "Yes"),
    }
    tiktok.hide(me, video=video, comment=comment)
    assert (await office.sync_through("tiktok", "comments")).changed == 1
    assert await office.value("SELECT data ->> 'status' FROM activity WHERE vendor_id = %s", comment) == "HIDDEN"
    # Under a video of this week: older ones are looked at four times a day.
    older = sorted(truth(tiktok, me, "videos", "item_id"))[-5]
    late = tiktok.comment(me, video=older, text="late")
    await office.sync_through("tiktok", "comments")
    assert late in await office.ids("comment")


async def test_a_video_that_is_gone_is_marked_and_may_come_back(office: Office, tiktok: TikTok, me: Creator) -> None:
    await office.connect("tiktok")
    video = tiktok.post(me, text="Oops")
    await office.sync_through("tiktok", "posts")
    tiktok.filter_out(me, video=video)
    await office.sync_through("tiktok", "posts")
    rows = await office.rows("SELECT vendor_id, text FROM activity WHERE deleted_at IS NOT NULL")
    assert rows == [(video, "Oops")]
    assert await office.events("activity.deleted") == 1
    tiktok.filter_out(me, video=video, out=False)
    await office.sync_through("tiktok", "posts")
    assert await office.value("SELECT deleted_at IS NULL FROM activity WHERE vendor_id = %s", video)
    tiktok.turn_personal(me)
    await office.sync("tiktok", "posts")
    assert await office.events("activity.deleted") == 1


async def test_ads_are_exact_in_the_advertisers_days(office: Office, tiktok: TikTok, me: Creator) -> None:
    integration = await office.connect("tiktok")
    advertiser = me.advertisers[0]
    await office.sync_through("tiktok", "ads-metrics")
    days = await office.rows(
        "SELECT DISTINCT (starts_at AT TIME ZONE %s)::time::text FROM metric_point "
        "WHERE integration_id = %s AND metric = 'spend'",
        advertiser.zone,
        integration.id,
    )
    assert days == [("00:00:00",)]
    rows = await office.rows("SELECT currency, sum(value) FROM metric_point WHERE metric = 'spend' GROUP BY 1")
    assert rows[0][0] == advertiser.currency
    assert isinstance(rows[0][1], Decimal)
    ads = {row[0] for row in await office.rows("SELECT DISTINCT entity FROM metric_point WHERE entity_kind = 'ad'")}
    assert ads == {ad["ad_id"] for ad in advertiser.ads}, "deleted ones have their days, too"
    finals = await office.rows("SELECT is_final, max(ends_at) FROM metric_point GROUP BY 1")
    assert all(ends <= datetime.now(UTC) - timedelta(days=28) for final, ends in finals if final)


async def test_an_advertisers_dead_token_concerns_ads_alone(office: Office, tiktok: TikTok, me: Creator) -> None:
    integration = await office.connect("tiktok")
    for grant in tiktok.auth.grants:
        if grant.scopes == {"ads"}:
            grant.dead = "user"
    (ads,) = await office.sync("tiktok", "ads-metrics")
    assert ads.state == "failed"
    await office.sync_through("tiktok", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "active"
    blocked = {stream.sync_type: stream.blocked_reason for stream in shown.streams if stream.blocked_reason}
    assert list(blocked) == ["ads-metrics"]
    assert "advertiser" in (blocked["ads-metrics"] or "")


async def test_without_an_advertiser_comments_are_read_all_the_same(office: Office, tiktok: TikTok) -> None:
    given = tiktok.connect()
    office.learn(given)
    secrets = {name: value for name, value in office.credentials(given).items() if name != "ads_token"}
    await office.integrations.connect(ORG, "tiktok", given.account_id, {}, secrets, by="test")
    await office.sync_through("tiktok", "comments")
    (ads,) = await office.sync("tiktok", "ads-metrics")
    assert (ads.state, "ads_token" in (ads.error_text or "")) == ("failed", True)


@pytest.mark.parametrize("sync_type", ["posts", "comments", "messages", "ads-metrics"])
async def test_a_backfill_leaves_the_live_cursor_alone(office: Office, tiktok: TikTok, sync_type: str) -> None:
    await office.connect("tiktok")
    await office.sync_through("tiktok", sync_type)
    live = "SELECT partition, cursor::text FROM sync_partition WHERE run_id = 0 ORDER BY partition"
    streams = "SELECT cursor::text FROM sync_stream ORDER BY 1"
    before = await office.rows(live), await office.rows(streams)
    start = (datetime.now(UTC) - timedelta(days=5)).date().isoformat()
    run = await office.sync_through("tiktok", sync_type, startDate=start)
    assert (run.trigger, run.added) == ("backfill", 0)
    assert (await office.rows(live), await office.rows(streams)) == before


async def expire(office: Office, integration: Integration, seconds: float) -> None:
    """Let the stored token seem to run out then."""
    given = office.world["tiktok"].connect()
    secrets: dict[str, Any] = office.credentials(given)
    secrets["expires_at"] = str(int(datetime.now(UTC).timestamp() + seconds))
    await office.integrations.reconnect(ORG, integration.id, secrets, by="test")


async def test_a_token_of_a_day_is_renewed_before_it_ends_and_its_twin_kept(office: Office, tiktok: TikTok) -> None:
    integration = await office.connect("tiktok")
    await expire(office, integration, 600)
    await office.sync_through("tiktok", "profile")
    await office.sync_through("tiktok", "profile")
    assert tiktok.auth.counters["refreshes"] == 1
    assert "refresh_reused" not in tiktok.auth.counters
    await office.sync_through("tiktok", "ads-metrics")


async def test_a_revoked_account_expires_with_its_reason_and_goes_on(
    office: Office, tiktok: TikTok, me: Creator
) -> None:
    integration = await office.connect("tiktok")
    await office.sync_through("tiktok", "posts")
    tiktok.revoke()
    await office.sync("tiktok", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    video = tiktok.post(me)
    await office.reconnect(integration)
    run = await office.sync_through("tiktok", "posts")
    assert run.added == 1
    assert video in await office.ids("post")


async def test_a_missing_scope_blocks_its_sync_type(office: Office, tiktok: TikTok) -> None:
    integration = await office.connect("tiktok", scopes=set(tiktok.scopes) - {"message.list.read"})
    (messages,) = await office.sync("tiktok", "messages")
    assert messages.state == "failed"
    await office.sync_through("tiktok", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert [stream.sync_type for stream in shown.streams if stream.blocked_reason] == ["messages"]


async def test_a_limit_parks_for_five_minutes(office: Office, tiktok: TikTok) -> None:
    await office.connect("tiktok")
    tiktok.limits.enabled = True
    tiktok.limits.change("qpm", max=3)
    (run,) = await office.sync("tiktok", "comments")
    assert run.state == "queued"
    parked = "SELECT extract(epoch FROM not_before - now()) BETWEEN 250 AND 400 FROM sync_run WHERE id = %s"
    assert await office.value(parked, run.id)
    over = tiktok.limits.totals()["over_limit"]
    assert over == 1
    await office.database.execute("UPDATE sync_run SET not_before = now() WHERE id = %s", (run.id,))
    await office.work("tiktok")
    assert tiktok.limits.totals()["over_limit"] == over, "no call before the time"


async def test_ten_calls_a_second_are_kept_by_ourselves(office: Office, tiktok: TikTok) -> None:
    office.change(connectors=office.settings.connectors.model_copy(update={"limits": {}}))
    tiktok.limits.enabled = True
    await office.connect("tiktok")
    (run,) = await office.sync("tiktok", "comments")
    assert run.state == "succeeded"
    assert tiktok.limits.totals()["over_limit"] == 0
