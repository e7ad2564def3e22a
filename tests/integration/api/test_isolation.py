"""One org never sees another's rows: every route, walked with the token of an org that has nothing."""

from __future__ import annotations

from typing import Any

import pytest

from sync.api.auth import TokenVerifier
from sync.base.settings import AuthSettings
from tests.fakes.tokens import SECRET, bearer
from tests.integration.api.conftest import Api
from tests.integration.api.world import MARK, World, populate

TABLES = (
    "subscription",
    "event_reader",
    "event_lane",
    "event_backlog",
    "job",
    "job_scheduled",
    "job_dead",
    "job_run",
    "integration",
    "sync_run",
    "schedule",
    "org_secret",
    "alert",
    "activity",
    "metric_point",
    "mail_message",
    "webhook_event",
    "inbox_message",
    "conversation",
    "contact",
    "contact_identity",
    "inbox_reply",
)


async def fingerprint(api: Api) -> list[str]:
    """Everything of acme's, as one digest per table."""
    rows = "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} t WHERE org_id = 'acme'"
    return [await api.value(rows.format(table)) for table in TABLES]


async def operations(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    document = (await api.http.get("/openapi.json")).json()
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith(("/sync", "/inbox", "/analytics"))
    ]


def body_of(operation: dict[str, Any], world: World, path: str) -> Any:
    if "requestBody" not in operation:
        return None
    media = operation["requestBody"]["content"]["application/json"]
    if path in {"/sync/jobs/retry", "/sync/jobs/cancel", "/sync/jobs/discard"}:
        return {"ids": [world.dead, world.waiting, world.scheduled]}
    return media.get("example") or next(iter(media["examples"].values()))["value"]


@pytest.mark.parametrize("require_platform", [False, True])
async def test_no_route_shows_or_touches_what_belongs_to_another_org(api: Api, require_platform: bool) -> None:
    world = await populate(api)
    before = await fingerprint(api)
    api.app.state.verifier = TokenVerifier(AuthSettings(secret=SECRET, require_platform=require_platform))
    walked = 0
    for method, template, operation in await operations(api):
        if method == "PUT":
            continue  # makes something of one's own
        body = body_of(operation, world, template)
        request = {} if body is None else {"json": body}
        path = world.path(template)
        response = await api.http.request(method, path, headers=bearer("globex"), **request)
        where = f"{method} {path}: {response.status_code} {response.text}"
        belongs = {name for name in ("_id}", "/secrets/{name}", "/schedules/{name}") if name in template}
        if belongs:
            assert response.status_code == 404, where
        else:
            assert response.status_code < 500 and MARK not in response.text, where
        assert "hunter2" not in response.text, where
        walked += 1
    assert walked > 40
    assert await fingerprint(api) == before


async def test_lists_and_counts_of_another_org_are_empty(api: Api) -> None:
    await populate(api)
    other = {"org": "globex", "role": "viewer"}
    data = (
        "/sync/activities",
        "/sync/metrics",
        "/sync/mail/messages",
        "/inbox/conversations",
        "/analytics/posts",
        "/analytics/accounts",
    )
    own = (
        "/sync/jobs",
        "/sync/runs",
        "/sync/schedules",
        "/sync/integrations",
        "/sync/alerts",
        "/sync/secrets",
        "/sync/subscriptions",
        "/sync/webhooks",
    )
    for path in own + data:
        answer = await api.get(path, **{**other, "role": "operator"})
        assert answer["items"] == [], path
    home = await api.get("/sync", **other)
    assert set(home["counts"].values()) == {0}
    info = await api.get("/sync/info", **other)
    assert info["scope"] == "org" and info["syncs"] == []
    assert {consumer["depth"] + consumer["dead"] for consumer in info["consumers"]} == {0}
    assert (await api.get("/sync/status", **other))["leases"] == []
    await api.get("/sync/info?scope=all", **other, status=403)


async def test_the_own_org_sees_all_of_it_without_secrets(api: Api) -> None:
    world = await populate(api)
    for _, template, _ in (row for row in await operations(api) if row[0] == "GET" and "pause" not in row[1]):
        if "purge" in template or "resume" in template:
            continue
        response = await api.http.get(world.path(template), headers=bearer("acme"))
        assert response.status_code == 200, response.text
        assert "hunter2" not in response.text
    status = await api.get("/sync/status")
    assert status["leases"][0]["actor"] == "sync:acme:email" and status["leases"][0]["node"] == MARK
    assert "email" in status["platforms"]


async def test_who_runs_the_install_sees_sums_and_only_a_platform_token_sees_rows(api: Api) -> None:
    await populate(api)
    sums = await api.get("/sync/status?scope=all", org="globex")
    assert sums["scope"] == "all"
    assert sum(consumer["depth"] for consumer in sums["consumers"]) == 1
    assert sums["leases"] == []
    response = await api.http.get("/sync/status", headers=bearer("globex", platform=True))
    assert [lease["org"] for lease in response.json()["leases"]] == ["acme"]
