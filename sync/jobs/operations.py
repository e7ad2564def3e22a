"""What operators do: look, pause, retry, discard, cancel, purge. An org_id of None means every org."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sync.base.errors import Permanent
from sync.jobs.views import (
    FINISHED_STATES,
    STATES,
    WORKER_DIED,
    JobDetail,
    JobFilter,
    Page,
    QueueDepth,
    attempt_view,
    job_view,
)
from sync.signals import Signals
from sync.store.engine import Database, Transaction
from sync.store.sql import load_sql

_END = 2**63 - 1
_ORGS = 10_000
_BITE = 1000
_PURGE_BITE = 10_000
_LOOKS = 3
"""A job that moves (is claimed, promoted) just when it is looked for is in neither place: look again."""


class QueueOperations:
    def __init__(self, database: Database, signals: Signals) -> None:
        self._database = database
        self._signals = signals

    async def depth(self, cap: int = 10_000) -> list[QueueDepth]:
        """Every queue. Counts stop at `cap`."""
        rows = await self._database.fetch_all(load_sql("queue_depth"), {"cap": cap})
        return [QueueDepth(**row) for row in rows]

    async def pause(self, name: str, by: str, reason: str | None = None, tx: Transaction | None = None) -> list[str]:
        """Stop claims of a pool (`consumer.one-off`) or of one queue (`one-off`), cluster-wide and at once.

        What runs goes on. Returns the queues concerned. Errors: Permanent for an unknown name.
        """
        return await self._set_pause(
            "UPDATE queue SET paused_at = coalesce(paused_at, now()), paused_by = %(by)s, paused_reason = %(reason)s",
            name,
            {"by": by, "reason": reason},
            tx,
        )

    async def resume(self, name: str, by: str, tx: Transaction | None = None) -> list[str]:
        """The opposite of `pause`."""
        return await self._set_pause(
            "UPDATE queue SET paused_at = NULL, paused_by = NULL, paused_reason = NULL", name, {"by": by}, tx
        )

    async def list_jobs(
        self,
        org_id: str | None,
        *,
        states: Sequence[str] = (),
        kind: str | None = None,
        queue: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Jobs, newest first. Errors: Permanent for an unknown state."""
        wanted = _states(states) or STATES
        rows = await self._database.fetch_all(
            load_sql("list_jobs"),
            {
                "orgs": await self._orgs(org_id),
                "before": before or _END,
                "limit": limit + 1,
                "worker_died": msgspec.json.encode(WORKER_DIED).decode(),
                "kind": kind,
                "queue": queue,
                **{state: state in wanted for state in STATES},
            },
        )
        page = rows[:limit]
        return Page([job_view(row) for row in page], page[-1]["position"] if len(rows) > limit else None)

    async def show_job(self, org_id: str | None, job_id: int) -> JobDetail | None:
        """One job with its attempts; None when this org has no such job."""
        for org in await self._orgs(org_id):
            row = await self._database.fetch_one(load_sql("find_job"), {"org": org, "job": job_id})
            if row is None:
                continue
            attempts = await self._database.fetch_all(
                "SELECT attempt, outcome, finished_at, duration_ms, worker_id, error FROM job_run"
                " WHERE org_id = %(org)s AND job_id = %(job)s ORDER BY finished_at",
                {"org": org, "job": job_id},
            )
            extra = await self._database.fetch_one(
                "SELECT q.name AS queue, p.percent, p.message AS progress_message, p.updated_at AS progress_at"
                " FROM queue q LEFT JOIN job_progress p ON p.job_id = %(job)s WHERE q.id = %(queue)s",
                {"queue": row["queue_id"], "job": job_id},
            )
            meta = row["meta"] or {}
            errors = meta.get("errors") or []
            error = WORKER_DIED if row["error_class"] == WORKER_DIED["class"] else errors[-1] if errors else None
            view = job_view({**row, **(extra or {}), "error": error})
            return JobDetail(
                view,
                [attempt_view(attempt) for attempt in attempts],
                meta.get("correlation_id"),
                row["unique_key"],
                row["crashes"] or 0,
            )
        return None

    async def select(self, org_id: str | None, chosen: JobFilter, limit: int = _BITE) -> list[int]:
        """Ids of jobs that match, at most `limit`: the preview of an operation by filter."""
        if chosen.ids:
            return list(chosen.ids[:limit])
        ids: list[int] = []
        before = None
        while True:
            page = await self.list_jobs(
                org_id, states=chosen.states, kind=chosen.kind, queue=chosen.queue, before=before, limit=limit
            )
            ids += [job.id for job in page.items if chosen.error_class in (None, (job.error or {}).get("class"))]
            before = page.next_before
            if before is None or len(ids) >= limit:
                return ids[:limit]

    async def count(self, org_id: str | None, chosen: JobFilter, cap: int = 10_000) -> int:
        """How many jobs match, at most `cap`."""
        return len(await self.select(org_id, chosen, cap))

    async def retry(self, org_id: str | None, ids: Sequence[int], tx: Transaction | None = None) -> list[int]:
        """Dead, retrying and scheduled jobs run now, with all attempts again. Returns those that do."""
        if tx is None:
            async with self._database.transaction() as own:
                return await self.retry(org_id, ids, own)
        rows = await tx.fetch_all(load_sql("retry_jobs"), {"ids": list(ids), "org": org_id})

        async def wake() -> None:
            for row in rows:
                self._signals.publish(f"queue.{row['pool']}", f"{row['queue_id']}/{row['lane']}/{row['org_id']}")

        tx.after_commit(wake)
        return [row["job_id"] for row in rows]

    async def discard(
        self, org_id: str | None, ids: Sequence[int], by: str, tx: Transaction | None = None
    ) -> list[int]:
        """Dead jobs leave for the history. Returns those that did."""
        if tx is None:
            async with self._database.transaction() as own:
                return await self.discard(org_id, ids, by, own)
        rows = await tx.fetch_all(
            load_sql("discard_jobs"), {"ids": list(ids), "org": org_id, "reason": f"discarded by {by}"}
        )
        return [row["job_id"] for row in rows]

    async def cancel(
        self, org_id: str | None, ids: Sequence[int], by: str, tx: Transaction | None = None
    ) -> dict[int, str]:
        """Cancel what has not started, ask the workers of what runs: id -> `cancelled` or `requested`."""
        if tx is None:
            async with self._database.transaction() as own:
                return await self.cancel(org_id, ids, by, own)
        orgs = await self._orgs(org_id)
        results: dict[int, str] = {}
        for _ in range(_LOOKS):
            missing = [job_id for job_id in ids if job_id not in results]
            if not missing:
                break
            rows = await tx.fetch_all(load_sql("cancel_jobs"), {"ids": missing, "org": org_id, "orgs": orgs, "by": by})
            results |= {row["id"]: row["result"] for row in rows}
        running = [str(job_id) for job_id, result in results.items() if result == "requested"]

        async def tell() -> None:
            if running:
                self._signals.publish("cancel", *running)

        tx.after_commit(tell)
        return results

    async def purge(self, org_id: str | None, states: Sequence[str] = (), by: str = "purge") -> dict[str, int]:
        """Remove jobs of these states, by default the finished ones: state -> removed.

        waiting, scheduled and retrying ones go only when named (they are cancelled first); running ones never.
        """
        wanted = _states(states) or FINISHED_STATES
        if "running" in wanted:
            raise Permanent("Running jobs cannot be purged: cancel them first.")
        removed = dict.fromkeys(wanted, 0)
        for state in wanted:
            if state in ("waiting", "scheduled", "retrying"):
                removed[state] = await self._purge_open(org_id, state, by)
            elif state == "dead":
                removed[state] = await self._delete_in_bites("job_dead", "true", org_id)
            else:
                outcome = {"done": 0, "cancelled": 3, "discarded": 7}[state]
                removed[state] = await self._delete_in_bites("job_run", f"outcome = {outcome}", org_id)
        return removed

    async def _purge_open(self, org_id: str | None, state: str, by: str) -> int:
        total = 0
        while True:
            ids = await self.select(org_id, JobFilter(states=(state,)), _BITE)
            gone = await self.cancel(org_id, ids, by) if ids else {}
            total += len(gone)
            if not gone:
                return total

    async def _delete_in_bites(self, table: str, condition: str, org_id: str | None) -> int:
        """Short transactions: a purge of millions must not hold locks or a snapshot for minutes."""
        total = 0
        while True:
            bite = await self._database.execute(
                f"DELETE FROM {table} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {table}"
                f" WHERE {condition} AND (%(org)s::text IS NULL OR org_id = %(org)s) LIMIT {_PURGE_BITE})",
                {"org": org_id},
            )
            total += bite
            if bite < _PURGE_BITE:
                return total

    async def _orgs(self, org_id: str | None) -> list[str]:
        if org_id is not None:
            return [org_id]
        return [row["org_id"] for row in await self._database.fetch_all(load_sql("known_orgs"), {"limit": _ORGS})]

    async def _set_pause(
        self, statement: str, name: str, params: dict[str, str | None], tx: Transaction | None
    ) -> list[str]:
        if tx is None:
            async with self._database.transaction() as own:
                return await self._set_pause(statement, name, params, own)
        rows = await tx.fetch_all(
            f"{statement} WHERE %(name)s IN (name, pool) OR pool IN ('consumer.' || %(name)s, 'processor.' || %(name)s)"
            " RETURNING name, pool",
            {**params, "name": name},
        )
        if not rows:
            known = await tx.fetch_all("SELECT DISTINCT pool FROM queue UNION SELECT name FROM queue ORDER BY 1")
            names = ", ".join(row["pool"] for row in known)
            raise Permanent(f"Nothing is called {name!r}. Names you can use: {names}.", status=404)

        async def wake() -> None:
            for pool in {row["pool"] for row in rows}:
                self._signals.publish(f"queue.{pool}")

        tx.after_commit(wake)
        return sorted(row["name"] for row in rows)


def _states(states: Sequence[str]) -> tuple[str, ...]:
    unknown = set(states) - set(STATES)
    if unknown:
        raise Permanent(f"Unknown job state {', '.join(sorted(unknown))}; states are {', '.join(STATES)}.")
    return tuple(states)
