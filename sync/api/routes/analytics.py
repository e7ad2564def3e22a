"""Marketing figures per post and per account."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, Field, TypeAdapter

from sync.api import paging
from sync.api.auth import Reader
from sync.api.routes.activities import ActivityId, IntegrationId, Platform, Since, position
from sync.api.schemas import MAX_ID, Answer, example
from sync.api.services import Use
from sync.social.analytics import PostFilter

router = APIRouter(prefix="/analytics", tags=["analytics"])

_Stored = Annotated[str, Field(pattern=r"^[^\x00]*$")]
_BY_TIME = TypeAdapter(tuple[AwareDatetime, Annotated[int, Field(ge=1, le=MAX_ID)]])
_BY_METRIC = TypeAdapter(tuple[Decimal, Annotated[int, Field(ge=1, le=MAX_ID)]])
_SERIES = TypeAdapter(tuple[_Stored, AwareDatetime, AwareDatetime, _Stored])
_SPAN = timedelta(days=30)
_SORTED_SPAN = timedelta(days=90)
Metric = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$", description="Only this one.")]
_NUMBER: dict[str, Any] = {
    "metric": "views",
    "dimensions": {},
    "value": "1204",
    "currency": None,
    "startsAt": "2027-05-01T00:00:00Z",
    "endsAt": "2027-05-02T00:00:00Z",
    "isFinal": True,
}
_POST = {
    "activityId": 4711,
    "integrationId": 17,
    "platform": "facebook",
    "vendorId": "1789_1001",
    "place": "1789",
    "occurredAt": "2027-05-01T09:00:00Z",
    "title": None,
    "text": "Our new catalogue is out.",
    "permalink": "https://www.facebook.com/1789_1001",
    "counters": {"likes": 31, "comments": 4},
    "metrics": [_NUMBER],
}


class NumberView(Answer):
    model_config = example(_NUMBER)

    metric: str
    dimensions: dict[str, str] = Field(description="Breakdown; empty for none.")
    value: Decimal | None = Field(description="Exact, as text. Money in units of `currency`.")
    currency: str | None
    starts_at: datetime = Field(description="Of a half-open window; equal to `endsAt` for a number that stands.")
    ends_at: datetime
    is_final: bool = Field(description="The vendor will not restate it.")

    @classmethod
    def of(cls, row: dict[str, Any]) -> NumberView:
        dimensions = json.loads(row["dimensions"]) if row.get("dimensions") else {}
        return cls.model_validate({**row, "dimensions": dimensions, "currency": row["currency"] or None})


class PostView(Answer):
    model_config = example(_POST)

    activity_id: int
    integration_id: int
    platform: str
    vendor_id: str
    place: str | None
    occurred_at: datetime
    title: str | None
    text: str | None = Field(description="Its beginning.")
    permalink: str | None
    counters: dict[str, int] = Field(description="As they stood when the post was last read.")
    metrics: list[NumberView] = Field(description="The latest window of each.")

    @classmethod
    def of(cls, row: dict[str, Any]) -> PostView:
        numbers = [NumberView.of(point) for point in row["latest"]]
        return cls.model_validate(
            {**row, "activity_id": row["id"], "counters": row["counters"] or {}, "metrics": numbers}
        )


class PostSeries(Answer):
    model_config = example({"post": _POST, "items": [_NUMBER], "nextCursor": None})

    post: PostView = Field(description="With the latest window of each metric and breakdown.")
    items: list[NumberView] = Field(description="By metric, then by time.")
    next_cursor: str | None


class AccountNumber(NumberView):
    entity_kind: str
    entity: str = Field(description="What of the account it is about: itself, a page, a channel.")


class AccountView(Answer):
    model_config = example(
        {
            "integrationId": 17,
            "platform": "facebook",
            "account": "1789",
            "label": "Acme Page",
            "state": "active",
            "posts": 12,
            "counters": {"likes": "310", "comments": "42"},
            "metrics": [{**_NUMBER, "metric": "followers", "entityKind": "account", "entity": "1789"}],
        }
    )

    integration_id: int
    platform: str
    account: str
    label: str | None
    state: str
    posts: int = Field(description="Published by it in the span.")
    counters: dict[str, Decimal] = Field(description="Of these posts, added up.")
    metrics: list[AccountNumber] = Field(description="The latest window of each of its own numbers.")

    @classmethod
    def of(cls, row: dict[str, Any]) -> AccountView:
        numbers = [{**NumberView.of(point).model_dump(), **_entity(point)} for point in row["latest"]]
        return cls.model_validate({**row, "counters": row["counters"] or {}, "metrics": numbers})


class AccountWindow(NumberView):
    model_config = example({**_NUMBER, "entities": 12})

    entities: int = Field(description="How many numbers were added up.")


@router.get("/posts", summary="List posts with their latest metrics")
async def list_posts(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    platform: Platform = None,
    integration_id: IntegrationId = None,
    place: Annotated[str | None, Query(max_length=300)] = None,
    by: Annotated[Literal["own", "others"] | None, Query(description="Who published them.")] = None,
    sort: Annotated[
        str, Query(max_length=100, pattern=r"^[^\x00]+$", description="`time`, or the name of a metric or counter.")
    ] = "time",
    since: Since = None,
    until: Since = None,
) -> paging.PageOf[PostView]:
    """The newest first; sorted by a metric, those with most of it first, of the last 90 days unless `since` says
    otherwise."""
    metric = None if sort == "time" else sort
    if metric is not None and since is None:
        since = datetime.now(UTC) - _SORTED_SPAN
    wanted = PostFilter(platform, integration_id, place, by, since, until)
    beyond = position(page, _BY_TIME if metric is None else _BY_METRIC)
    rows = await services.analytics.posts(principal.org_id, wanted, metric=metric, beyond=beyond, limit=page.limit + 1)
    found = paging.page_of(
        rows, page.limit, lambda row: [row["occurred_at"] if metric is None else row["sorted_by"], row["id"]]
    )
    return paging.PageOf(items=[PostView.of(row) for row in found.items], nextCursor=found.nextCursor)


@router.get("/posts/{activity_id}/metrics", summary="The metrics of a post over time")
async def show_post_metrics(
    activity_id: ActivityId,
    principal: Reader,
    services: Use,
    page: paging.Paging,
    metric: Metric = None,
    since: Since = None,
    until: Since = None,
) -> PostSeries:
    """Every window that vendors reported, restated ones with their present value."""
    post = await services.analytics.post(principal.org_id, activity_id)
    rows = await services.analytics.post_series(
        principal.org_id,
        post,
        metric=metric,
        since=since,
        until=until,
        after=position(page, _SERIES),
        limit=page.limit + 1,
    )
    found = paging.page_of(
        rows, page.limit, lambda row: [row["metric"], row["starts_at"], row["ends_at"], row["dimensions"]]
    )
    items = [NumberView.of(row) for row in found.items]
    return PostSeries(post=PostView.of(post), items=items, next_cursor=found.nextCursor)


@router.get("/accounts", summary="List accounts with their totals")
async def list_account_totals(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    platform: Platform = None,
    since: Since = None,
    until: Since = None,
) -> paging.PageOf[AccountView]:
    """Posts of the last 30 days unless `since` and `until` say otherwise."""
    start, end = _span(since, until)
    rows = await services.analytics.accounts(
        principal.org_id, start, end, platform=platform, after=page.after_id or 0, limit=page.limit + 1
    )
    return paging.page_of([AccountView.of(row) for row in rows], page.limit, lambda view: view.integration_id)


@router.get("/accounts/{integration_id}/metrics", summary="The metrics of an account over time")
async def list_account_metrics(
    integration_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    principal: Reader,
    services: Use,
    page: paging.Paging,
    of: Annotated[Literal["account", "posts"], Query(description="Its own numbers, or its posts' added up.")] = (
        "account"
    ),
    metric: Metric = None,
    since: Since = None,
    until: Since = None,
) -> paging.PageOf[AccountWindow]:
    """Of the last 30 days unless `since` and `until` say otherwise."""
    start, end = _span(since, until)
    rows = await services.analytics.account_series(
        principal.org_id,
        integration_id,
        of_posts=of == "posts",
        metric=metric,
        since=start,
        until=end,
        after=position(page, _SERIES),
        limit=page.limit + 1,
    )
    found = paging.page_of(
        rows, page.limit, lambda row: [row["metric"], row["starts_at"], row["ends_at"], row["currency"]]
    )
    items = [
        AccountWindow.model_validate({**NumberView.of(row).model_dump(), "entities": row["entities"]})
        for row in found.items
    ]
    return paging.PageOf(items=items, nextCursor=found.nextCursor)


def _span(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    end = until or datetime.now(UTC)
    return since or end - _SPAN, end


def _entity(point: dict[str, Any]) -> dict[str, str]:
    return {"entity_kind": point["entity_kind"], "entity": point["entity"]}
