"""The lease behind each sync actor: one holder at most may write for an (org, platform), whatever befell the others.

A row of `sync_lease` names the holder and an epoch that grows by one each time the lease is taken.

    free ──take──► held(epoch n) ──renew──► held(epoch n) ──release──► free
                        │
                        └─ expires_at passes ──► free for the next taker: held(epoch n + 1)

Who may change what
- take: only when there is no holder, it expired, or it is this holder again. Database clock alone.
- renew: only the holder, under its epoch, before it expired. Every third of the time-out, from a thread with its own
  connection, so that neither a busy event loop nor an exhausted pool lets a living holder lapse.
- every transaction that writes results calls `fence` first. It takes a share lock on the row, so a taker waits for
  that transaction, and one that begins afterwards finds a different epoch and is refused.

What happens on failure
- the holder dies: nothing renews; after the time-out another takes over under the next epoch.
- the holder is frozen or cut off and comes back: its next fence raises LeaseLost, nothing of it is written.
- the database is away: renewal is tried every second until `ttl - margin` after the last success by the monotonic
  clock; then the holder gives up by itself (`on_lost`), before anybody else can have taken over.
- a renewal finds another holder: `on_lost` at once.

One writer at a time per holder (the worker's commit lock) leaves gaps in which a renewal gets the row lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import psycopg

from sync.base.clock import Clock, SystemClock
from sync.base.errors import LeaseLost
from sync.base.logs import get_logger
from sync.store.engine import Database, Transaction

log = get_logger(__name__)

_RETRY_S = 1.0
_TAKE = """
INSERT INTO sync_lease AS l (org_id, platform, epoch, holder, node, pid, acquired_at, expires_at)
VALUES (%(org_id)s, %(platform)s, 1, %(holder)s, %(node)s, %(pid)s, clock_timestamp(),
        clock_timestamp() + make_interval(secs => %(ttl)s))
ON CONFLICT (org_id, platform) DO UPDATE
SET epoch = l.epoch + 1, holder = excluded.holder, node = excluded.node, pid = excluded.pid,
    acquired_at = excluded.acquired_at, expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
WHERE l.holder IS NULL OR l.expires_at <= clock_timestamp() OR l.holder = excluded.holder
RETURNING epoch"""
_MINE = "org_id = %(org_id)s AND platform = %(platform)s AND epoch = %(epoch)s AND holder = %(holder)s"
_RENEW = f"""
UPDATE sync_lease SET expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
WHERE {_MINE} AND expires_at > clock_timestamp()"""
_RELEASE = f"UPDATE sync_lease SET holder = NULL, expires_at = clock_timestamp() WHERE {_MINE}"
_FENCE = f"SELECT 1 AS held FROM sync_lease WHERE {_MINE} AND expires_at > clock_timestamp() FOR SHARE"


class SyncLease:
    """One holder's lease on one (org, platform). Take it, fence every write with it, release it; then take it again.

    `on_lost` is called once per loss, from the renewing thread: it must be quick and thread-safe.
    """

    def __init__(
        self,
        database: Database,
        org_id: str,
        platform: str,
        *,
        holder: str,
        node: str,
        ttl_s: float,
        margin_s: float | None = None,
        on_lost: Callable[[], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._margin_s = ttl_s / 6 if margin_s is None else margin_s
        self._ttl_s = ttl_s
        self._on_lost = on_lost
        self._clock = clock or SystemClock()
        self._key = {"org_id": org_id, "platform": platform, "holder": holder, "ttl": ttl_s}
        self._node = node
        self._renewer: _Renewer | None = None
        self.epoch: int | None = None
        self.lost = False

    async def take(self) -> int | None:
        """Become the holder and renew from now on; the epoch, or None while another one lives."""
        started = self._clock.monotonic()
        async with self._database.transaction() as tx:
            epoch: int | None = await tx.fetch_value(_TAKE, {**self._key, "node": self._node, "pid": os.getpid()})
        if epoch is None:
            return None
        self.epoch, self.lost = epoch, False
        self._renewer = _Renewer(self, started)
        self._renewer.start()
        return epoch

    async def fence(self, tx: Transaction) -> None:
        """First statement of every transaction that writes under this lease. Errors: LeaseLost."""
        if self.epoch is None or self.lost or await tx.fetch_one(_FENCE, self._params()) is None:
            raise LeaseLost(f"The lease on {self._key['org_id']}/{self._key['platform']} is not ours any more.")

    async def release(self) -> None:
        """Let the next taker in at once. Harmless if the lease is lost already. Errors: Transient; then it expires."""
        if self._renewer is not None:
            self._renewer.stop()
            self._renewer = None
        if self.epoch is not None and not self.lost:
            await self._database.execute(_RELEASE, self._params())
        self.epoch = None

    @property
    def overdue(self) -> bool:
        """Whether no renewal has succeeded for so long that another may be about to take over.

        The renewing thread says so by itself; this is for the case that it hangs in a dead connection.
        """
        return self._renewer is not None and self._clock.monotonic() >= self._renewer.sure_until

    def _params(self) -> dict[str, object]:
        return {**self._key, "epoch": self.epoch}

    def _lose(self) -> None:
        self.lost = True
        log.warning("lease.lost", org_id=self._key["org_id"], platform=self._key["platform"], epoch=self.epoch)
        if self._on_lost is not None:
            self._on_lost()


class _Renewer(threading.Thread):
    """Keeps one taken lease alive until it is stopped or lost."""

    def __init__(self, lease: SyncLease, taken_at: float) -> None:
        super().__init__(name="lease-renewer", daemon=True)
        self._lease = lease
        self._params = lease._params()
        self.sure_until = taken_at + lease._ttl_s - lease._margin_s
        self._stopped = threading.Event()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def stop(self) -> None:
        """Return without waiting: a renewal under way can only prolong what release() ends in the same row."""
        self._stopped.set()

    def run(self) -> None:
        pause = self._lease._ttl_s / 3
        try:
            while not self._stopped.wait(pause):
                held = self._renew()
                if self._stopped.is_set():
                    return
                if held is False or self._lease._clock.monotonic() >= self.sure_until:
                    self._lease._lose()
                    return
                pause = self._lease._ttl_s / 3 if held else min(_RETRY_S, self._lease._ttl_s / 6)
        finally:
            self._disconnect()

    def _renew(self) -> bool | None:
        """Whether the lease is still ours; None if the database did not say."""
        # Counted from before the statement: the row cannot expire earlier than this clock says.
        asked_at = self._lease._clock.monotonic()
        try:
            if self._connection is None:
                self._connection = self._connect()
            held = self._connection.execute(_RENEW, self._params).rowcount == 1
        except psycopg.Error as error:
            log.warning("lease.renewal_failed", error=str(error))
            self._disconnect()
            return None
        if held:
            self.sure_until = asked_at + self._lease._ttl_s - self._lease._margin_s
        return held

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        third_ms = max(int(self._lease._ttl_s * 1000 / 3), 1)
        return psycopg.connect(
            self._lease._database.url,
            autocommit=True,
            application_name=self.name,
            connect_timeout=max(2, int(self._lease._ttl_s / 3)),
            tcp_user_timeout=third_ms,
            options=f"-c statement_timeout={third_ms} -c lock_timeout={third_ms}",
            prepare_threshold=None,
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
