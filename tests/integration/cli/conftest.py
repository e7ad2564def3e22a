from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.base.sealing import new_key
from sync.cli.home import Home
from tests.syncctl import Syncctl


@pytest.fixture
def syncctl(tmp_path: Path) -> Iterator[Syncctl]:
    """The command, for a home in which nothing runs."""
    command = Syncctl(tmp_path / "var")
    yield command
    command.forget()


@pytest.fixture
def cli_environment(pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For commands that run in this process: the test's database, and a home of their own in which nothing runs."""
    monkeypatch.setenv("SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYNC_STORE__URL", pg_url)
    monkeypatch.setenv("SYNC_STORE__LISTEN", "false")
    monkeypatch.setenv("SYNC_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("SYNC_SECRETS__KEYS", json.dumps({"k1": new_key()}))
    monkeypatch.setenv("COLUMNS", "200")
    yield
    shutil.rmtree(Home(tmp_path / "home").run_directory, ignore_errors=True)
