"""Who did what: the audit log of an org."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from sync.api import paging
from sync.api.auth import Operator
from sync.api.schemas import Answer, example
from sync.api.services import Use
from sync.base.logs import redact

router = APIRouter(prefix="/sync/audit", tags=["audit"])

_LIST = """
SELECT id, at, actor, action, target, detail FROM audit
WHERE org_id = %(org)s AND (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY id DESC LIMIT %(limit)s
"""


class AuditEntry(Answer):
    model_config = example(
        {
            "id": 12,
            "at": "2027-05-01T09:00:00Z",
            "actor": "ada",
            "action": "queue.paused",
            "target": "consumer.one-off",
            "detail": {"queues": ["one-off"], "reason": "The CRM moves."},
        }
    )

    id: int
    at: datetime
    actor: str
    action: str
    target: str | None
    detail: dict[str, Any]


@router.get("", summary="List what operators did, newest first")
async def list_audit(
    principal: Operator,
    services: Use,
    page: paging.Paging,
    action: Annotated[str | None, Query(max_length=100, description="Such as `queue.paused` or `job.retried`.")] = None,
) -> paging.PageOf[AuditEntry]:
    """Every entry was written in the transaction that did it."""
    params = {"org": principal.org_id, "before": page.after_id, "action": action, "limit": page.limit + 1}
    rows = await services.database.fetch_all(_LIST, params)
    entries = [AuditEntry(**{**row, "detail": redact(row["detail"])}) for row in rows]
    return paging.page_of(entries, page.limit, lambda entry: entry.id)
