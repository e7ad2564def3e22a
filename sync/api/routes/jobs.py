"""Jobs: find, look into, retry, cancel and discard, one by one or by filter."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sync.api import paging
from sync.api.auth import Operator, Principal, Reader
from sync.api.bulk import LIMITS, Action, Chosen, able, apply, preview
from sync.api.problems import not_found, problem
from sync.api.schemas import MAX_ID, Answer, Body, Key, RowId, example
from sync.api.services import Services, Use
from sync.base.logs import redact
from sync.jobs.views import JobView as StoredJob

router = APIRouter(prefix="/sync/jobs", tags=["jobs"])

JobId = Annotated[int, Path(ge=1, le=MAX_ID)]
State = Literal["waiting", "scheduled", "retrying", "running", "done", "cancelled", "dead", "discarded"]

_JOB_EXAMPLE = {
    "id": 4711,
    "kind": "http.call",
    "queue": "one-off",
    "state": "dead",
    "priority": 2,
    "attempt": 20,
    "maxAttempts": 20,
    "enqueuedAt": "2027-05-01T09:00:00Z",
    "runAt": None,
    "finishedAt": "2027-05-02T09:00:00Z",
    "args": {"url": "https://example.com/hook"},
    "error": {"class": "Permanent", "message": "The receiver answered 410."},
    "progress": None,
}
_CONFLICT = {"x-problems": ["conflict"]}


class JobView(Answer):
    model_config = example(_JOB_EXAMPLE)

    id: int
    kind: str
    queue: str
    state: State
    priority: int | None
    attempt: int
    max_attempts: int | None
    enqueued_at: datetime | None
    run_at: datetime | None
    finished_at: datetime | None
    args: Any = Field(description="Secret-sounding values are masked. Null once finished: they are not kept.")
    error: Any = Field(description="Of the last attempt that failed.")
    progress: Any = Field(description="`percent`, `message` and `at`, when the handler reports them.")

    @classmethod
    def of(cls, job: StoredJob) -> JobView:
        fields = {name: getattr(job, name) for name in cls.model_fields}
        return cls.model_validate({**fields, "error": shown_error(job.error)})


class AttemptView(Answer):
    attempt: int
    outcome: Literal["done", "retry", "snooze", "cancelled", "dead", "lost", "interrupted", "discarded"]
    finished_at: datetime
    duration_ms: int
    worker_id: int | None
    error: Any = Field(description="`class` and `message`; the stack only for whoever runs the install.")


class JobDetail(JobView):
    model_config = example(
        {
            **_JOB_EXAMPLE,
            "attempts": [
                {
                    "attempt": 20,
                    "outcome": "dead",
                    "finishedAt": "2027-05-02T09:00:00Z",
                    "durationMs": 120,
                    "workerId": 3,
                    "error": {"class": "Permanent", "message": "The receiver answered 410."},
                }
            ],
            "correlationId": "order-17",
            "uniqueKey": None,
            "crashes": 0,
        }
    )

    attempts: list[AttemptView] = Field(description="The run log, oldest first.")
    correlation_id: str | None
    unique_key: str | None
    crashes: int = Field(description="How often its worker died while it ran.")


class JobAction(Answer):
    model_config = example({"jobId": 4711, "result": "retried"})

    job_id: int
    result: Literal["retried", "cancelled", "requested", "discarded"] = Field(
        description="`requested`: it runs; its worker is asked to stop it."
    )


class Selection(Body):
    model_config = example({"states": ["dead"], "kind": "http.call", "dryRun": True})

    ids: list[RowId] = Field(default_factory=list, max_length=1000)
    states: list[State] = Field(default_factory=list, description="Absent: all that the action can take.")
    kind: str | None = Field(default=None, max_length=100)
    queue: str | None = Field(default=None, max_length=200)
    error_class: Key | None = Field(default=None, description="Class of the last error, such as `Transient`.")
    all: bool = Field(default=False, description="Needed when nothing else narrows the choice.")
    dry_run: bool = Field(default=False, description="Only say how many.")


class BulkAction(Answer):
    model_config = example({"matched": 120, "changed": 120, "more": False, "dryRun": False})

    matched: int
    changed: int
    more: bool = Field(description=f"True: more match than one request takes ({LIMITS:,}). Send it again.")
    dry_run: bool


@router.get("", summary="List jobs, newest first")
async def list_jobs(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    state: Annotated[list[State] | None, Query(description="One or several. Absent: all.")] = None,
    kind: Annotated[str | None, Query(max_length=100)] = None,
    queue: Annotated[str | None, Query(max_length=200)] = None,
) -> paging.PageOf[JobView]:
    """Waiting, scheduled, retrying, running, done, cancelled, dead and discarded jobs of your org."""
    found = await services.operations.list_jobs(
        principal.org_id, states=state or (), kind=kind, queue=queue, before=page.after_id, limit=page.limit
    )
    cursor = None if found.next_before is None else paging.encode(found.next_before)
    return paging.PageOf(items=[JobView.of(job) for job in found.items], nextCursor=cursor)


@router.get("/{job_id}", summary="Show a job with its attempts")
async def show_job(job_id: JobId, principal: Reader, services: Use) -> JobDetail:
    """Where it is, what it was asked to do, how far it is, and how every attempt ended."""
    detail = await services.operations.show_job(principal.org_id, job_id)
    if detail is None:
        raise not_found("job", job_id)
    attempts = [
        AttemptView.model_validate(
            {**asdict(attempt), "error": shown_error(attempt.error, with_stack=principal.runs_install)}
        )
        for attempt in detail.attempts
    ]
    return JobDetail.model_validate(
        {
            **JobView.of(detail.job).model_dump(),
            "attempts": attempts,
            "correlation_id": detail.correlation_id,
            "unique_key": detail.unique_key,
            "crashes": detail.crashes,
        }
    )


@router.post("/{job_id}/retry", status_code=202, summary="Run a job again, now", openapi_extra=_CONFLICT)
async def retry_job(job_id: JobId, principal: Operator, services: Use) -> JobAction:
    """Dead, retrying and scheduled ones, with all attempts again. Its earlier errors stay in the run log."""
    return await _one("retry", job_id, principal, services)


@router.post("/{job_id}/cancel", summary="Cancel a job", openapi_extra=_CONFLICT)
async def cancel_job(job_id: JobId, principal: Operator, services: Use) -> JobAction:
    """One that has not started ends now; the worker of a running one is asked to stop it."""
    return await _one("cancel", job_id, principal, services)


@router.post("/{job_id}/discard", summary="Give a dead job up", openapi_extra=_CONFLICT)
async def discard_job(job_id: JobId, principal: Operator, services: Use) -> JobAction:
    """It leaves the dead letters for the history."""
    return await _one("discard", job_id, principal, services)


@router.post("/retry", status_code=202, summary="Run the jobs that match again")
async def retry_jobs(body: Selection, principal: Operator, services: Use) -> BulkAction:
    """Default: dead ones. An empty filter needs `all: true`; `dryRun` tells how many without doing it."""
    return await _many("retry", body, principal, services)


@router.post("/cancel", summary="Cancel the jobs that match")
async def cancel_jobs(body: Selection, principal: Operator, services: Use) -> BulkAction:
    """Default: every open one. An empty filter needs `all: true`; `dryRun` tells how many without doing it."""
    return await _many("cancel", body, principal, services)


@router.post("/discard", summary="Give up the dead jobs that match")
async def discard_jobs(body: Selection, principal: Operator, services: Use) -> BulkAction:
    """An empty filter needs `all: true`; `dryRun` tells how many without doing it."""
    return await _many("discard", body, principal, services)


def shown_error(error: Any, *, with_stack: bool = False) -> Any:
    """An attempt's error without what only helps those who may read the code, and without secrets."""
    if isinstance(error, dict) and not with_stack:
        error = {name: value for name, value in error.items() if name != "trace"}
    return redact(error)


async def _one(action: Action, job_id: int, principal: Principal, services: Services) -> JobAction:
    detail = await services.operations.show_job(principal.org_id, job_id)
    if detail is None:
        raise not_found("job", job_id)
    results = await apply(action, Chosen(ids=(job_id,)), principal, services)
    if job_id not in results.changed:
        raise problem("conflict", f"Job {job_id} is {detail.job.state}; {action} takes jobs that are {able(action)}.")
    return JobAction.model_validate({"job_id": job_id, "result": results.changed[job_id]})


async def _many(action: Action, body: Selection, principal: Principal, services: Services) -> BulkAction:
    chosen = Chosen.of(action, body.ids, body.states, body.kind, body.queue, body.error_class, everything=body.all)
    if body.dry_run:
        matched = await preview(action, chosen, principal, services)
        return BulkAction(matched=min(matched, LIMITS), changed=0, more=matched > LIMITS, dry_run=True)
    results = await apply(action, chosen, principal, services)
    return BulkAction(matched=results.matched, changed=len(results.changed), more=results.more, dry_run=False)
