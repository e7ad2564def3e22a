"""Numbers that syncs brought: one per entity, metric, breakdown and window, exact."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field, TypeAdapter

from sync.api import paging
from sync.api.auth import Reader
from sync.api.routes.activities import IntegrationId, Platform, Since, position
from sync.api.schemas import MAX_ID, Answer, example
from sync.api.services import Use
from sync.social.reading import MetricFilter

router = APIRouter(prefix="/sync/metrics", tags=["data"])

_Stored = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""PostgreSQL has no NUL in texts; in addresses it is refused everywhere, but this one comes encoded."""
_POSITION = TypeAdapter(
    tuple[
        Annotated[int, Field(ge=1, le=MAX_ID)],
        tuple[_Stored, _Stored, _Stored, AwareDatetime, AwareDatetime, _Stored],
    ]
)


class MetricView(Answer):
    model_config = example(
        {
            "integrationId": 17,
            "platform": "facebook",
            "place": "act_1",
            "entityKind": "campaign",
            "entity": "238",
            "parent": None,
            "metric": "spend",
            "dimensions": {"country": "DE"},
            "startsAt": "2027-05-01T07:00:00Z",
            "endsAt": "2027-05-02T07:00:00Z",
            "value": "12.34",
            "currency": "EUR",
            "isFinal": False,
            "updatedAt": "2027-05-02T09:00:00Z",
        }
    )

    integration_id: int
    platform: str
    place: str | None = Field(description="Ad account, page or channel.")
    entity_kind: str = Field(description="account, page, post, campaign, ad_group, ad ...")
    entity: str = Field(description="The vendor's id of what was measured.")
    parent: str | None = Field(description="The entity above: the campaign of an ad.")
    metric: str
    dimensions: dict[str, str] = Field(description="Breakdown; empty for none.")
    starts_at: datetime = Field(description="Of a half-open window; equal to `endsAt` for a number that stands.")
    ends_at: datetime
    value: Decimal | None = Field(description="Exact, as text; null where the vendor has no number (yet).")
    currency: str | None = Field(description="Of money, whose `value` is in units of it.")
    is_final: bool = Field(description="The vendor will not restate it.")
    updated_at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> MetricView:
        return cls.model_validate({**row, "dimensions": json.loads(row["dimensions"] or "{}")})


@router.get("", summary="List metrics")
async def list_metrics(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    platform: Platform = None,
    integration_id: IntegrationId = None,
    entity_kind: Annotated[str | None, Query(alias="entityKind", max_length=100)] = None,
    entity: Annotated[str | None, Query(max_length=300)] = None,
    metric: Annotated[str | None, Query(max_length=100)] = None,
    since: Since = None,
    until: Since = None,
) -> paging.PageOf[MetricView]:
    """By account, entity, metric and time. `since` and `until` choose windows that lie between them."""
    wanted = MetricFilter(platform, integration_id, entity_kind, entity, metric, since, until)
    after = position(page, _POSITION)
    rows = await services.social.metrics(principal.org_id, wanted, after=after, limit=page.limit + 1)
    found = paging.page_of(rows, page.limit, _place)
    return paging.PageOf[MetricView](items=[MetricView.of(row) for row in found.items], nextCursor=found.nextCursor)


def _place(row: dict[str, Any]) -> list[Any]:
    names = ("entity_kind", "entity", "metric", "starts_at", "ends_at", "dimensions")
    return [row["integration_id"], [row[name] for name in names]]
