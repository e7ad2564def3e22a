"""Sync runs: what was pulled, when, by whom, and what went wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sync.api import paging
from sync.api.auth import Operator, Reader
from sync.api.routes.trigger import TriggeredRun
from sync.api.schemas import MAX_ID, Answer, example
from sync.api.services import Use
from sync.base.logs import redact
from sync.pull.model import Run, RunState

router = APIRouter(prefix="/sync/runs", tags=["runs"])

RunId = Annotated[int, Path(ge=1, le=MAX_ID)]


_RUN_EXAMPLE = {
    "id": 91,
    "platform": "email",
    "integrationId": 17,
    "account": "support@acme.test",
    "syncType": "messages",
    "trigger": "manual",
    "state": "running",
    "attempt": 1,
    "notBefore": "2027-05-01T09:00:00Z",
    "options": {},
    "cancelRequested": False,
    "pages": 4,
    "records": 400,
    "added": 380,
    "changed": 12,
    "skipped": 8,
    "errorClass": None,
    "errorText": None,
    "requestedBy": "ada",
    "holder": "sync:acme:email/7f3a",
    "node": "10.0.0.7",
    "queuedAt": "2027-05-01T09:00:00Z",
    "startedAt": "2027-05-01T09:00:00Z",
    "finishedAt": None,
}


class RunView(Answer):
    model_config = example(_RUN_EXAMPLE)

    id: int
    platform: str
    integration_id: int
    account: str
    sync_type: str
    trigger: Literal["schedule", "manual", "backfill", "webhook"]
    state: RunState
    attempt: int
    not_before: datetime = Field(description="A queued run starts no earlier: rate limited, or between attempts.")
    options: dict[str, Any]
    cancel_requested: bool
    pages: int
    records: int
    added: int
    changed: int
    skipped: int
    error_class: str | None
    error_text: str | None
    requested_by: str | None
    holder: str | None = Field(description="Who runs it.")
    node: str | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, run: Run) -> RunView:
        return cls.model_validate(_fields(run))


class RunDetail(RunView):
    model_config = example(
        {
            **_RUN_EXAMPLE,
            "errors": [
                {"attempt": 1, "at": "2027-05-01T09:00:00Z", "class": "Transient", "text": "The server went away."}
            ],
        }
    )

    errors: list[dict[str, Any]] = Field(description="Failed attempts, oldest first.")


@router.get("", summary="List sync runs, newest first")
async def list_runs(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    platform: Annotated[str | None, Query(max_length=32)] = None,
    integration_id: Annotated[int | None, Query(ge=1, le=MAX_ID, alias="integrationId")] = None,
    state: Annotated[list[RunState] | None, Query(description="One or several.")] = None,
) -> paging.PageOf[RunView]:
    """One row per run; attempts of a run share it."""
    runs = await services.runs.list(
        principal.org_id,
        platform=platform,
        integration_id=integration_id,
        states=state,
        before=page.after_id,
        limit=page.limit + 1,
    )
    return paging.page_of([RunView.of(run) for run in runs], page.limit, lambda run: run.id)


@router.get("/{run_id}", summary="Show a sync run")
async def show_run(run_id: RunId, principal: Reader, services: Use) -> RunDetail:
    """With the errors of its attempts."""
    run = await services.runs.show(principal.org_id, run_id)
    return RunDetail.model_validate({**_fields(run), "errors": redact(run.errors)})


@router.post("/{run_id}/retry", status_code=202, summary="Run it again", openapi_extra={"x-problems": ["conflict"]})
async def retry_run(run_id: RunId, principal: Operator, services: Use) -> TriggeredRun:
    """A new run like one that failed or was cancelled; it continues from the cursor."""
    run = await services.units.run(services.runs.retry(principal.org_id, run_id, by=principal.subject))
    services.nudger.sync(principal.org_id, run.platform)
    return TriggeredRun.model_validate(run)


@router.post("/{run_id}/cancel", summary="Cancel a sync run", openapi_extra={"x-problems": ["conflict"]})
async def cancel_run(run_id: RunId, principal: Operator, services: Use) -> RunView:
    """A queued run ends now; a running one after its current page (`cancelRequested`)."""
    run = await services.units.run(services.runs.cancel(principal.org_id, run_id, by=principal.subject))
    services.nudger.sync(principal.org_id, run.platform)
    return RunView.of(run)


def _fields(run: Run) -> dict[str, Any]:
    fields = {name: getattr(run, name) for name in RunView.model_fields}
    return {**fields, "options": redact(dict(run.options))}
