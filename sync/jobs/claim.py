"""Taking jobs: which lanes have work, whose turn it is, and the statement that claims."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import psycopg

from sync.base.logs import get_logger
from sync.jobs.lanes import FairRing, LaneRequest
from sync.jobs.model import Job, unpack
from sync.store.dedicated import DedicatedConnection
from sync.store.engine import Connection, Database, as_literal, translate
from sync.store.sql import load_sql

log = get_logger(__name__)

_PROMOTE_LIMIT = 5000
_REFRESH_S = 5.0
"""How often limits and weights are read again."""
_SCAN_SHARE = 50
"""A full scan may take one part in this many of the time, and at least every `_MAX_SCAN_GAP_S`."""
_MAX_SCAN_GAP_S = 60.0
_RECOVER_S = 5.0
"""How often leases are looked for that this worker should know and does not."""
_FULL_RETRY_S = 0.2
"""A queue at its limit is asked again this much later, or when one of its jobs ends here."""


_LEASE_BITS = 32
"""A lease id is the worker's id and a counter: the worker's row was committed in full, so such an id never comes back.
Ids from a sequence would, when a crash of the server takes claims with it (they commit with synchronous_commit=off),
and a worker that still remembers the old lease would finish the new one."""


@dataclass(slots=True, eq=False)
class Lease:
    """One claimed batch in the hands of this process."""

    id: int
    queue_id: int
    unfinished: int


@dataclass(slots=True)
class ServedQueue:
    """One queue of the pool: its limits and its fair ring."""

    id: int
    name: str
    concurrency: int | None = None
    org_concurrency: int | None = None
    ring: FairRing = field(default_factory=FairRing)
    full_until: float = 0.0
    """Monotonic; at its concurrency limit until then."""

    @property
    def limited(self) -> bool:
        return self.concurrency is not None or self.org_concurrency is not None


class Claimer:
    """Claims for one pool member, on a connection of its own. Errors of every method: Transient and StoreError."""

    def __init__(self, database: Database, pool: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.queues: dict[int, ServedQueue] = {}
        self.worker_id = 0
        self.held: set[int] = set()
        """Leases whose end is not written yet."""
        self._pool = pool
        self._db = DedicatedConnection(database)
        self._monotonic = monotonic
        self._next_refresh = 0.0
        self._next_scan = 0.0
        self._turn = 0
        self._leases_made = 0
        self._connection_seen = 0
        self._next_recovery = 0.0

    async def close(self) -> None:
        await self._db.drop()

    def hint(self, items: list[str]) -> bool:
        """Take a wake-up: `queue_id/lane/org` each. False: it named nothing, look at everything."""
        if not items:
            self._next_scan = 0.0
            return False
        for item in items:
            queue_id, lane, org_id = item.split("/", 2)
            queue = self.queues.get(int(queue_id))
            if queue is not None:
                queue.ring.activate(org_id, int(lane))
        return True

    async def poll(self) -> float | None:
        """Move due scheduled jobs, find lanes with work. Returns seconds until the next scheduled job, if any."""
        if self._monotonic() >= self._next_refresh:
            await self._refresh()
        ids = list(self.queues)
        if not ids:
            return None
        for row in await self._db.fetch_all(load_sql("promote"), {"queues": ids, "limit": _PROMOTE_LIMIT}):
            self.queues[row["queue_id"]].ring.activate(row["org_id"], row["lane"])
        if self._monotonic() >= self._next_scan:
            await self._scan(ids)
        else:
            await self._scan_known()
        due = await self._db.fetch_one(load_sql("next_due"), {"queues": ids})
        return None if due is None else float(due["seconds"])

    @property
    def has_work(self) -> bool:
        return any(self._askable(queue) for queue in self.queues.values())

    def begin(self, worker_id: int) -> None:
        """Claim as this worker from now on; leases of an earlier one are not ours any more."""
        self.worker_id = worker_id
        self.held.clear()

    @property
    def must_recover(self) -> bool:
        return self._reconnected or self._monotonic() >= self._next_recovery

    @property
    def _reconnected(self) -> bool:
        """Whether the connection is a new one: a claim or a finish may have got lost with the one before."""
        return self._db.opened != self._connection_seen

    async def recover(self) -> list[tuple[Lease, list[Job]]]:
        """Leases of this worker that it does not know of, without the jobs in them that have ended.

        They come from a claim whose answer was lost, or from a finish that the server forgot in a crash. Nobody else
        would look for them while this worker beats. To be called after a reconnection and now and then: a claim whose
        connection broke may commit a little later.
        """
        await self._db.get()
        reconnected, seen = self._reconnected, self._db.opened
        held = list(self.held)  # before the look: what ends meanwhile is no find
        rows = await self._db.fetch_all(
            "SELECT id, queue_id, finished, jobs FROM job_lease"
            " WHERE worker_id = %(worker)s AND NOT id = ANY (%(held)s::bigint[]) ORDER BY id",
            {"worker": self.worker_id, "held": held},
        )
        found = []
        for row in rows:
            ended = set(row["finished"])
            jobs = [job for job in unpack(row["jobs"]) if job.id not in ended]
            found.append((Lease(row["id"], row["queue_id"], len(jobs)), jobs))
            self.held.add(row["id"])
        if reconnected or found:
            self._next_scan = 0.0  # rows whose claim was lost stand below the marks
        self._connection_seen = seen
        self._next_recovery = self._monotonic() + _RECOVER_S
        return found

    def places_freed(self, queue_ids: Iterable[int]) -> bool:
        """Jobs of these queues ended here; whether one of them was at its limit."""
        freed = [queue for queue_id in queue_ids if (queue := self.queues.get(queue_id)) and queue.full_until]
        for queue in freed:
            queue.full_until = 0.0
        return bool(freed)

    def _askable(self, queue: ServedQueue) -> bool:
        return bool(queue.ring) and self._open(queue)

    def _open(self, queue: ServedQueue) -> bool:
        return not queue.limited or queue.full_until <= self._monotonic()

    @property
    def has_solo(self) -> bool:
        return any(queue.ring.has_solo and self._open(queue) for queue in self.queues.values())

    async def claim(self, limit: int) -> list[tuple[Lease, list[Job]]]:
        """Up to `limit` jobs of the next queue that has some; queues of the pool take turns."""
        served = list(self.queues.values())
        for offset in range(len(served)):
            queue = served[(self._turn + offset) % len(served)]
            if self._askable(queue):
                self._turn = (self._turn + offset + 1) % len(served)
                if queue.limited:
                    return await self._claim_limited(queue, limit)
                return await self._claim(queue, queue.ring.plan(limit))
        return []

    async def claim_solo(self) -> list[tuple[Lease, list[Job]]]:
        """One job that must run alone."""
        for queue in self.queues.values():
            if queue.ring.has_solo and self._open(queue):
                if queue.limited:
                    return await self._claim_limited(queue, 1, solo=True)
                return await self._claim(queue, queue.ring.plan_solo())
        return []

    async def _claim(self, queue: ServedQueue, requests: list[LaneRequest]) -> list[tuple[Lease, list[Job]]]:
        rows = await self._db.fetch_all(load_sql("claim"), self._params(queue, requests, leases=1))
        return self._leases(queue, requests, [(row["id"], row["jobs"]) for row in rows])

    async def _claim_limited(
        self, queue: ServedQueue, limit: int, *, solo: bool = False
    ) -> list[tuple[Lease, list[Job]]]:
        connection = await self._db.get()
        try:
            async with connection.transaction():
                room, caps = await self._budget(connection, queue, limit)
                requests: list[LaneRequest] = []
                if room:
                    requests = queue.ring.plan_solo(caps) if solo else queue.ring.plan(room, caps)
                if not requests:
                    queue.full_until = self._monotonic() + _FULL_RETRY_S
                    return []
                params = self._params(queue, requests, leases=sum(request.quantum for request in requests))
                cursor = await connection.execute(as_literal(load_sql("claim_limited")), params)
                rows = [(row["id"], row["jobs"]) for row in await cursor.fetchall()]
        except psycopg.Error as error:
            await self._db.drop()
            raise translate(error) from error
        except BaseException:
            await self._db.drop()
            raise
        return self._leases(queue, requests, rows)

    async def _budget(self, connection: Connection, queue: ServedQueue, most: int) -> tuple[int, dict[str, int] | None]:
        """(how many of `most` jobs may start now, the same per org); 0 when the queue is paused or full.

        The row lock makes claims of a limited queue take turns, so two members cannot both see the last free place.
        """
        cursor = await connection.execute(
            "SELECT concurrency, org_concurrency FROM queue WHERE id = %s AND paused_at IS NULL FOR UPDATE", (queue.id,)
        )
        limits = await cursor.fetchone()
        if limits is None:
            return 0, None
        cursor = await connection.execute(
            "SELECT org_id, count(*) AS running FROM job_lease WHERE queue_id = %s GROUP BY org_id", (queue.id,)
        )
        running = {row["org_id"]: row["running"] for row in await cursor.fetchall()}
        room = most
        if limits["concurrency"] is not None:
            room = max(0, min(room, limits["concurrency"] - sum(running.values())))
        per_org = limits["org_concurrency"]
        caps = None if per_org is None else {org: per_org - running.get(org, 0) for org in queue.ring.orgs}
        return room, caps

    def _params(self, queue: ServedQueue, requests: list[LaneRequest], *, leases: int) -> dict[str, object]:
        first = (self.worker_id << _LEASE_BITS) + self._leases_made
        self._leases_made += leases
        return {
            "lease": first,
            "queue": queue.id,
            "worker": self.worker_id,
            "orgs": [request.org_id for request in requests],
            "lanes": [request.lane for request in requests],
            "marks": [request.mark for request in requests],
            "quanta": [request.quantum for request in requests],
        }

    def _leases(
        self, queue: ServedQueue, requests: list[LaneRequest], rows: list[tuple[int, str]]
    ) -> list[tuple[Lease, list[Job]]]:
        claimed: dict[tuple[str, int], tuple[int, int]] = {}
        leases = []
        for lease_id, packed in rows:
            shares: defaultdict[tuple[int, str], list[Job]] = defaultdict(list)
            for job in unpack(packed):
                shares[job.lane, job.org_id].append(job)
            for (lane, org_id), share in shares.items():
                count, highest = claimed.get((org_id, lane), (0, 0))
                claimed[org_id, lane] = (count + len(share), max(highest, *[job.seq for job in share]))
            # Inside a lane the smallest share first: who sent one job does not wait for who sent a thousand.
            ordered = sorted(shares.items(), key=lambda item: (item[0][0], len(item[1])))
            jobs = [job for _, share in ordered for job in share]
            leases.append((Lease(lease_id, queue.id, len(jobs)), jobs))
            self.held.add(lease_id)
        queue.ring.record(requests, claimed)
        return leases

    async def _refresh(self) -> None:
        rows = await self._db.fetch_all(
            "SELECT id, name, concurrency, org_concurrency FROM queue WHERE pool = %(pool)s", {"pool": self._pool}
        )
        for row in rows:
            queue = self.queues.setdefault(row["id"], ServedQueue(row["id"], row["name"]))
            queue.concurrency, queue.org_concurrency = row["concurrency"], row["org_concurrency"]
        for gone in self.queues.keys() - {row["id"] for row in rows}:
            del self.queues[gone]
        shares = await self._db.fetch_all("SELECT org_id, weight FROM org_share WHERE weight <> 1")
        weights = {row["org_id"]: row["weight"] for row in shares}
        for queue in self.queues.values():
            queue.ring.set_weights(weights)
        self._next_refresh = self._monotonic() + _REFRESH_S

    async def _scan(self, ids: list[int]) -> None:
        """The whole truth: every lane with work and where it begins (rows may have been committed out of order)."""
        started = self._monotonic()
        lanes: dict[int, dict[tuple[str, int], int]] = {queue_id: {} for queue_id in ids}
        for row in await self._db.fetch_all(load_sql("discover"), {"queues": ids}):
            lanes[row["queue_id"]][row["org_id"], row["lane"]] = row["seq"]
        for queue_id, found in lanes.items():
            self.queues[queue_id].ring.reset(found)
        cost = self._monotonic() - started
        self._next_scan = self._monotonic() + min(cost * _SCAN_SHARE, _MAX_SCAN_GAP_S)

    async def _scan_known(self) -> None:
        for queue in self.queues.values():
            known = sorted(queue.ring.known)
            if not known:
                continue
            rows = await self._db.fetch_all(
                load_sql("discover_known"),
                {
                    "queue": queue.id,
                    "orgs": [org for org, _, _ in known],
                    "lanes": [lane for _, lane, _ in known],
                    "marks": [mark for _, _, mark in known],
                },
            )
            for row in rows:
                queue.ring.activate(row["org_id"], row["lane"])
