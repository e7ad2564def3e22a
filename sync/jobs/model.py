"""The values that travel between enqueuer, store and worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import msgspec

from sync.base.ids import SYSTEM_ORG

Meta = dict[str, Any]
"""Travels with a job through all its attempts: correlation_id, traceparent, `errors` (its failed attempts)."""

LANES = 4
"""Priorities. Lane `priority + LANES` holds the same work after a crash: it runs alone."""


class Priority(IntEnum):
    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


@dataclass(frozen=True, slots=True)
class NewJob:
    """A request to run `kind` with `args`.

    run_at: aware; absent or past means now. priority: 0 (urgent) to 3 (low), default of the kind.
    unique_key: at most one job with this key (per queue and org) waits or runs; a second enqueue returns the first.
    idempotency_key: the same request again within 24 h returns the first job, whatever became of it.
    """

    kind: str
    args: msgspec.Struct | Mapping[str, Any]
    org_id: str = SYSTEM_ORG
    run_at: datetime | None = None
    priority: int | None = None
    unique_key: str | None = None
    idempotency_key: str | None = None
    max_attempts: int | None = None
    meta: Meta | None = None


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    job_id: int
    created: bool
    """False: a unique or idempotency key was already taken, `job_id` is the earlier job."""


class Job(msgspec.Struct, array_like=True):
    """A claimed job, as packed into a lease row by sync_pack() (same order of fields)."""

    id: int
    seq: int
    lane: int
    attempt: int
    """Attempts spent before this one."""
    max_attempts: int
    crashes: int
    enqueued_s: float
    """Unix time."""
    org_id: str
    kind: str
    unique_key: str | None
    meta: Meta | None
    args: msgspec.Raw

    @property
    def enqueued_at(self) -> datetime:
        return datetime.fromtimestamp(self.enqueued_s, UTC)

    @property
    def runs_alone(self) -> bool:
        return self.lane >= LANES


_decoder = msgspec.json.Decoder(list[Job])


def unpack(jobs: str) -> list[Job]:
    """The jobs of a lease row."""
    return _decoder.decode(jobs)
