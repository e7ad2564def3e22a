"""Starting syncs. The run is a row before this answers; the actor is told, and nobody waits for it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from sync.api.auth import Principal, Submitter
from sync.api.problems import field_error, not_found
from sync.api.schemas import Answer, Body, RowId, example
from sync.api.services import Services, Use

router = APIRouter(prefix="/sync", tags=["trigger"])

Platform = Annotated[str, Path(max_length=32, description="As in GET /sync/platforms.")]
SyncTypeName = Annotated[str, Path(max_length=64, description="One of the platform's sync types.")]

_PROBLEMS = {"x-problems": ["not-found", "conflict"]}


class TriggerOptions(Body):
    model_config = example({"account": "support@acme.test", "startDate": "2027-01-01", "endDate": "2027-03-31"})

    account: str | None = Field(default=None, max_length=320, description="Only this one. Absent: every active one.")
    integration_id: RowId | None = Field(default=None, description="The same, by the integration's id.")
    start_date: date | None = Field(default=None, description="Makes it a backfill from this day on.")
    end_date: date | None = Field(default=None, description="Last day of the backfill; absent: today.")
    force: bool | None = Field(default=None, description="Backfill: emit events for records that did not change, too.")


class TriggerRequest(TriggerOptions):
    model_config = example({"platform": "email", "syncType": "messages", "startDate": "2027-01-01"})

    platform: str | None = Field(default=None, max_length=32, description="Absent: every platform of your org.")
    sync_type: str | None = Field(default=None, max_length=64, description="Absent: every sync type.")


class TriggeredRun(Answer):
    model_config = example(
        {"runId": 91, "integrationId": 17, "platform": "email", "syncType": "messages", "created": True}
    )

    run_id: int
    integration_id: int
    platform: str
    sync_type: str
    created: bool = Field(description="False: this run was queued or running already.")


class Triggered(Answer):
    runs: list[TriggeredRun] = Field(description="GET /sync/runs/{id} shows how each goes on.")


@router.post("/trigger", status_code=202, summary="Trigger syncs", openapi_extra=_PROBLEMS)
async def trigger(body: TriggerRequest, principal: Submitter, services: Use) -> Triggered:
    """Queues one run per account and sync type, or returns the run that is open already. With `startDate` it is a
    backfill: a run of its own that never moves the live cursor."""
    return await _trigger(body.platform, body.sync_type, body, principal, services)


@router.post("/trigger/{platform}", status_code=202, summary="Trigger the syncs of a platform", openapi_extra=_PROBLEMS)
async def trigger_platform(
    platform: Platform, principal: Submitter, services: Use, body: TriggerOptions | None = None
) -> Triggered:
    """All its sync types, for every active account or the one named."""
    return await _trigger(platform, None, body or TriggerOptions(), principal, services)


@router.post(
    "/trigger/{platform}/{sync_type}", status_code=202, summary="Trigger one sync type", openapi_extra=_PROBLEMS
)
async def trigger_sync_type(
    platform: Platform, sync_type: SyncTypeName, principal: Submitter, services: Use, body: TriggerOptions | None = None
) -> Triggered:
    """Of every active account, or the one named."""
    return await _trigger(platform, sync_type, body or TriggerOptions(), principal, services)


async def _trigger(
    platform: str | None, sync_type: str | None, wanted: TriggerOptions, principal: Principal, services: Services
) -> Triggered:
    platform, account = await _account(platform, wanted, principal, services)
    work = services.runs.trigger(principal.org_id, platform, sync_type, _options(wanted, account), by=principal.subject)
    runs = await services.units.run(work)
    for touched in sorted({run.platform for run in runs}):
        services.nudger.sync(principal.org_id, touched)
    return Triggered(runs=[TriggeredRun.model_validate(run) for run in runs])


async def _account(
    platform: str | None, wanted: TriggerOptions, principal: Principal, services: Services
) -> tuple[str | None, str | None]:
    """Platform and account to choose by; an integration's id stands for both."""
    if wanted.integration_id is None:
        return platform, wanted.account
    integration = await services.integrations.show(principal.org_id, wanted.integration_id)
    if platform not in {None, integration.platform}:
        raise not_found(f"{platform} integration", wanted.integration_id)
    if wanted.account not in {None, integration.account}:
        raise field_error("/account", f"Integration {integration.id} is {integration.account}. Give one of the two.")
    return integration.platform, integration.account


def _options(wanted: TriggerOptions, account: str | None) -> dict[str, Any]:
    options = {
        "account": account,
        "startDate": None if wanted.start_date is None else wanted.start_date.isoformat(),
        "endDate": None if wanted.end_date is None else wanted.end_date.isoformat(),
        "force": wanted.force,
    }
    return {name: value for name, value in options.items() if value is not None}
