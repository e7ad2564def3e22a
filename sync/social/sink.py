"""The sink for everything that HTTP platforms hand over: sorts a page's records by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.records import ActivityRecord, MetricRecord, Rejected, Warned
from sync.alerts import raise_alert, resolve_alert
from sync.sink import Applied, Source
from sync.social import activities, metrics, quarantine
from sync.store.engine import Transaction

Record = ActivityRecord | MetricRecord | Rejected | Warned


@dataclass(slots=True)
class PreparedPage:
    activities: list[activities.PreparedActivity]
    points: list[metrics.Point]
    rejected: list[quarantine.Prepared]
    warnings: list[Warned]


class SocialSink:
    """`sync.sink.Sink` for the records of `connectors.records` but mail."""

    def prepare(self, records: Sequence[Record]) -> PreparedPage:
        rejected: list[Rejected] = []
        done: list[activities.PreparedActivity] = []
        numbers: list[MetricRecord] = []
        warnings: list[Warned] = []
        for record in records:
            if isinstance(record, MetricRecord):
                numbers.append(record)
            elif isinstance(record, ActivityRecord):
                done.append(activities.prepare(record))
            elif isinstance(record, Warned):
                warnings.append(record)
            else:
                rejected.append(record)
        return PreparedPage(done, metrics.prepare(numbers), quarantine.prepare(rejected), warnings)

    async def apply(self, tx: Transaction, source: Source, prepared: PreparedPage, *, force: bool) -> Applied:
        total = await activities.apply(tx, source, prepared.activities, force=force)
        total.include(await metrics.apply(tx, source, prepared.points, force=force))
        await quarantine.keep(tx, source, prepared.rejected)
        for warned in prepared.warnings:
            await _warn(tx, source, warned)
        total.skipped += len(prepared.rejected)
        return total


async def _warn(tx: Transaction, source: Source, warned: Warned) -> None:
    key = f"listing:{source.integration_id}:{source.sync_type}:{warned.key}"
    if warned.over:
        await resolve_alert(tx, source.org_id, key)
        return
    title = f"{warned.title} ({source.sync_type} of {source.account})"
    await raise_alert(tx, source.org_id, key, title, detail=warned.detail, severity="warning")
