"""Pinterest, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from simulator.vendors.pinterest import Pinterest
from tests.integration.connectors.conftest import ORG, Office

SYNC_TYPES = ("posts", "engagement-metrics", "ads-metrics", "profile")


@pytest.fixture
def pinterest(office: Office) -> Pinterest:
    vendor = office.world["pinterest"]
    assert isinstance(vendor, Pinterest)
    return vendor


async def test_everything_once_and_then_nothing(office: Office, pinterest: Pinterest) -> None:
    await office.connect("pinterest")
    me = pinterest.account()
    for sync_type in SYNC_TYPES:
        await office.sync_through("pinterest", sync_type)
    assert await office.ids("post") == {record["id"] for record in me.pins.records()}
    assert await office.ids("profile") == {me.id}
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    kinds = await office.rows("SELECT DISTINCT entity_kind FROM metric_point ORDER BY 1")
    assert kinds == [("account",), ("ad",), ("campaign",), ("post",)]
    assert await office.value("SELECT count(*) FROM metric_point WHERE metric = 'impression' AND is_final") > 0

    events = await office.events("activity.added") + await office.events("activity.changed")
    for sync_type in SYNC_TYPES:
        assert (await office.sync_through("pinterest", sync_type)).added == 0
    assert events == await office.events("activity.added") + await office.events("activity.changed")


async def test_an_edit_and_a_delete_arrive(office: Office, pinterest: Pinterest) -> None:
    await office.connect("pinterest")
    me = pinterest.account()
    edited, doomed = pinterest.pin(me, text="one"), pinterest.pin(me, text="two")
    await office.sync_through("pinterest", "posts")
    pinterest.edit(me, pin=edited, text="won")
    pinterest.delete(me, pin=doomed)
    new = pinterest.pin(me)
    await office.sync_through("pinterest", "posts")
    query = "SELECT title, deleted_at IS NOT NULL AS gone FROM activity WHERE vendor_id = %s"
    assert await office.rows(query, edited) == [("won", False)]
    assert await office.rows(query, doomed) == [("two", True)]
    assert new in await office.ids("post")
    assert await office.events("activity.deleted") == 1
    asked = office.requests("pinterest", f"/pins/{doomed}")
    await office.sync_through("pinterest", "posts")
    assert office.requests("pinterest", f"/pins/{doomed}") == asked == 1


async def test_ads_are_exact(office: Office, pinterest: Pinterest) -> None:
    await office.connect("pinterest")
    (account,) = pinterest.account().ad_accounts
    await office.sync_through("pinterest", "ads-metrics")
    totals = await office.rows(
        "SELECT entity_kind, currency, sum(value) FROM metric_point WHERE metric = 'paid_impression' "
        "OR metric = 'spend' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    spent = [(kind, currency) for kind, currency, _ in totals if currency]
    assert spent == [("ad", account.currency), ("campaign", account.currency)]
    impressions = {kind: value for kind, currency, value in totals if currency is None}
    assert impressions["ad"] == impressions["campaign"]
    assert isinstance(impressions["ad"], Decimal)
    days = await office.rows(
        "SELECT DISTINCT (starts_at AT TIME ZONE 'UTC')::time::text FROM metric_point WHERE metric = 'spend'"
    )
    assert days == [("00:00:00",)]
    settled = datetime.now(UTC) - timedelta(days=31)
    assert await office.value("SELECT max(ends_at) FROM metric_point WHERE is_final") <= settled
    archived = [campaign["id"] for campaign in account.campaigns if campaign["status"] == "ARCHIVED"]
    assert await office.value("SELECT count(*) FROM metric_point WHERE entity = %s", archived[0]) > 0


async def test_a_report_that_fails_or_whose_link_dies_is_asked_for_again(office: Office, pinterest: Pinterest) -> None:
    await office.connect("pinterest")
    faults = office.world.faults
    faults.add("report_fail", vendor="pinterest", count=1)
    faults.add("error", vendor="pinterest", endpoint="/async_reporting_v3/*", status=403, body="<Error/>", count=3)
    run = await office.sync_through("pinterest", "ads-metrics")
    assert run.state == "succeeded"
    assert len(pinterest.reports.jobs) == 2


async def test_a_personal_account_has_no_figures_and_is_well(office: Office, pinterest: Pinterest) -> None:
    pinterest.set_kind(pinterest.account(), kind="PINNER")
    integration = await office.connect("pinterest")
    run = await office.sync_through("pinterest", "engagement-metrics")
    assert run.state == "succeeded"
    assert office.requests("pinterest", "analytics") == 0
    assert (await office.integrations.show(ORG, integration.id)).state == "active"


async def test_sixty_calls_a_minute_park_the_rest(office: Office, pinterest: Pinterest) -> None:
    await office.connect("pinterest")
    pinterest.limits.change("org_analytics", max=5)
    (run,) = await office.sync("pinterest", "engagement-metrics")
    assert run.state == "queued"
    wait = await office.value("SELECT not_before - now() FROM sync_run WHERE id = %s", run.id)
    assert timedelta(seconds=30) < wait < timedelta(minutes=3)
    assert pinterest.limits.meters[next(k for k in pinterest.limits.meters if k[0] == "org_analytics")].over_limit == 0


async def test_a_missing_scope_blocks_ads_alone(office: Office, pinterest: Pinterest) -> None:
    integration = await office.connect("pinterest", scopes=set(pinterest.scopes) - {"ads:read"})
    (run,) = await office.sync("pinterest", "ads-metrics")
    assert run.state == "failed"
    (posts,) = await office.sync("pinterest", "posts")
    assert posts.state == "succeeded"
    shown = await office.integrations.show(ORG, integration.id)
    assert (shown.state, [s.sync_type for s in shown.streams if s.blocked_reason]) == ("active", ["ads-metrics"])


async def test_tokens_are_renewed_in_their_last_week(office: Office, pinterest: Pinterest) -> None:
    integration = await office.connect("pinterest")
    soon = int((datetime.now(UTC) + timedelta(days=3)).timestamp())
    given = {**office.credentials(pinterest.connect()), "expires_at": str(soon)}
    await office.integrations.reconnect(ORG, integration.id, given, by="test")
    for _ in range(2):
        (run,) = await office.sync("pinterest", "profile")
        assert run.state == "succeeded"
    assert pinterest.auth.counters["refreshes"] == 1


async def test_a_revoked_account_expires_and_goes_on_after_reconnecting(office: Office, pinterest: Pinterest) -> None:
    integration = await office.connect("pinterest")
    await office.sync("pinterest", "posts")
    pinterest.revoke()
    await office.sync("pinterest", "posts")
    assert (await office.integrations.show(ORG, integration.id)).state == "expired"
    new = pinterest.pin(pinterest.account())
    await office.reconnect(integration)
    await office.sync_through("pinterest", "posts")
    assert new in await office.ids("post")


async def test_a_backfill_leaves_the_live_cursors_alone(office: Office) -> None:
    await office.connect("pinterest")
    for sync_type in ("posts", "ads-metrics"):
        await office.sync_through("pinterest", sync_type)
    query = "SELECT sync_type, partition, cursor FROM sync_partition WHERE run_id = 0 ORDER BY 1, 2"
    streams = "SELECT sync_type, cursor FROM sync_stream ORDER BY 1"
    before = await office.rows(query), await office.rows(streams)
    start = (datetime.now(UTC) - timedelta(days=120)).date()
    for sync_type in ("posts", "ads-metrics"):
        run = await office.sync_through("pinterest", sync_type, startDate=start.isoformat())
        assert run.state == "succeeded"
    assert before == (await office.rows(query), await office.rows(streams))
    oldest = await office.value("SELECT min(starts_at) FROM metric_point WHERE entity_kind = 'ad'")
    assert oldest.date() == start
