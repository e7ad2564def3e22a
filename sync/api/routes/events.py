"""The log of an org, and what its events look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from sync.api import paging
from sync.api.auth import Reader
from sync.api.schemas import Answer, example
from sync.api.services import Use
from sync.events.catalogue import CATALOGUE

router = APIRouter(prefix="/sync/events", tags=["subscriptions"])

# Index: event_org, backwards.
_LIST = """
SELECT id, type, version, subject, created_at, causation_id, correlation_id, payload AS data FROM event
WHERE org_id = %(org)s AND (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(type)s::text IS NULL OR type = %(type)s) AND (%(subject)s::text IS NULL OR subject = %(subject)s)
ORDER BY id DESC LIMIT %(limit)s
"""


class EventView(Answer):
    model_config = example(
        {
            "id": 81220,
            "type": "integration.paused",
            "version": 1,
            "subject": "integration:17",
            "createdAt": "2027-05-01T09:00:00Z",
            "causationId": None,
            "correlationId": None,
            "data": {"integration_id": 17, "platform": "email", "account": "ada@acme.test"},
        }
    )

    id: int
    type: str
    version: int
    subject: str
    created_at: datetime
    causation_id: int | None
    correlation_id: str | None
    data: dict[str, Any]


class EventTypeView(Answer):
    type: str
    version: int
    subject: str
    when: str
    payload: dict[str, Any] = Field(description="JSON Schema of `data`.")


class EventTypes(Answer):
    model_config = example(
        {
            "items": [
                {
                    "type": "integration.paused",
                    "version": 1,
                    "subject": "integration:{id}",
                    "when": "Somebody paused its syncs.",
                    "payload": {"type": "object", "properties": {"integration_id": {"type": "integer"}}},
                }
            ]
        }
    )

    items: list[EventTypeView]


@router.get("", summary="List events, newest first")
async def list_events(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    type: Annotated[str | None, Query(max_length=100, description="Only this type.")] = None,
    subject: Annotated[str | None, Query(max_length=1000, description="Only this subject.")] = None,
) -> paging.PageOf[EventView]:
    """What happened in your org, as long as the log keeps it."""
    rows = await services.database.fetch_all(
        _LIST,
        {
            "org": principal.org_id,
            "before": page.after_id,
            "type": type,
            "subject": subject,
            "limit": page.limit + 1,
        },
    )
    return paging.page_of([EventView(**row) for row in rows], page.limit, lambda event: event.id)


@router.get("/types", summary="List the types of events with their payloads")
async def list_event_types(_: Reader) -> EventTypes:
    """`{...}` in a type stands for a name of this install, such as that of a watched table."""
    return EventTypes(
        items=[
            EventTypeView(
                type=entry.type,
                version=entry.version,
                subject=entry.subject,
                when=entry.when,
                payload=entry.schema(),
            )
            for entry in CATALOGUE
        ]
    )
