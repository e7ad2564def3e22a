"""Putting jobs into the queue."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Request
from pydantic import Discriminator, Tag

from sync.api.auth import Principal, Submitter
from sync.api.problems import field_error
from sync.api.schemas import EnqueuedJob, EnqueuedJobs, EnqueueJob, EnqueueJobs
from sync.api.services import Services, Use
from sync.api.submit import Submission, read_job
from sync.jobs.model import Meta

router = APIRouter(prefix="/sync", tags=["queue"])

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def _one_or_many(body: Any) -> str:
    return "<many>" if isinstance(body, dict) and "jobs" in body else "<one>"


OneOrMany = Annotated[
    Annotated[EnqueueJob, Tag("<one>")] | Annotated[EnqueueJobs, Tag("<many>")], Discriminator(_one_or_many)
]
_EXAMPLES: dict[str, Any] = {
    "call": {
        "summary": "Call an HTTP endpoint now",
        "value": {
            "kind": "http.call",
            "args": {"url": "https://example.com/hook", "body": {"order": 17}},
            "idempotencyKey": "order-17-paid",
        },
    },
    "later": {
        "summary": "Call it on May 1 at nine, Berlin time",
        "value": {
            "kind": "http.call",
            "queue": "schedule",
            "args": {"url": "https://example.com/campaign", "method": "GET"},
            "runAt": "2027-05-01T09:00",
            "timeZone": "Europe/Berlin",
        },
    },
    "many": {
        "summary": "Up to 1,000 jobs, all or none",
        "value": {
            "jobs": [
                {"kind": "http.call", "args": {"url": "https://example.com/1"}},
                {"kind": "http.call", "args": {"url": "https://example.com/2"}, "priority": 3},
            ]
        },
    },
}


@router.post(
    "/queue", status_code=202, summary="Enqueue one job, or up to 1,000", openapi_extra={"x-problems": ["queue-full"]}
)
async def enqueue(
    request: Request,
    principal: Submitter,
    services: Use,
    body: Annotated[OneOrMany, Body(openapi_examples=_EXAMPLES)],
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=200, description="As `idempotencyKey` of a single job.")
    ] = None,
) -> EnqueuedJob | EnqueuedJobs:
    """Any registered kind. The job is durable when this answers; a worker has it a few milliseconds later.

    Arguments are checked against the kind; an error names the field.
    """
    meta = _meta(request)
    if isinstance(body, EnqueueJobs):
        if idempotency_key is not None:
            raise field_error("header:Idempotency-Key", "Give each job its own `idempotencyKey` instead.")
        return await _enqueue_many(body, principal, services, meta)
    if idempotency_key is not None:
        if body.idempotency_key not in {None, idempotency_key}:
            raise field_error("/idempotencyKey", "It differs from the header Idempotency-Key. Give one of the two.")
        body = body.model_copy(update={"idempotency_key": idempotency_key})
    submission = read_job(body, principal, services.catalogue, meta)
    await services.backpressure.admit(submission.kind.queue_name, 1)
    result = await services.units.run(services.queue.enqueue(submission.job))
    return EnqueuedJob(
        job_id=result.job_id,
        created=result.created,
        kind=submission.kind.kind,
        queue=submission.kind.queue_name,
        run_at=submission.run_at,
    )


async def _enqueue_many(body: EnqueueJobs, principal: Principal, services: Services, meta: Meta) -> EnqueuedJobs:
    submissions = [
        read_job(job, principal, services.catalogue, meta, at=f"/jobs/{index}") for index, job in enumerate(body.jobs)
    ]
    for queue, jobs in _count_by_queue(submissions).items():
        await services.backpressure.admit(queue, jobs)
    work = services.queue.enqueue_many([submission.job for submission in submissions])
    return EnqueuedJobs(job_ids=await services.units.run(work))


def _count_by_queue(submissions: list[Submission]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for submission in submissions:
        counts[submission.kind.queue_name] = counts.get(submission.kind.queue_name, 0) + 1
    return counts


def _meta(request: Request) -> Meta:
    """What follows a job through its attempts: the id of this request, and the caller's trace."""
    meta: Meta = {"correlation_id": request.state.request_id}
    trace = request.headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(trace):
        meta["traceparent"] = trace
    return meta
