"""One leader among several processes: a row with an expiry that only the database's clock judges.

The leader renews its lease every third of its time-out and stops believing in it by its own monotonic clock, counted
from *before* the query, so it gives up no later than others may take over. A process that was frozen can still act for
a moment after waking up; whatever a leader does must therefore be safe to do twice (ticks are unique, duties repeat).
"""

from __future__ import annotations

import secrets

from sync.base.clock import Clock, SystemClock
from sync.store.engine import Database

# The SELECT keeps a standby from locking the row once a second: it inserts nothing while somebody else leads.
_HOLD = """
INSERT INTO leader AS l (name, epoch, holder, expires_at)
SELECT %(name)s, 1, %(holder)s, clock_timestamp() + %(ttl)s * interval '1 second'
WHERE NOT EXISTS (
  SELECT FROM leader WHERE name = %(name)s AND holder <> %(holder)s AND expires_at > clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
  epoch = l.epoch + (l.holder IS DISTINCT FROM excluded.holder OR l.expires_at <= clock_timestamp())::int,
  holder = excluded.holder,
  expires_at = clock_timestamp() + %(ttl)s * interval '1 second'
WHERE l.holder IS NULL OR l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
RETURNING epoch
"""
_RELEASE = (
    "UPDATE leader SET holder = NULL, expires_at = clock_timestamp() WHERE name = %(name)s AND holder = %(holder)s"
)


class LeaderLease:
    """Leadership under `name`. `holder` gets a random suffix: a restarted process is not its own predecessor."""

    def __init__(
        self, database: Database, name: str, holder: str, ttl_s: float = 10.0, clock: Clock | None = None
    ) -> None:
        self.name = name
        self.holder = f"{holder}/{secrets.token_hex(4)}"
        self.ttl_s = ttl_s
        self._database = database
        self._clock = clock or SystemClock()
        self._epoch: int | None = None
        self._taken_at = 0.0

    @property
    def epoch(self) -> int | None:
        """The epoch while this process may believe that it leads, else None. No query."""
        return self._epoch if self._clock.monotonic() < self._taken_at + self.ttl_s else None

    async def hold(self) -> int | None:
        """Take or keep the lead. The epoch while leading, None while somebody else does.

        Asks the database only when a third of the time-out has passed since it last said yes.
        """
        if self._epoch is not None and self._clock.monotonic() < self._taken_at + self.ttl_s / 3:
            return self._epoch
        asked_at = self._clock.monotonic()
        self._epoch = await self._database.fetch_value(
            _HOLD, {"name": self.name, "holder": self.holder, "ttl": self.ttl_s}
        )
        self._taken_at = asked_at
        return self.epoch

    async def release(self) -> None:
        """Let others take over at once. Safe to call at any time."""
        self._epoch = None
        await self._database.execute(_RELEASE, {"name": self.name, "holder": self.holder})
