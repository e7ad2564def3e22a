"""Subscriptions of an org to its events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, Field

from sync.api import audit, paging
from sync.api.auth import Admin, Operator, Principal, Reader
from sync.api.problems import field_error
from sync.api.schemas import MAX_ID, Answer, Body, example
from sync.api.services import Services, Use
from sync.api.submit import find_kind
from sync.base.logs import redact
from sync.store.engine import Transaction
from sync.subscriptions import readers
from sync.subscriptions.rows import Subscription, reader_name, sample
from sync.subscriptions.targets import Place, WebhookTarget, read_target

router = APIRouter(prefix="/sync/subscriptions", tags=["subscriptions"])

Id = Annotated[int, Path(ge=1, le=MAX_ID)]

_TARGET = {
    "type": "webhook",
    "url": "https://example.com/hook",
    "headers": {},
    "secretHeaders": {},
    "timeoutS": 15.0,
}
_VIEW = {
    "id": 7,
    "name": "crm",
    "state": "active",
    "reason": None,
    "patterns": ["activity.*"],
    "filter": {"platform": ["facebook", "slack"]},
    "target": _TARGET,
    "failingSince": None,
    "lastSuccessAt": "2027-05-01T09:00:00Z",
    "lastFailureAt": None,
    "lastError": None,
    "createdAt": "2027-04-01T12:00:00Z",
    "createdBy": "ada",
    "updatedAt": "2027-04-01T12:00:00Z",
}
_LAG = {"behind": 0, "lagSeconds": None, "waiting": 2, "parked": 0, "position": 81220, "delivered": 4711}
_PATTERNS = Field(
    min_length=1,
    max_length=50,
    description="Types: `activity.added`, `activity.*` or `*`. GET /sync/events/types lists them.",
)
_FILTER = "Path in the payload to the value it must have, or a list of values."
_TARGETS = "`type`: `job`, `webhook`, `broadcast`, `sync` or `notification`; docs/events.md has their fields."


class NewSubscription(Body):
    model_config = example(
        {
            "name": "crm",
            "patterns": ["activity.*"],
            "filter": {"platform": ["facebook", "slack"]},
            "target": {"type": "webhook", "url": "https://example.com/hook"},
        }
    )

    name: str = Field(min_length=1, max_length=100, description="Unique in your org.")
    patterns: list[str] = _PATTERNS
    filter: dict[str, Any] = Field(default_factory=dict, description=_FILTER)
    target: dict[str, Any] = Field(description=_TARGETS)


class SubscriptionChange(Body):
    model_config = example({"patterns": ["activity.added"]})

    name: str | None = Field(default=None, min_length=1, max_length=100)
    patterns: list[str] | None = Field(default=None, min_length=1, max_length=50)
    filter: dict[str, Any] | None = Field(default=None, description=_FILTER)
    target: dict[str, Any] | None = Field(default=None, description=_TARGETS)


class Reason(Body):
    model_config = example({"reason": "The receiver is being rebuilt."})

    reason: str | None = Field(default=None, max_length=500)


class Replay(Body):
    model_config = example({"since": "2027-05-01T00:00:00Z"})

    since: AwareDatetime | None = Field(default=None, description="Begin with the first event of this time.")
    after_id: int | None = Field(default=None, ge=0, le=MAX_ID, description="Or after this event. 0: everything kept.")


class SubscriptionView(Answer):
    model_config = example(_VIEW)

    id: int
    name: str
    state: Literal["active", "paused", "disabled"] = Field(description="`disabled`: by Sync, see `reason`.")
    reason: str | None
    patterns: list[str]
    filter: dict[str, Any]
    target: dict[str, Any]
    failing_since: datetime | None = Field(description="No delivery of this webhook has succeeded since then.")
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    created_at: datetime
    created_by: str | None
    updated_at: datetime


class CreatedSubscription(SubscriptionView):
    model_config = example({**_VIEW, "secret": "whsec_C2FtcGxlLXNlY3JldC1mb3ItZG9jcw=="})

    secret: str | None = Field(description="What webhooks are signed with. Never shown again.")


class LagView(Answer):
    model_config = example(_LAG)

    behind: int = Field(description="Events of your org that it has not read yet; counting stops at 10,000.")
    lag_seconds: float | None = Field(description="Age of the oldest of them.")
    waiting: int = Field(description="Events that are to be sent, or tried again.")
    parked: int = Field(description="Subjects that stand still until somebody retries or discards.")
    position: int = Field(description="Everything up to this event is read.")
    delivered: int


class SubscriptionDetail(SubscriptionView):
    model_config = example({**_VIEW, "lag": _LAG})

    lag: LagView


class NewSecret(Answer):
    model_config = example({"secret": "whsec_C2FtcGxlLXNlY3JldC1mb3ItZG9jcw=="})

    secret: str = Field(description="Signs together with the old one until `drop-previous`. Never shown again.")


class Replayed(Answer):
    model_config = example({"afterId": 81000})

    after_id: int = Field(description="Delivery begins with the event after this one.")


class Tested(Answer):
    model_config = example({"ok": True, "status": 200, "error": None, "seconds": 0.21})

    ok: bool
    status: int | None = Field(description="Of a webhook's answer.")
    error: str | None
    seconds: float


@router.get("", summary="List subscriptions")
async def list_subscriptions(principal: Reader, services: Use, page: paging.Paging) -> paging.PageOf[SubscriptionView]:
    """In order of creation."""
    rows = await services.subscriptions.list(principal.org_id, after=page.after_id, limit=page.limit + 1)
    return paging.page_of([_view(row) for row in rows], page.limit, lambda view: view.id)


@router.post("", status_code=201, summary="Create a subscription", openapi_extra={"x-problems": ["conflict"]})
async def create_subscription(body: NewSubscription, principal: Admin, services: Use) -> CreatedSubscription:
    """It gets what is committed from now on; `replay` brings what was before."""
    _check_target(body.target, principal, services)

    async def work(tx: Transaction) -> CreatedSubscription:
        row, secret = await services.subscriptions.create(
            tx, principal.org_id, body.name, body.patterns, body.filter, body.target, principal.subject
        )
        await audit.record(tx, principal, "subscription.created", f"subscription:{row.id}", name=row.name)
        return CreatedSubscription.model_validate({**_fields(row), "secret": secret})

    return await services.units.transaction(work)


@router.get("/{subscription_id}", summary="Show a subscription and how far it is")
async def show_subscription(subscription_id: Id, principal: Reader, services: Use) -> SubscriptionDetail:
    """Its lag is what it has not read yet, and what waits to be sent or tried again."""
    row = await services.subscriptions.show(principal.org_id, subscription_id)
    [lag] = await readers.lags(services.database, name=reader_name(row.id))
    shown = {
        "behind": lag.behind,
        "lag_seconds": lag.lag_s,
        "waiting": lag.backlog,
        "parked": lag.parked,
        "position": lag.position,
        "delivered": lag.delivered,
    }
    return SubscriptionDetail.model_validate({**_fields(row), "lag": shown})


@router.patch("/{subscription_id}", summary="Change a subscription", openapi_extra={"x-problems": ["conflict"]})
async def update_subscription(
    subscription_id: Id, body: SubscriptionChange, principal: Admin, services: Use
) -> SubscriptionView:
    """Concerns what is read from now on. What already waits is sent to the new address."""
    if body.target is not None:
        _check_target(body.target, principal, services)

    async def work(tx: Transaction) -> SubscriptionView:
        row = await services.subscriptions.update(
            tx,
            principal.org_id,
            subscription_id,
            name=body.name,
            patterns=body.patterns,
            wanted=body.filter,
            target=body.target,
        )
        await audit.record(
            tx, principal, "subscription.updated", f"subscription:{row.id}", fields=sorted(body.model_fields_set)
        )
        return _view(row)

    return await services.units.transaction(work)


@router.post("/{subscription_id}/pause", summary="Pause a subscription")
async def pause_subscription(
    subscription_id: Id, principal: Operator, services: Use, body: Reason | None = None
) -> SubscriptionView:
    """Its position stands still. What comes meanwhile waits in the log, for as long as the log keeps it."""
    reason = None if body is None else body.reason

    async def work(tx: Transaction) -> SubscriptionView:
        row = await services.subscriptions.pause(tx, principal.org_id, subscription_id, reason)
        await audit.record(tx, principal, "subscription.paused", f"subscription:{row.id}", reason=reason)
        return _view(row)

    return await services.units.transaction(work)


@router.post("/{subscription_id}/resume", summary="Resume a subscription")
async def resume_subscription(subscription_id: Id, principal: Operator, services: Use) -> SubscriptionView:
    """Also one that was disabled. It goes on where it stood; what waits or is parked is tried at once."""

    async def work(tx: Transaction) -> SubscriptionView:
        row = await services.subscriptions.resume(tx, principal.org_id, subscription_id)
        await audit.record(tx, principal, "subscription.resumed", f"subscription:{row.id}")
        return _view(row)

    return await services.units.transaction(work)


@router.delete("/{subscription_id}", status_code=204, summary="Delete a subscription")
async def delete_subscription(subscription_id: Id, principal: Admin, services: Use) -> None:
    """With what waits for it."""

    async def work(tx: Transaction) -> None:
        await services.subscriptions.delete(tx, principal.org_id, subscription_id)
        await audit.record(tx, principal, "subscription.deleted", f"subscription:{subscription_id}")

    await services.units.transaction(work)


@router.post("/{subscription_id}/test", summary="Try a subscription's target now")
async def test_subscription(subscription_id: Id, principal: Operator, services: Use) -> Tested:
    """Sends one made-up event, `subscription.tested`, to the target: a webhook is called, a job is enqueued, and so on.
    The subscription's position and counts stay as they are."""
    row = await services.subscriptions.show(principal.org_id, subscription_id)
    return await services.units.run(_test(services, row))


@router.post("/{subscription_id}/replay", status_code=202, summary="Deliver again from a time or an event")
async def replay_subscription(subscription_id: Id, body: Replay, principal: Operator, services: Use) -> Replayed:
    """In the old order, and then goes on. Events keep their `webhook-id`, so a receiver can tell them as repeats."""

    async def work(tx: Transaction) -> Replayed:
        start = await services.subscriptions.replay(
            tx, principal.org_id, subscription_id, since=body.since, after_id=body.after_id
        )
        await audit.record(tx, principal, "subscription.replayed", f"subscription:{subscription_id}", after_id=start.id)
        return Replayed(after_id=start.id)

    return await services.units.transaction(work)


@router.post("/{subscription_id}/secret", summary="Make a new signing key", openapi_extra={"x-problems": ["conflict"]})
async def rotate_subscription_secret(subscription_id: Id, principal: Admin, services: Use) -> NewSecret:
    """Until `drop-previous` webhooks carry two signatures, so that the receiver can change over."""

    async def work(tx: Transaction) -> NewSecret:
        secret = await services.subscriptions.rotate(tx, principal.org_id, subscription_id)
        await audit.record(tx, principal, "subscription.secret_rotated", f"subscription:{subscription_id}")
        return NewSecret(secret=secret)

    return await services.units.transaction(work)


@router.post("/{subscription_id}/secret/drop-previous", status_code=204, summary="End a rotation")
async def drop_previous_subscription_secret(subscription_id: Id, principal: Admin, services: Use) -> None:
    """From now on only the new key signs."""

    async def work(tx: Transaction) -> None:
        await services.subscriptions.drop_previous(tx, principal.org_id, subscription_id)
        await audit.record(tx, principal, "subscription.secret_dropped", f"subscription:{subscription_id}")

    await services.units.transaction(work)


async def _test(services: Services, row: Subscription) -> Tested:
    target = read_target(row.target)
    event = sample(row.org_id)
    if isinstance(target, WebhookTarget):
        keys = await services.subscriptions.sealed_keys(row)
        verdict = await services.postman.deliver(target, row.org_id, row.id, keys, event)
        return Tested(
            ok=verdict.ok, status=verdict.status, error=verdict.error or None, seconds=round(verdict.elapsed_s, 3)
        )
    async with services.database.transaction() as tx:
        place = Place(row.id, row.reader_id, row.name, row.org_id)
        await services.effects.carry_out(tx, place, target, [event])
    return Tested(ok=True, status=None, error=None, seconds=0.0)


def _check_target(target: dict[str, Any], principal: Principal, services: Services) -> None:
    """What the API knows more about than the domain: system kinds, and addresses that are not called."""
    if target.get("type") == "job" and isinstance(target.get("kind"), str):
        find_kind(target["kind"], principal, services.catalogue, at="/target")
    if target.get("type") == "webhook" and isinstance(target.get("url"), str):
        reason = services.refused_url(target["url"])
        if reason is not None:
            raise field_error("/target/url", reason)


def _view(row: Subscription) -> SubscriptionView:
    return SubscriptionView.model_validate(_fields(row))


def _fields(row: Subscription) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in SubscriptionView.model_fields}
    if "headers" in row.target:
        # Somebody may have put a password there, though `secretHeaders` are made for it.
        fields["target"] = {**row.target, "headers": redact(row.target["headers"])}
    return fields
