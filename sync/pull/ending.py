"""Carry out the end of a run: success, cancel, or what `decide` said. One fenced transaction each."""

from __future__ import annotations

from typing import Any

from sync.alerts import raise_alert, resolve_alert
from sync.base.errors import LeaseLost
from sync.events import append_events
from sync.leases import SyncLease
from sync.pull.decide import Abandon, Again, Block, Expire, Fail, Problem, Verdict
from sync.pull.integrations import expire
from sync.pull.model import ClaimedRun
from sync.pull.partitions import drop_partitions
from sync.pull.telling import run_event
from sync.store.engine import Database, Transaction

_MINE = "id = %(id)s AND epoch = %(epoch)s AND state = 'running'"
_ERRORS = """
CASE WHEN %(code)s::text IS NULL THEN errors
     ELSE (CASE WHEN jsonb_array_length(errors) >= 20 THEN errors - 0 ELSE errors END)
          || jsonb_build_object('attempt', attempt, 'at', now(), 'class', %(code)s::text, 'text', %(text)s::text)
END"""
_FINISH = f"""
UPDATE sync_run SET state = %(state)s, finished_at = now(), error_class = %(code)s, error_text = %(text)s,
       errors = {_ERRORS}
WHERE {_MINE} RETURNING added, changed, skipped, pages"""
_REQUEUE = f"""
UPDATE sync_run
SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
    finished_at = CASE WHEN cancel_requested THEN now() END, epoch = NULL,
    not_before = now() + make_interval(secs => %(after_s)s), error_class = %(code)s, error_text = %(text)s,
    errors = {_ERRORS}, attempt = attempt - %(given_back)s, fruitless = greatest(fruitless - %(given_back)s, 0)
WHERE {_MINE} RETURNING state"""
_SUCCEEDED = """
UPDATE sync_stream SET failures = 0, last_error = NULL, last_success_at = now()
WHERE integration_id = %(integration_id)s AND sync_type = %(sync_type)s"""
_FAILED = """
UPDATE sync_stream SET failures = failures + 1, last_error = %(text)s,
       blocked_reason = CASE WHEN %(block)s THEN %(text)s ELSE blocked_reason END,
       next_due_at = CASE WHEN %(block)s THEN NULL ELSE next_due_at END
WHERE integration_id = %(integration_id)s AND sync_type = %(sync_type)s"""


class Endings:
    """Ends runs claimed under `lease`. Errors of every method: LeaseLost when they are not ours any more."""

    def __init__(self, database: Database, lease: SyncLease) -> None:
        self._database = database
        self._lease = lease

    async def succeed(self, run: ClaimedRun) -> None:
        async with self._database.transaction() as tx:
            await self._lease.fence(tx)
            totals = await self._finish(tx, run, "succeeded", None)
            await tx.execute(_SUCCEEDED, _stream(run))
            if run.stream_failures:
                await resolve_alert(tx, run.org_id, alert_key(run))
            if run.trigger != "schedule" or totals["added"] or totals["changed"]:
                await append_events(tx, [run_event(run, "sync.completed", **totals)])

    async def cancel(self, run: ClaimedRun) -> None:
        async with self._database.transaction() as tx:
            await self._lease.fence(tx)
            await self._finish(tx, run, "cancelled", None)
            await append_events(tx, [run_event(run, "sync.cancelled")])

    async def give_back(self, run: ClaimedRun) -> None:
        """Put a run that was interrupted through no fault of its own back, free to start at once."""
        await self.carry_out(run, Again(0.0, None, parked=True))

    async def carry_out(self, run: ClaimedRun, verdict: Verdict) -> None:
        if isinstance(verdict, Abandon):
            return
        async with self._database.transaction() as tx:
            await self._lease.fence(tx)
            if isinstance(verdict, Again):
                await self._requeue(tx, run, verdict)
            else:
                await self._fail(tx, run, verdict)

    async def _fail(self, tx: Transaction, run: ClaimedRun, verdict: Fail | Block | Expire) -> None:
        problem = verdict.problem
        if isinstance(verdict, Expire) and not await expire(
            tx, run.integration_id, problem.code, problem.text, version=run.credentials_version
        ):
            # Somebody reconnected or paused the account meanwhile: what was refused are not its credentials of now.
            await self._requeue(tx, run, Again(0.0, problem, parked=True))
            return
        await self._finish(tx, run, "failed", problem)
        await tx.execute(_FAILED, {**_stream(run), "text": problem.text, "block": isinstance(verdict, Block)})
        detail = {"code": problem.code, "error": problem.text}
        await append_events(tx, [run_event(run, "sync.failed", **detail)])
        if not isinstance(verdict, Expire):  # expiry has an alert of its own
            title = f"The {run.sync_type} sync of {run.account} ({run.platform}) fails"
            await raise_alert(tx, run.org_id, alert_key(run), title, detail=problem.text, severity="warning")

    async def _requeue(self, tx: Transaction, run: ClaimedRun, verdict: Again) -> None:
        values = {**_key(run, verdict.problem), "after_s": verdict.after_s, "given_back": int(verdict.parked)}
        state = await tx.fetch_value(_REQUEUE, values)
        if state is None:
            raise LeaseLost(f"Run {run.id} is not ours any more.")
        if state == "cancelled":
            await append_events(tx, [run_event(run, "sync.cancelled")])

    async def _finish(self, tx: Transaction, run: ClaimedRun, state: str, problem: Problem | None) -> dict[str, Any]:
        row = await tx.fetch_one(_FINISH, {**_key(run, problem), "state": state})
        if row is None:
            raise LeaseLost(f"Run {run.id} is not ours any more.")
        await drop_partitions(tx, run)
        return row


def alert_key(run: ClaimedRun) -> str:
    return f"sync:{run.integration_id}:{run.sync_type}"


def _key(run: ClaimedRun, problem: Problem | None) -> dict[str, Any]:
    return {
        "id": run.id,
        "epoch": run.epoch,
        "code": problem.code if problem else None,
        "text": problem.text[:2000] if problem else None,
    }


def _stream(run: ClaimedRun) -> dict[str, Any]:
    return {"integration_id": run.integration_id, "sync_type": run.sync_type}
