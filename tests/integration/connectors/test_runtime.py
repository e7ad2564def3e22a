"""What the runtime promises for every HTTP platform, shown with Slack and Facebook against the simulator."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.base import Credentials
from connectors.http.session import open_session
from connectors.slack.connector import SLACK
from sync.base.errors import IntegrationRevoked
from sync.base.settings import RedisSettings
from sync.pull.accounts import Accounts, StoredRecords
from sync.pull.model import ClaimedRun
from sync.pull.tokens import AccountTokens
from sync.pull.worker import ExitReason
from tests.fakes.killable import killable_redis
from tests.integration.connectors.conftest import ORG, Office


async def outcome(office: Office) -> dict[str, Any]:
    """What a pull left behind, without ids and times."""
    columns = "kind, vendor_id, parent_id, thread_id, place, text, direction, version, counters::text"
    return {
        "activities": await office.rows(f"SELECT {columns} FROM activity ORDER BY kind, vendor_id"),
        "events": await office.rows(
            "SELECT type, payload ->> 'kind', payload ->> 'vendor_id', count(*) FROM event "
            "WHERE type LIKE 'activity.%%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ),
        "cursors": await office.rows("SELECT partition, cursor ->> 'mark' FROM sync_partition ORDER BY partition"),
    }


async def forget(office: Office) -> None:
    await office.database.execute(
        "TRUNCATE activity, sync_partition, sync_run, event, sync_lease RESTART IDENTITY CASCADE"
    )
    await office.database.execute("UPDATE sync_stream SET cursor = NULL")


# --- stops


@pytest.mark.parametrize("page", [1, 3, 5])
@pytest.mark.parametrize("shared", [1, 5])
async def test_a_stop_after_any_page_loses_and_repeats_nothing(office: Office, page: int, shared: int) -> None:
    office.change(sync=office.settings.sync.model_copy(update={"shared_pages": shared}))
    _unpaced(office)
    office.connectors["slack"] = _small_pages(4)  # many more than are read ahead
    await office.connect("slack")
    await office.sync("slack", "messages")
    whole = await outcome(office)
    await forget(office)

    (triggered,) = await office.runs.trigger(ORG, "slack", "messages")
    stopped: list[int] = []

    def stop(_run: ClaimedRun, number: int) -> None:
        if number >= page and not stopped:
            stopped.append(number)
            worker.stop()

    worker = office.worker("slack", page_committed=stop)
    assert await worker.run_until_idle() is ExitReason.STOPPED
    halfway = await office.runs.show(ORG, triggered.run_id)
    assert halfway.state == "queued"
    assert halfway.pages >= page
    assert len(await office.ids("message")) < len(whole["activities"])

    await office.work("slack")
    assert (await office.runs.show(ORG, triggered.run_id)).state == "succeeded"
    assert await outcome(office) == whole


def _unpaced(office: Office) -> None:
    office.world["slack"].limits.enabled = False
    limits = {f"slack.{budget.name}": 0 for budget in SLACK.budgets}
    office.change(connectors=office.settings.connectors.model_copy(update={"limits": limits}))


def _small_pages(size: int) -> Any:
    from dataclasses import replace

    streams = tuple(replace(stream, page_size=size) for stream in SLACK.streams)
    return replace(SLACK, streams=streams)


# --- credentials


async def test_a_revoked_account_expires_once_and_goes_on_after_reconnect(office: Office) -> None:
    integration = await office.connect("slack")
    await office.sync("slack", "messages")
    known = await office.ids("message")
    slack = office.world["slack"]
    slack.revoke()
    runs = await office.sync("slack")
    assert {run.state for run in runs} <= {"failed", "cancelled"}
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert "removed from the Slack workspace" in (shown.reason or "")
    assert await office.events("integration.expired") == 1
    assert await office.rows("SELECT key, count FROM alert WHERE key LIKE 'integration.expired%%'") == [
        (f"integration.expired:{integration.id}", 1)
    ]

    slack.grow(slack.account())
    await office.reconnect(integration)
    before = office.requests("slack", "conversations.history")
    (run,) = await office.sync("slack", "messages")
    assert run.state == "succeeded"
    assert await office.ids("message") >= known
    assert await office.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0
    assert office.requests("slack", "conversations.history") - before <= 8  # from the cursors, not from the beginning


async def test_an_expired_token_is_renewed_and_stored(office: Office) -> None:
    integration = await office.connect("slack")
    slack = office.world["slack"]
    office.world.faults.add("expired_token", vendor="slack", endpoint="*users.conversations", count=1, lasting=True)
    (run,) = await office.sync("slack", "messages")
    assert run.state == "succeeded", run.error_text
    assert slack.auth.counters["refreshes"] == 1
    assert await office.value("SELECT renewals FROM integration WHERE id = %s", integration.id) == 1
    (again,) = await office.sync("slack", "messages")
    assert again.state == "succeeded"
    assert slack.auth.counters["refreshes"] == 1


async def test_eight_callers_renew_a_token_once(office: Office) -> None:
    integration = await office.connect("slack")
    context = f"integration/{ORG}/slack/{integration.account}"

    async def renew() -> Credentials:
        tokens = AccountTokens(office.database, office.sealer, integration.id, context)
        used = await tokens.current()
        started.append(used)
        while len(started) < 8:
            await asyncio.sleep(0)
        account = office_account(office, integration.account, used)
        async with open_session(SLACK, account) as session:
            return await tokens.renew(used, session.api.exchange)

    started: list[Credentials] = []
    found = await asyncio.gather(*(renew() for _ in range(8)))
    assert len({one["access_token"] for one in found}) == 1
    assert found[0]["access_token"] != started[0]["access_token"]
    assert office.world["slack"].auth.counters["refreshes"] == 1
    assert await office.value("SELECT count(*) FROM token_lease") == 0


def office_account(office: Office, account: str, credentials: Credentials) -> Any:
    return Accounts(office.database, office.sealer, office.settings).unsaved(ORG, "slack", account, {}, credentials)


async def test_a_refused_renewal_uses_what_a_concurrent_winner_stored(office: Office) -> None:
    integration = await office.connect("slack")
    context = f"integration/{ORG}/slack/{integration.account}"
    tokens = AccountTokens(office.database, office.sealer, integration.id, context)
    used = await tokens.current()

    async def winner_and_refusal(_credentials: Credentials) -> dict[str, str]:
        fresh = office.sealer.seal(b'{"access_token":"new","refresh_token":"newer"}', context)
        await office.database.execute(
            "UPDATE integration SET credentials = %s, renewals = renewals + 1 WHERE id = %s", (fresh, integration.id)
        )
        raise IntegrationRevoked("invalid_grant")

    assert (await tokens.renew(used, winner_and_refusal))["access_token"] == "new"

    async def refusal(_credentials: Credentials) -> dict[str, str]:
        raise IntegrationRevoked("invalid_grant")

    with pytest.raises(IntegrationRevoked):
        await tokens.renew(await tokens.current(), refusal)


async def test_an_empty_refresh_token_replaces_nothing(office: Office) -> None:
    integration = await office.connect("slack")
    context = f"integration/{ORG}/slack/{integration.account}"
    tokens = AccountTokens(office.database, office.sealer, integration.id, context)
    used = await tokens.current()

    async def exchange(_credentials: Credentials) -> dict[str, str]:
        return {"access_token": "new", "refresh_token": ""}

    fresh = await tokens.renew(used, exchange)
    assert fresh["refresh_token"] == used["refresh_token"]
    assert "expires_at" not in fresh


async def test_a_missing_scope_blocks_one_sync_type(office: Office) -> None:
    scopes = set(office.world["slack"].scopes) - {"search:read"}
    integration = await office.connect("slack", scopes=scopes)
    runs = {run.sync_type: run for run in await office.sync("slack")}
    assert runs["mentions"].state == "failed"
    assert all(run.state == "succeeded" for name, run in runs.items() if name != "mentions")
    shown = await office.integrations.show(ORG, integration.id)
    assert shown.state == "active"
    blocked = {stream.sync_type: stream.blocked_reason for stream in shown.streams if stream.blocked_reason}
    assert list(blocked) == ["mentions"]


# --- limits


async def test_a_throttled_run_parks_and_nobody_calls_before_the_time(office: Office) -> None:
    await office.connect("slack")
    office.world.faults.add(
        "limited", vendor="slack", endpoint="*conversations.history", after=2, count=1, retry_after=40, lasting=True
    )
    (run,) = await office.sync("slack", "messages")
    assert run.state == "queued"
    assert (run.attempt, run.error_class) == (0, "ratelimited")
    assert 39 <= await office.value("SELECT extract(epoch FROM not_before - now())::float8 FROM sync_run") <= 45
    calls = office.requests("slack")

    # Somebody else asks for the same method: it is refused here, not there.
    await office.database.execute("UPDATE sync_run SET not_before = now()")
    await office.work("slack")
    run = await office.runs.show(ORG, run.id)
    assert (run.state, run.error_class) == ("queued", "budget")
    assert office.requests("slack", "conversations.history") == 3
    assert office.requests("slack") <= calls + 2  # the list of channels has a budget of its own
    assert office.world["slack"].limits.totals()["early"] == 0

    office.world["slack"].limits.reset()
    await office.no_waiting()
    await office.work("slack")
    assert (await office.runs.show(ORG, run.id)).state == "succeeded"


async def test_a_pull_goes_on_when_redis_is_killed(office: Office) -> None:
    with killable_redis() as redis:
        office.change(redis=RedisSettings(url=SecretStr(redis.url)))
        office.connectors["slack"] = _small_pages(3)
        await office.connect("slack")
        (triggered,) = await office.runs.trigger(ORG, "slack", "messages")

        def kill(_run: ClaimedRun, number: int) -> None:
            if number == 2:
                redis.kill()

        async with asyncio.timeout(60):
            await office.worker("slack", page_committed=kill).run_until_idle()
        # The calls of the last minute were counted in Redis: nobody knows of them now, so that minute is waited out.
        run = await office.runs.show(ORG, triggered.run_id)
        assert (run.state, run.error_class) == ("queued", "budget")
        assert office.world["slack"].limits.totals()["over_limit"] == 0
        office.world["slack"].limits.reset()
        await office.no_waiting()
        await office.work("slack")
        assert (await office.runs.show(ORG, triggered.run_id)).state == "succeeded"


# --- trouble


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("error", {"status": 503}),
        ("error", {"status": 502, "html": True}),
        ("cut", {}),
        ("truncate", {}),
        ("garbage", {}),
        ("repeat_page", {}),
        ("empty_page", {}),
        ("expired_page", {}),
    ],
)
async def test_one_fault_on_the_way_changes_nothing(office: Office, kind: Any, options: dict[str, Any]) -> None:
    office.connectors["slack"] = _small_pages(10)
    await office.connect("slack")
    await office.sync("slack", "messages")
    whole = await outcome(office)
    await forget(office)
    office.world.faults.add(kind, vendor="slack", endpoint="*conversations.history", after=1, count=1, **options)
    run = await office.sync_through("slack", "messages")
    assert run.state == "succeeded"
    assert not office.world.faults.active
    assert await outcome(office) == whole


async def test_unknown_fields_and_unreadable_items(office: Office) -> None:
    await office.connect("slack")
    office.world.faults.add("extra_fields", vendor="slack")
    (run,) = await office.sync("slack", "profile")
    assert (run.state, run.skipped) == ("succeeded", 0)


async def test_an_item_that_cannot_be_read_is_kept_aside(office: Office) -> None:
    from dataclasses import replace

    def picky(item: Any, ctx: Any) -> Any:
        if item["name"] == "sync":
            raise KeyError("profile")
        return profile.map(item, ctx)

    profile = next(stream for stream in SLACK.streams if stream.name == "profile")
    office.connectors["slack"] = replace(SLACK, streams=(replace(profile, map=picky),))
    await office.connect("slack")
    for times in (1, 2):
        (run,) = await office.sync("slack", "profile")
        assert (run.state, run.skipped) == ("succeeded", 1)
        assert await office.rows("SELECT error, count, raw ->> 'name' FROM activity_quarantine") == [
            ("KeyError: 'profile'", times, "sync")
        ]
    assert len(await office.ids("profile")) == 8


async def test_known_records_are_named_newest_first(office: Office) -> None:
    await office.connect("slack")
    await office.sync("slack", "messages")
    ((integration_id,),) = await office.rows("SELECT id FROM integration")
    expected = await office.rows(
        "SELECT vendor_id FROM activity WHERE kind = 'message' ORDER BY occurred_at DESC, id DESC"
    )
    known = StoredRecords(office.database, integration_id)
    since = datetime.now(UTC) - timedelta(days=100)
    batches = [batch async for batch in known.recent(("message",), since)]
    assert [len(batch) for batch in batches] == [100, len(expected) - 100]
    assert [(vendor_id,) for batch in batches for vendor_id in batch] == expected


# --- backfills


async def test_a_backfill_leaves_the_live_cursor_alone(office: Office) -> None:
    await office.connect("slack")
    await office.sync("slack", "messages")
    live = await office.rows("SELECT partition, cursor::text FROM sync_partition ORDER BY 1")
    everything = await office.ids("message")
    await office.database.execute("TRUNCATE activity CASCADE")
    (run,) = await office.sync("slack", "messages", startDate=_days_ago(6), endDate=_days_ago(4))
    assert (run.trigger, run.state) == ("backfill", "succeeded")
    assert await office.rows("SELECT partition, cursor::text FROM sync_partition ORDER BY 1") == live
    found = await office.ids("message")
    assert found
    assert found < everything
    days = await office.rows("SELECT min(occurred_at)::date::text, max(occurred_at)::date::text FROM activity")
    assert days[0][0] >= _days_ago(6)
    assert days[0][1] <= _days_ago(4)


def _days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
