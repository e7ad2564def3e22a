"""What waits for a subscription, by subject: to be sent, or to be tried again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from sync.api import audit, paging
from sync.api.auth import Operator, Reader
from sync.api.problems import not_found
from sync.api.routes.subscriptions import Id
from sync.api.schemas import Answer, Body, example
from sync.api.services import Use
from sync.store.engine import Transaction
from sync.subscriptions import retrying
from sync.subscriptions.rows import reader_name

router = APIRouter(prefix="/sync/subscriptions", tags=["subscriptions"])


class Discard(Body):
    model_config = example({"subject": "activity:17:42"})

    subject: str = Field(max_length=1000, description="Whose first waiting event is given up.")


class LaneView(Answer):
    model_config = example(
        {
            "subject": "activity:17:42",
            "state": "waiting",
            "events": 3,
            "attempts": 2,
            "failingSince": "2027-05-01T09:00:00Z",
            "nextAt": "2027-05-01T09:00:12Z",
            "error": "The receiver answered 503.",
        }
    )

    subject: str
    state: Literal["waiting", "parked"]
    events: int = Field(description="That wait on this subject, in order.")
    attempts: int = Field(description="Of the first of them.")
    failing_since: datetime | None
    next_at: datetime
    error: str | None


class Retried(Answer):
    model_config = example({"subjects": 2})

    subjects: int


@router.get("/{subscription_id}/backlog", summary="List what waits to be sent or tried again")
async def list_subscription_backlog(
    subscription_id: Id,
    principal: Reader,
    services: Use,
    page: paging.Paging,
    state: Annotated[Literal["waiting", "parked", "all"], Query(description="Which ones.")] = "all",
) -> paging.PageOf[LaneView]:
    """By subject: events of one subject wait in order behind the first."""
    row = await services.subscriptions.show(principal.org_id, subscription_id)
    after = page.position
    if after is not None and not isinstance(after, str):
        raise paging.bad_cursor()
    rows = await services.subscriptions.backlog(
        row, state=None if state == "all" else state, after=after, limit=page.limit + 1
    )
    return paging.page_of([LaneView.model_validate(lane) for lane in rows], page.limit, lambda lane: lane.subject)


@router.post("/{subscription_id}/backlog/retry", summary="Try everything that is parked again")
async def retry_subscription_backlog(subscription_id: Id, principal: Operator, services: Use) -> Retried:
    """At once, with all its attempts before it."""

    async def work(tx: Transaction) -> Retried:
        row = await services.subscriptions.show(principal.org_id, subscription_id, tx)
        subjects = await retrying.unpark(tx, reader_name(row.id), row.reader_id)
        await audit.record(tx, principal, "subscription.retried", f"subscription:{row.id}", subjects=subjects)
        return Retried(subjects=subjects)

    return await services.units.transaction(work)


@router.post("/{subscription_id}/backlog/discard", status_code=204, summary="Give up the event a subject stands before")
async def discard_from_subscription_backlog(
    subscription_id: Id, body: Discard, principal: Operator, services: Use
) -> None:
    """Only of a parked subject; those behind it are delivered."""

    async def work(tx: Transaction) -> None:
        row = await services.subscriptions.show(principal.org_id, subscription_id, tx)
        if not await retrying.discard(tx, reader_name(row.id), row.reader_id, row.org_id, body.subject):
            raise not_found("parked subject", body.subject)
        await audit.record(tx, principal, "subscription.discarded", f"subscription:{row.id}", subject=body.subject)

    await services.units.transaction(work)
