"""Rows of this domain as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

Trigger = Literal["schedule", "manual", "backfill", "webhook"]
RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
IntegrationState = Literal["active", "paused", "expired", "deleted"]

FINAL_STATES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Stream:
    """One sync type of an account: cadence and health."""

    sync_type: str
    every: timedelta
    own_cadence: bool
    next_due_at: datetime | None
    blocked_reason: str | None
    failures: int
    last_error: str | None
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class Integration:
    """A connected account. Holds no secret."""

    id: int
    org_id: str
    platform: str
    account: str
    label: str | None
    state: IntegrationState
    reason_code: str | None
    reason: str | None
    state_changed_at: datetime
    config: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True)
class TriggeredRun:
    """`created` is false when an open run already existed: then it is that one."""

    run_id: int
    integration_id: int
    platform: str
    sync_type: str
    created: bool


@dataclass(frozen=True, slots=True)
class Run:
    """A sync run as people see it."""

    id: int
    org_id: str
    platform: str
    integration_id: int
    account: str
    sync_type: str
    trigger: Trigger
    state: RunState
    attempt: int
    not_before: datetime
    options: Mapping[str, Any]
    cancel_requested: bool
    pages: int
    records: int
    added: int
    changed: int
    skipped: int
    error_class: str | None
    error_text: str | None
    errors: list[dict[str, Any]]
    requested_by: str | None
    holder: str | None
    node: str | None
    epoch: int | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class StoredAccount(Protocol):
    """The row of an account, as far as it takes to open it."""

    @property
    def org_id(self) -> str: ...
    @property
    def platform(self) -> str: ...
    @property
    def integration_id(self) -> int: ...
    @property
    def account(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def credentials(self) -> bytes | None: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """What a worker needs to run it. `fruitless` counts attempts in a row, this one included, without a page."""

    id: int
    org_id: str
    platform: str
    integration_id: int
    account: str
    sync_type: str
    trigger: Trigger
    attempt: int
    fruitless: int
    epoch: int
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    credentials: bytes | None = field(repr=False)
    credentials_version: int
    cursor: dict[str, Any] | None
    cursor_version: int
    stream_failures: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_backfill(self) -> bool:
        return self.trigger == "backfill"

    @property
    def subject(self) -> str:
        return f"integration:{self.integration_id}"
