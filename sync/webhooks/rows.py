"""Statements about deliveries and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from sync.store.engine import Database, Transaction
from sync.webhooks.model import DeliveryState, Holder, Stored
from sync.webhooks.plan import Known, Step, Told

_FIELDS = "id, platform, integration_id, received_at, headers, query, body, attempts"
_DUE = f"""
SELECT {_FIELDS} FROM webhook_delivery WHERE next_at <= now()
ORDER BY next_at, id LIMIT %s FOR UPDATE SKIP LOCKED"""
_ONE = f"SELECT {_FIELDS} FROM webhook_delivery WHERE id = %s AND next_at <= now() FOR UPDATE SKIP LOCKED"
_NEXT = "SELECT extract(epoch FROM min(next_at) - now()) FROM webhook_delivery WHERE next_at IS NOT NULL"
_KNOWN = """
SELECT DISTINCT ON (e.integration_id, e.key) e.integration_id, e.key, e.delivery_id, e.number
FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS k (integration_id, key, delivery_id)
JOIN webhook_event e ON e.integration_id = k.integration_id AND e.key = k.key AND e.outcome = 'applied'
ORDER BY e.integration_id, e.key, (e.delivery_id = k.delivery_id) DESC, e.delivery_id"""
_EVENTS = """
INSERT INTO webhook_event
  (delivery_id, number, org_id, integration_id, account, key, outcome, records, added, changed, dirty)
SELECT delivery_id, number, org_id, integration_id, account, key, outcome, records, added, changed,
       coalesce(string_to_array(nullif(dirty, ''), ' '), '{}')
FROM unnest(%s::bigint[], %s::int[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[],
            %s::int[], %s::int[], %s::text[])
  AS e (delivery_id, number, org_id, integration_id, account, key, outcome, records, added, changed, dirty)
ON CONFLICT (delivery_id, number, integration_id) DO UPDATE
SET outcome = excluded.outcome, records = excluded.records, added = excluded.added, changed = excluded.changed,
    dirty = excluded.dirty, org_id = excluded.org_id"""
_RESULTS = """
UPDATE webhook_delivery d
SET state = r.state, error = r.error, attempts = d.attempts + 1, applied_at = now(),
    next_at = now() + make_interval(secs => r.after_s)
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::float8[]) AS r (id, state, error, after_s)
WHERE d.id = r.id"""
_FAIL = """
UPDATE webhook_delivery
SET state = CASE WHEN %(after_s)s::float8 IS NULL THEN 'failed' ELSE state END, error = %(error)s,
    attempts = attempts + 1, next_at = now() + make_interval(secs => %(after_s)s::float8)
WHERE id = %(id)s"""
_EARLY_TRIES = 7
"""With doubled pauses: about an hour."""
_MAX_KEY = 200


async def take_due(tx: Transaction, limit: int) -> list[Stored]:
    """The oldest that wait, locked until the transaction ends; those that another worker has are left to it."""
    return [Stored(**row) for row in await tx.fetch_all(_DUE, (limit,))]


async def take(tx: Transaction, delivery_id: int) -> list[Stored]:
    return [Stored(**row) for row in await tx.fetch_all(_ONE, (delivery_id,))]


async def next_due_s(database: Database) -> float | None:
    found = await database.fetch_value(_NEXT)
    return None if found is None else max(0.0, float(found))


async def known_keys(
    tx: Transaction, told: Sequence[Told], holders: Mapping[tuple[str, str], Sequence[Holder]]
) -> Known:
    """Events of these accounts that were applied before."""
    wanted = {
        (holder.id, stored_key(one.event.key), one.delivery.id): one.event.key
        for one in told
        if one.event is not None and one.event.key
        for holder in holders.get((one.delivery.platform, one.event.account), ())
    }
    if not wanted:
        return {}
    rows = await tx.fetch_all(_KNOWN, [list(column) for column in zip(*wanted, strict=True)])
    found = {(row["integration_id"], row["key"]): (row["delivery_id"], row["number"]) for row in rows}
    return {
        (holder_id, given): found[holder_id, key]
        for (holder_id, key, _), given in wanted.items()
        if (holder_id, key) in found
    }


async def write_results(
    tx: Transaction, deliveries: Iterable[Stored], told: Sequence[Told], steps: Sequence[Step], early_s: float
) -> None:
    if steps:
        await tx.execute(_EVENTS, [list(column) for column in zip(*map(_event_row, steps), strict=True)])
    errors = {one.delivery.id: one.error for one in told if one.error}
    by_delivery: dict[int, list[Step]] = {}
    for step in steps:
        by_delivery.setdefault(step.told.delivery.id, []).append(step)
    results = [
        _result(delivery, by_delivery.get(delivery.id, []), errors.get(delivery.id), early_s) for delivery in deliveries
    ]
    await tx.execute(_RESULTS, [list(column) for column in zip(*results, strict=True)])


async def fail(database: Database, delivery_id: int, error: str, after_s: float | None) -> None:
    await database.execute(_FAIL, {"id": delivery_id, "error": clean(error)[:2000], "after_s": after_s})


def state_of(steps: Sequence[Step]) -> DeliveryState:
    if not steps:
        return "ignored"
    reached = [step.outcome in ("applied", "duplicate", "early") for step in steps]
    return "applied" if all(reached) else "partial" if any(reached) else "unmatched"


def stored_key(key: str) -> str:
    """A vendor's key as its index can hold it."""
    return clean(key) if len(key) <= _MAX_KEY else sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def clean(text: str) -> str:
    """PostgreSQL stores neither NUL nor half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _result(delivery: Stored, steps: Sequence[Step], error: str | None, early_s: float) -> tuple[Any, ...]:
    if error:
        return delivery.id, "failed", clean(error)[:2000], None
    early = any(step.outcome == "early" for step in steps)
    if early and delivery.attempts < _EARLY_TRIES:
        return delivery.id, "stored", None, early_s * 2**delivery.attempts
    return delivery.id, state_of(steps), None, None


def _event_row(step: Step) -> tuple[Any, ...]:
    holder, event = step.holder, step.event
    return (
        step.told.delivery.id,
        step.told.number,
        holder.org_id if holder else None,
        holder.id if holder else None,
        clean(event.account)[:_MAX_KEY],
        stored_key(event.key),
        step.outcome,
        len(event.records),
        step.added,
        step.changed,
        " ".join(event.dirty),
    )
