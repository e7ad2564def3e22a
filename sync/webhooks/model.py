"""Values of this domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from connectors.http import Hook

DeliveryState = Literal["stored", "applied", "partial", "unmatched", "ignored", "failed"]
"""stored: not applied yet. partial: some of its accounts took it. unmatched: none did. ignored: nothing we keep."""
Outcome = Literal["applied", "duplicate", "early", "inactive", "unknown"]
"""Of one event for one account. early: it deletes what is not here yet. inactive: paused, expired or deleted."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in; `platform` and `integration_id` are those of its address, if it has them."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: float
    platform: str = ""
    integration_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A proved call, as its row."""

    dedup_key: bytes
    platform: str
    integration_id: int | None
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A delivery that waits to be applied."""

    id: int
    platform: str
    integration_id: int | None
    received_at: datetime
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    attempts: int

    def hook(self) -> Hook:
        """The request again, as far as `events` may look at it."""
        return Hook("POST", self.headers, self.query, bytes(self.body), self.received_at.timestamp(), {})

    @property
    def correlation_id(self) -> str:
        return f"webhook:{self.id}"


@dataclass(frozen=True, slots=True)
class Holder:
    """An integration that holds a vendor's account."""

    id: int
    org_id: str
    platform: str
    account: str
    state: str
    credentials_version: int
    names: frozenset[str]
    """What the vendor may call it: its id and those of its places."""


def dedup_key(platform: str, query: Mapping[str, str], delivery_id: str, body: bytes) -> bytes:
    digest = blake2b(body, digest_size=16)
    for part in (platform, delivery_id, *(f"{name}={query[name]}" for name in sorted(query))):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.digest()


def holder_of(row: Mapping[str, Any]) -> Holder:
    facts = row["facts"]
    names = {str(facts.get("account") or ""), *map(str, facts.get("places") or ())} - {""}
    return Holder(
        row["id"],
        row["org_id"],
        row["platform"],
        row["account"],
        row["state"],
        row["credentials_version"],
        frozenset(names),
    )
