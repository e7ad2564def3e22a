"""`syncctl` as an operator has it: a process of its own, with a home and free ports of its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

from sync.cli.home import Home
from tests.services import free_port

ROOT = Path(__file__).parents[1]
_PR_CAPBSET_DROP = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def _give_up_passing_over() -> None:
    # From the bounding set: root gets every capability of it anew with the program that follows.
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH) if os.geteuid() == 0 else ():
        if ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError("This root may not give up rights.")


class Syncctl:
    def __init__(self, home: Path, **environment: str) -> None:
        self.home = Home(home)
        self.port, self.dashboard_port = free_port(), free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYNC_", "RAY_"))}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "SYNC_HOME": str(home),
            "SYNC_HTTP__PORT": str(self.port),
            "SYNC_RAY__DASHBOARD_PORT": str(self.dashboard_port),
            **environment,
        }

    def __call__(
        self, *arguments: str, timeout_s: float = 100, ordinary: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`ordinary`: without root's right to pass over permissions of files."""
        return subprocess.run(
            preexec_fn=_give_up_passing_over if ordinary else None,
            args=self.command(*arguments),
            env={**self.environment, **environment},
            cwd=self.home.path.parent,  # nothing may depend on where it is called
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "sync.cli.main", *arguments]

    def forget(self) -> None:
        """What a home leaves outside of itself."""
        shutil.rmtree(self.home.run_directory, ignore_errors=True)
