"""Records of webhooks into the same store as those of polls, by the same upsert, as many at a time as order allows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from connectors.records import ActivityRecord
from sync.events import Event
from sync.sink import Source
from sync.social.sink import SocialSink
from sync.store.engine import Transaction
from sync.webhooks.model import Holder
from sync.webhooks.plan import Step, is_mark

SYNC_TYPE = "webhook"
"""In events about records, for what no sync brought."""

_Key = tuple[str, str]
_PRESENT = """
SELECT kind, vendor_id FROM activity
WHERE integration_id = %s AND (kind, vendor_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""


@dataclass(slots=True)
class _Waiting:
    holder: Holder
    records: list[Any] = field(default_factory=list)
    by_key: dict[_Key, Step] = field(default_factory=dict)
    first: Step | None = None
    marks: list[Step] = field(default_factory=list)


class Recorder:
    """Gathers records of one account until one comes a second time: then what is gathered goes first.

    The sink keeps only one of each record of a page, the newest; a deletion would hide the message that came before it.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._sink = SocialSink()
        self._waiting: dict[int, _Waiting] = {}
        self.events: list[Event] = []

    async def add(self, step: Step) -> None:
        if step.kept or step.holder is None or not step.event.records:
            return
        waiting = self._waiting.setdefault(step.holder.id, _Waiting(step.holder))
        keys = [_key(record) for record in step.event.records]
        if any(key in waiting.by_key for key in keys if key is not None):
            await self._flush(waiting)
            waiting = self._waiting[step.holder.id] = _Waiting(step.holder)
        waiting.first = waiting.first or step
        waiting.records += step.event.records
        waiting.by_key |= {key: step for key in keys if key is not None}
        if all(is_mark(record) for record in step.event.records):
            waiting.marks.append(step)

    async def finish(self) -> None:
        """Write the rest. Events that deleted only what was not here are `early` now."""
        for holder_id in sorted(self._waiting):
            await self._flush(self._waiting[holder_id])
        self._waiting = {}

    async def _flush(self, waiting: _Waiting) -> None:
        holder = waiting.holder
        source = Source(holder.org_id, holder.platform, holder.id, holder.account, SYNC_TYPE)
        applied = await self._sink.apply(self._tx, source, self._sink.prepare(waiting.records), force=False)
        for event in applied.events:
            key = (str(event.payload.get("kind", "")), str(event.payload.get("vendor_id", "")))
            step = waiting.by_key.get(key) or waiting.first
            assert step is not None
            step.added += event.type == "activity.added"
            step.changed += event.type != "activity.added"
            self.events.append(replace(event, correlation_id=step.told.delivery.correlation_id))
        for step in waiting.marks:
            if not await self._present(step):
                step.outcome = "early"

    async def _present(self, step: Step) -> bool:
        keys = [key for record in step.event.records if (key := _key(record)) is not None]
        kinds, ids = [kind for kind, _ in keys], [vendor_id for _, vendor_id in keys]
        assert step.holder is not None
        return bool(await self._tx.fetch_all(_PRESENT, (step.holder.id, kinds, ids)))


def _key(record: Any) -> _Key | None:
    return (record.kind, record.vendor_id) if isinstance(record, ActivityRecord) else None
