"""The pieces of `syncctl up --demo`: the simulator as a child, accounts through the API, and what excludes it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from sync.base.errors import ConfigurationError
from sync.base.settings import HttpSettings, Settings
from sync.cli.demo import ORG, Demo, rest
from sync.cli.home import Home
from sync.cli.mailbox import Mailbox
from sync.cli.simulated import Simulator, now
from sync.pull.integrations import Integrations
from sync.pull.model import Integration
from sync.store.engine import Database
from sync.wiring import open_runtime
from tests.integration.api.conftest import settings_for
from tests.integration.api.test_server import running
from tests.services import free_port

PLATFORMS = {"email", "facebook", "slack"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "var")
    home.prepare()
    return home


@pytest.fixture
def settings(pg_url: str) -> Settings:
    return settings_for(pg_url)


async def begin(home: Home, settings: Settings) -> dict[str, str]:
    """Start a demo, connect its accounts, stop it; what became of each platform."""
    demo = Demo(home, settings)
    try:
        led = await asyncio.to_thread(demo.start, settings)
        async with running(led) as port:
            return await asyncio.to_thread(demo.connect, f"http://127.0.0.1:{port}")
    finally:
        demo.stop()


async def accounts(settings: Settings) -> list[Integration]:
    async with open_runtime(settings, application="test") as runtime:
        return list(await Integrations(runtime.database, runtime.sealer).list(ORG))


async def test_every_start_connects_the_same_accounts(home: Home, settings: Settings) -> None:
    found = await begin(home, settings)
    assert {platform for platform, what in found.items() if what.startswith("connected")} >= PLATFORMS
    before = await accounts(settings)

    assert await asyncio.to_thread(rest, settings, home) == len(before)
    assert {item.state for item in await accounts(settings)} == {"paused"}

    assert await begin(home, settings) == found
    after = await accounts(settings)
    assert [(item.id, item.account, item.state) for item in after] == [
        (item.id, item.account, "active") for item in before
    ]


async def test_the_simulated_vendors_call_the_demos_own_address(home: Home, settings: Settings, db: Database) -> None:
    port = free_port()
    settings = settings.model_copy(update={"http": HttpSettings(port=port)})
    demo = Demo(home, settings)
    try:
        led = await asyncio.to_thread(demo.start, settings)
        async with running(led, port):
            async with asyncio.timeout(120):
                while not await db.fetch_value("SELECT count(*) FROM webhook_delivery WHERE platform = 'slack'"):
                    await asyncio.sleep(0.1)
    finally:
        demo.stop()


async def test_a_home_without_demo_is_left_alone(home: Home, settings: Settings) -> None:
    assert await asyncio.to_thread(rest, settings, home) == 0


async def test_it_refuses_to_look_for_real_accounts_at_the_simulator(
    home: Home, settings: Settings, db: Database
) -> None:
    await db.execute("INSERT INTO integration (org_id, platform, account) VALUES ('acme', 'slack', 'T1')")
    demo = Demo(home, settings)
    with pytest.raises(ConfigurationError, match="accounts of acme"):
        await asyncio.to_thread(demo.start, settings)
    assert demo.address == ""
    assert not (home.path / "demo.json").exists()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path / "log", vendors=["slack"], seed=7, start=now())
    simulator.start()
    yield simulator
    simulator.stop()


def test_it_comes_back_at_the_same_address(simulator: Simulator) -> None:
    before = simulator.consent("slack")
    simulator.stop()
    assert not simulator.alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(simulator.base_url)
    simulator.start()
    after = simulator.consent("slack")
    assert (after.url, after.account, after.app) == (before.url, before.account, before.app)


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sync.cli.simulated import Simulator, now;"
        "simulator = Simulator(Path(sys.argv[1]), vendors=['slack'], seed=7, start=now());"
        "simulator.start(); print(simulator._process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin and parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    try:
        child.wait(10)
    except psutil.TimeoutExpired:
        child.kill()
        raise


def test_a_mailbox_starts_whatever_its_password_begins_with(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "mailbox.log")
    mailbox.password = "-like-an-option"
    try:
        mailbox.start()
        assert mailbox.alive()
    finally:
        mailbox.stop()
