"""X, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from simulator.vendors.twitter import Twitter
from simulator.vendors.twitter.data import Profile, snowflake
from tests.integration.connectors.conftest import ORG, Office

SYNC_TYPES = ("posts", "comments", "mentions", "messages", "engagement-metrics", "profile")


@pytest.fixture
def twitter(office: Office) -> Twitter:
    vendor = office.world["twitter"]
    assert isinstance(vendor, Twitter)
    return vendor


def firsts(records: list[dict[str, Any]]) -> set[str]:
    return {record["edit_history_tweet_ids"][0] for record in records}


def recent_replies(me: Profile) -> set[str]:
    """Replies that the search of the last week finds: below our posts of that week, and to us anywhere."""
    week = snowflake((datetime.now(UTC) - timedelta(days=7)).timestamp())
    own = {str(root) for root in me.conversations if root > week}
    found = [record for feed in me.conversations.values() for record in feed.records() if int(record["id"]) > week]
    return {
        record["id"]
        for record in found
        if record["conversation_id"] in own or (record["in_reply_to_user_id"] == me.id and record["author_id"] != me.id)
    }


async def test_everything_once_and_then_nothing(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    me = twitter.account()
    for sync_type in SYNC_TYPES:
        await office.sync_through("twitter", sync_type)
    truth = twitter.truth(me)
    assert await office.ids("post") == firsts(truth["posts"])
    assert await office.ids("mention") == firsts(truth["mentions"])
    assert await office.ids("message") == {r["id"] for r in truth["messages"] if r["event_type"] == "MessageCreate"}
    assert await office.ids("comment") == recent_replies(me)
    assert await office.ids("profile") == {me.id}
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    assert await office.value("SELECT count(*) FROM activity WHERE author_handle IS NULL AND kind <> 'profile'") == 0
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'lifetime_url_link_clicks'") > 0
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'impressions' AND is_final") > 0

    events = await office.events("activity.added") + await office.events("activity.changed")
    for sync_type in SYNC_TYPES:
        assert (await office.sync_through("twitter", sync_type)).added == 0
    assert events == await office.events("activity.added") + await office.events("activity.changed")


async def test_replies_hang_together(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    me = twitter.account()
    root = twitter.post(me, text="hello")
    top = twitter.reply(me, post=root, text="hi there")
    answer = twitter.reply(me, post=top, text="thanks", ours=True)
    await office.sync_through("twitter", "comments")
    rows = await office.rows(
        "SELECT vendor_id, parent_id, thread_id, direction FROM activity WHERE thread_id = %s ORDER BY vendor_id", root
    )
    assert rows == [(top, root, root, "in"), (answer, top, root, "out")]


async def test_only_what_is_new_is_asked_for(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    me = twitter.account()
    for sync_type in ("posts", "posts", "mentions"):
        await office.sync_through("twitter", sync_type)
    read = twitter.reads
    new, named = twitter.post(me), twitter.mention(me)
    for sync_type in ("posts", "mentions"):
        await office.sync_through("twitter", sync_type)
    assert twitter.reads - read == 2
    assert new in await office.ids("post")
    assert named in await office.ids("mention")


async def test_an_edit_and_a_delete_arrive(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    me = twitter.account()
    first, doomed = twitter.post(me, text="one"), twitter.post(me, text="two")
    await office.sync_through("twitter", "posts")
    twitter.edit(me, post=first, text="won")
    twitter.delete(me, post=doomed)
    await office.database.execute("UPDATE sync_partition SET cursor = cursor - 'seen'")
    await office.sync_through("twitter", "posts")
    query = "SELECT text, edited_at IS NOT NULL AS e, deleted_at IS NOT NULL AS d FROM activity WHERE vendor_id = %s"
    assert await office.rows(query, first) == [("won", True, False)]
    assert await office.rows(query, doomed) == [("two", False, True)]
    assert await office.events("activity.deleted") == 1
    await office.sync_through("twitter", "posts")
    assert await office.events("activity.deleted") == 1


async def test_ads_are_exact_by_the_accounts_days(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    (account,) = twitter.account().ad_accounts
    await office.sync_through("twitter", "ads-metrics")
    kinds = await office.rows("SELECT DISTINCT entity_kind FROM metric_point ORDER BY 1")
    assert kinds == [("ad",), ("ad_group",), ("campaign",)]
    days = await office.rows("SELECT DISTINCT (starts_at AT TIME ZONE %s)::time::text FROM metric_point", account.zone)
    assert days == [("00:00:00",)]
    totals = await office.rows(
        "SELECT entity_kind, currency, sum(value) FROM metric_point WHERE metric = 'spend' GROUP BY 1, 2 ORDER BY 1"
    )
    assert {currency for _, currency, _ in totals} == {account.currency}
    assert len({total for _, _, total in totals}) == 1
    assert isinstance(totals[0][2], Decimal)
    settled = datetime.now(UTC) - timedelta(days=14)
    assert await office.value("SELECT max(ends_at) FROM metric_point WHERE is_final") <= settled
    assert await office.value("SELECT count(*) FROM metric_point WHERE NOT is_final") > 0
    jobs = len(twitter.reports.jobs)
    assert (await office.sync_through("twitter", "ads-metrics")).added == 0
    assert len(twitter.reports.jobs) == jobs


async def test_without_keys_for_ads_only_they_are_blocked(office: Office) -> None:
    given = office.world["twitter"].connect()
    office.learn(given)
    found = {name: value for name, value in office.credentials(given).items() if not name.startswith("ads_")}
    integration = await office.integrations.connect(ORG, "twitter", given.account_id, {}, found, by="test")
    (run,) = await office.sync("twitter", "ads-metrics")
    assert run.state == "failed"
    (posts,) = await office.sync("twitter", "posts")
    assert posts.state == "succeeded"
    shown = await office.integrations.show(ORG, integration.id)
    assert [stream.sync_type for stream in shown.streams if stream.blocked_reason] == ["ads-metrics"]


async def test_a_missing_scope_blocks_messages_alone(office: Office) -> None:
    integration = await office.connect("twitter", scopes=["tweet.read", "users.read", "offline.access"])
    (run,) = await office.sync("twitter", "messages")
    assert run.state == "failed"
    shown = await office.integrations.show(ORG, integration.id)
    assert (shown.state, [s.sync_type for s in shown.streams if s.blocked_reason]) == ("active", ["messages"])


async def test_a_limit_parks_until_its_window_ends(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    twitter.limits.change("user_tweets:user", max=1)
    await office.sync("twitter", "posts")
    (run,) = await office.sync("twitter", "posts")
    assert run.state == "queued"
    wait = await office.value("SELECT not_before - now() FROM sync_run WHERE id = %s", run.id)
    assert timedelta(minutes=13) < wait <= timedelta(minutes=20)
    assert twitter.limits.totals()["over_limit"] == 0


async def test_a_used_up_month_waits_and_expires_nobody(office: Office, twitter: Twitter) -> None:
    integration = await office.connect("twitter")
    await office.sync("twitter", "profile")
    twitter.set_bill(twitter.account(), state="capped")
    (run,) = await office.sync("twitter", "posts")
    assert run.state == "queued"
    calls = office.requests("twitter")
    (other,) = await office.sync("twitter", "mentions")
    assert other.state == "queued"
    assert office.requests("twitter") == calls
    assert (await office.integrations.show(ORG, integration.id)).state == "active"


async def test_refresh_tokens_are_used_once(office: Office, twitter: Twitter) -> None:
    await office.connect("twitter")
    me = twitter.account()
    for _ in range(2):
        twitter.auth.expire_account(me, twitter.now())
        (run,) = await office.sync("twitter", "profile")
        assert run.state == "succeeded"
    assert twitter.auth.counters["refreshes"] == 2
    assert twitter.auth.counters.get("refresh_reused", 0) == 0


async def test_a_revoked_account_expires_and_goes_on_after_reconnecting(office: Office, twitter: Twitter) -> None:
    integration = await office.connect("twitter")
    await office.sync("twitter", "posts")
    twitter.revoke()
    await office.sync("twitter", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert shown.reason
    new = twitter.post(twitter.account())
    await office.reconnect(integration)
    await office.sync("twitter", "posts")
    assert new in await office.ids("post")


async def test_a_backfill_leaves_the_live_cursor_alone(office: Office) -> None:
    await office.connect("twitter")
    await office.sync_through("twitter", "posts")
    before = await office.rows("SELECT sync_type, cursor FROM sync_stream ORDER BY 1")
    start = (datetime.now(UTC) - timedelta(days=3)).date()
    run = await office.sync_through("twitter", "posts", startDate=start.isoformat(), force=True)
    assert run.state == "succeeded"
    assert before == await office.rows("SELECT sync_type, cursor FROM sync_stream ORDER BY 1")
