"""Accounts as connectors get them: credentials opened, and what the runtime does for a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from psycopg.types.json import Jsonb

from connectors.base import Account, Credentials
from sync.base.sealing import Sealer
from sync.base.settings import Settings
from sync.pull.budgets import shared_budgets
from sync.pull.integrations import credentials_context, open_credentials
from sync.pull.model import StoredAccount
from sync.pull.platforms import installation
from sync.pull.tokens import AccountTokens
from sync.store.engine import Database

_BATCH = 100
_LONG_BATCH = 1000
_RECENT = """
SELECT id, vendor_id, occurred_at FROM activity
WHERE integration_id = %(id)s AND kind = ANY(%(kinds)s) AND occurred_at >= %(since)s AND deleted_at IS NULL
  AND (%(before)s::timestamptz IS NULL OR (occurred_at, id) < (%(before)s, %(last)s))
ORDER BY occurred_at DESC, id DESC LIMIT %(limit)s"""
_LIVING = """
SELECT vendor_id FROM activity
WHERE integration_id = %(id)s AND kind = %(kind)s AND vendor_id > %(after)s AND starts_with(vendor_id, %(prefix)s)
  AND deleted_at IS NULL AND coalesce(data, '{}') @> %(data)s
ORDER BY vendor_id LIMIT %(limit)s"""


class Accounts:
    """Opens accounts for the sessions of one process."""

    def __init__(self, database: Database, sealer: Sealer, settings: Settings) -> None:
        self._database = database
        self._sealer = sealer
        self._settings = settings
        self._budgets = shared_budgets(database, settings.redis)

    async def close(self) -> None:
        """Let go of connections of its own; they come back when needed."""
        await self._budgets.close()

    def open(self, run: StoredAccount) -> Account:
        """A connected account. Errors: ConfigurationError without credentials, Permanent if altered."""
        context = credentials_context(run.org_id, run.platform, run.account)
        return Account(
            run.org_id,
            run.account,
            run.config,
            open_credentials(self._sealer, run),
            installation=installation(self._settings, run.platform),
            tokens=AccountTokens(self._database, self._sealer, run.integration_id, context),
            budgets=self._budgets,
            known=StoredRecords(self._database, run.integration_id),
            facts=run.facts,
            remember=partial(self._remember, run.integration_id),
        )

    def unsaved(
        self, org_id: str, platform: str, account: str, config: Mapping[str, Any], credentials: Credentials
    ) -> Account:
        """An account that is not connected yet, to try its credentials."""
        found = installation(self._settings, platform)
        return Account(org_id, account, config, credentials, installation=found, budgets=self._budgets)

    async def _remember(self, integration_id: int, facts: Mapping[str, Any]) -> None:
        await self._database.execute(
            "UPDATE integration SET facts = %s WHERE id = %s", (Jsonb(dict(facts)), integration_id)
        )


class StoredRecords:
    """`connectors.base.Known`: what the activity store holds."""

    def __init__(self, database: Database, integration_id: int) -> None:
        self._database = database
        self._id = integration_id

    async def recent(self, kinds: Sequence[str], since: datetime) -> AsyncIterator[list[str]]:
        place: dict[str, Any] = {"before": None, "last": None}
        while True:
            rows = await self._database.fetch_all(
                _RECENT, {"id": self._id, "kinds": list(kinds), "since": since, "limit": _BATCH, **place}
            )
            if rows:
                yield [row["vendor_id"] for row in rows]
            if len(rows) < _BATCH:
                return
            place = {"before": rows[-1]["occurred_at"], "last": rows[-1]["id"]}

    async def living(self, kind: str, prefix: str, data: Mapping[str, str]) -> AsyncIterator[list[str]]:
        wanted = {"id": self._id, "kind": kind, "prefix": prefix, "data": Jsonb(dict(data)), "limit": _LONG_BATCH}
        after = prefix[:-1]
        while True:
            rows = await self._database.fetch_all(_LIVING, {**wanted, "after": after})
            if rows:
                yield [row["vendor_id"] for row in rows]
            if len(rows) < _LONG_BATCH:
                return
            after = rows[-1]["vendor_id"]
