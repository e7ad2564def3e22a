"""What this install is and does: /sync, /sync/info, /sync/status, /sync/platforms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from sync.api.auth import Principal, Reader, check_runs_install
from sync.api.queries import COUNT_CAP, QueueRow
from sync.api.schemas import Answer, example
from sync.api.services import Services, Use

router = APIRouter(prefix="/sync", tags=["sync"])

Scope = Annotated[
    Literal["org", "all"] | None,
    Query(description="`org`: your org's share. `all`: sums over every org, for whoever runs this install."),
]

_LINKS = {
    "info": "/sync/info",
    "status": "/sync/status",
    "platforms": "/sync/platforms",
    "queue": "/sync/queue",
    "trigger": "/sync/trigger",
    "runs": "/sync/runs",
    "jobs": "/sync/jobs",
    "schedules": "/sync/schedules",
    "events": "/sync/events",
    "subscriptions": "/sync/subscriptions",
    "live": "/ws",
    "stream": "/sse",
    "integrations": "/sync/integrations",
    "alerts": "/sync/alerts",
    "secrets": "/sync/secrets",
    "audit": "/sync/audit",
    "purge": "/sync/purge",
    "pause": "/sync/pause/{name}",
    "resume": "/sync/resume/{name}",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/healthz",
}
_QUEUE_EXAMPLE = {
    "name": "one-off",
    "waiting": 12,
    "scheduled": 3,
    "running": 4,
    "dead": 1,
    "lagSeconds": 0.4,
    "lastSuccessAt": "2027-05-01T09:00:00Z",
    "pausedAt": None,
    "pausedBy": None,
    "pausedReason": None,
    "concurrency": None,
    "orgConcurrency": None,
}
_CONSUMER_EXAMPLE = {
    "name": "consumer.one-off",
    "state": "active",
    "workers": 2,
    "depth": 12,
    "scheduled": 3,
    "inFlight": 4,
    "dead": 1,
    "lagSeconds": 0.4,
    "lastSuccessAt": "2027-05-01T09:00:00Z",
    "queues": [_QUEUE_EXAMPLE],
}
_SYNC_EXAMPLE = {
    "platform": "email",
    "active": 2,
    "paused": 0,
    "expired": 1,
    "queued": 1,
    "running": 1,
    "lastSuccessAt": "2027-05-01T09:00:00Z",
}
_LEASE_EXAMPLE = {
    "org": "acme",
    "platform": "email",
    "actor": "sync:acme:email",
    "holder": "sync:acme:email/7f3a",
    "node": "10.0.0.7",
    "epoch": 42,
    "since": "2027-05-01T08:59:00Z",
    "expiresAt": "2027-05-01T09:00:30Z",
    "live": True,
    "running": 1,
}
_INFO_EXAMPLE = {
    "scope": "org",
    "countsStopAt": COUNT_CAP,
    "consumers": [_CONSUMER_EXAMPLE],
    "syncs": [_SYNC_EXAMPLE],
}


class Home(Answer):
    model_config = example(
        {
            "name": "Sync",
            "version": "0.1.0",
            "org": "acme",
            "role": "admin",
            "counts": {"waiting": 12, "scheduled": 3, "running": 4, "dead": 1, "openRuns": 2, "openAlerts": 1},
            "links": _LINKS,
        }
    )

    name: str
    version: str
    org: str
    role: str
    counts: dict[str, int] = Field(description="Of your org.")
    links: dict[str, str]


class QueueInfo(Answer):
    model_config = example(_QUEUE_EXAMPLE)

    name: str
    waiting: int
    scheduled: int = Field(description="Not due yet: delayed, scheduled, or waiting for a retry.")
    running: int
    dead: int
    lag_seconds: float | None = Field(description="Age of the oldest waiting job.")
    last_success_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    concurrency: int | None
    org_concurrency: int | None


class ConsumerInfo(Answer):
    model_config = example(_CONSUMER_EXAMPLE)

    name: str = Field(description="The actor pool, as pause and resume take it.")
    state: Literal["active", "paused", "partly paused"]
    workers: int = Field(description="Living members.")
    depth: int = Field(description="Jobs that could run now; of `consumer.datatype` also events not delivered yet.")
    scheduled: int
    in_flight: int
    dead: int
    lag_seconds: float | None
    last_success_at: datetime | None
    queues: list[QueueInfo]


class SyncInfo(Answer):
    model_config = example(_SYNC_EXAMPLE)

    platform: str
    active: int = Field(description="Accounts by state: active, paused, expired.")
    paused: int
    expired: int
    queued: int = Field(description="Runs.")
    running: int
    last_success_at: datetime | None


class Info(Answer):
    model_config = example(_INFO_EXAMPLE)

    scope: Literal["org", "all"]
    counts_stop_at: int = Field(description="A larger backlog shows as this number.")
    consumers: list[ConsumerInfo]
    syncs: list[SyncInfo]


class LeaseInfo(Answer):
    model_config = example(_LEASE_EXAMPLE)

    org: str
    platform: str
    actor: str
    holder: str
    node: str | None
    epoch: int
    since: datetime
    expires_at: datetime
    live: bool = Field(description="False: it ran out; another may take over.")
    running: int = Field(description="Runs under way.")


class FieldInfo(Answer):
    name: str
    kind: str
    required: bool
    secret: bool
    operator_only: bool
    default: Any
    choices: list[str]
    help: str


class OptionInfo(Answer):
    name: str
    kind: str
    help: str


class SyncTypeInfo(Answer):
    name: str
    title: str
    every_seconds: float = Field(description="How often it is pulled, unless the account has a cadence of its own.")
    fastest_seconds: float = Field(description="How often an account may ask for: PUT /sync/integrations/…/cadence/….")
    options: list[OptionInfo]
    scopes: list[str] = Field(description="What the account must have granted for it.")


class PlatformInfo(Answer):
    model_config = example(
        {
            "platform": "email",
            "title": "Email (IMAP)",
            "fields": [
                {
                    "name": "host",
                    "kind": "text",
                    "required": True,
                    "secret": False,
                    "operatorOnly": False,
                    "default": None,
                    "choices": [],
                    "help": "Name of the IMAP server.",
                }
            ],
            "syncTypes": [
                {
                    "name": "messages",
                    "title": "Messages",
                    "everySeconds": 60.0,
                    "fastestSeconds": 10.0,
                    "options": [],
                    "scopes": [],
                }
            ],
        }
    )

    platform: str
    title: str
    fields: list[FieldInfo] = Field(description="What is needed to connect an account.")
    sync_types: list[SyncTypeInfo]


class Status(Info):
    model_config = example({**_INFO_EXAMPLE, "platforms": ["email"], "leases": [_LEASE_EXAMPLE]})

    platforms: list[str] = Field(description="GET /sync/platforms has their fields and sync types.")
    leases: list[LeaseInfo] = Field(description="Who may sync which pair of org and platform now.")


class Platforms(Answer):
    items: list[PlatformInfo]


@router.get("", summary="What this is, and where everything lives")
async def home(request: Request, principal: Reader, services: Use) -> Home:
    """Links to every part of the API, the version, and your org's counts at a glance."""
    queues, counts = await asyncio.gather(
        services.queries.queues(principal.org_id), services.queries.counts(principal.org_id)
    )
    return Home(
        name="Sync",
        version=request.app.version,
        org=principal.org_id,
        role=principal.role,
        counts={
            "waiting": sum(queue.waiting for queue in queues),
            "scheduled": sum(queue.scheduled for queue in queues),
            "running": sum(queue.running for queue in queues),
            "dead": sum(queue.dead for queue in queues),
            "integrations": counts["integrations"],
            "openRuns": counts["open_runs"],
            "openAlerts": counts["open_alerts"],
        },
        links=_LINKS,
    )


@router.get("/info", summary="Depth, in flight and last success of every consumer")
async def info(principal: Reader, services: Use, scope: Scope = None) -> Info:
    """Queue consumers, processors and syncs. Your org's share unless the token runs the install and asks for all."""
    return Info.model_validate(await _info(services, _scope(principal, scope)))


@router.get("/status", summary="The same, with platforms and lease holders")
async def status(principal: Reader, services: Use, scope: Scope = None) -> Status:
    """Which platforms can be synced, and which actor on which node holds the right to sync which of your pairs."""
    org_id = _scope(principal, scope)
    # Sums over all orgs are one thing, their rows another: those need the platform claim itself.
    visible = None if org_id is None and principal.platform else principal.org_id
    fields, leases = await asyncio.gather(_info(services, org_id), services.queries.leases(visible))
    return Status.model_validate(
        {
            **fields,
            "platforms": sorted(services.platforms),
            "leases": [_lease(row) for row in leases],
        }
    )


@router.get("/platforms", summary="Platforms, the fields that connect an account, and their sync types")
async def platforms(_: Reader, services: Use) -> Platforms:
    """Everything that POST /sync/integrations and POST /sync/trigger accept here."""
    return Platforms.model_validate({"items": services.describe_platforms()})


def _scope(principal: Principal, wanted: Literal["org", "all"] | None) -> str | None:
    """The org to look at, None for all. Errors: ApiError 403."""
    if wanted == "all":
        check_runs_install(principal)
        return None
    return None if wanted is None and principal.platform else principal.org_id


async def _info(services: Services, org_id: str | None) -> dict[str, Any]:
    queues, workers, syncs = await asyncio.gather(
        services.queries.queues(org_id), services.queries.workers(), services.queries.syncs(org_id)
    )
    return {
        "scope": "all" if org_id is None else "org",
        "counts_stop_at": COUNT_CAP,
        "consumers": [
            _consumer(pool, [queue for queue in queues if queue.pool == pool], workers.get(pool, 0))
            for pool in sorted({queue.pool for queue in queues})
        ],
        "syncs": [SyncInfo.model_validate(row) for row in syncs],
    }


def _consumer(pool: str, queues: list[QueueRow], workers: int) -> ConsumerInfo:
    paused = sum(queue.paused_at is not None for queue in queues)
    return ConsumerInfo(
        name=pool,
        state="active" if not paused else "paused" if paused == len(queues) else "partly paused",
        workers=workers,
        depth=sum(queue.waiting for queue in queues),
        scheduled=sum(queue.scheduled for queue in queues),
        in_flight=sum(queue.running for queue in queues),
        dead=sum(queue.dead for queue in queues),
        lag_seconds=_most(queue.lag_s for queue in queues),
        last_success_at=_most(queue.last_success_at for queue in queues),
        queues=[_queue(queue) for queue in queues],
    )


def _queue(queue: QueueRow) -> QueueInfo:
    fields = {name: getattr(queue, name) for name in QueueInfo.model_fields if name != "lag_seconds"}
    return QueueInfo(**fields, lag_seconds=queue.lag_s)


def _most(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def _lease(row: dict[str, Any]) -> LeaseInfo:
    return LeaseInfo(
        org=row["org_id"],
        platform=row["platform"],
        actor=f"sync:{row['org_id']}:{row['platform']}",
        holder=row["holder"],
        node=row["node"],
        epoch=row["epoch"],
        since=row["acquired_at"],
        expires_at=row["expires_at"],
        live=row["live"],
        running=row["running"],
    )
