"""Subscriptions as rows: made, changed, looked at. Every method is of one org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from sync.alerts import resolve_alert
from sync.base.errors import ApiError, Permanent
from sync.consumers.secrets import Sealing, new_signing_key
from sync.events import LoggedEvent, Position
from sync.store.engine import Conflict, Database, Transaction, translated
from sync.store.resealing import SealedColumn
from sync.subscriptions import lanes, readers, retrying
from sync.subscriptions.filters import Filter, check_filter, check_pattern
from sync.subscriptions.targets import Effects, Target, WebhookTarget, read_target, show_target

MAX_PER_ORG = 200

State = Literal["active", "paused", "disabled"]


@dataclass(frozen=True, slots=True)
class Subscription:
    id: int
    org_id: str
    name: str
    reader_id: int
    patterns: list[str]
    filter: dict[str, Any]
    target: dict[str, Any]
    state: State
    reason: str | None
    failing_since: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    created_at: datetime
    created_by: str | None
    updated_at: datetime


_COLUMNS = ", ".join(field.name for field in fields(Subscription))
_ONE = f"SELECT {_COLUMNS} FROM subscription WHERE org_id = %(org)s AND id = %(id)s"
_LIST = f"""
SELECT {_COLUMNS} FROM subscription WHERE org_id = %(org)s AND (%(after)s::int8 IS NULL OR id > %(after)s)
ORDER BY id LIMIT %(limit)s
"""
_INSERT = f"""
INSERT INTO subscription (id, org_id, name, reader_id, patterns, filter, target, created_by)
OVERRIDING SYSTEM VALUE
VALUES (%(id)s, %(org)s, %(name)s, %(reader)s, %(patterns)s, %(filter)s, %(target)s, %(by)s) RETURNING {_COLUMNS}
"""
_UPDATE = f"""
UPDATE subscription SET name = coalesce(%(name)s, name), patterns = coalesce(%(patterns)s, patterns),
  filter = coalesce(%(filter)s, filter), target = coalesce(%(target)s, target), updated_at = now()
WHERE org_id = %(org)s AND id = %(id)s RETURNING {_COLUMNS}
"""
_STATE = f"""
UPDATE subscription SET state = %(state)s, reason = %(reason)s, updated_at = now(),
  failing_since = CASE WHEN %(state)s = 'active' THEN NULL ELSE failing_since END
WHERE org_id = %(org)s AND id = %(id)s RETURNING {_COLUMNS}
"""
_BACKLOG = """
SELECT l.subject, l.state, l.attempts, l.failing_since, l.next_at, l.error, (
  SELECT count(*) FROM event_backlog b
  WHERE b.reader_id = l.reader_id AND b.org_id = l.org_id AND b.subject = l.subject) AS events
FROM event_lane l
WHERE l.reader_id = %(reader)s AND (%(state)s::text IS NULL OR l.state = %(state)s)
  AND (%(after)s::text IS NULL OR l.subject > %(after)s)
ORDER BY l.subject LIMIT %(limit)s
"""


class Subscriptions:
    def __init__(self, database: Database, sealer: Sealing, effects: Effects) -> None:
        self._database = database
        self._sealer = sealer
        self._effects = effects

    async def create(
        self,
        tx: Transaction,
        org_id: str,
        name: str,
        patterns: Sequence[str],
        wanted: Filter,
        target: Mapping[str, Any],
        by: str,
    ) -> tuple[Subscription, str | None]:
        """It begins with what is committed from now on. The key that webhooks are signed with: it is shown once.

        Errors: ApiError 409 for a name in use or too many of them; Permanent for what is wrong.
        """
        read = self._checked(patterns, wanted, target)
        count = await tx.fetch_value("SELECT count(*) FROM subscription WHERE org_id = %s", (org_id,))
        if count >= MAX_PER_ORG:
            raise ApiError(409, "Too many subscriptions", f"An org has at most {MAX_PER_ORG}. Delete one first.")
        row = await self._insert(tx, org_id, name, patterns, wanted, read, by)
        secret = None
        if isinstance(read, WebhookTarget):
            secret = await self._new_secret(tx, row, keep_previous=False)
        tx.hint(readers.CHANGED)
        return row, secret

    async def _insert(
        self, tx: Transaction, org_id: str, name: str, patterns: Sequence[str], wanted: Filter, target: Target, by: str
    ) -> Subscription:
        number = await tx.fetch_value("SELECT nextval('subscription_id_seq')")
        reader_id = await readers.create(tx, reader_name(number), org_id)
        values = {
            "id": number,
            "org": org_id,
            "name": name,
            "reader": reader_id,
            "patterns": list(patterns),
            "filter": Jsonb(dict(wanted)),
            "target": Jsonb(show_target(target)),
            "by": by,
        }
        row = await _named(tx, _INSERT, values, name)
        assert row is not None
        return Subscription(**row)

    async def list(self, org_id: str, *, after: int | None = None, limit: int = 50) -> list[Subscription]:
        rows = await self._database.fetch_all(_LIST, {"org": org_id, "after": after, "limit": limit})
        return [Subscription(**row) for row in rows]

    async def show(self, org_id: str, subscription_id: int, tx: Transaction | None = None) -> Subscription:
        """Errors: ApiError 404."""
        row = await (tx or self._database).fetch_one(_ONE, {"org": org_id, "id": subscription_id})
        return _found(row, subscription_id)

    async def update(
        self,
        tx: Transaction,
        org_id: str,
        subscription_id: int,
        *,
        name: str | None = None,
        patterns: Sequence[str] | None = None,
        wanted: Filter | None = None,
        target: Mapping[str, Any] | None = None,
    ) -> Subscription:
        """Concerns what is read from now on; what waits to be sent goes to the new address. Errors: as create; 404."""
        old = await self.show(org_id, subscription_id, tx)
        new = target if target is not None else old.target
        if (new.get("type") == "webhook") != (old.target["type"] == "webhook"):
            raise Permanent("A webhook stays a webhook, and nothing else becomes one: make another subscription.")
        read = self._checked(
            patterns if patterns is not None else old.patterns, wanted if wanted is not None else old.filter, new
        )
        values = {
            "org": org_id,
            "id": subscription_id,
            "name": name,
            "patterns": list(patterns) if patterns is not None else None,
            "filter": Jsonb(dict(wanted)) if wanted is not None else None,
            "target": Jsonb(show_target(read)),
        }
        return _found(await _named(tx, _UPDATE, values, name), subscription_id)

    async def pause(self, tx: Transaction, org_id: str, subscription_id: int, reason: str | None) -> Subscription:
        """Its position stands still; events wait in the log, as long as the log keeps them."""
        row = await tx.fetch_one(_STATE, {"org": org_id, "id": subscription_id, "state": "paused", "reason": reason})
        return _found(row, subscription_id)

    async def resume(self, tx: Transaction, org_id: str, subscription_id: int) -> Subscription:
        """Also after Sync has disabled it. What waits or is parked is tried at once."""
        subscription = await self.show(org_id, subscription_id, tx)
        # Lanes before the subscription, as those who send lock them.
        await retrying.unpark(tx, reader_name(subscription_id), subscription.reader_id)
        await lanes.wake(tx, subscription.reader_id)
        row = await tx.fetch_one(_STATE, {"org": org_id, "id": subscription_id, "state": "active", "reason": None})
        await resolve_alert(tx, org_id, disabled_key(subscription_id))
        tx.hint(readers.CHANGED)
        return _found(row, subscription_id)

    async def delete(self, tx: Transaction, org_id: str, subscription_id: int) -> None:
        """With everything that waits for it. Errors: ApiError 404."""
        subscription = await self.show(org_id, subscription_id, tx)
        await tx.execute("DELETE FROM subscription WHERE id = %s", (subscription.id,))
        await tx.execute("DELETE FROM event_reader WHERE id = %s", (subscription.reader_id,))
        for key in (disabled_key(subscription.id), retrying.alert_key(reader_name(subscription.id))):
            await resolve_alert(tx, org_id, key)

    async def replay(
        self,
        tx: Transaction,
        org_id: str,
        subscription_id: int,
        *,
        since: datetime | None = None,
        after_id: int | None = None,
    ) -> Position:
        """Deliver again from a time or after an event, in order; what waits and lies in that range waits no longer.

        Events older than the log keeps are gone. Errors: ApiError 404; Permanent without exactly one of both.
        """
        subscription = await self.show(org_id, subscription_id, tx)
        return await readers.replay(tx, subscription.reader_id, since=since, after_id=after_id)

    async def rotate(self, tx: Transaction, org_id: str, subscription_id: int) -> str:
        """A new signing key; the old one signs as well until `drop_previous`. Errors: ApiError 404, 409."""
        subscription = await self.show(org_id, subscription_id, tx)
        if subscription.target["type"] != "webhook":
            raise ApiError(409, "Nothing to sign", "Only webhooks have a signing key.")
        return await self._new_secret(tx, subscription, keep_previous=True)

    async def drop_previous(self, tx: Transaction, org_id: str, subscription_id: int) -> None:
        """End a rotation. Errors: ApiError 404."""
        subscription = await self.show(org_id, subscription_id, tx)
        await tx.execute("UPDATE subscription SET previous_secret = NULL WHERE id = %s", (subscription.id,))

    async def sealed_keys(self, subscription: Subscription) -> tuple[bytes, ...]:
        """What webhooks are signed with, newest first, sealed."""
        row = await self._database.fetch_one(
            "SELECT secret, previous_secret FROM subscription WHERE id = %s", (subscription.id,)
        )
        return tuple(bytes(value) for value in (row or {}).values() if value is not None)

    async def backlog(
        self, subscription: Subscription, *, state: str | None = None, after: str | None = None, limit: int = 50
    ) -> Sequence[dict[str, Any]]:
        """Its lanes by subject, each with how many events wait there."""
        return await self._database.fetch_all(
            _BACKLOG, {"reader": subscription.reader_id, "state": state, "after": after, "limit": limit}
        )

    async def _new_secret(self, tx: Transaction, subscription: Subscription, *, keep_previous: bool) -> str:
        secret = new_signing_key()
        sealed = self._sealer.seal(secret.encode(), secret_context(subscription.org_id, subscription.id))
        await tx.execute(
            "UPDATE subscription SET previous_secret = CASE WHEN %s THEN secret END, secret = %s WHERE id = %s",
            (keep_previous, sealed, subscription.id),
        )
        return secret

    def _checked(self, patterns: Sequence[str], wanted: Filter, target: Mapping[str, Any]) -> Target:
        for pattern in patterns:
            check_pattern(pattern)
        check_filter(wanted)
        read = read_target(target)
        self._effects.check(read, sample())
        return read


def sample(org_id: str = "acme", type: str = "subscription.tested") -> LoggedEvent:
    """An event that never happened: for tests of a target, and of its arguments."""
    return LoggedEvent(0, org_id, type, "subscription:test", {"test": True}, 1, None, None, datetime.now(UTC))


def reader_name(subscription_id: int) -> str:
    return f"subscription:{subscription_id}"


def disabled_key(subscription_id: int) -> str:
    return f"subscription.disabled:{subscription_id}"


def secret_context(org_id: str, subscription_id: int) -> str:
    """What a signing key is sealed for; it opens nowhere else."""
    return f"subscription/{org_id}/{subscription_id}"


def _context_of(row: Mapping[str, Any]) -> str:
    return secret_context(row["org_id"], row["id"])


SEALED = (
    SealedColumn("subscription", "secret", ("id", "org_id"), _context_of),
    SealedColumn("subscription", "previous_secret", ("id", "org_id"), _context_of),
)


async def _named(tx: Transaction, query: str, values: dict[str, Any], name: str | None) -> dict[str, Any] | None:
    """Run a statement that gives a name. Errors: ApiError 409 when it is in use."""
    try:
        with translated():
            return await tx.fetch_one(query, values)
    except Conflict as error:
        raise ApiError(409, "Name in use", f"There is a subscription named {name!r} already.") from error


def _found(row: dict[str, Any] | None, subscription_id: int) -> Subscription:
    if row is None:
        raise ApiError(404, "No such subscription", f"There is no subscription {subscription_id}.")
    return Subscription(**row)
