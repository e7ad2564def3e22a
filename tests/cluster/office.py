"""Connected accounts of one test, and what came of their syncs."""

from __future__ import annotations

from pathlib import Path

from sync.pull.integrations import Integrations
from sync.pull.runs import SyncRuns
from sync.wiring import Runtime
from tests.cluster.plugin import StagedPlatform

REGISTRY = {"staged": StagedPlatform()}
MAILS = StagedPlatform.PAGES * StagedPlatform.PAGE_SIZE


class Office:
    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self.folder = folder
        self.database = runtime.database
        self.runs = SyncRuns(runtime.database, runtime.signals, REGISTRY)
        self._integrations = Integrations(runtime.database, runtime.sealer, REGISTRY)

    async def connect(self, org_id: str = "acme") -> None:
        """An account that syncs only when triggered."""
        config = {"folder": str(self.folder)}
        await self._integrations.connect(org_id, "staged", "ada@example.test", config, {}, by="test")
        await self.database.execute("UPDATE sync_stream SET next_due_at = NULL")

    async def trigger(self, org_id: str = "acme") -> int:
        (run,) = await self.runs.trigger(org_id, "staged")
        return run.run_id

    async def state(self, run_id: int, org_id: str = "acme") -> str:
        return (await self.runs.show(org_id, run_id)).state

    async def done(self, run_id: int, org_id: str = "acme") -> bool:
        return await self.state(run_id, org_id) == "succeeded"

    async def stored(self, mails: int) -> bool:
        return (await self.counts())[0] == mails

    async def counts(self) -> tuple[int, int]:
        """Stored mails, and events about them."""
        row = await self.database.fetch_one(
            "SELECT (SELECT count(*) FROM mail_message) AS mails,"
            " (SELECT count(*) FROM event WHERE type = 'mail.received') AS events"
        )
        assert row is not None
        return row["mails"], row["events"]

    def shut(self, page: int) -> Path:
        door = self.folder / f"shut-{page}"
        door.touch()
        return door

    def at(self, page: int) -> set[int]:
        """Processes that have come to the door of this page."""
        return {int(path.name.rpartition("-")[2]) for path in self.folder.glob(f"at-{page}-*")}
