"""Our side of `actors.driver`: start one early, give it its order, follow its steps."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from actors.orders import Action, Order
from sync.base.errors import SyncError
from sync.base.settings import Settings


class Driver:
    """One process for one order. Its log is the place to look when it ends without a reason."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "actors.driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we end it when it is time
            )

    def carry_out(self, action: Action, address: str, settings: Settings) -> Iterator[str]:
        """Its steps, each when it is done. Errors: SyncError when it gives up."""
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):  # when it is gone already; its exit code says so below
            pickle.dump(Order(action, address, settings), self._process.stdin)
            self._process.stdin.close()
        for line in self._process.stdout:
            if not line.startswith(b"{"):
                continue  # not ours: libraries print, too
            said = json.loads(line)
            if "error" in said:
                raise SyncError(said["error"])
            yield said["done"]
        if self._process.wait() != 0:
            raise SyncError(
                f"The driver of the cluster ended with exit code {self._process.returncode}: see {self._log}"
            )

    def end(self) -> None:
        """Whatever it does, no more of it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
