"""What a subscription does with its events.

    job           enqueues a job of a kind, its arguments completed by the event
    webhook       calls a URL: signed, retried for 24 hours (sync.subscriptions.sending)
    broadcast     says it again as `broadcast.sent` with a topic, which is what realtime clients of the org follow
    sync          triggers a sync; while one is open, further events change nothing
    notification  raises an alert of the org, one per subject, which counts up until somebody resolves it. It does not
                  reach anybody by mail or telephone: that is for a notification channel, which is not part of this

All but webhooks write their effect in the transaction that moves the subscription's position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from sync.alerts import raise_alert
from sync.base.errors import ApiError, Permanent
from sync.consumers.one_off import HttpCall
from sync.events import Event, LoggedEvent, append_events
from sync.jobs.catalogue import Catalogue
from sync.jobs.model import NewJob
from sync.jobs.queue import Queue
from sync.pull.runs import SyncRuns
from sync.store.engine import Transaction
from sync.subscriptions import lanes

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
BROADCAST = "broadcast.sent"


class JobTarget(msgspec.Struct, frozen=True, tag="job", forbid_unknown_fields=True, rename="camel"):
    """event_as: the argument that becomes the event; null where the kind wants none."""

    kind: Name
    args: dict[str, Any] = {}
    event_as: Name | None = "event"


class WebhookTarget(msgspec.Struct, frozen=True, tag="webhook", forbid_unknown_fields=True, rename="camel"):
    """secret_headers: header -> name of the org's stored secret that is its value."""

    url: str
    headers: dict[str, str] = {}
    secret_headers: dict[str, str] = {}
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 15.0

    def __post_init__(self) -> None:
        HttpCall(url=self.url, headers=self.headers, secret_headers=self.secret_headers)  # the same rules


class BroadcastTarget(msgspec.Struct, frozen=True, tag="broadcast", forbid_unknown_fields=True):
    topic: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,99}$")]


class SyncTarget(msgspec.Struct, frozen=True, tag="sync", forbid_unknown_fields=True, rename="camel"):
    platform: Name
    sync_type: Name | None = None
    account: str | None = None


class NotificationTarget(msgspec.Struct, frozen=True, tag="notification", forbid_unknown_fields=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    severity: Literal["info", "warning", "error"] = "info"


Target = JobTarget | WebhookTarget | BroadcastTarget | SyncTarget | NotificationTarget


def read_target(value: Any) -> Target:
    """Errors: Permanent, naming the field."""
    try:
        read: Target = msgspec.convert(value, Target)
        return read
    except (msgspec.ValidationError, ValueError) as error:
        raise Permanent(f"The target is wrong: {error}") from error


def show_target(target: Target) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(target)
    return shown


def envelope(event: LoggedEvent) -> dict[str, Any]:
    """An event as the outside sees it."""
    return {
        "id": event.id,
        "type": event.type,
        "version": event.version,
        "org": event.org_id,
        "subject": event.subject,
        "createdAt": event.created_at.isoformat(),
        "causationId": event.causation_id,
        "correlationId": event.correlation_id,
        "data": event.payload,
    }


@dataclass(frozen=True, slots=True)
class Place:
    """Whose effect it is."""

    subscription_id: int
    reader_id: int
    name: str
    org_id: str


class Effects:
    """Carries targets out, within the caller's transaction."""

    def __init__(self, queue: Queue, catalogue: Catalogue, runs: SyncRuns) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._runs = runs

    def check(self, target: Target, sample: LoggedEvent) -> None:
        """Whether a target could be carried out. Errors: Permanent."""
        if isinstance(target, JobTarget):
            self._catalogue.get(target.kind).encode(_arguments(target, sample))

    async def carry_out(self, tx: Transaction, place: Place, target: Target, events: Sequence[LoggedEvent]) -> None:
        match target:
            case WebhookTarget():
                await lanes.hold(tx, place.reader_id, events)
            case JobTarget():
                await self._enqueue(tx, place, target, events)
            case BroadcastTarget():
                await append_events(tx, [_broadcast(place, target, event) for event in events])
            case SyncTarget():
                await self._sync(tx, place, target)
            case NotificationTarget():
                for event in events:
                    await _alert(tx, place, target, event)

    async def _enqueue(self, tx: Transaction, place: Place, target: JobTarget, events: Sequence[LoggedEvent]) -> None:
        jobs = [
            NewJob(
                target.kind,
                _arguments(target, event),
                org_id=place.org_id,
                meta={"correlation_id": event.correlation_id} if event.correlation_id else None,
            )
            for event in events
        ]
        await self._queue.enqueue_many(jobs, tx)

    async def _sync(self, tx: Transaction, place: Place, target: SyncTarget) -> None:
        options = {"account": target.account} if target.account else {}
        by = f"subscription:{place.subscription_id}"
        try:
            await self._runs.trigger(place.org_id, target.platform, target.sync_type, options, by=by, tx=tx)
        except ApiError as error:
            if error.status != 409:  # 409: no account is in use now; once one is, it syncs by itself
                raise


def _arguments(target: JobTarget, event: LoggedEvent) -> dict[str, Any]:
    return {**target.args, **({target.event_as: envelope(event)} if target.event_as else {})}


def _broadcast(place: Place, target: BroadcastTarget, event: LoggedEvent) -> Event:
    return Event(
        place.org_id,
        BROADCAST,
        f"topic:{target.topic}",
        {"topic": target.topic, "event": envelope(event)},
        causation_id=event.id or None,
        correlation_id=event.correlation_id,
    )


async def _alert(tx: Transaction, place: Place, target: NotificationTarget, event: LoggedEvent) -> None:
    await raise_alert(
        tx,
        place.org_id,
        f"subscription:{place.subscription_id}:{event.subject}",
        target.title,
        detail=f"{event.type} of {event.subject}",
        severity=target.severity,
    )
