"""The whole module at a glance: every job kind, with its handler and its limits."""

from __future__ import annotations

from sync.base.sealing import Sealer
from sync.base.settings import Settings
from sync.jobs.catalogue import JobKind
from sync.store.engine import Database


def build_catalogue(settings: Settings, database: Database, sealer: Sealer) -> list[JobKind]:
    """All kinds, bound to the collaborators of this process."""
    return []
