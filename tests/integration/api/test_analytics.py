"""Marketing figures over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tests.integration.api.conftest import Api

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def day(back: int) -> datetime:
    return TODAY - timedelta(days=back)


async def account(api: Api, org: str = "acme", name: str = "page") -> int:
    query = (
        "INSERT INTO integration (org_id, platform, account, label) VALUES (%s, 'facebook', %s, 'Ours') RETURNING id"
    )
    return int(await api.value(query, org, name))


async def post(api: Api, integration: int, vendor_id: str, *, back: int = 1, **counters: int) -> int:
    return int(
        await api.value(
            """INSERT INTO activity (org_id, integration_id, platform, kind, vendor_id, place, direction, occurred_at,
                 text, counters, version, content_hash)
               SELECT org_id, id, platform, 'post', %s, 'page', 'out', %s, 'Hello', %s::jsonb, 0, ''
               FROM integration WHERE id = %s RETURNING id""",
            vendor_id,
            day(back),
            msgspec.json.encode(counters).decode(),
            integration,
        )
    )


async def number(
    api: Api,
    integration: int,
    entity: str,
    metric: str,
    value: str,
    *,
    back: int = 1,
    kind: str = "post",
    dimensions: str = "",
) -> None:
    await api.runtime.database.execute(
        """INSERT INTO metric_point (integration_id, entity_kind, entity, metric, starts_at, ends_at, dimensions,
             org_id, platform, value, is_final)
           SELECT id, %s, %s, %s, %s, %s, %s, org_id, platform, %s, true FROM integration WHERE id = %s""",
        (kind, entity, metric, day(back), day(back - 1), dimensions, value, integration),
    )


async def pages(api: Api, path: str, limit: int) -> list[Any]:
    items: list[Any] = []
    cursor = ""
    while True:
        answer = await api.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        items += answer["items"]
        if answer["nextCursor"] is None:
            return items
        cursor = f"&cursor={answer['nextCursor']}"


async def test_posts_show_the_latest_of_each_metric_and_sort_by_time_or_metric(api: Api) -> None:
    page = await account(api)
    for index in range(5):
        await post(api, page, f"p{index}", back=index + 1, likes=index)
    await number(api, page, "p1", "views", "100", back=3)
    await number(api, page, "p1", "views", "7.5", back=2)
    await number(api, page, "p1", "views", "50", back=2, dimensions='{"country":"DE"}')
    await number(api, page, "p3", "views", "20")
    items = await pages(api, "/analytics/posts", 2)
    assert [item["vendorId"] for item in items] == ["p0", "p1", "p2", "p3", "p4"]
    (views,) = items[1]["metrics"]
    assert (views["value"], views["dimensions"]) == ("7.5", {}) and items[1]["counters"] == {"likes": 1}
    by_views = await pages(api, "/analytics/posts?sort=views", 2)
    assert [item["vendorId"] for item in by_views] == ["p3", "p1", "p4", "p2", "p0"]
    by_likes = await pages(api, "/analytics/posts?sort=likes", 3)
    assert [item["vendorId"] for item in by_likes] == ["p4", "p3", "p2", "p1", "p0"]
    recent = await api.get("/analytics/posts", params={"since": day(2).isoformat(), "by": "own"})
    assert [item["vendorId"] for item in recent["items"]] == ["p0", "p1"]
    assert (await api.get("/analytics/posts?by=others"))["items"] == []


async def test_a_post_over_time(api: Api) -> None:
    page = await account(api)
    shown = await post(api, page, "p1", back=5)
    for back in (4, 3, 2):
        await number(api, page, "p1", "views", str(10 * back), back=back)
        await number(api, page, "p1", "clicks", str(back), back=back)
    await number(api, page, "p1", "views", "3", back=3, dimensions='{"country":"DE"}')
    path = f"/analytics/posts/{shown}/metrics"
    answer = await api.get(path)
    assert {one["metric"]: one["value"] for one in answer["post"]["metrics"] if not one["dimensions"]} == {
        "views": "20",
        "clicks": "2",
    }
    whole = [(one["metric"], one["value"], one["dimensions"]) for one in answer["items"]]
    assert whole[:3] == [("clicks", "4", {}), ("clicks", "3", {}), ("clicks", "2", {})] and len(whole) == 7
    assert ("views", "3", {"country": "DE"}) in whole
    assert await pages(api, path, 2) == answer["items"]
    some = await api.get(path, params={"metric": "views", "since": day(2).isoformat()})
    assert [one["value"] for one in some["items"]] == ["20"]
    await api.get(path, org="globex", status=404)


async def test_accounts_with_totals_and_series(api: Api) -> None:
    page, other = await account(api), await account(api, name="other")
    await account(api, "globex")
    await post(api, page, "p1", back=1, likes=3, comments=1)
    await post(api, page, "p2", back=2, likes=4)
    await post(api, page, "old", back=60, likes=100)
    for back in (2, 1):
        await number(api, page, "page", "followers", str(1000 - back), back=back, kind="account")
        await number(api, page, "p1", "views", "10", back=back)
    await number(api, page, "p2", "views", "5", back=2)
    first, second = await pages(api, "/analytics/accounts", 1)
    assert (first["integrationId"], second["integrationId"]) == (page, other)
    assert (first["posts"], first["counters"]) == (2, {"likes": "7", "comments": "1"})
    assert [(one["metric"], one["value"], one["entity"]) for one in first["metrics"]] == [("followers", "999", "page")]
    assert (second["posts"], second["metrics"]) == (0, [])
    path = f"/analytics/accounts/{page}/metrics"
    assert [one["value"] for one in await pages(api, path, 1)] == ["998", "999"]
    summed = await pages(api, f"{path}?of=posts&metric=views", 1)
    assert [(one["value"], one["entities"]) for one in summed] == [("15", 2), ("10", 1)]
    await api.get(path, org="globex", status=404)
