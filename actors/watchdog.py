"""Ends a process whose event loop stands still. Ray has no such probe: the actor would hold its name for ever."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import threading
import time
from collections.abc import Callable

EXIT_BLOCKED = 1


def dump_stacks(reason: str) -> None:
    """All threads' stacks to stderr, the actor's log file. Not by logging: the blocked thread may hold its lock."""
    os.write(2, f"{reason}\n".encode())
    faulthandler.dump_traceback(file=2, all_threads=True)


class Watchdog:
    """A thread that checks the loop's tick.

    limit_s: how long the loop may stand still. Both sides look four times in that span.
    A pause of the whole process (a suspended machine, SIGSTOP) also stops this thread, which sees that it overslept
    and gives the loop a full span from then on: a pause is not a blocked loop.
    """

    def __init__(
        self,
        limit_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        exit: Callable[[int], None] = os._exit,
        dump: Callable[[str], None] = dump_stacks,
    ) -> None:
        self._limit_s = limit_s
        self._every_s = limit_s / 4
        self._clock = clock
        self._exit = exit
        self._dump = dump
        self._ticked_at = self._checked_at = clock()
        self._stopped = threading.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call on the loop that is to be watched."""
        self._tick(loop)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def loop_age_s(self) -> float:
        """Seconds since the loop last ticked; up to a quarter of the limit when all is well."""
        return self._clock() - self._ticked_at

    def check(self) -> None:
        """One look. Ends the process when the loop has stood still for the limit."""
        now = self._clock()
        overslept = now - self._checked_at > self._limit_s
        self._checked_at = now
        if overslept:
            self._ticked_at = now
        elif now - self._ticked_at > self._limit_s:
            self._dump(f"The event loop has stood still for {now - self._ticked_at:.0f} s; ending this process.")
            self._exit(EXIT_BLOCKED)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticked_at = self._clock()
        if not self._stopped.is_set():
            loop.call_later(self._every_s, self._tick, loop)

    def _watch(self) -> None:
        while not self._stopped.wait(self._every_s):
            self.check()
