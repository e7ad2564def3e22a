"""Events of the life of a run."""

from __future__ import annotations

from typing import Any

from sync.events import Event
from sync.pull.model import ClaimedRun

WATCHED = frozenset({"manual", "backfill"})
"""Triggers behind which a person waits: their runs are told of from the queue on. The others come every few seconds,
and are told of when they bring something or fail."""


def run_event(run: ClaimedRun, name: str, **detail: Any) -> Event:
    payload = {
        "run_id": run.id,
        "integration_id": run.integration_id,
        "platform": run.platform,
        "sync_type": run.sync_type,
        "trigger": run.trigger,
        **detail,
    }
    return Event(run.org_id, name, run.subject, payload)


def row_event(row: dict[str, Any], name: str, **detail: Any) -> Event:
    """The same of a row of `sync_run`."""
    payload = {
        "run_id": row["id"],
        "integration_id": row["integration_id"],
        "platform": row["platform"],
        "sync_type": row["sync_type"],
        "trigger": row["trigger"],
        **detail,
    }
    return Event(row["org_id"], name, f"integration:{row['integration_id']}", payload)
