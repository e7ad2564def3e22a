"""Connected accounts: connect, reconnect, pause, resume, delete, and how one expires.

    active ──pause──► paused ──resume──► active
      │ └── credentials refused ──► expired ──reconnect──► active      (id, history and cursors stay)
      └──────────────── delete ───► deleted ──connect────► active

Only active accounts have due times. Credentials are sealed for their (org, platform, account) and leave this module
only opened for a session. No method makes a network call: use `connectors` to check credentials first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from connectors.base import Connector, Credentials, Given, check_fields, find_sync_type
from connectors.registry import PLATFORMS, find_connector
from schedules.platforms import SLOWEST, cadence, fastest
from sync.alerts import raise_alert, resolve_alert
from sync.base.errors import ApiError, ConfigurationError
from sync.base.ids import check_org_id, check_platform
from sync.base.sealing import Sealer
from sync.events import Event, append_events
from sync.pull.model import Integration, IntegrationState, StoredAccount, Stream
from sync.store.engine import Database, Transaction
from sync.store.resealing import SealedColumn

_FIELDS = """id, org_id, platform, account, label, state, reason_code, reason, state_changed_at, config, created_at,
       updated_at"""
_UPSERT = """
INSERT INTO integration AS i (org_id, platform, account, label, config, credentials)
VALUES (%(org_id)s, %(platform)s, %(account)s, %(label)s, %(config)s, %(credentials)s)
ON CONFLICT (org_id, platform, account) DO UPDATE
SET label = coalesce(excluded.label, i.label), config = excluded.config, credentials = excluded.credentials,
    credentials_version = i.credentials_version + 1, facts = '{}', state = 'active', reason_code = NULL, reason = NULL,
    state_changed_at = now(), updated_at = now()
RETURNING id, (xmax = 0) AS created"""
_STREAM = """
INSERT INTO sync_stream (integration_id, sync_type, every, next_due_at) VALUES (%s, %s, %s, now())
ON CONFLICT (integration_id, sync_type) DO UPDATE
SET next_due_at = now(), blocked_reason = NULL,
    every = CASE WHEN sync_stream.own_cadence THEN sync_stream.every ELSE excluded.every END"""
_CADENCE = """
UPDATE sync_stream SET every = %(every)s, own_cadence = %(own)s,
       next_due_at = CASE WHEN next_due_at IS NOT NULL THEN sync_next_due(integration_id, sync_type, %(every)s) END
WHERE integration_id = %(id)s AND sync_type = %(sync_type)s"""
_DUE_NOW = "UPDATE sync_stream SET next_due_at = now(), blocked_reason = NULL WHERE integration_id = %s"
_NOT_DUE = "UPDATE sync_stream SET next_due_at = NULL WHERE integration_id = %s"
_STATE = """
UPDATE integration SET state = %(state)s, reason_code = %(code)s, reason = %(reason)s, state_changed_at = now(),
       updated_at = now(), credentials = CASE WHEN %(state)s = 'deleted' THEN NULL ELSE credentials END
WHERE id = %(id)s AND org_id = %(org_id)s AND state = ANY(%(was)s)"""
_EXPIRE = """
UPDATE integration SET state = 'expired', reason_code = %(code)s, reason = %(reason)s, state_changed_at = now(),
       updated_at = now()
WHERE id = %(id)s AND state = 'active' AND credentials_version = %(version)s
RETURNING org_id, platform, account"""
_EXPIRED_ALREADY = """
SELECT true FROM integration WHERE id = %(id)s AND state = 'expired' AND credentials_version = %(version)s"""
_STOP_RUNS = """
UPDATE sync_run
SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE state WHEN 'queued' THEN now() ELSE finished_at END, cancel_requested = true,
    error_class = %(code)s, error_text = %(text)s
WHERE integration_id = %(id)s AND state = ANY(%(states)s)"""


@dataclass(frozen=True, slots=True)
class _Change:
    of: list[IntegrationState]
    to: IntegrationState
    done: str


_PAUSE = _Change(["active"], "paused", "paused")
_RESUME = _Change(["paused"], "active", "resumed")
_DELETE = _Change(["active", "paused", "expired"], "deleted", "deleted")


class Integrations:
    def __init__(self, database: Database, sealer: Sealer, registry: Mapping[str, Connector] = PLATFORMS) -> None:
        self._database = database
        self._sealer = sealer
        self._registry = registry

    def check(
        self, platform: str, config: Mapping[str, Any], credentials: Mapping[str, Any], *, operator: bool = False
    ) -> Given:
        """Check what somebody filled in, without a network. Errors: ConfigurationError with every problem."""
        return check_fields(find_connector(platform, self._registry), config, credentials, operator=operator)

    async def connect(
        self,
        org_id: str,
        platform: str,
        account: str,
        config: Mapping[str, Any],
        credentials: Mapping[str, Any],
        *,
        by: str,
        label: str | None = None,
        operator: bool = False,
    ) -> Integration:
        """Connect an account; its sync types are due at once. The same account again is a reconnect.

        `operator` unlocks fields that a tenant must not set. Errors: ConfigurationError.
        """
        check_org_id(org_id)
        connector = find_connector(check_platform(platform), self._registry)
        if not account or len(account) > 320 or not account.isprintable():
            raise ConfigurationError("The account needs a name of 1 to 320 printable characters.")
        given = check_fields(connector, config, credentials, operator=operator)
        if not given.credentials and any(item.secret for item in connector.fields):
            secrets = " or ".join(item.name for item in connector.fields if item.secret)
            raise ConfigurationError(f"{connector.title} needs {secrets}.")
        async with self._database.transaction() as tx:
            row = await tx.fetch_one(
                _UPSERT,
                {
                    "org_id": org_id,
                    "platform": platform,
                    "account": account,
                    "label": label,
                    "config": Jsonb(given.config),
                    "credentials": self._seal(org_id, platform, account, given.credentials),
                },
            )
            assert row is not None
            for sync_type in connector.sync_types:
                every = cadence(platform, sync_type.name, sync_type.every)
                await tx.execute(_STREAM, (row["id"], sync_type.name, every))
            await resolve_alert(tx, org_id, expired_key(row["id"]))
            action = "connected" if row["created"] else "reconnected"
            await _note(tx, org_id, row["id"], action, by, platform=platform, account=account)
        return await self.show(org_id, row["id"])

    async def reconnect(
        self,
        org_id: str,
        integration_id: int,
        credentials: Mapping[str, Any],
        *,
        by: str,
        config: Mapping[str, Any] | None = None,
        operator: bool = False,
    ) -> Integration:
        """New credentials (and changed config) for an account; it resumes from its cursors."""
        old = await self.show(org_id, integration_id)
        return await self.connect(
            org_id,
            old.platform,
            old.account,
            {**old.config, **(config or {})},
            credentials,
            by=by,
            # What the operator once allowed for this account stays allowed, but only for the server it was allowed for.
            operator=operator or not config,
        )

    async def pause(self, org_id: str, integration_id: int, *, by: str, reason: str | None = None) -> Integration:
        await self._change(org_id, integration_id, _PAUSE, by, reason)
        return await self.show(org_id, integration_id)

    async def resume(self, org_id: str, integration_id: int, *, by: str) -> Integration:
        await self._change(org_id, integration_id, _RESUME, by)
        return await self.show(org_id, integration_id)

    async def delete(self, org_id: str, integration_id: int, *, by: str) -> None:
        """Forget the credentials and stop; what was pulled stays."""
        await self._change(org_id, integration_id, _DELETE, by)

    async def set_cadence(
        self, org_id: str, integration_id: int, sync_type: str, every: timedelta | None, *, by: str
    ) -> Integration:
        """Pull a sync type of this account at a cadence of its own; None: as usual again.

        Errors: ConfigurationError outside of what the platform allows, ApiError 404 and 409.
        """
        found = await self.show(org_id, integration_id)
        if found.state == "deleted":
            raise ApiError(409, "Not possible now", f"Integration {integration_id} is deleted.")
        if all(stream.sync_type != sync_type for stream in found.streams):
            known = ", ".join(stream.sync_type for stream in found.streams)
            text = f"Integration {integration_id} has no sync type {sync_type!r}; it has: {known}."
            raise ApiError(404, "No such sync type", text)
        connector = find_connector(found.platform, self._registry)
        declared = find_sync_type(connector, sync_type).every
        if every is not None:
            _check_cadence(connector, sync_type, every, fastest(found.platform, sync_type, declared))
        key = {"id": integration_id, "sync_type": sync_type, "own": every is not None}
        async with self._database.transaction() as tx:
            await tx.execute(_CADENCE, {**key, "every": every or cadence(found.platform, sync_type, declared)})
            seconds = None if every is None else every.total_seconds()
            await _note(tx, org_id, integration_id, "cadence_set", by, sync_type=sync_type, every_seconds=seconds)
        return await self.show(org_id, integration_id)

    async def list(
        self, org_id: str, *, platform: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Integration]:
        """By id, deleted ones left out; `after` is the last id of the page before."""
        rows = await self._database.fetch_all(
            f"""SELECT {_FIELDS} FROM integration
                WHERE org_id = %s AND id > %s AND state <> 'deleted' AND (%s::text IS NULL OR platform = %s)
                ORDER BY id LIMIT %s""",
            (org_id, after, platform, platform, limit),
        )
        return await self._with_streams([Integration(**row) for row in rows])

    async def show(self, org_id: str, integration_id: int) -> Integration:
        """Errors: ApiError 404."""
        row = await self._database.fetch_one(
            f"SELECT {_FIELDS} FROM integration WHERE org_id = %s AND id = %s", (org_id, integration_id)
        )
        if row is None:
            raise ApiError(404, "No such integration", f"There is no integration {integration_id}.")
        return (await self._with_streams([Integration(**row)]))[0]

    def _seal(self, org_id: str, platform: str, account: str, credentials: Credentials) -> bytes:
        return self._sealer.seal(msgspec.json.encode(dict(credentials)), credentials_context(org_id, platform, account))

    async def _change(
        self, org_id: str, integration_id: int, change: _Change, by: str, reason: str | None = None
    ) -> None:
        key = {"id": integration_id, "org_id": org_id}
        code = None if change.to == "active" else change.to
        async with self._database.transaction() as tx:
            if not await tx.execute(
                _STATE, {**key, "state": change.to, "was": change.of, "code": code, "reason": reason}
            ):
                state = await tx.fetch_value(
                    "SELECT state FROM integration WHERE org_id = %(org_id)s AND id = %(id)s", key
                )
                if state is None:
                    raise ApiError(404, "No such integration", f"There is no integration {integration_id}.")
                raise ApiError(409, "Not possible now", f"Integration {integration_id} is {state}.")
            await tx.execute(_DUE_NOW if change.to == "active" else _NOT_DUE, (integration_id,))
            if change.to != "active":
                text = f"The account was {change.done}."
                await _stop_runs(tx, integration_id, change.done, text, ["queued", "running"])
            if change.to == "deleted":
                await resolve_alert(tx, org_id, expired_key(integration_id))
            await _note(tx, org_id, integration_id, change.done, by)

    async def _with_streams(self, integrations: Sequence[Integration]) -> Sequence[Integration]:
        rows = await self._database.fetch_all(
            """SELECT integration_id, sync_type, every, own_cadence, next_due_at, blocked_reason, failures, last_error,
                      last_success_at
               FROM sync_stream WHERE integration_id = ANY(%s) ORDER BY sync_type""",
            ([item.id for item in integrations],),
        )
        streams: dict[int, list[Stream]] = {}
        for row in rows:
            streams.setdefault(row.pop("integration_id"), []).append(Stream(**row))
        return [replace(item, streams=tuple(streams.get(item.id, ()))) for item in integrations]


def _check_cadence(connector: Connector, sync_type: str, every: timedelta, least: timedelta) -> None:
    """Errors: ConfigurationError."""
    if not least <= every <= SLOWEST:
        raise ConfigurationError(
            f"{sync_type} of {connector.title} can be pulled every {least.total_seconds():g} seconds at most, "
            f"and every {SLOWEST.days} days at least."
        )


def open_credentials(sealer: Sealer, run: StoredAccount) -> Credentials:
    """The credentials of an account. Errors: ConfigurationError without any, Permanent if they were altered."""
    if run.credentials is None:
        raise ConfigurationError("This account has no credentials: reconnect it.")
    plain = sealer.open(run.credentials, credentials_context(run.org_id, run.platform, run.account))
    return Credentials(msgspec.json.decode(plain, type=dict[str, str]))


async def expire(tx: Transaction, integration_id: int, code: str, reason: str, *, version: int) -> bool:
    """Stop an account whose credentials (of this version) are refused: one event, one alert, nothing scheduled.

    Doing it again changes nothing. False if the account has other credentials by now, or is not in use.
    """
    row = await tx.fetch_one(_EXPIRE, {"id": integration_id, "code": code, "reason": reason, "version": version})
    if row is None:
        return bool(await tx.fetch_value(_EXPIRED_ALREADY, {"id": integration_id, "version": version}))
    await tx.execute(_NOT_DUE, (integration_id,))
    await _stop_runs(tx, integration_id, code, reason, ["queued"])
    payload = {"integration_id": integration_id, "platform": row["platform"], "account": row["account"]}
    event = Event(
        row["org_id"],
        "integration.expired",
        f"integration:{integration_id}",
        {**payload, "code": code, "reason": reason},
    )
    await append_events(tx, [event])
    title = f"{row['account']} ({row['platform']}) has to be reconnected"
    await raise_alert(tx, row["org_id"], expired_key(integration_id), title, detail=reason)
    return True


def expired_key(integration_id: int) -> str:
    return f"integration.expired:{integration_id}"


def credentials_context(org_id: str, platform: str, account: str) -> str:
    """What credentials are sealed for; they open nowhere else."""
    return f"integration/{org_id}/{platform}/{account}"


def _context_of(row: Mapping[str, Any]) -> str:
    return credentials_context(row["org_id"], row["platform"], row["account"])


SEALED = (SealedColumn("integration", "credentials", ("org_id", "platform", "account"), _context_of),)


async def _stop_runs(tx: Transaction, integration_id: int, code: str, text: str, states: list[str]) -> None:
    await tx.execute(_STOP_RUNS, {"id": integration_id, "code": code, "text": text, "states": states})


async def _note(tx: Transaction, org_id: str, integration_id: int, action: str, by: str, **detail: Any) -> None:
    """The event and the audit line of something that somebody did to an account."""
    who = await tx.fetch_one("SELECT platform, account FROM integration WHERE id = %s", (integration_id,)) or {}
    payload = {"integration_id": integration_id, **who, **detail}
    await append_events(tx, [Event(org_id, f"integration.{action}", f"integration:{integration_id}", payload)])
    await tx.execute(
        "INSERT INTO audit (org_id, actor, action, target, detail) VALUES (%s, %s, %s, %s, %s)",
        (org_id, by, f"integration.{action}", str(integration_id), Jsonb(detail)),
    )
