"""Connected accounts. Credentials go in and never come out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sync.api import paging
from sync.api.auth import Admin, Operator, Reader
from sync.api.schemas import MAX_ID, Answer, Body, example
from sync.api.services import Use
from sync.base.logs import redact
from sync.pull.model import Integration, Stream

router = APIRouter(prefix="/sync/integrations", tags=["integrations"])

IntegrationId = Annotated[int, Path(ge=1, le=MAX_ID)]
SyncTypeName = Annotated[str, Path(max_length=64, examples=["messages"])]

_CONFLICT = {"x-problems": ["conflict"]}


class Connect(Body):
    model_config = example(
        {
            "platform": "email",
            "account": "support@acme.test",
            "label": "Support inbox",
            "config": {"host": "imap.acme.test"},
            "credentials": {"password": "…"},
        }
    )

    platform: str = Field(max_length=32)
    account: str = Field(min_length=1, max_length=320, description="The vendor's name of it: a mailbox, a page id.")
    label: str | None = Field(default=None, max_length=200)
    config: dict[str, Any] = Field(default_factory=dict, description="Fields of the platform that are not secret.")
    credentials: dict[str, str] = Field(default_factory=dict, description="Its secret fields. Sealed, never returned.")


class Reconnect(Body):
    model_config = example({"credentials": {"password": "…"}})

    credentials: dict[str, str] = Field(description="The new ones.")
    config: dict[str, Any] | None = Field(default=None, description="What changed; the rest stays.")


class Reason(Body):
    model_config = example({"reason": "The mailbox is moving."})

    reason: str | None = Field(default=None, max_length=500)


class Cadence(Body):
    model_config = example({"everySeconds": 60})

    every_seconds: float = Field(
        ge=1, le=31_536_000, description="Not below `fastestSeconds` of GET /sync/platforms, nor above a week."
    )


class StreamView(Answer):
    sync_type: str
    every_seconds: float
    own_cadence: bool = Field(description="Whether this account has a cadence of its own instead of the usual one.")
    next_due_at: datetime | None
    blocked_reason: str | None = Field(description="Why this one sync type does not run, e.g. a missing permission.")
    failures: int = Field(description="In a row.")
    last_error: str | None
    last_success_at: datetime | None

    @classmethod
    def of(cls, stream: Stream) -> StreamView:
        fields = {name: getattr(stream, name) for name in cls.model_fields if name != "every_seconds"}
        return cls(**fields, every_seconds=stream.every.total_seconds())


class IntegrationView(Answer):
    model_config = example(
        {
            "id": 17,
            "platform": "email",
            "account": "support@acme.test",
            "label": "Support inbox",
            "state": "expired",
            "reasonCode": "credentials",
            "reason": "The server refused the password.",
            "stateChangedAt": "2027-05-01T09:00:00Z",
            "config": {"host": "imap.acme.test"},
            "createdAt": "2027-04-01T12:00:00Z",
            "updatedAt": "2027-05-01T09:00:00Z",
            "streams": [
                {
                    "syncType": "messages",
                    "everySeconds": 60.0,
                    "ownCadence": False,
                    "nextDueAt": None,
                    "blockedReason": None,
                    "failures": 1,
                    "lastError": "The server refused the password.",
                    "lastSuccessAt": "2027-05-01T08:59:00Z",
                }
            ],
        }
    )

    id: int
    platform: str
    account: str
    label: str | None
    state: Literal["active", "paused", "expired", "deleted"]
    reason_code: str | None
    reason: str | None
    state_changed_at: datetime
    config: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    streams: list[StreamView] = Field(description="One per sync type: cadence and health.")

    @classmethod
    def of(cls, integration: Integration) -> IntegrationView:
        fields = {name: getattr(integration, name) for name in cls.model_fields}
        streams = [StreamView.of(stream) for stream in integration.streams]
        return cls(**{**fields, "config": redact(dict(integration.config)), "streams": streams})


@router.get("", summary="List integrations")
async def list_integrations(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    platform: Annotated[str | None, Query(max_length=32)] = None,
) -> paging.PageOf[IntegrationView]:
    """In order of creation, with the health of every sync type."""
    found = await services.integrations.list(
        principal.org_id, platform=platform, after=page.after_id or 0, limit=page.limit + 1
    )
    return paging.page_of([IntegrationView.of(item) for item in found], page.limit, lambda item: item.id)


@router.post("", status_code=201, summary="Connect an account", openapi_extra={"x-problems": ["refused"]})
async def connect(body: Connect, principal: Admin, services: Use) -> IntegrationView:
    """Its sync types are due at once. The same account again is a reconnect: id, history and cursors stay."""
    work = services.integrations.connect(
        principal.org_id,
        body.platform,
        body.account,
        body.config,
        body.credentials,
        by=principal.subject,
        label=body.label,
        operator=principal.runs_install,
    )
    integration = await services.units.run(work)
    services.nudger.sync(principal.org_id, integration.platform)
    return IntegrationView.of(integration)


@router.get("/{integration_id}", summary="Show an integration")
async def show_integration(integration_id: IntegrationId, principal: Reader, services: Use) -> IntegrationView:
    """Its state with the reason, and the health of every sync type."""
    return IntegrationView.of(await services.integrations.show(principal.org_id, integration_id))


@router.post("/{integration_id}/reconnect", summary="Give new credentials", openapi_extra={"x-problems": ["refused"]})
async def reconnect(integration_id: IntegrationId, body: Reconnect, principal: Admin, services: Use) -> IntegrationView:
    """An expired account resumes where it stopped: id, history and cursors stay, its alert is resolved."""
    work = services.integrations.reconnect(
        principal.org_id,
        integration_id,
        body.credentials,
        by=principal.subject,
        config=body.config,
        operator=principal.runs_install,
    )
    integration = await services.units.run(work)
    services.nudger.sync(principal.org_id, integration.platform)
    return IntegrationView.of(integration)


@router.post("/{integration_id}/pause", summary="Pause an integration", openapi_extra=_CONFLICT)
async def pause_integration(
    integration_id: IntegrationId, principal: Operator, services: Use, body: Reason | None = None
) -> IntegrationView:
    """Nothing of it is due any more; queued runs are cancelled, a running one ends after its page."""
    reason = None if body is None else body.reason
    work = services.integrations.pause(principal.org_id, integration_id, by=principal.subject, reason=reason)
    return IntegrationView.of(await services.units.run(work))


@router.post("/{integration_id}/resume", summary="Resume an integration", openapi_extra=_CONFLICT)
async def resume_integration(integration_id: IntegrationId, principal: Operator, services: Use) -> IntegrationView:
    """Every sync type is due at once."""
    work = services.integrations.resume(principal.org_id, integration_id, by=principal.subject)
    integration = await services.units.run(work)
    services.nudger.sync(principal.org_id, integration.platform)
    return IntegrationView.of(integration)


@router.put(
    "/{integration_id}/cadence/{sync_type}",
    summary="Give a sync type a cadence of its own",
    openapi_extra={"x-problems": ["conflict", "refused"]},
)
async def set_cadence(
    integration_id: IntegrationId, sync_type: SyncTypeName, body: Cadence, principal: Operator, services: Use
) -> IntegrationView:
    """For this account alone; it stays through reconnects. GET /sync/platforms says how fast each may be."""
    every = timedelta(seconds=body.every_seconds)
    work = services.integrations.set_cadence(principal.org_id, integration_id, sync_type, every, by=principal.subject)
    return IntegrationView.of(await services.units.run(work))


@router.delete("/{integration_id}/cadence/{sync_type}", summary="Go back to the usual cadence", openapi_extra=_CONFLICT)
async def usual_cadence(
    integration_id: IntegrationId, sync_type: SyncTypeName, principal: Operator, services: Use
) -> IntegrationView:
    """Without one of its own nothing changes."""
    work = services.integrations.set_cadence(principal.org_id, integration_id, sync_type, None, by=principal.subject)
    return IntegrationView.of(await services.units.run(work))


@router.delete("/{integration_id}", status_code=204, summary="Disconnect an account", openapi_extra=_CONFLICT)
async def delete_integration(integration_id: IntegrationId, principal: Admin, services: Use) -> None:
    """Forgets its credentials and stops. What was pulled stays."""
    await services.units.run(services.integrations.delete(principal.org_id, integration_id, by=principal.subject))
