"""Processes that import little."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from actors.lean import nothing_collected, without


def test_what_is_hidden_cannot_be_imported_meanwhile() -> None:
    sys.modules.pop("this", None)
    with without("this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules


def test_what_is_there_already_stays() -> None:
    with without("gc"):
        import gc as again
    assert again is gc


def test_collection_goes_on_afterwards() -> None:
    with nothing_collected():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()


def test_a_sync_actor_loads_neither_the_queue_nor_other_platforms() -> None:
    """What it imports decides how long it takes to start."""
    program = """
import actors.sync_workers, sync.wiring, sys
from sync.pull.worker import SyncWorker
from connectors.registry import PLATFORMS
PLATFORMS["slack"]
unwanted = ["fastapi", "sqlalchemy", "pydantic_settings", "rich", "click", "redis", "sync.catalogue", "sync.jobs.queue",
            "connectors.facebook.connector", "connectors.imap.connector", "aioimaplib", "cryptography.x509"]
print(sorted(set(unwanted) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
