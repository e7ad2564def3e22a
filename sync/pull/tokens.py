"""Credentials of an account while it is used: one renewal at a time in the whole cluster, stored before it is used.

read ──► still the refused ones? ──no──► use what is stored
             │ yes
         take the lease (a row with a time-out longer than any call) ──taken by another──► wait for what it stores
             │
         read again ──► ask the vendor ──► store the new pair ──► use it
                             │ refused for good
                         read again: somebody else stored a pair? use it; else the account is dead
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from connectors.base import Credentials, Exchange
from sync.base.errors import IntegrationRevoked, Transient
from sync.base.sealing import Sealer
from sync.store.engine import Database

LEASE_S = 90.0
"""Longer than a call to a token endpoint may take (connect 10 s, silence 30 s), with room."""
WAIT_S = 30.0
_READ = "SELECT credentials, credentials_version, renewals FROM integration WHERE id = %s"
_TAKE = """
INSERT INTO token_lease AS l (integration_id, holder, expires_at)
VALUES (%(id)s, %(holder)s, clock_timestamp() + make_interval(secs => %(ttl)s))
ON CONFLICT (integration_id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE l.expires_at <= clock_timestamp()
RETURNING true"""
_RELEASE = "DELETE FROM token_lease WHERE integration_id = %s AND holder = %s"
# A reconnect meanwhile (credentials_version) or another renewal (renewals) wins.
_STORE = """
UPDATE integration SET credentials = %(sealed)s, renewals = renewals + 1, updated_at = now()
WHERE id = %(id)s AND credentials_version = %(version)s AND renewals = %(renewals)s"""


@dataclass(frozen=True, slots=True)
class _Stored:
    credentials: Credentials
    version: int
    renewals: int


class AccountTokens:
    """`connectors.base.Tokens` for one integration. `context` is what its credentials are sealed for."""

    def __init__(self, database: Database, sealer: Sealer, integration_id: int, context: str) -> None:
        self._database = database
        self._sealer = sealer
        self._id = integration_id
        self._context = context

    async def current(self) -> Credentials:
        return (await self._read()).credentials

    async def renew(self, used: Credentials, exchange: Exchange) -> Credentials:
        holder = f"{os.getpid()}-{uuid.uuid4().hex}"
        waited = 0.0
        while True:
            stored = await self._read()
            if _differ(stored.credentials, used):
                return stored.credentials
            if await self._database.fetch_value(_TAKE, {"id": self._id, "holder": holder, "ttl": LEASE_S}):
                break
            if waited >= WAIT_S:
                raise Transient(
                    "Another process has been renewing this account's token for long.", retry_after_s=WAIT_S
                )
            pause = min(0.05 + waited / 4, 1.0)
            await asyncio.sleep(pause)
            waited += pause
        try:
            return await self._renew_alone(used, exchange)
        finally:
            await self._database.execute(_RELEASE, (self._id, holder))

    async def _renew_alone(self, used: Credentials, exchange: Exchange) -> Credentials:
        stored = await self._read()
        if _differ(stored.credentials, used):
            return stored.credentials
        try:
            fresh = await exchange(stored.credentials)
        except IntegrationRevoked:
            latest = (await self._read()).credentials
            if _differ(latest, stored.credentials):
                return latest
            raise
        return await self._store(stored, fresh)

    async def _store(self, stored: _Stored, fresh: Mapping[str, str]) -> Credentials:
        # An expiry belongs to its token; everything else that the vendor did not say again stays.
        kept = {name: value for name, value in stored.credentials.items() if name != "expires_at"}
        merged = Credentials({**kept, **{name: value for name, value in fresh.items() if value}})
        sealed = self._sealer.seal(msgspec.json.encode(dict(merged)), self._context)
        values = {"id": self._id, "sealed": sealed, "version": stored.version, "renewals": stored.renewals}
        if await self._database.execute(_STORE, values) == 1:
            return merged
        return (await self._read()).credentials

    async def _read(self) -> _Stored:
        row = await self._database.fetch_one(_READ, (self._id,))
        if row is None or row["credentials"] is None:
            raise IntegrationRevoked("The account was deleted.", code="deleted")
        plain = self._sealer.open(row["credentials"], self._context)
        credentials = Credentials(msgspec.json.decode(plain, type=dict[str, str]))
        return _Stored(credentials, row["credentials_version"], row["renewals"])


def _differ(one: Credentials, other: Credentials) -> bool:
    names = ("access_token", "refresh_token", "expires_at")
    return any(one.get(name) != other.get(name) for name in names)
