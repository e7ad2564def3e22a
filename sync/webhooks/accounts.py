"""Who holds a vendor's account.

Decided by what the vendor told with the account's own credentials (`Identity`), never by the name that somebody typed
when connecting: otherwise a tenant could name another one's account and be sent its messages.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from sync.store.engine import Database, Transaction
from sync.webhooks.model import Holder, holder_of

_HOLDERS = """
SELECT id, org_id, platform, account, state, credentials_version, facts FROM integration
WHERE platform = %(platform)s AND facts ->> 'account' = ANY (%(names)s::text[])
UNION
SELECT id, org_id, platform, account, state, credentials_version, facts FROM integration
WHERE platform = %(platform)s AND facts -> 'places' ?| %(names)s::text[]
ORDER BY id"""
_KEEP_S = 60.0
_KEEP = 10_000


async def find_holders(tx: Transaction, platform: str, names: Sequence[str]) -> list[Holder]:
    """The integrations of all orgs that these ids of the vendor concern, deleted ones included."""
    if not names:
        return []
    rows = await tx.fetch_all(_HOLDERS, {"platform": platform, "names": list(names)})
    return [holder_of(row) for row in rows]


class NamedAccounts:
    """Accounts of integrations that addresses name, remembered for a minute: calls that prove nothing ask, too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[tuple[str, int], tuple[float, tuple[str, Mapping[str, Any]] | None]] = OrderedDict()

    async def find(self, platform: str, integration_id: int) -> tuple[str, Mapping[str, Any]] | None:
        """The vendor's id of the account, and its facts. Errors: Transient."""
        key, now = (platform, integration_id), time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        row = await self._database.fetch_one(
            "SELECT account, facts FROM integration WHERE id = %s AND platform = %s AND state <> 'deleted'",
            (integration_id, platform),
        )
        found = None if row is None else (str(row["facts"].get("account") or row["account"]), row["facts"])
        self._kept[key] = (now + _KEEP_S, found)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEEP:
            self._kept.popitem(last=False)
        return found
