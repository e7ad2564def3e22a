"""Reddit, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from simulator.vendors.reddit import Reddit
from simulator.vendors.reddit.data import Redditor
from tests.integration.connectors.conftest import ORG, Office

SYNC_TYPES = ("posts", "comments", "mentions", "messages", "engagement-metrics", "profile")


@pytest.fixture
def reddit(office: Office) -> Reddit:
    vendor = office.world["reddit"]
    assert isinstance(vendor, Reddit)
    return vendor


def names(reddit: Reddit, me: Redditor, feed: str) -> set[str]:
    truth = reddit.truth(me)
    return {record["name"] for name, records in truth.items() if name.startswith(feed) for record in records}


async def test_everything_once_and_then_nothing(office: Office, reddit: Reddit) -> None:
    await office.connect("reddit")
    me = reddit.account()
    for sync_type in SYNC_TYPES:
        await office.sync_through("reddit", sync_type)
    assert await office.ids("post") == names(reddit, me, "posts:")
    assert await office.ids("comment") == names(reddit, me, "comments:")
    assert await office.ids("mention") == names(reddit, me, "mentions")
    talks = {t.id: t for sub in me.subs for t in sub.modmail.values()}
    modmail = {f"{talk.id}:{record['id']}" for talk in talks.values() for record in talk.messages.records()}
    assert await office.ids("message") == names(reddit, me, "inbox") | names(reddit, me, "sent") | modmail
    assert await office.ids("profile") == {f"t2_{me.id}"}
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    kinds = await office.rows("SELECT DISTINCT entity_kind FROM metric_point ORDER BY 1")
    assert kinds == [("account",), ("comment",), ("post",), ("subreddit",)]
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'pageviews' AND is_final") > 0
    directions = await office.rows("SELECT direction FROM activity WHERE kind = 'post' GROUP BY 1 ORDER BY 1")
    assert directions == [("in",), ("out",)]

    events = await office.events("activity.added") + await office.events("activity.changed")
    for sync_type in SYNC_TYPES:
        assert (await office.sync_through("reddit", sync_type)).added == 0
    assert events == await office.events("activity.added") + await office.events("activity.changed")


async def test_edits_and_deletions_are_found_by_looking_again(office: Office, reddit: Reddit) -> None:
    await office.connect("reddit")
    me = reddit.account()
    post, doomed, removed = (reddit.post(me, text=text) for text in ("one", "two", "three"))
    answer = reddit.comment(me, thing=post, text="first")
    for sync_type in ("posts", "comments", "engagement-metrics"):
        await office.sync_through("reddit", sync_type)
    reddit.edit(me, thing=post, text="changed")
    reddit.delete(me, thing=doomed)
    reddit.remove(me, thing=removed)
    reddit.delete(me, thing=answer)
    await office.database.execute("UPDATE sync_partition SET cursor = cursor - 'seen'")
    await office.sync_through("reddit", "engagement-metrics")
    query = "SELECT text, author_handle, deleted_at IS NOT NULL AS d FROM activity WHERE vendor_id = %s"
    assert (await office.rows(query, post))[0][0] == "changed"
    assert await office.rows(query, doomed) == [(None, "[deleted]", True)]
    assert (await office.rows(query, removed))[0][2] is True
    assert await office.rows(query, answer) == [(None, "[deleted]", True)]
    assert await office.events("activity.deleted") == 3


async def test_a_post_approved_late_arrives(office: Office, reddit: Reddit) -> None:
    await office.connect("reddit")
    me = reddit.account()
    held = reddit.post(me, text="held back")
    reddit.remove(me, thing=held)
    reddit.post(me, text="newer")
    await office.sync_through("reddit", "posts")
    assert held not in await office.ids("post")
    reddit.approve(me, thing=held)
    await office.sync_through("reddit", "posts")
    assert held in await office.ids("post")


async def test_big_trees_come_whole(office: Office, reddit: Reddit) -> None:
    """Below a post of ours; the subreddit's own listing reaches a thousand comments back."""
    me = reddit.account()
    mine = reddit.post(me, author=me.name)
    tops = [reddit.comment(me, thing=mine, author="somebody") for _ in range(650)]
    await office.connect("reddit")
    office.world.faults.add("error", vendor="reddit", endpoint="/r/{sub}/comments", status=404, body={"error": 404})
    await office.sync_through("reddit", "comments")
    assert set(tops) <= await office.ids("comment")
    assert office.requests("reddit", "morechildren") == 2


async def test_new_modmail_is_fetched_and_old_is_not(office: Office, reddit: Reddit) -> None:
    await office.connect("reddit")
    await office.sync_through("reddit", "messages")
    calls = office.requests("reddit", "/api/mod/conversations/")
    talk = next(iter(reddit.account().subs[0].modmail))
    reddit.modmail(reddit.account(), conversation=talk, text="still waiting")
    await office.sync_through("reddit", "messages")
    assert office.requests("reddit", "/api/mod/conversations/") == calls + 1
    assert await office.value("SELECT count(*) FROM activity WHERE text = 'still waiting'") == 1


async def test_visitors_that_may_not_be_seen_block_nothing(office: Office, reddit: Reddit) -> None:
    scopes = set(reddit.scopes) - {"modtraffic"}
    integration = await office.connect("reddit", scopes=scopes)
    run = await office.sync_through("reddit", "engagement-metrics")
    assert run.state == "succeeded"
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'subscribers'") > 0
    assert (await office.integrations.show(ORG, integration.id)).state == "active"


async def test_a_missing_scope_blocks_its_sync_type(office: Office, reddit: Reddit) -> None:
    integration = await office.connect("reddit", scopes=set(reddit.scopes) - {"modmail"})
    (run,) = await office.sync("reddit", "messages")
    assert run.state == "failed"
    shown = await office.integrations.show(ORG, integration.id)
    assert (shown.state, [s.sync_type for s in shown.streams if s.blocked_reason]) == ("active", ["messages"])


async def test_accounts_share_the_limit_of_the_app(office: Office, reddit: Reddit) -> None:
    for account in reddit.ordinary_accounts():
        await office.connect("reddit", account.id)
    reddit.limits.change("client", max=20)
    office.change(connectors=office.settings.connectors.model_copy(update={"limits": {"reddit.client": 20}}))
    runs = await office.sync("reddit")
    assert "queued" in {run.state for run in runs}
    assert reddit.limits.totals() == {"accepted": 20, "over_limit": 0, "early": 0}


async def test_a_token_is_renewed_and_a_revoked_one_expires_the_account(office: Office, reddit: Reddit) -> None:
    integration = await office.connect("reddit")
    reddit.auth.expire_account(reddit.account(), reddit.now())
    (run,) = await office.sync("reddit", "profile")
    assert run.state == "succeeded"
    assert reddit.auth.counters["refreshes"] == 1
    reddit.revoke()
    await office.sync("reddit", "profile")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    await office.reconnect(integration)
    (run,) = await office.sync("reddit", "profile")
    assert run.state == "succeeded"


async def test_a_backfill_leaves_the_live_cursors_alone(office: Office, reddit: Reddit) -> None:
    await office.connect("reddit")
    await office.sync_through("reddit", "posts")
    query = "SELECT partition, cursor FROM sync_partition WHERE run_id = 0 ORDER BY 1"
    before = await office.rows(query)
    start = (datetime.now(UTC) - timedelta(days=3)).date()
    run = await office.sync_through("reddit", "posts", startDate=start.isoformat())
    assert run.state == "succeeded"
    assert before == await office.rows(query)
