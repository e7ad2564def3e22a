"""PostgreSQL goes away under a running sync and comes back."""

from __future__ import annotations

import asyncio

import psycopg
from pydantic import SecretStr

from sync.base.sealing import Sealer, new_key
from sync.base.settings import SecretsSettings
from sync.pull.integrations import SEALED
from sync.pull.model import ClaimedRun
from sync.pull.worker import ExitReason
from sync.store.resealing import reseal
from tests.integration.pull.conftest import ORG, Desk


async def test_cut_connections_cost_time_only(desk: Desk, pg_url: str) -> None:
    def cut(_run: ClaimedRun, number: int) -> None:
        if number in {2, 4}:
            with psycopg.connect(pg_url, autocommit=True) as connection:
                connection.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                )

    desk.platform.mails = 60
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    async with asyncio.timeout(30):
        while (await desk.runs.show(ORG, run.run_id)).state != "succeeded":
            await desk.run_now()
            assert await desk.worker(page_committed=cut).run_until_idle() is ExitReason.IDLE
    assert await desk.mails() == await desk.events("mail.received") == 60


async def test_credentials_move_to_a_new_key(desk: Desk) -> None:
    desk.platform.mails = 1
    await desk.connect("ada@example.test")
    await desk.connect("bob@example.test")
    old = desk.settings.secrets.keys["k1"]
    both = SecretsSettings(keys={"k1": old, "k2": SecretStr(new_key())}, current="k2")
    assert [await reseal(desk.database, Sealer(both), column) for column in SEALED] == [2]
    assert [await reseal(desk.database, Sealer(both), column) for column in SEALED] == [0]
    desk.sealer = Sealer(SecretsSettings(keys={"k2": both.keys["k2"]}, current="k2"))
    await desk.runs.trigger(ORG, "email", "messages")
    await desk.worker().run_until_idle()
    assert {run.state for run in await desk.runs.list(ORG)} == {"succeeded"}
