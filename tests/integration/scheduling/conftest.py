from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sync.scheduling import Schedules
from sync.store.engine import Database
from tests.fakes.jobs import FakeRuntime, Stage, job_runtime, scripted


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def runtime(db: Database, stage: Stage) -> AsyncIterator[FakeRuntime]:
    kinds = [
        scripted(stage),
        # What the code's own schedules ask for:
        scripted(stage, "maintenance.purge", queue="maintenance", tenants=False),
        scripted(stage, "webhook.apply"),
        scripted(stage, "webhook.register", queue="maintenance", tenants=False),
    ]
    async with job_runtime(db, kinds) as runtime:
        yield runtime


@pytest.fixture
def schedules(runtime: FakeRuntime) -> Schedules:
    return Schedules(runtime.database, runtime.signals, runtime.catalogue, runtime.queue)
