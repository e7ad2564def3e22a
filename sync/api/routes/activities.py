"""The social activity store: what syncs brought from the platforms."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from connectors.records import ActivityKind, Direction
from sync.api import paging
from sync.api.auth import Reader
from sync.api.schemas import MAX_ID, Answer, example
from sync.api.services import Use
from sync.base.logs import redact
from sync.social.reading import FeedFilter

router = APIRouter(prefix="/sync/activities", tags=["data"])

ActivityId = Annotated[int, Path(ge=1, le=MAX_ID)]
Platform = Annotated[str | None, Query(max_length=32, pattern=r"^\w*$")]
IntegrationId = Annotated[int | None, Query(ge=1, le=MAX_ID, alias="integrationId")]
Since = Annotated[AwareDatetime | None, Query(description="ISO 8601 with an offset.")]

_POSITION = TypeAdapter(tuple[AwareDatetime, Annotated[int, Field(ge=1, le=MAX_ID)]])
_EXAMPLE = {
    "id": 4711,
    "integrationId": 17,
    "platform": "slack",
    "kind": "message",
    "vendorId": "C024BE91L:1700000000.000100",
    "parentId": None,
    "threadId": "C024BE91L:1700000000.000100",
    "place": "C024BE91L",
    "author": {"id": "U1", "name": "Ada", "handle": "ada", "url": None},
    "direction": "in",
    "occurredAt": "2027-05-01T09:00:00Z",
    "editedAt": None,
    "deletedAt": None,
    "title": None,
    "text": "Where is my order?",
    "permalink": "https://acme.slack.com/archives/C024BE91L/p1700000000000100",
    "attachments": [{"kind": "image", "url": "https://files.slack.com/1.png"}],
    "counters": {"replies": 2},
    "data": None,
    "createdAt": "2027-05-01T09:00:10Z",
    "updatedAt": "2027-05-01T09:00:10Z",
}


class AuthorView(Answer):
    id: str | None
    name: str | None
    handle: str | None
    url: str | None


class ActivityView(Answer):
    model_config = example({**_EXAMPLE, "raw": None})

    id: int
    integration_id: int
    platform: str
    kind: ActivityKind
    vendor_id: str = Field(description="The vendor's id, unique per kind in the account.")
    parent_id: str | None = Field(description="`vendorId` of what it answers.")
    thread_id: str | None = Field(description="What belongs to one conversation.")
    place: str | None = Field(description="Channel, page, board or subreddit.")
    author: AuthorView
    direction: Direction = Field(description="`in` from others, `out` by us here, `echo` by the account elsewhere.")
    occurred_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    title: str | None
    text: str | None
    permalink: str | None
    attachments: list[dict[str, Any]]
    counters: dict[str, int] = Field(description="Likes, replies, views when last seen.")
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    raw: Any = Field(default=None, description="As the vendor sent it, secrets masked; in a list only when asked for.")

    @classmethod
    def of(cls, row: dict[str, Any]) -> ActivityView:
        author = {name: row[f"author_{name}"] for name in AuthorView.model_fields}
        return cls.model_validate(
            {
                **row,
                "author": author,
                "attachments": row["attachments"] or [],
                "counters": row["counters"] or {},
                "raw": redact(row.get("raw")),
            }
        )


@router.get("", summary="List activities, newest first")
async def list_activities(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    platform: Platform = None,
    kind: Annotated[list[ActivityKind] | None, Query(description="One or several.")] = None,
    integration_id: IntegrationId = None,
    thread_id: Annotated[str | None, Query(alias="threadId", max_length=300)] = None,
    since: Since = None,
    until: Since = None,
    raw: Annotated[bool, Query(description="With the vendor's own payload.")] = False,
) -> paging.PageOf[ActivityView]:
    """Posts, comments, messages, mentions, reactions, presence and profiles of all connected accounts."""
    wanted = FeedFilter(platform, kind, integration_id, thread_id, since, until)
    rows = await services.social.activities(
        principal.org_id, wanted, before=position(page, _POSITION), limit=page.limit + 1, raw=raw
    )
    views = [ActivityView.of(row) for row in rows]
    return paging.page_of(views, page.limit, lambda view: [view.occurred_at, view.id])


@router.get("/{activity_id}", summary="Show an activity")
async def show_activity(activity_id: ActivityId, principal: Reader, services: Use) -> ActivityView:
    """With the vendor's own payload, in which secrets are masked."""
    return ActivityView.of(await services.social.activity(principal.org_id, activity_id))


def position(page: paging.PageParameters, adapter: TypeAdapter[Any]) -> Any:
    """The place where the page before ended. Errors: ApiError 422."""
    if page.position is None:
        return None
    try:
        return adapter.validate_python(page.position)
    except ValidationError as error:
        raise paging.bad_cursor() from error
