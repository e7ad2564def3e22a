"""What the leading scheduler does itself. Cheap, frequent, and safe to repeat; all else goes through the queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sync.pull.runs import SyncRuns
from sync.signals import Signals
from sync.store.engine import Database

Duty = Callable[[], Awaitable[object]]

_BATCH = 500


def duties(database: Database, signals: Signals) -> Mapping[str, Duty]:
    """Kind -> what to do."""
    runs = SyncRuns(database, signals)

    async def enqueue_due() -> None:
        while await runs.enqueue_due(_BATCH) == _BATCH:
            pass

    return {"sync.enqueue_due": enqueue_due}
