"""From the body of POST /sync/queue to a `NewJob`: everything is checked here, so that errors name their field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.api.auth import Principal, forbidden
from sync.api.problems import field_error
from sync.api.schemas import EnqueueJob
from sync.base.errors import Permanent
from sync.jobs.catalogue import QUEUES, Catalogue, JobKind
from sync.jobs.model import Meta, NewJob
from sync.scheduling import resolve_run_at
from sync.scheduling.cron import TimingError, load_zone

_AT = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]+)`")


@dataclass(frozen=True)
class Submission:
    job: NewJob
    kind: JobKind
    run_at: datetime | None


def read_job(body: EnqueueJob, principal: Principal, catalogue: Catalogue, meta: Meta, *, at: str = "") -> Submission:
    """`at` is the place of `body` in the document. Errors: ApiError 422 naming the field, 403 for system kinds."""
    kind = find_kind(body.kind, principal, catalogue, at=at)
    _check_queue(body, kind, at)
    check_args(kind, body.args, at=at)
    run_at = _run_at(body, at)
    job = NewJob(
        kind=kind.kind,
        args=body.args,
        org_id=principal.org_id,
        run_at=run_at,
        priority=body.priority,
        unique_key=body.unique_key,
        idempotency_key=body.idempotency_key,
        max_attempts=body.max_attempts,
        meta=meta,
    )
    return Submission(job, kind, run_at)


def _check_queue(body: EnqueueJob, kind: JobKind, at: str) -> None:
    """A kind has one consumer: naming it is optional, naming another a mistake. `schedule` also means "has a runAt"."""
    if body.queue is None or body.queue in {kind.queue_name, kind.queue, QUEUES[kind.queue]}:
        return
    if body.queue in {"schedule", QUEUES["schedule"]} and body.run_at is not None:
        return
    raise field_error(f"{at}/queue", f"{kind.kind} goes to {QUEUES[kind.queue]}. Leave `queue` out or name that one.")


def find_kind(name: str, principal: Principal, catalogue: Catalogue, *, at: str = "") -> JobKind:
    """Errors: ApiError 422 for an unknown kind, 403 for one that is not for tenants."""
    kind = catalogue.find(name)
    if kind is None:
        known = ", ".join(sorted(kind.kind for kind in catalogue.kinds if kind.tenants))
        raise field_error(f"{at}/kind", f"There is no job kind {name!r}. Known kinds: {known or 'none'}.")
    if not kind.tenants and not principal.runs_install:
        raise forbidden(f"Jobs of the kind {kind.kind} serve the whole install or Sync itself: use a platform token.")
    return kind


def check_args(kind: JobKind, args: Mapping[str, Any], *, at: str = "") -> None:
    """Errors: ApiError 422 naming the argument."""
    try:
        kind.encode(args)
    except Permanent as error:
        cause = str(error.__cause__ or error)
        raise field_error(f"{at}/args{args_pointer(cause)}", f"{_AT.sub('', cause)}.") from error


def args_pointer(message: str) -> str:
    """Where in the arguments a msgspec message points: ``... - at `$.to[0].name` `` -> `/to/0/name`."""
    found = _AT.search(message)
    steps = re.findall(r"[^.\[\]]+", found["path"]) if found else []
    named = _MISSING.search(message) or _UNKNOWN.search(message)
    if named is not None:
        steps.append(named["name"])
    return "".join(f"/{step}" for step in steps)


def _run_at(body: EnqueueJob, at: str) -> datetime | None:
    if body.run_at is None:
        if body.time_zone is not None:
            raise field_error(f"{at}/timeZone", "A time zone says something only beside `runAt`.")
        return None
    field = "timeZone"
    try:
        if body.time_zone is not None:
            load_zone(body.time_zone)
        field = "runAt"
        return resolve_run_at(body.run_at, body.time_zone).instant
    except TimingError as error:
        raise field_error(f"{at}/{field}", str(error)) from error
