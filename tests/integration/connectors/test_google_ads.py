"""Google Ads, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from simulator.vendors.google_ads import GoogleAds
from simulator.vendors.google_ads.data import Login
from tests.integration.connectors.conftest import ORG, Office


@pytest.fixture
def google(office: Office) -> GoogleAds:
    """Changes show at once, and pages are small."""
    vendor = office.world["google_ads"]
    assert isinstance(vendor, GoogleAds)
    vendor.change_delay_s = 0
    vendor.page_rows = 40
    return vendor


def names(google: GoogleAds, login: Login) -> set[str]:
    """Resource names of everything that can be read."""
    found = set()
    for customer in login.serving():
        base = f"customers/{customer.id}"
        found |= {base}
        found |= {f"{base}/campaigns/{record['campaign.id']}" for record in customer.campaigns.records()}
        found |= {f"{base}/adGroups/{record['ad_group.id']}" for record in customer.ad_groups.records()}
        found |= {
            f"{base}/adGroupAds/{record['ad_group.id']}~{record['ad_group_ad.ad.id']}"
            for record in customer.ads.records()
        }
    return found


def asked(office: Office, what: str) -> int:
    return sum(what.encode() in entry.body for entry in office.world.log.entries(vendor="google_ads"))


async def test_everything_once_and_then_one_look_for_changes(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    login = google.account()
    await office.sync_through("google_ads", "profile")
    assert await office.ids("profile") == names(google, login)
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    office.world.log.clear()
    run = await office.sync_through("google_ads", "profile")
    assert (run.added, run.changed) == (0, 0)
    assert asked(office, "FROM change_status") == len(login.serving()) == office.requests("google_ads")


async def test_a_rename_updates_and_a_removal_marks(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    await office.sync_through("google_ads", "profile")
    login = google.account()
    own = login.serving()[0]
    first, second = [str(record["campaign.id"]) for record in own.campaigns.records()][:2]
    google.rename(login, thing=first, name="Spring sale", customer=own.id)
    google.remove(login, thing=second, customer=own.id)
    new = google.create(login, customer=own.id)
    run = await office.sync_through("google_ads", "profile")
    assert (run.added, run.changed) == (1, 2)
    rows = await office.rows(
        "SELECT title, deleted_at IS NOT NULL FROM activity WHERE vendor_id = ANY (%s) ORDER BY 2",
        [f"customers/{own.id}/campaigns/{thing}" for thing in (first, second)],
    )
    assert rows[0] == ("Spring sale", False)
    assert rows[1][1] is True
    assert f"customers/{own.id}/campaigns/{new}" in await office.ids("profile")


async def test_figures_are_exact_and_days_the_accounts(office: Office, google: GoogleAds) -> None:
    integration = await office.connect("google_ads")
    await office.sync_through("google_ads", "ads-metrics")
    for customer in google.account().serving():
        rows = await office.rows(
            "SELECT DISTINCT (starts_at AT TIME ZONE %s)::time::text, currency FROM metric_point "
            "WHERE integration_id = %s AND place = %s AND metric = 'spend'",
            customer.zone,
            integration.id,
            customer.id,
        )
        assert rows == [("00:00:00", customer.currency)]
    ((spent,),) = await office.rows("SELECT sum(value) FROM metric_point WHERE metric = 'spend' AND entity_kind = 'ad'")
    assert isinstance(spent, Decimal)
    whole = await office.value(
        "SELECT sum(value) FROM metric_point WHERE metric = 'spend' AND entity_kind = 'campaign' AND dimensions = ''"
    )
    assert whole > spent, "Performance Max campaigns have no ads"
    final = await office.value("SELECT max(ends_at) FROM metric_point WHERE is_final")
    assert final <= datetime.now(UTC) - timedelta(days=30)
    run = await office.sync_through("google_ads", "ads-metrics")
    assert run.added == 0


async def test_restated_days_change_in_place(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    await office.sync_through("google_ads", "ads-metrics")
    query = (
        "SELECT count(*), sum(value) FROM metric_point "
        "WHERE metric = 'conversions' AND ends_at < now() - '1 day'::interval"
    )
    ((count, before),) = await office.rows(query)
    office.world.clock.advance(86_400)
    await office.database.execute("UPDATE sync_partition SET cursor = cursor - 'full'")
    await office.sync_through("google_ads", "ads-metrics")
    ((again, after),) = await office.rows(query)
    assert again == count
    assert after > before


async def test_a_backfill_leaves_the_live_days_alone(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    await office.sync_through("google_ads", "ads-metrics")
    before = await office.rows("SELECT partition, cursor->>'day' FROM sync_partition ORDER BY 1")
    start = datetime.now(UTC).date() - timedelta(days=200)
    await office.sync_through(
        "google_ads", "ads-metrics", startDate=start.isoformat(), endDate=(start + timedelta(days=9)).isoformat()
    )
    oldest = await office.value("SELECT min(starts_at) FROM metric_point")
    assert abs((oldest.date() - start).days) <= 1
    live = await office.rows(
        "SELECT partition, cursor->>'day' FROM sync_partition WHERE cursor->>'day' IS NOT NULL ORDER BY 1"
    )
    assert live == before


async def test_an_expired_page_token_starts_the_query_again(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    google.page_rows = 3
    office.world.faults.add("expired_page", vendor="google_ads", count=1, after=2)
    await office.sync_through("google_ads", "profile")
    assert not office.world.faults.active
    assert await office.ids("profile") == names(google, google.account())


async def test_a_closed_account_is_left_out_and_the_others_go_on(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    await office.sync_through("google_ads", "profile")
    login = google.account()
    closed, other = login.serving()[1:3]
    google.cancel(login, customer=closed.id)
    google.create(login, customer=other.id)
    run = await office.sync_through("google_ads", "profile")
    assert (run.state, run.added) == ("succeeded", 1)


async def test_a_used_up_day_parks_until_google_says(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    office.world.faults.add("limited", vendor="google_ads", rule="operations", retry_after=40_591, count=1)
    (run,) = await office.sync("google_ads", "profile")
    assert (run.state, run.error_class, run.attempt) == ("queued", "RESOURCE_EXHAUSTED", 0)
    waits = await office.value("SELECT extract(epoch FROM not_before - now()) FROM sync_run WHERE id = %s", run.id)
    assert 40_000 < waits <= 46_000
    calls = office.requests("google_ads")
    await office.sync("google_ads", "ads-metrics")
    assert office.requests("google_ads") == calls, "the day is used up for everybody"


async def test_revoked_and_unticked(office: Office, google: GoogleAds) -> None:
    integration = await office.connect("google_ads")
    google.revoke()
    await office.sync("google_ads", "profile")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert "taken back" in (shown.reason or "")
    await office.reconnect(integration)
    run = await office.sync_through("google_ads", "profile")
    assert run.state == "succeeded"


async def test_an_expired_token_is_renewed_with_the_token_that_stays(office: Office, google: GoogleAds) -> None:
    await office.connect("google_ads")
    for _ in range(2):
        google.auth.expire_account(google.account(), google.now())
        await office.sync_through("google_ads", "profile")
    assert google.auth.counters["refreshes"] == 2
    google.auth.expire_account(google.account(), google.now(), kinds=("access", "refresh"))
    (run,) = await office.sync("google_ads", "profile")
    assert run.state == "failed"
