"""Tells vendors where to send webhooks, once an account is connected and then once a day, where an API can do that.

A vendor forgets subscriptions whose deliveries failed or whose owner lost a right; telling it again is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.base import Connector
from connectors.http import HttpConnector
from sync.base.errors import SyncError, Transient
from sync.base.logs import get_logger
from sync.base.settings import Settings
from sync.pull.accounts import Accounts
from sync.store.engine import Database

log = get_logger(__name__)

PATH = "/social-activity/webhook"
_BATCH = 50
_DAY_S = 86_400.0
_FIRST_PAUSE_S = 60.0
_LONGEST_PAUSE_S = 3_600.0
_DUE = """
SELECT i.id AS integration_id, i.org_id, i.platform, i.account, i.config, i.credentials, i.facts,
       i.credentials_version, coalesce(r.failures, 0) AS failures
FROM integration i LEFT JOIN webhook_registration r ON r.integration_id = i.id
WHERE i.state = 'active' AND i.platform = ANY (%(platforms)s)
  AND (r.integration_id IS NULL OR r.next_at <= now() OR r.url <> %(url)s
       OR r.credentials_version <> i.credentials_version)
ORDER BY i.id LIMIT %(limit)s"""
_NOTE = """
INSERT INTO webhook_registration AS r
  (integration_id, url, credentials_version, registered_at, next_at, failures, error)
VALUES (%(id)s, %(url)s, %(version)s, CASE WHEN %(error)s::text IS NULL THEN now() END,
        now() + make_interval(secs => %(after_s)s), %(failures)s, %(error)s)
ON CONFLICT (integration_id) DO UPDATE
SET url = excluded.url, credentials_version = excluded.credentials_version, next_at = excluded.next_at,
    failures = excluded.failures, error = excluded.error,
    registered_at = coalesce(excluded.registered_at, r.registered_at)"""


@dataclass(frozen=True, slots=True)
class _Due:
    integration_id: int
    org_id: str
    platform: str
    account: str
    config: Mapping[str, Any]
    credentials: bytes | None
    facts: Mapping[str, Any]
    credentials_version: int
    failures: int


class Registrar:
    def __init__(
        self, database: Database, accounts: Accounts, settings: Settings, connectors: Mapping[str, Connector]
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._url = (settings.webhooks.public_url or "").rstrip("/")
        self._connectors = {
            name: connector
            for name, connector in connectors.items()
            if isinstance(connector, HttpConnector) and connector.webhook and connector.webhook.register
        }

    async def run(self) -> int:
        """Register what is due; how many accounts that were. One that fails holds nobody up."""
        if not self._url:
            return 0
        values = {"platforms": list(self._connectors), "url": self._url, "limit": _BATCH}
        rows = [_Due(**row) for row in await self._database.fetch_all(_DUE, values)]
        for due in rows:
            error = await self._register(due)
            failures = due.failures + 1 if error else 0
            pause_s = min(_FIRST_PAUSE_S * 2 ** min(failures, 10), _LONGEST_PAUSE_S) if error else _DAY_S
            note = {"id": due.integration_id, "url": self._url, "version": due.credentials_version, "error": error}
            await self._database.execute(_NOTE, {**note, "failures": failures, "after_s": pause_s})
        return len(rows)

    async def _register(self, due: _Due) -> str | None:
        """What went wrong; None when it is done. Dead credentials are found out, and said, by the account's syncs."""
        connector = self._connectors[due.platform]
        assert connector.webhook is not None and connector.webhook.register is not None
        from connectors.http.session import HttpSession

        try:
            async with connector.open(self._accounts.open(due)) as session:
                assert isinstance(session, HttpSession)
                await session.api.identify()
                await connector.webhook.register(session.api, f"{self._url}{PATH}/{due.platform}")
        except SyncError as error:
            level = log.info if isinstance(error, Transient) else log.warning
            level("webhooks.not_registered", integration_id=due.integration_id, platform=due.platform, error=str(error))
            return str(error)[:500]
        return None
