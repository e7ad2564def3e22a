"""LinkedIn, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from simulator.vendors.linkedin import LinkedIn
from simulator.vendors.linkedin.data import Member
from tests.integration.connectors.conftest import ORG, Office

TYPES = ("posts", "comments", "mentions", "engagement-metrics", "ads-metrics", "profile")


@pytest.fixture
def linkedin(office: Office) -> LinkedIn:
    vendor = office.world["linkedin"]
    assert isinstance(vendor, LinkedIn)
    return vendor


@pytest.fixture
def me(linkedin: LinkedIn) -> Member:
    return linkedin.account()


def truth(linkedin: LinkedIn, me: Member, feed: str, name: str = "id", **match: Any) -> set[str]:
    found = [record for key, records in linkedin.truth(me).items() if key.startswith(f"{feed}:") for record in records]
    return {record[name] for record in found if all(record[key] == value for key, value in match.items())}


async def told(office: Office) -> int:
    return int(await office.value("SELECT count(*) FROM event WHERE type LIKE 'activity.%%'"))


async def test_everything_once_and_then_nothing(office: Office, linkedin: LinkedIn, me: Member) -> None:
    await office.connect("linkedin")
    for sync_type in TYPES:
        await office.sync_through("linkedin", sync_type)
    assert await office.ids("post") == truth(linkedin, me, "posts")
    assert await office.ids("comment") == truth(linkedin, me, "comments", "commentUrn")
    mentions = truth(linkedin, me, "notices", "generatedActivity", action="SHARE_MENTION")
    assert await office.ids("mention") == mentions
    assert await office.ids("profile") == {org.urn for org in me.orgs}
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity WHERE raw::text LIKE '%%AQX%%'") == 0
    parents = "SELECT count(*) FROM activity r JOIN activity c ON c.kind = 'comment' AND c.vendor_id = r.parent_id"
    assert await office.value(parents), "replies hang below their comments"

    before = await told(office)
    for sync_type in TYPES:
        assert (await office.sync_through("linkedin", sync_type)).added == 0
    assert await told(office) == before


async def test_what_happens_on_a_page_arrives(office: Office, linkedin: LinkedIn, me: Member) -> None:
    await office.connect("linkedin")
    for sync_type in ("posts", "comments", "mentions"):
        await office.sync_through("linkedin", sync_type)
    oldest = min(await office.ids("post"), key=lambda urn: int(urn.rpartition(":")[2]))
    post = linkedin.post(me, text="New: <a> lamp #1")
    linkedin.edit(me, post=oldest, text="Closed (for now)")
    comment = linkedin.comment(me, post=post, text="Price?")
    answer = linkedin.comment(me, post=post, text="20 €", parent=comment, ours=True)
    share = linkedin.mention(me, text="Thanks")
    for sync_type in ("posts", "comments", "mentions"):
        assert (await office.sync_through("linkedin", sync_type)).added >= 1

    org = me.orgs[0]
    rows = await office.rows(
        "SELECT vendor_id, parent_id, thread_id, direction, text, edited_at IS NOT NULL FROM activity "
        "WHERE vendor_id = ANY(%s)",
        [post, oldest, comment, answer, share],
    )
    assert {row[0]: row[1:] for row in rows} == {
        post: (None, post, "out", "New: <a> lamp #1", False),
        oldest: (None, oldest, "out", "Closed (for now)", True),
        comment: (post, post, "in", "Price?", False),
        answer: (comment, post, "out", "20 €", False),
        share: (None, share, "in", f"Thanks @{org.name}", False),
    }
    linkedin.edit_comment(me, comment=comment, text="What does it cost?")
    assert (await office.sync_through("linkedin", "comments")).changed == 1
    assert (await office.value("SELECT text FROM activity WHERE vendor_id = %s", comment)) == "What does it cost?"


async def test_what_is_deleted_is_marked_and_keeps_its_words(office: Office, linkedin: LinkedIn, me: Member) -> None:
    await office.connect("linkedin")
    post = linkedin.post(me, text="Wrong price")
    comment = linkedin.comment(me, post=post, text="Really?")
    never_seen = linkedin.comment(me, post=post, text="spam")
    linkedin.delete_comment(me, comment=never_seen)
    await office.sync_through("linkedin", "posts")
    await office.sync_through("linkedin", "comments")
    assert never_seen not in await office.ids("comment")
    linkedin.delete_comment(me, comment=comment)
    linkedin.delete(me, post=post)
    for sync_type in ("posts", "comments", "posts", "comments"):
        await office.sync_through("linkedin", sync_type)
    rows = await office.rows(
        "SELECT kind, text, author_id IS NOT NULL FROM activity WHERE deleted_at IS NOT NULL ORDER BY kind"
    )
    assert rows == [("comment", "Really?", True), ("post", "Wrong price", True)]
    assert await office.events("activity.deleted") == 2
    linkedin.demote(me)
    await office.sync_through("linkedin", "posts")
    assert await office.events("activity.deleted") == 2, "out of sight is not deleted"


async def test_ads_are_exact_and_late_conversions_change_in_place(
    office: Office, linkedin: LinkedIn, me: Member
) -> None:
    await office.connect("linkedin")
    account = me.ad_accounts[0]
    await office.sync_through("linkedin", "ads-metrics")
    rows = await office.rows(
        "SELECT currency, count(DISTINCT entity), min(starts_at)::timetz = '00:00Z' FROM metric_point "
        "WHERE metric = 'spend' GROUP BY 1"
    )
    assert rows == [(account.currency, len(account.campaigns), True)]
    total = await office.value("SELECT sum(value) FROM metric_point WHERE metric = 'spend'")
    assert isinstance(total, Decimal)
    assert total == total.quantize(Decimal("0.01"))
    finals = await office.rows("SELECT is_final, max(ends_at) FROM metric_point GROUP BY 1 ORDER BY 1 DESC")
    assert all(ends <= datetime.now(UTC) - timedelta(days=90) for final, ends in finals if final)
    before = await office.value("SELECT count(*) FROM metric_point")
    assert (await office.sync_through("linkedin", "ads-metrics")).added == 0
    assert await office.value("SELECT count(*) FROM metric_point") == before


async def test_too_many_rows_are_asked_for_in_fewer_days(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.linkedin.answers.MOST_ELEMENTS", 30)
    monkeypatch.setattr("simulator.vendors.linkedin.ads.MOST_ELEMENTS", 30)
    await office.connect("linkedin")
    await office.sync_through("linkedin", "ads-metrics")
    days = await office.value("SELECT count(DISTINCT starts_at) FROM metric_point WHERE metric = 'impressions'")
    assert days >= 85


@pytest.mark.parametrize("sync_type", ["posts", "comments", "mentions", "ads-metrics"])
async def test_a_backfill_leaves_the_live_cursor_alone(office: Office, linkedin: LinkedIn, sync_type: str) -> None:
    await office.connect("linkedin")
    await office.sync_through("linkedin", sync_type)
    live = "SELECT partition, cursor::text FROM sync_partition WHERE run_id = 0 ORDER BY partition"
    before = await office.rows(live)
    start = (datetime.now(UTC) - timedelta(days=5)).date().isoformat()
    run = await office.sync_through("linkedin", sync_type, startDate=start)
    assert (run.trigger, run.added) == ("backfill", 0)
    assert await office.rows(live) == before


async def test_a_used_up_day_parks_until_midnight(office: Office, linkedin: LinkedIn) -> None:
    await office.connect("linkedin")
    linkedin.limits.change("application_day", max=1)
    (run,) = await office.sync("linkedin", "posts")
    assert run.state == "queued"
    midnight = await office.value(
        "SELECT not_before - (date_trunc('day', now(), 'UTC') + interval '1 day') "
        "BETWEEN interval '0' AND interval '20 minutes' FROM sync_run WHERE id = %s",
        run.id,
    )
    assert midnight
    over = linkedin.limits.totals()["over_limit"]
    await office.database.execute("UPDATE sync_run SET not_before = now() WHERE id = %s", (run.id,))
    await office.work("linkedin")
    assert linkedin.limits.totals()["over_limit"] == over, "no call before the time"


async def test_a_sunset_version_is_a_setting_and_expires_nobody(office: Office, linkedin: LinkedIn, me: Member) -> None:
    integration = await office.connect("linkedin")
    linkedin.sunset(me, version="202607")
    (run,) = await office.sync("linkedin", "posts")
    assert run.state == "failed"
    assert "api_version" in (run.error_text or "")
    assert (await office.integrations.show(ORG, integration.id)).state == "active"
    given = linkedin.connect()
    given.secrets["api_version"] = "202611"
    office.learn(given)
    (run,) = await office.sync("linkedin", "posts")
    assert run.state == "succeeded"


async def test_a_renewed_token_is_given_its_moment(office: Office, linkedin: LinkedIn, me: Member) -> None:
    integration = await office.connect("linkedin")
    linkedin.slow_tokens(me, seconds=20)
    office.world.faults.add("expired_token", vendor="linkedin", count=1, lasting=True)
    (run,) = await office.sync("linkedin", "posts")
    assert run.state == "queued"
    assert linkedin.auth.counters["refreshes"] == 1
    linkedin.slow_tokens(me, seconds=0)
    await office.no_waiting()
    await office.work("linkedin")
    assert (await office.runs.show(ORG, run.id)).state == "succeeded"
    assert linkedin.auth.counters["refreshes"] == 1
    assert (await office.integrations.show(ORG, integration.id)).state == "active"


async def test_a_revoked_account_expires_and_goes_on_after_reconnect(
    office: Office, linkedin: LinkedIn, me: Member
) -> None:
    integration = await office.connect("linkedin")
    await office.sync_through("linkedin", "posts")
    linkedin.revoke()
    await office.sync("linkedin", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert "revoked" in (shown.reason or "")
    post = linkedin.post(me)
    await office.reconnect(integration)
    run = await office.sync_through("linkedin", "posts")
    assert run.added == 1
    assert post in await office.ids("post")


async def test_a_lost_role_blocks_what_needs_it(office: Office, linkedin: LinkedIn, me: Member) -> None:
    integration = await office.connect("linkedin")
    for org in me.orgs:
        linkedin.demote(me, org=org.urn, role="CONTENT_ADMIN")
    (metrics,) = await office.sync("linkedin", "engagement-metrics")
    assert metrics.state == "failed"
    await office.sync_through("linkedin", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    blocked = {stream.sync_type: stream.blocked_reason for stream in shown.streams if stream.blocked_reason}
    assert list(blocked) == ["engagement-metrics"]
    assert "administrator" in (blocked["engagement-metrics"] or "")


async def test_a_missing_scope_blocks_ads_alone(office: Office, linkedin: LinkedIn) -> None:
    integration = await office.connect("linkedin", scopes=set(linkedin.scopes) - {"r_ads_reporting"})
    (ads,) = await office.sync("linkedin", "ads-metrics")
    assert ads.state == "failed"
    await office.sync_through("linkedin", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert [stream.sync_type for stream in shown.streams if stream.blocked_reason] == ["ads-metrics"]
