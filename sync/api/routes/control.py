"""Steering whole queues: pause, resume, purge. The GET forms are those of the specification; POST says it better."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sync.api import audit
from sync.api.auth import Admin, InstallAdmin, Principal, check_runs_install
from sync.api.schemas import Answer, Body, example
from sync.api.services import Services, Use
from sync.jobs.views import FINISHED_STATES
from sync.store.engine import Transaction

router = APIRouter(prefix="/sync", tags=["queue"])

Name = Annotated[
    str,
    Path(max_length=100, description="A consumer or processor (`consumer.one-off`, `one-off`) or one of its queues."),
]
ReasonText = Annotated[str | None, Query(max_length=500, description="Shown beside the pause.")]
States = Annotated[
    list[str],
    Query(description="Job states, repeated or separated by commas. Default: done, cancelled, dead, discarded."),
]
Whose = Annotated[Literal["org", "all"], Query(description="`all`: jobs of every org; needs to run the install.")]


class Reason(Body):
    model_config = example({"reason": "The CRM is being migrated."})

    reason: str | None = Field(default=None, max_length=500)


class PauseState(Answer):
    model_config = example(
        {
            "name": "one-off",
            "state": "paused",
            "queues": ["one-off"],
            "by": "ada",
            "reason": "The CRM is being migrated.",
        }
    )

    name: str
    state: Literal["paused", "active"]
    queues: list[str] = Field(description="The queues that this concerned.")
    by: str
    reason: str | None


class Purged(Answer):
    model_config = example({"purged": 1230, "states": {"done": 1200, "cancelled": 20, "dead": 10}, "scope": "org"})

    purged: int
    states: dict[str, int]
    scope: Literal["org", "all"]


class PurgeBody(Body):
    model_config = example({"states": ["done", "dead"], "scope": "org"})

    states: list[str] = Field(default_factory=list, max_length=8)
    scope: Literal["org", "all"] = "org"


@router.get("/pause/{name:path}", summary="Pause a consumer", openapi_extra={"x-problems": ["not-found"]})
async def pause(name: Name, principal: InstallAdmin, services: Use, reason: ReasonText = None) -> PauseState:
    """Its members stop claiming within a second, on every node, and stay so across restarts. What runs, finishes."""
    return await _pause(name, principal, services, reason)


@router.post("/pause/{name:path}", summary="Pause a consumer")
async def pause_post(name: Name, principal: InstallAdmin, services: Use, body: Reason | None = None) -> PauseState:
    """As GET."""
    return await _pause(name, principal, services, None if body is None else body.reason)


@router.get("/resume/{name:path}", summary="Resume a consumer")
async def resume(name: Name, principal: InstallAdmin, services: Use) -> PauseState:
    """Its members claim again at once."""
    return await _resume(name, principal, services)


@router.post("/resume/{name:path}", summary="Resume a consumer")
async def resume_post(name: Name, principal: InstallAdmin, services: Use) -> PauseState:
    """As GET."""
    return await _resume(name, principal, services)


@router.get("/purge", summary="Remove finished jobs")
async def purge(principal: Admin, services: Use, states: States = [], scope: Whose = "org") -> Purged:  # noqa: B006
    """Done, cancelled, dead and discarded ones, and says how many. Jobs that still wait go only when their state is
    named (`?states=waiting`); running ones never."""
    return await _purge([part for item in states for part in item.split(",") if part], scope, principal, services)


@router.post("/purge", summary="Remove finished jobs")
async def purge_post(principal: Admin, services: Use, body: PurgeBody | None = None) -> Purged:
    """As GET."""
    body = body or PurgeBody()
    return await _purge(body.states, body.scope, principal, services)


async def _pause(name: str, principal: Principal, services: Services, reason: str | None) -> PauseState:
    async def work(tx: Transaction) -> list[str]:
        queues = await services.operations.pause(name, principal.subject, reason, tx)
        await audit.record(tx, principal, "queue.paused", name, queues=queues, reason=reason)
        return queues

    queues = await services.units.transaction(work)
    return PauseState(name=name, state="paused", queues=queues, by=principal.subject, reason=reason)


async def _resume(name: str, principal: Principal, services: Services) -> PauseState:
    async def work(tx: Transaction) -> list[str]:
        queues = await services.operations.resume(name, principal.subject, tx)
        await audit.record(tx, principal, "queue.resumed", name, queues=queues)
        return queues

    queues = await services.units.transaction(work)
    return PauseState(name=name, state="active", queues=queues, by=principal.subject, reason=None)


async def _purge(states: list[str], scope: Literal["org", "all"], principal: Principal, services: Services) -> Purged:
    if scope == "all":
        check_runs_install(principal)
    removed = await services.units.run(_purge_and_tell(states, scope, principal, services))
    return Purged(purged=sum(removed.values()), states=removed, scope=scope)


async def _purge_and_tell(states: list[str], scope: str, principal: Principal, services: Services) -> dict[str, int]:
    """A purge runs in many short transactions, so the audit log says first that it begins, then what came of it."""
    wanted = list(states or FINISHED_STATES)
    async with services.database.transaction() as tx:
        entry = await audit.record(tx, principal, "queue.purged", scope, states=wanted)
    org_id = principal.org_id if scope == "org" else None
    removed = await services.operations.purge(org_id, states, principal.subject)
    await audit.add(services.database, entry, removed=removed)
    return removed
