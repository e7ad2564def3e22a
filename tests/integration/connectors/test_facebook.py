"""Facebook, end to end against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from simulator.vendors.facebook.data import Owner
from tests.integration.connectors.conftest import ORG, Office


def truth(office: Office, owner: Owner, feed: str) -> set[str]:
    found = office.world["facebook"].truth(owner)
    return {record["id"] for name, records in found.items() if name.startswith(f"{feed}:") for record in records}


async def test_everything_once_and_then_nothing(office: Office) -> None:
    await office.connect("facebook")
    owner = office.world["facebook"].account()
    for sync_type in ("posts", "comments", "messages", "mentions", "engagement-metrics", "ads-metrics", "profile"):
        await office.sync_through("facebook", sync_type)
    assert await office.ids("post") == truth(office, owner, "posts")
    assert await office.ids("comment") == truth(office, owner, "comments")
    assert await office.ids("message") == truth(office, owner, "messages")
    assert await office.ids("mention") == truth(office, owner, "tagged")
    assert await office.ids("profile") == {place.id for place in owner.places()}
    assert await office.value("SELECT count(*) FROM activity") == await office.events("activity.added")
    assert await office.value("SELECT count(*) FROM activity_quarantine") == 0
    assert await office.value("SELECT count(*) FROM activity WHERE raw::text LIKE '%%access_token%%'") == 0
    assert await office.value("SELECT count(*) FROM sync_partition WHERE cursor::text LIKE '%%EAA%%'") == 0

    events = await office.events("activity.added") + await office.events("activity.changed")
    for sync_type in ("posts", "comments", "messages", "mentions"):
        assert (await office.sync_through("facebook", sync_type)).added == 0
    assert events == await office.events("activity.added") + await office.events("activity.changed")


async def test_replies_and_directions(office: Office) -> None:
    await office.connect("facebook")
    await office.sync_through("facebook", "comments")
    await office.sync_through("facebook", "messages")
    assert await office.value(
        "SELECT count(*) FROM activity c JOIN activity p ON p.kind = 'comment' AND p.vendor_id = c.parent_id"
    )
    assert await office.value("SELECT count(*) FROM activity WHERE kind = 'comment' AND author_id IS NULL") == 0
    directions = await office.rows(
        "SELECT direction, count(*) > 0 FROM activity WHERE kind = 'message' GROUP BY 1 ORDER BY 1"
    )
    assert directions == [("in", True), ("out", True)]


async def test_ads_are_exact_by_the_accounts_days(office: Office) -> None:
    """Ad days are the ad account's, money is what the vendor's text says, and restated days change in place."""
    integration = await office.connect("facebook")
    owner = office.world["facebook"].account()
    (account,) = owner.ad_accounts
    await office.sync_through("facebook", "ads-metrics")
    days = await office.rows(
        "SELECT DISTINCT (starts_at AT TIME ZONE %s)::time::text, (ends_at - starts_at)::text FROM metric_point "
        "WHERE integration_id = %s AND metric = 'spend'",
        account.zone,
        integration.id,
    )
    assert {start for start, _ in days} == {"00:00:00"}
    ((currency, total),) = await office.rows(
        "SELECT currency, sum(value) FROM metric_point WHERE metric = 'spend' GROUP BY 1"
    )
    assert currency == account.currency
    assert isinstance(total, Decimal)
    old, new = await office.rows("SELECT is_final, max(ends_at) FROM metric_point GROUP BY 1 ORDER BY 1 DESC")
    assert (old[0], new[0]) == (True, False)
    assert old[1] <= datetime.now(UTC) - timedelta(days=28)

    before = await office.rows("SELECT count(*), count(*) FILTER (WHERE dimensions <> '') > 0 FROM metric_point")
    run = await office.sync_through("facebook", "ads-metrics")
    assert run.added == 0
    assert (
        await office.rows("SELECT count(*), count(*) FILTER (WHERE dimensions <> '') > 0 FROM metric_point") == before
    )


async def test_a_report_is_made_once_and_survives_parking(office: Office) -> None:
    await office.connect("facebook")
    (run,) = await office.sync("facebook", "ads-metrics")
    assert (run.state, run.error_class, run.attempt) == ("queued", "report", 0)
    jobs = office.world["facebook"].reports.jobs
    assert len(jobs) == 1
    polls = 0
    while (await office.runs.show(ORG, run.id)).state == "queued":
        await office.no_waiting()
        await office.work("facebook")
        polls += 1
    assert polls >= 4
    assert len(jobs) == 4, "91 days in steps of 30, each asked for once"


async def test_a_failing_report_is_made_again(office: Office) -> None:
    await office.connect("facebook")
    office.world.faults.add("report_fail", vendor="facebook", count=1)
    run = await office.sync_through("facebook", "ads-metrics")
    assert run.state == "succeeded"


async def test_a_dead_password_expires_the_account_with_its_reason(office: Office) -> None:
    integration = await office.connect("facebook")
    office.world["facebook"].revoke(reason="password")
    await office.sync("facebook", "posts")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert "changed their password" in (shown.reason or "")


async def test_a_missing_permission_blocks_its_sync_type(office: Office) -> None:
    integration = await office.connect("facebook", scopes=set(office.world["facebook"].scopes) - {"read_insights"})
    (run,) = await office.sync("facebook", "engagement-metrics")
    assert run.state == "failed"
    (posts,) = await office.sync("facebook", "posts")
    assert posts.state == "succeeded"
    shown = await office.integrations.show(ORG, integration.id)
    assert [stream.sync_type for stream in shown.streams if stream.blocked_reason] == ["engagement-metrics"]


async def test_a_long_lived_token_is_extended_in_its_last_week(office: Office) -> None:
    integration = await office.connect("facebook")
    soon = (datetime.now(UTC) + timedelta(days=3)).timestamp()
    given = office.world["facebook"].connect()
    await office.integrations.reconnect(
        ORG, integration.id, {**office.credentials(given), "expires_at": str(int(soon))}, by="test"
    )
    (run,) = await office.sync("facebook", "profile")
    assert run.state == "succeeded"
    assert office.world["facebook"].auth.counters["refreshes"] == 1
    (again,) = await office.sync("facebook", "profile")
    assert again.state == "succeeded"
    assert office.world["facebook"].auth.counters["refreshes"] == 1
