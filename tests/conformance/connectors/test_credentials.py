"""Credentials that end, and accounts that go on afterwards."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from connectors.http import OAuth2, Renewal
from sync.base.errors import ConfigurationError
from tests.conformance.connectors.conftest import Outcome
from tests.conformance.connectors.desk import HTTP, ORG, Desk, assert_same, only
from tests.conformance.connectors.processes import Job, renew_in_processes

LASTING = {"discord", "telegram"}
"""Their tokens are not renewed: they last until somebody takes them back."""
EXTENDED = {"facebook"}
"""Its token is extended while it is alive; one that ran out cannot be renewed."""


async def test_a_revoked_account_expires_once_and_goes_on_after_reconnect(desk: Desk, whole: Outcome) -> None:
    integration = await desk.connect(desk.slug)
    await desk.pull_all()
    before = desk.calls()
    await desk.pull_all()
    usual = desk.calls() - before

    desk.vendor.revoke()
    runs = await desk.pull_at_once()
    assert {run.state for run in runs} <= {"failed", "cancelled"}, [(r.sync_type, r.state, r.error_text) for r in runs]
    shown = await desk.integrations.show(ORG, integration.id)
    assert shown.state == "expired"
    assert shown.reason
    assert await desk.events("integration.expired") == 1
    alerts = await desk.rows("SELECT key, count FROM alert WHERE resolved_at IS NULL AND key LIKE 'integration.%%'")
    assert alerts == [(f"integration.expired:{integration.id}", 1)]
    at_rest = desk.calls()
    await desk.work(desk.slug)
    assert desk.calls() == at_rest, "an expired account is left alone"

    await desk.reconnect(integration)
    before = desk.calls()
    await desk.pull_all()
    assert desk.calls() - before <= usual + 3, "it began anew instead of going on"
    assert (await desk.integrations.show(ORG, integration.id)).state == "active"
    assert not await desk.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL AND key LIKE 'integration.%%'")
    assert_same(await desk.outcome(), whole)


@only(set(HTTP) - LASTING - EXTENDED)
async def test_a_token_that_ran_out_is_renewed_without_anybody_noticing(desk: Desk, whole: Outcome) -> None:
    integration = await desk.connect(desk.slug)
    for sync_type in desk.sync_types:
        desk.vendor.auth.expire_account(desk.vendor.account(integration.account), desk.vendor.now())
        await desk.pull(sync_type)
    assert desk.vendor.auth.counters.get("refreshes")
    assert_same(await desk.outcome(), whole)


@only(set(HTTP) - LASTING)
async def test_eight_callers_in_four_processes_renew_a_token_once(desk: Desk) -> None:
    integration = await desk.connect(desk.slug)
    old = desk.vendor.auth.counters.get("token_requests", 0)
    found = await asyncio.to_thread(renew_in_processes, Job.of(desk, integration), processes=4, callers=2)
    assert len(found) == 8
    assert len(set(found)) == 1, "they do not agree on the token"
    assert "" not in found
    assert desk.vendor.auth.counters.get("token_requests", 0) - old == 1
    assert not desk.vendor.auth.counters.get("refresh_reused")
    assert await desk.value("SELECT renewals FROM integration") == 1
    assert await desk.value("SELECT count(*) FROM token_lease") == 0
    assert (await desk.integrations.show(ORG, integration.id)).state == "active"


@only(set(HTTP) - LASTING - {"pinterest"})
async def test_a_wrong_secret_of_ours_costs_no_account(desk: Desk) -> None:
    """Pinterest says the same about both."""
    integration = await desk.connect(desk.slug)
    right = desk.settings
    app = right.connectors.apps[desk.slug].model_copy(update={"client_secret": SecretStr("wrong")})
    apps = {**right.connectors.apps, desk.slug: app}
    desk.change(connectors=right.connectors.model_copy(update={"apps": apps}))
    async with desk.opened(integration) as session:
        with pytest.raises(ConfigurationError):
            await session.api.exchange(session.api.account.credentials)
    desk.settings = right
    assert (await desk.integrations.show(ORG, integration.id)).state == "active"


def test_only_what_is_declared_is_left_out() -> None:
    kinds = {slug: connector.auth.kind for slug, connector in HTTP.items() if isinstance(connector.auth, OAuth2)}
    assert set(HTTP) - set(kinds) == LASTING
    assert {slug for slug, kind in kinds.items() if kind is Renewal.EXTEND} == EXTENDED
