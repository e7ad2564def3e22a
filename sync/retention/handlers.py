"""The kind `maintenance.purge`."""

from __future__ import annotations

import msgspec

from sync.base.errors import Permanent
from sync.base.ids import SYSTEM_ORG
from sync.base.settings import Settings
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.maintenance import maintain
from sync.retention.purge import Purge
from sync.store.engine import Database


class PurgeArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose: the settings say how long things are kept."""


def retention_kinds(database: Database, settings: Settings) -> list[JobKind]:
    """The kinds of this package, for the catalogue."""

    async def maintenance_purge(args: PurgeArgs, ctx: JobContext) -> None:
        if ctx.job.org_id != SYSTEM_ORG:
            raise Permanent("maintenance.purge cleans up for everybody and belongs to the system.")
        await maintain(database, settings.queue)
        await Purge(database, settings.retention).run()

    return [
        JobKind(
            kind="maintenance.purge",
            args=PurgeArgs,
            handler=maintenance_purge,
            queue="maintenance",
            priority=3,
            max_attempts=5,
            timeout_s=1800,
            unique=lambda _args: "purge",
            tenants=False,
            description="Remove history, events, ended runs and ticks that are older than the settings keep them.",
        )
    ]
