"""Schedules of an org: what is enqueued when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from schedules.spec import CatchUp, Overlap, Schedule
from sync.api import paging
from sync.api.auth import Operator, Reader
from sync.api.schemas import Answer, Body, example
from sync.api.services import Use
from sync.api.submit import check_args, find_kind
from sync.base.logs import redact
from sync.scheduling import StoredSchedule

router = APIRouter(prefix="/sync/schedules", tags=["schedules"])

Name = Annotated[str, Path(max_length=64, description="Name of the schedule in your org.")]


class NewSchedule(Body):
    model_config = example(
        {
            "name": "monday-report",
            "kind": "http.call",
            "args": {"url": "https://example.com/report"},
            "cron": "0 9 * * 1",
            "zone": "Europe/Berlin",
            "catchUp": "once",
        }
    )

    name: str = Field(max_length=64, description="Letters, digits, `_`, `.` and `-`; unique in your org.")
    kind: str = Field(max_length=100)
    args: dict[str, Any] = Field(default_factory=dict)
    cron: str | None = Field(default=None, max_length=200, description="Five fields. Or `everySeconds`.")
    every_seconds: int | None = Field(default=None, ge=10, le=366 * 86400)
    zone: str = Field(default="UTC", max_length=64, description="IANA time zone of `cron`.")
    catch_up: CatchUp = Field(
        default="once",
        description="Ticks missed while nothing ran: dropped, one job for the latest, one for each.",
    )
    catch_up_limit: int = Field(default=100, ge=1, le=1000)
    overlap: Overlap = Field(default="skip", description="Whether to enqueue while the last tick's job is open.")
    spread_seconds: int = Field(default=0, ge=0, le=86400, description="Start up to this much later, by a constant.")

    @model_validator(mode="after")
    def _one_timing(self) -> NewSchedule:
        if (self.cron is None) == (self.every_seconds is None):
            raise ValueError("Give either `cron` or `everySeconds`.")
        return self


class Reason(Body):
    model_config = example({"reason": "The receiver is being rebuilt."})

    reason: str | None = Field(default=None, max_length=500)


_SCHEDULE_EXAMPLE = {
    "name": "monday-report",
    "state": "active",
    "source": "user",
    "kind": "http.call",
    "args": {"url": "https://example.com/report"},
    "cron": "0 9 * * 1",
    "everySeconds": None,
    "zone": "Europe/Berlin",
    "catchUp": "once",
    "overlap": "skip",
    "nextDueAt": "2027-05-03T07:00:00Z",
    "lastFiredAt": "2027-04-26T07:00:00Z",
    "lastJobId": 4711,
    "lastError": None,
    "pausedBy": None,
    "pausedReason": None,
    "createdBy": "ada",
    "createdAt": "2027-04-01T12:00:00Z",
}


class ScheduleView(Answer):
    model_config = example(_SCHEDULE_EXAMPLE)

    name: str
    state: Literal["active", "paused", "retired", "finished"]
    source: Literal["code", "user"] = Field(description="`code`: belongs to the system, can be paused but not deleted.")
    kind: str
    args: dict[str, Any] = Field(description="Values under secret-sounding keys are masked.")
    cron: str | None
    every_seconds: float | None
    zone: str
    catch_up: str
    overlap: str
    next_due_at: datetime | None
    last_fired_at: datetime | None
    last_job_id: int | None
    last_error: str | None
    paused_by: str | None
    paused_reason: str | None
    created_by: str | None
    created_at: datetime

    @classmethod
    def of(cls, stored: StoredSchedule) -> ScheduleView:
        return cls.model_validate(_fields(stored))


class TickView(Answer):
    due_at: datetime
    fired_at: datetime
    outcome: Literal["enqueued", "skipped", "failed", "manual"]
    job_id: int | None
    error: str | None


class ScheduleDetailView(ScheduleView):
    model_config = example(
        {
            **_SCHEDULE_EXAMPLE,
            "upcoming": ["2027-05-03T07:00:00Z"],
            "ticks": [
                {
                    "dueAt": "2027-04-26T07:00:00Z",
                    "firedAt": "2027-04-26T07:00:00.2Z",
                    "outcome": "enqueued",
                    "jobId": 4711,
                    "error": None,
                }
            ],
        }
    )

    upcoming: list[datetime] = Field(description="The next ticks.")
    ticks: list[TickView] = Field(description="The last ticks, newest first.")


class RunNow(Answer):
    model_config = example({"jobId": 4711})

    job_id: int | None = Field(description="Null for a schedule that the scheduler itself carries out: it is due now.")


@router.get("", summary="List schedules")
async def list_schedules(principal: Reader, services: Use, page: paging.Paging) -> paging.PageOf[ScheduleView]:
    """In order of creation."""
    found = await services.schedules.list(principal.org_id, page.after_id, page.limit)
    cursor = None if found.cursor is None else paging.encode(found.cursor)
    return paging.PageOf(items=[ScheduleView.of(stored) for stored in found.schedules], nextCursor=cursor)


@router.post("", status_code=201, summary="Create a schedule", openapi_extra={"x-problems": ["conflict"]})
async def create_schedule(body: NewSchedule, principal: Operator, services: Use) -> ScheduleView:
    """A cron expression in a time zone, or a fixed interval. The first tick is the next one after now."""
    kind = find_kind(body.kind, principal, services.catalogue)
    check_args(kind, body.args)
    definition = Schedule(
        name=body.name,
        kind=kind.kind,
        args=body.args,
        org_id=principal.org_id,
        cron=body.cron,
        every=None if body.every_seconds is None else timedelta(seconds=body.every_seconds),
        zone=body.zone,
        catch_up=body.catch_up,
        catch_up_limit=body.catch_up_limit,
        overlap=body.overlap,
        spread=timedelta(seconds=body.spread_seconds),
    )
    return ScheduleView.of(await services.units.run(services.schedules.create(definition, principal.subject)))


@router.get("/{name}", summary="Show a schedule with its next and last ticks")
async def show_schedule(name: Name, principal: Reader, services: Use) -> ScheduleDetailView:
    """Ticks keep the job that they enqueued, or why they did not."""
    detail = await services.schedules.show(principal.org_id, name)
    return ScheduleDetailView.model_validate(
        {**_fields(detail.schedule), "upcoming": detail.upcoming, "ticks": detail.ticks}
    )


@router.post("/{name}/pause", summary="Pause a schedule")
async def pause_schedule(name: Name, principal: Operator, services: Use, body: Reason | None = None) -> ScheduleView:
    """Ticks that pass while it is paused do not count as missed."""
    reason = None if body is None else body.reason
    work = services.schedules.pause(principal.org_id, name, principal.subject, reason)
    return ScheduleView.of(await services.units.run(work))


@router.post("/{name}/resume", summary="Resume a schedule")
async def resume_schedule(name: Name, principal: Operator, services: Use) -> ScheduleView:
    """It goes on with the first tick after now."""
    work = services.schedules.resume(principal.org_id, name, principal.subject)
    return ScheduleView.of(await services.units.run(work))


@router.post(
    "/{name}/run", status_code=202, summary="Run a schedule once, now", openapi_extra={"x-problems": ["conflict"]}
)
async def run_schedule(name: Name, principal: Operator, services: Use) -> RunNow:
    """Also while it is paused; its regular ticks stay as they are."""
    result = await services.units.run(services.schedules.run_now(principal.org_id, name, principal.subject))
    return RunNow(job_id=None if result is None else result.job_id)


@router.delete("/{name}", status_code=204, summary="Delete a schedule", openapi_extra={"x-problems": ["conflict"]})
async def delete_schedule(name: Name, principal: Operator, services: Use) -> None:
    """Jobs that it has enqueued stay."""
    await services.units.run(services.schedules.delete(principal.org_id, name, principal.subject))


def _fields(stored: StoredSchedule) -> dict[str, Any]:
    fields = {name: getattr(stored, name) for name in ScheduleView.model_fields if hasattr(stored, name)}
    return {
        **fields,
        "args": redact(dict(stored.args)),
        "every_seconds": None if stored.every is None else stored.every.total_seconds(),
    }
