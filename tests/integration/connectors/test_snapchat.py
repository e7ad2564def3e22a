"""Snapchat, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from simulator.vendors.snapchat import Snapchat
from tests.integration.connectors.conftest import ORG, Office

KINDS = ("campaign", "adsquad", "ad")
CONTENT = ("stories", "saved_stories", "spotlights")
UNPACED = {"snapchat.app": 0, "snapchat.token": 0}
ADS_ONLY = ["snapchat-marketing-api"]


@pytest.fixture
def snapchat(office: Office) -> Snapchat:
    """Five calls a second would make these tests slow; the limit has a test of its own."""
    vendor = office.world["snapchat"]
    assert isinstance(vendor, Snapchat)
    vendor.limits.enabled = False
    office.change(connectors=office.settings.connectors.model_copy(update={"limits": UNPACED}))
    return vendor


def ids(snapchat: Snapchat, *kinds: str) -> set[str]:
    truth = snapchat.truth()
    return {record["id"] for name, records in truth.items() if name.split(":")[0] in kinds for record in records}


def everything(snapchat: Snapchat) -> set[str]:
    person = snapchat.account()
    places = {account.id for account in person.ad_accounts()} | {profile.id for profile in person.profiles()}
    return ids(snapchat, *KINDS) | places


async def test_everything_once_and_then_nothing(office: Office, snapchat: Snapchat) -> None:
    for _ in range(1_010):
        snapchat.campaign(snapchat.account())
    await office.connect("snapchat")
    types = ("profile", "posts", "ads-metrics", "engagement-metrics")
    for sync_type in types:
        await office.sync_through("snapchat", sync_type)
    assert await office.ids("profile") == everything(snapchat)
    assert await office.ids("post") == ids(snapchat, *CONTENT)
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'subscribers'") == 1
    added = await office.events("activity.added")
    for sync_type in types:
        assert (await office.sync_through("snapchat", sync_type)).added == 0
    assert await office.events("activity.added") == added
    assert await office.events("activity.changed") == 0


async def test_an_edit_updates_and_a_deletion_marks(office: Office, snapchat: Snapchat) -> None:
    await office.connect("snapchat")
    await office.sync_through("snapchat", "profile")
    person = snapchat.account()
    account = next(person.ad_accounts())
    first, second = [record["id"] for record in account.campaigns.records()][:2]
    snapchat.edit(person, kind="campaign", thing=first, name="Renamed")
    snapchat.delete(person, kind="campaign", thing=second)
    new = snapchat.campaign(person)
    run = await office.sync_through("snapchat", "profile")
    assert (run.added, run.changed) == (1, 2)
    rows = await office.rows(
        "SELECT title, deleted_at IS NOT NULL FROM activity WHERE vendor_id = ANY (%s) ORDER BY 2", [first, second]
    )
    assert rows[0] == ("Renamed", False)
    assert rows[1][1] is True
    assert new in await office.ids("profile")


async def test_figures_are_exact_and_days_the_accounts(office: Office, snapchat: Snapchat) -> None:
    await office.connect("snapchat")
    await office.sync_through("snapchat", "ads-metrics")
    for account in snapchat.account().ad_accounts():
        rows = await office.rows(
            "SELECT DISTINCT (starts_at AT TIME ZONE %s)::time::text, currency FROM metric_point "
            "WHERE place = %s AND metric = 'spend'",
            account.zone,
            account.id,
        )
        assert rows == [("00:00:00", account.currency)]
    sums = await office.rows(
        "SELECT sum(value) FROM metric_point WHERE metric = 'spend' AND starts_at < now() - '3 days'::interval "
        "GROUP BY entity_kind"
    )
    assert len(sums) == 2
    assert sums[0] == sums[1], "campaigns and ads spent the same"
    final = "SELECT max(ends_at) FROM metric_point WHERE is_final AND metric = %s"
    delivery, conversions = await office.value(final, "spend"), await office.value(final, "conversion_purchases")
    assert datetime.now(UTC) - timedelta(days=4) < delivery <= datetime.now(UTC) - timedelta(days=2)
    assert conversions <= datetime.now(UTC) - timedelta(days=28)


async def test_restated_days_change_in_place(office: Office, snapchat: Snapchat) -> None:
    await office.connect("snapchat")
    await office.sync_through("snapchat", "ads-metrics")
    query = (
        "SELECT count(*), sum(value) FROM metric_point WHERE metric = 'conversion_view_content' "
        "AND entity_kind = 'campaign' AND ends_at < now() - '1 day'::interval"
    )
    ((count, before),) = await office.rows(query)
    office.world.clock.advance(86_400)
    snapchat.auth.expire_account(snapchat.account(), snapchat.now() + 90_000)
    await office.database.execute("UPDATE sync_partition SET cursor = cursor - 'full'")
    await office.sync_through("snapchat", "ads-metrics")
    ((again, after),) = await office.rows(query)
    assert again == count
    assert after > before


async def test_a_backfill_leaves_the_live_days_alone(office: Office, snapchat: Snapchat) -> None:
    await office.connect("snapchat")
    await office.sync_through("snapchat", "ads-metrics")
    query = "SELECT partition, cursor->>'day' FROM sync_partition WHERE cursor->>'day' IS NOT NULL ORDER BY 1"
    before = await office.rows(query)
    start = datetime.now(UTC).date() - timedelta(days=200)
    await office.sync_through(
        "snapchat", "ads-metrics", startDate=start.isoformat(), endDate=(start + timedelta(days=9)).isoformat()
    )
    oldest = await office.value("SELECT min(starts_at) FROM metric_point")
    assert abs((oldest.date() - start).days) <= 1
    assert await office.rows(query) == before


async def test_without_the_profile_permission_ads_go_on(office: Office, snapchat: Snapchat) -> None:
    integration = await office.connect("snapchat", scopes=ADS_ONLY)
    for sync_type, expected in (("posts", "failed"), ("engagement-metrics", "failed"), ("profile", "succeeded")):
        (run,) = await office.sync("snapchat", sync_type)
        assert (sync_type, run.state) == (sync_type, expected)
    assert (await office.sync_through("snapchat", "ads-metrics")).added > 0
    shown = await office.integrations.show(ORG, integration.id)
    blocked = {stream.sync_type: stream.blocked_reason for stream in shown.streams if stream.blocked_reason}
    assert set(blocked) == {"posts", "engagement-metrics"}
    assert "Snap's list" in blocked["posts"]
    assert await office.ids("profile") == everything(snapchat) - {p.id for p in snapchat.account().profiles()}


async def test_a_new_spotlight_comes_and_its_review_changes_it(office: Office, snapchat: Snapchat) -> None:
    await office.connect("snapchat")
    await office.sync_through("snapchat", "posts")
    new = snapchat.post(snapchat.account(), text="Hello")
    assert (await office.sync_through("snapchat", "posts")).added == 1
    feed = next(snapchat.account().profiles()).spotlights
    key = feed.newest()
    assert key is not None
    feed.edit(key, status="REJECTED")
    run = await office.sync_through("snapchat", "posts")
    assert (run.added, run.changed) == (0, 1)
    assert await office.value("SELECT data->>'status' FROM activity WHERE vendor_id = %s", new) == "REJECTED"


async def test_a_pending_account_is_left_out_and_lost_roles_block(office: Office, snapchat: Snapchat) -> None:
    integration = await office.connect("snapchat")
    person = snapchat.account()
    first, second = person.ad_accounts()
    first.status = "PENDING"
    await office.sync_through("snapchat", "ads-metrics")
    assert await office.rows("SELECT DISTINCT place FROM metric_point") == [(second.id,)]
    snapchat.lose_roles(person)
    (run,) = await office.sync("snapchat", "ads-metrics")
    assert run.state == "failed"
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state != "expired", "the token still works"
    assert "no role" in next(stream.blocked_reason or "" for stream in shown.streams if stream.blocked_reason)


async def test_a_limit_parks_and_nobody_calls_meanwhile(office: Office, snapchat: Snapchat) -> None:
    office.change(connectors=office.settings.connectors.model_copy(update={"limits": {}}))
    snapchat.limits.enabled = True
    await office.connect("snapchat")
    office.world.faults.add("limited", vendor="snapchat", endpoint="*/stats", count=1)
    (run,) = await office.sync("snapchat", "ads-metrics")
    assert (run.state, run.attempt) == ("queued", 0)
    assert await office.value("SELECT not_before > now() + '3 s'::interval FROM sync_run WHERE id = %s", run.id)
    assert (await office.sync_through("snapchat", "ads-metrics")).state == "succeeded"
    assert snapchat.limits.totals()["over_limit"] == 0


async def test_revoked_is_expired_and_half_an_hour_is_renewed(office: Office, snapchat: Snapchat) -> None:
    integration = await office.connect("snapchat")
    snapchat.auth.expire_account(snapchat.account(), snapchat.now())
    await office.sync_through("snapchat", "posts")
    assert snapchat.auth.counters["refreshes"] == 1
    snapchat.returns_refresh = True
    snapchat.auth.expire_account(snapchat.account(), snapchat.now())
    await office.sync_through("snapchat", "posts")
    assert snapchat.auth.counters["refreshes"] == 2
    snapchat.revoke()
    await office.sync("snapchat", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    await office.reconnect(integration)
    assert (await office.sync_through("snapchat", "posts")).added == 0
