"""What a person has to look at: expired accounts, jobs that died, consumers that stand still."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from sync.alerts import alert_event
from sync.api import audit, paging
from sync.api.auth import Operator, Reader
from sync.api.problems import not_found
from sync.api.schemas import MAX_ID, Answer, example
from sync.api.services import Use
from sync.events import append_events
from sync.store.engine import Transaction

router = APIRouter(prefix="/sync/alerts", tags=["alerts"])

_LIST = """
SELECT id, key, severity, title, detail, count, opened_at, last_at, resolved_at FROM alert
WHERE org_id = %(org)s AND (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(open)s::boolean IS NULL OR (resolved_at IS NULL) = %(open)s)
ORDER BY id DESC LIMIT %(limit)s
"""
_RESOLVE = """
WITH old AS (SELECT resolved_at FROM alert WHERE org_id = %(org)s AND id = %(id)s FOR UPDATE)
UPDATE alert SET resolved_at = coalesce(alert.resolved_at, now()) FROM old
WHERE org_id = %(org)s AND id = %(id)s
RETURNING id, org_id, key, severity, title, detail, count, opened_at, last_at, alert.resolved_at,
          old.resolved_at IS NULL AS closed
"""


class Alert(Answer):
    model_config = example(
        {
            "id": 3,
            "key": "integration:17:expired",
            "severity": "error",
            "title": "The mailbox support@acme.test must be reconnected",
            "detail": "The server refused the password.",
            "count": 1,
            "openedAt": "2027-05-01T09:00:00Z",
            "lastAt": "2027-05-01T09:00:00Z",
            "resolvedAt": None,
        }
    )

    id: int
    key: str
    severity: Literal["info", "warning", "error"]
    title: str
    detail: str | None
    count: int
    opened_at: datetime
    last_at: datetime
    resolved_at: datetime | None


@router.get("", summary="List alerts, newest first")
async def list_alerts(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    state: Annotated[Literal["open", "resolved", "all"], Query(description="Which ones.")] = "open",
) -> paging.PageOf[Alert]:
    """One alert stands for one cause; it counts up while the cause repeats and is resolved when the cause is gone."""
    rows = await services.database.fetch_all(
        _LIST,
        {
            "org": principal.org_id,
            "before": page.after_id,
            "open": {"open": True, "resolved": False, "all": None}[state],
            "limit": page.limit + 1,
        },
    )
    return paging.page_of([Alert(**row) for row in rows], page.limit, lambda alert: alert.id)


@router.post("/{alert_id}/resolve", summary="Mark an alert as dealt with")
async def resolve_alert(alert_id: Annotated[int, Path(ge=1, le=MAX_ID)], principal: Operator, services: Use) -> Alert:
    """Closes it by hand. If its cause is still there, a new one opens."""

    async def resolve(tx: Transaction) -> Alert:
        row = await tx.fetch_one(_RESOLVE, {"org": principal.org_id, "id": alert_id})
        if row is None:
            raise not_found("alert", alert_id)
        await audit.record(tx, principal, "alert.resolved", f"alert:{alert_id}", key=row["key"])
        if row.pop("closed"):
            await append_events(tx, [alert_event(row, "resolved")])
        del row["org_id"]
        return Alert(**row)

    return await services.units.transaction(resolve)
