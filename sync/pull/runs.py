"""Sync runs: trigger, schedule, list, cancel, retry; and what supervisors need to know of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from connectors.base import Connector, SyncType, find_sync_type
from connectors.registry import PLATFORMS, find_connector
from sync.base.errors import ApiError, ConfigurationError, Transient
from sync.events import append_events
from sync.pull.model import Run, Trigger, TriggeredRun
from sync.pull.telling import WATCHED, row_event
from sync.signals import Signals
from sync.store.engine import Database, Transaction
from sync.store.sql import load_sql

_RUN = f"""
SELECT {", ".join("i.account" if f.name == "account" else f"r.{f.name}" for f in dataclasses.fields(Run))}
FROM sync_run r JOIN integration i ON i.id = r.integration_id
"""
_STREAMS = """
SELECT i.id, i.platform, i.account, i.state, i.reason, s.sync_type, s.blocked_reason
FROM integration i JOIN sync_stream s ON s.integration_id = i.id
WHERE i.org_id = %s AND i.state <> 'deleted' AND (%s::text IS NULL OR i.platform = %s)
  AND (%s::text IS NULL OR s.sync_type = %s) AND (%s::text IS NULL OR i.account = %s)
ORDER BY i.id, s.sync_type"""
_CANCEL = """
UPDATE sync_run
SET cancel_requested = true, state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE state WHEN 'queued' THEN now() ELSE finished_at END
WHERE id = %s AND org_id = %s AND state IN ('queued', 'running')
RETURNING id, org_id, integration_id, platform, sync_type, trigger, state"""
# Same condition as the claim: a pair that is named here finds work when its worker starts.
_READY = """
SELECT r.org_id, r.platform
FROM sync_run r JOIN integration i ON i.id = r.integration_id
LEFT JOIN sync_lease l ON l.org_id = r.org_id AND l.platform = r.platform
WHERE r.state = 'queued' AND r.not_before <= now() AND NOT r.cancel_requested AND i.state = 'active'
  AND (l.holder IS NULL OR l.expires_at <= now())
GROUP BY r.org_id, r.platform
ORDER BY min(r.not_before)
LIMIT %s"""
_RECOVER = """
UPDATE sync_run r
SET state = CASE WHEN r.cancel_requested THEN 'cancelled' ELSE 'queued' END,
    finished_at = CASE WHEN r.cancel_requested THEN now() END, epoch = NULL, not_before = now(),
    error_class = 'WorkerLost', error_text = 'Its worker ended without a word; it continues where it stood.',
    errors = (CASE WHEN jsonb_array_length(r.errors) >= 20 THEN r.errors - 0 ELSE r.errors END)
             || jsonb_build_object('attempt', r.attempt, 'at', now(), 'class', 'WorkerLost',
                                   'text', 'The worker on ' || coalesce(r.node, 'an unknown node') || ' was lost.')
FROM (
  SELECT lost.id FROM sync_run lost
  LEFT JOIN sync_lease l ON l.org_id = lost.org_id AND l.platform = lost.platform
  WHERE lost.state = 'running'
    AND (l.epoch IS DISTINCT FROM lost.epoch OR l.holder IS NULL OR l.expires_at <= clock_timestamp())
  FOR UPDATE OF lost SKIP LOCKED
) AS gone
WHERE r.id = gone.id AND r.state = 'running'
RETURNING r.org_id, r.platform"""


TriggeredRuns = list[TriggeredRun]


class SyncRuns:
    def __init__(self, database: Database, signals: Signals, registry: Mapping[str, Connector] = PLATFORMS) -> None:
        self._database = database
        self._signals = signals
        self._registry = registry

    async def trigger(
        self,
        org_id: str,
        platform: str | None = None,
        sync_type: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        trigger: Trigger = "manual",
        by: str | None = None,
        tx: Transaction | None = None,
    ) -> TriggeredRuns:
        """Queue runs of every active account that matches, or name the ones already open.

        `options`: those of the sync type (a startDate makes it a backfill), and `account` to choose one account.
        With `tx` the runs stand when the caller's transaction commits.
        Errors: ApiError 404 (nothing of that name), 409 (no account is active), 422 (options).
        """
        options = dict(options or {})
        account = options.pop("account", None)
        self._check_names(platform, sync_type)
        rows = await (tx or self._database).fetch_all(
            _STREAMS, (org_id, platform, platform, sync_type, sync_type, account, account)
        )
        active = [row for row in rows if row["state"] == "active"]
        if not active:
            _refuse(platform, account, rows)
        chosen = [row for row in active if self._checked(row["platform"], row["sync_type"], options, sync_type)]
        if "startDate" in options:
            trigger = "backfill"
        streams = [(row["id"], row["sync_type"]) for row in chosen]
        if tx is not None:
            triggered = await self._queue(tx, streams, options, trigger, by)
            tx.hint("sync", *{f"{org_id}/{run.platform}" for run in triggered})
            return triggered
        async with self._database.transaction() as own:
            triggered = await self._queue(own, streams, options, trigger, by)
        self._wake((org_id, run.platform) for run in triggered)
        return triggered

    async def enqueue_due(self, limit: int = 500) -> int:
        """Queue the streams whose time has come; how many runs that made."""
        rows = await self._database.fetch_all(load_sql("sync_enqueue_due"), {"limit": limit})
        self._wake((row["org_id"], row["platform"]) for row in rows)
        return len(rows)

    async def ready_pairs(self, limit: int = 100) -> list[tuple[str, str]]:
        """(org, platform) pairs with a run that may start now and nobody at work, longest waiting first."""
        rows = await self._database.fetch_all(_READY, (limit,))
        return [(row["org_id"], row["platform"]) for row in rows]

    async def recover_lost(self) -> int:
        """Queue running runs again whose worker is gone; how many. They continue after their last page."""
        rows = await self._database.fetch_all(_RECOVER)
        self._wake((row["org_id"], row["platform"]) for row in rows)
        return len(rows)

    async def list(
        self,
        org_id: str | None,
        *,
        platform: str | None = None,
        integration_id: int | None = None,
        states: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Newest first; `before` is the last id of the page before. `org_id` None is for the operator: all orgs."""
        rows = await self._database.fetch_all(
            f"""{_RUN} WHERE (%(org)s::text IS NULL OR r.org_id = %(org)s)
                AND (%(platform)s::text IS NULL OR r.platform = %(platform)s)
                AND (%(integration)s::bigint IS NULL OR r.integration_id = %(integration)s)
                AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s))
                AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
                ORDER BY r.id DESC LIMIT %(limit)s""",
            {
                "org": org_id,
                "platform": platform,
                "integration": integration_id,
                "states": None if states is None else [*states],
                "before": before,
                "limit": limit,
            },
        )
        return [Run(**row) for row in rows]

    async def show(self, org_id: str, run_id: int) -> Run:
        """Errors: ApiError 404."""
        row = await self._database.fetch_one(f"{_RUN} WHERE r.org_id = %s AND r.id = %s", (org_id, run_id))
        if row is None:
            raise ApiError(404, "No such run", f"There is no sync run {run_id}.")
        return Run(**row)

    async def cancel(self, org_id: str, run_id: int, *, by: str | None = None) -> Run:
        """End a queued run now, a running one after its current page. Errors: ApiError 404, 409 (has ended)."""
        async with self._database.transaction() as tx:
            row = await tx.fetch_one(_CANCEL, (run_id, org_id))
            if row is not None:
                await self._audit(tx, org_id, "sync.cancel", run_id, by)
                if row["state"] == "cancelled":
                    await append_events(tx, [row_event(row, "sync.cancelled")])
        run = await self.show(org_id, run_id)
        if row is None:
            raise ApiError(409, "The run has ended", f"Sync run {run_id} is {run.state}.")
        self._wake([(org_id, row["platform"])])
        return run

    async def retry(self, org_id: str, run_id: int, *, by: str | None = None) -> TriggeredRun:
        """A new run like one that failed or was cancelled. Errors: ApiError 404, 409."""
        old = await self.show(org_id, run_id)
        if old.state not in {"failed", "cancelled"}:
            raise ApiError(409, "Nothing to retry", f"Sync run {run_id} is {old.state}.")
        state = await self._database.fetch_value("SELECT state FROM integration WHERE id = %s", (old.integration_id,))
        if state != "active":
            raise ApiError(409, "The account is not active", f"{old.account} is {state}; reconnect or resume it first.")
        trigger: Trigger = "backfill" if old.trigger == "backfill" else "manual"
        async with self._database.transaction() as tx:
            runs = await self._queue(tx, [(old.integration_id, old.sync_type)], dict(old.options), trigger, by)
        self._wake([(org_id, old.platform)])
        return runs[0]

    def _check_names(self, platform: str | None, sync_type: str | None) -> None:
        try:
            if platform is not None:
                connector = find_connector(platform, self._registry)
                if sync_type is not None:
                    find_sync_type(connector, sync_type)
        except ConfigurationError as error:
            raise ApiError(404, "No such sync", error.message) from error

    def _checked(self, platform: str, sync_type: str, options: Mapping[str, Any], asked: str | None) -> SyncType | None:
        """The sync type if it takes these options; None if it does not and was not asked for by name."""
        found = find_sync_type(find_connector(platform, self._registry), sync_type)
        known = {option.name for option in found.options}
        if unknown := options.keys() - known:
            if asked is None and known:
                return None
            raise ApiError(422, "Unknown option", f"{platform} {sync_type} does not know {', '.join(sorted(unknown))}.")
        for option in found.options:
            check_option(option.name, option.kind, options.get(option.name))
        if "startDate" not in options and options.keys() & {"endDate", "force"}:
            raise ApiError(422, "No start", "endDate and force belong to a backfill: give a startDate, too.")
        if options.get("endDate") and options["endDate"] < options["startDate"]:
            raise ApiError(422, "No days", "endDate is before startDate.")
        return found

    async def _queue(
        self,
        tx: Transaction,
        streams: Sequence[tuple[int, str]],
        options: dict[str, Any],
        trigger: Trigger,
        by: str | None,
    ) -> TriggeredRuns:
        found: dict[tuple[int, str], TriggeredRun] = {}
        for _ in range(10):
            missing = [stream for stream in streams if stream not in found]
            if not missing:
                return [found[stream] for stream in streams]
            rows = await tx.fetch_all(
                load_sql("sync_trigger"),
                {
                    "integrations": [integration_id for integration_id, _ in missing],
                    "sync_types": [sync_type for _, sync_type in missing],
                    "trigger": trigger,
                    "options": Jsonb(options),
                    "requested_by": by,
                },
            )
            if trigger in WATCHED:
                created = [row for row in rows if row["created"]]
                await append_events(tx, [row_event(row, "sync.queued", by=by) for row in created])
            for row in rows:
                run = TriggeredRun(row["id"], row["integration_id"], row["platform"], row["sync_type"], row["created"])
                found[run.integration_id, run.sync_type] = run
        raise Transient("Runs of this account come and go too quickly; try again.")

    async def _audit(self, tx: Transaction, org_id: str, action: str, run_id: int, by: str | None) -> None:
        await tx.execute(
            "INSERT INTO audit (org_id, actor, action, target) VALUES (%s, %s, %s, %s)",
            (org_id, by or "unknown", action, str(run_id)),
        )

    def _wake(self, pairs: Any) -> None:
        for org_id, platform in dict.fromkeys(pairs):
            self._signals.publish("sync", f"{org_id}/{platform}")


def check_option(name: str, kind: str, value: Any) -> None:
    """Errors: ApiError 422."""
    if value is None:
        return
    if kind == "boolean" and not isinstance(value, bool):
        raise ApiError(422, "Wrong option", f"{name} must be true or false.")
    if kind == "date":
        try:
            date.fromisoformat(value)
        except (TypeError, ValueError):
            raise ApiError(422, "Wrong option", f"{name} must be a day like 2026-11-30.") from None


def _refuse(platform: str | None, account: str | None, rows: list[dict[str, Any]]) -> None:
    what = account or platform or "any platform"
    if not rows:
        raise ApiError(404, "Nothing connected", f"No account of {what} is connected; connect one first.")
    reasons = "; ".join(
        dict.fromkeys(
            f"{row['account']} is {row['state']}" + (f" ({row['reason']})" if row["reason"] else "") for row in rows
        )
    )
    raise ApiError(409, "No active account", f"{reasons}. Reconnect or resume it first.")
