from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.syncctl import Syncctl


@pytest.fixture
def syncctl(tmp_path: Path) -> Iterator[Syncctl]:
    """The command, for a home in which nothing runs."""
    command = Syncctl(tmp_path / "var")
    yield command
    command.forget()
