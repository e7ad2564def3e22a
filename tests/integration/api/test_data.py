"""What syncs brought, as users read it: activities, metrics, mail."""

from __future__ import annotations

from typing import Any

import pytest

from sync.api.paging import encode
from tests.integration.api.conftest import Api
from tests.integration.api.world import add_activity, add_mail, add_metric


async def integration(api: Api, platform: str, account: str = "a", org: str = "acme") -> int:
    return int(
        await api.value(
            "INSERT INTO integration (org_id, platform, account) VALUES (%s, %s, %s) RETURNING id",
            org,
            platform,
            account,
        )
    )


async def walk(api: Api, path: str, **request: Any) -> list[dict[str, Any]]:
    """All pages of a list."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await api.get(f"{path}{'&' if '?' in path else '?'}{cursor}", **request)
        items += page["items"]
        if page["nextCursor"] is None:
            return items
        cursor = f"cursor={page['nextCursor']}"


async def test_activities_page_newest_first(api: Api) -> None:
    slack = await integration(api, "slack")
    for number in range(7):  # pairs at the same time
        await add_activity(api, slack, f"m{number}", at=f"2026-11-0{1 + number // 2}T09:00:00.000001Z")
    found = await walk(api, "/sync/activities?limit=2")
    assert [item["vendorId"] for item in found] == ["m6", "m5", "m4", "m3", "m2", "m1", "m0"]
    assert found[0]["raw"] is None and found[0]["author"]["name"] == "m6"


async def test_activities_are_filtered(api: Api) -> None:
    slack, facebook = await integration(api, "slack"), await integration(api, "facebook")
    await add_activity(api, slack, "old", at="2026-10-01T00:00Z")
    await add_activity(api, slack, "new", at="2026-11-01T00:00Z")
    await add_activity(api, facebook, "post", kind="post", at="2026-11-02T00:00Z")
    for query, names in {
        "platform=slack": ["new", "old"],
        "kind=post": ["post"],
        "kind=post&kind=message": ["post", "new", "old"],
        f"integrationId={slack}": ["new", "old"],
        "since=2026-11-01T00:00:00Z": ["post", "new"],
        "until=2026-11-01T00:00:00Z": ["old"],
        "threadId=thread&platform=facebook": ["post"],
        "threadId=none": [],
    }.items():
        found = await api.get(f"/sync/activities?{query}")
        assert [item["vendorId"] for item in found["items"]] == names, query


async def test_raw_payloads_are_shown_when_asked_for_and_without_secrets(api: Api) -> None:
    activity = await add_activity(api, await integration(api, "slack"), "m")
    shown = await api.get(f"/sync/activities/{activity}", role="viewer")
    assert shown["raw"] == {"id": 1, "token": "[masked]"}
    (listed,) = (await api.get("/sync/activities?raw=true"))["items"]
    assert listed == shown


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-11-01T00:00:00",
        "kind=sermon",
        "cursor=WyJ4IiwyXQ",
        "cursor=WyIyMDI2LTExLTAxVDAwOjAwOjAwWiIsIDBd",
        "limit=0",
    ],
)
async def test_what_makes_no_sense_is_refused(api: Api, query: str) -> None:
    assert (await api.get(f"/sync/activities?{query}", status=422))["detail"]


async def test_metrics_page_through_all_accounts(api: Api) -> None:
    accounts = [await integration(api, "facebook", name) for name in ("a", "b", "c")]
    await add_metric(api, await integration(api, "facebook", "a", "globex"), "other", "globex")
    wanted = []
    for account in accounts:
        for entity in ("1", "2"):
            for day in ("2026-11-01", "2026-11-02"):
                await add_metric(api, account, entity, day=day)
                wanted.append((account, entity, f"{day}T00:00:00Z"))
    for limit in (1, 2, 3, 5, 12, 50):
        found = await walk(api, f"/sync/metrics?limit={limit}")
        assert [(item["integrationId"], item["entity"], item["startsAt"]) for item in found] == wanted, limit


async def test_metrics_are_exact_and_filtered(api: Api) -> None:
    facebook = await integration(api, "facebook")
    await add_metric(api, facebook, "1")
    await add_metric(api, facebook, "1", metric="clicks")
    await add_metric(api, facebook, "2", day="2026-11-05")
    (found,) = (await api.get("/sync/metrics?entity=1&metric=spend&entityKind=campaign"))["items"]
    assert (found["value"], found["currency"], found["dimensions"]) == ("12.340", "EUR", {"country": "DE"})
    for query, count in {
        "since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z": 2,
        "until=2026-11-01T23:00:00Z": 0,
        "platform=slack": 0,
        f"integrationId={facebook}": 3,
        "metric=clicks": 1,
    }.items():
        assert len((await api.get(f"/sync/metrics?{query}"))["items"]) == count, query
    nul = encode([1, ["campaign", "\x00", "spend", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", ""]])
    for cursor in (nul, encode([1, ["a"]]), encode("x")):
        await api.get(f"/sync/metrics?cursor={cursor}", status=422)


async def test_mail_is_listed_and_shown(api: Api) -> None:
    mailbox = await integration(api, "email")
    first, second = await add_mail(api, mailbox, "One"), await add_mail(api, mailbox, "Two")
    assert [item["id"] for item in await walk(api, "/sync/mail/messages?limit=1")] == [second, first]
    assert (await api.get("/sync/mail/messages?state=parked"))["items"] == []
    assert (await api.get("/sync/mail/messages?messageId=1@customer.test"))["items"] == []
    assert (await api.get("/sync/mail/messages?since=2090-01-01T00:00:00Z"))["items"] == []
    shown = await api.get(f"/sync/mail/messages/{first}", role="viewer")
    assert (shown["subject"], shown["text"], shown["headers"]) == ("One", "Hello", [["Subject", "One"]])
    assert shown["references"] == [] and shown["places"] == []
