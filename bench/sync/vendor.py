"""The simulated vendor: Discord in a process of its own, with one server whose one channel holds 100,000 messages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.common import ROOT, cpu_seconds

PLATFORM = "discord"
PAGE = 100
"""Discord hands out no more at a time, and our connector asks for as many."""
_AGENT = "DiscordBot (https://appengine.example/sync, 1.0)"


@dataclass(frozen=True)
class Channel:
    """Where the messages are and what opens it: all that a client has to know."""

    account: str
    credentials: dict[str, Any]
    url: str
    """The vendor's base URL."""
    path: str
    headers: dict[str, str]
    records: int


class Vendor:
    """No latency, no refusals: limits are counted only."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "simulator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--vendors", PLATFORM, "--scale", "bench", "--no-limits", "--tethered"]
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "simulator", *options],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().decode().strip()
        if not self.base_url.startswith("http://"):
            raise RuntimeError(f"The simulator did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    @property
    def cpu_s(self) -> float:
        assert self._process is not None
        return cpu_seconds([self._process.pid])

    def connect(self) -> Channel:
        """As after somebody added our bot to the huge server."""
        with httpx.Client(base_url=f"{self.base_url}/_control/{PLATFORM}", timeout=60) as control:
            accounts = control.get("/accounts").json()["accounts"]
            big = next(account for account in accounts if account["big"])
            credentials = control.post("/connect", json={"account": big["id"]}).json()
        ((feed, records),) = big["feeds"].items()
        number = feed.partition(":")[2]
        return Channel(
            account=big["id"],
            credentials=credentials,
            url=f"{self.base_url}/{PLATFORM}",
            path=f"/api/v10/channels/{number}/messages",
            headers={"Authorization": f"Bot {credentials['access_token']}", "User-Agent": _AGENT},
            records=records,
        )
