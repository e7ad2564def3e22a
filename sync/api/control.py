"""The way from the API to actors, without knowing Ray.

Nothing depends on a call arriving: what it hints at stands in PostgreSQL already, and whoever serves it looks there
by itself before long. So callers never wait, and a lost call is a log line.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from sync.api.units import Units
from sync.base.logs import get_logger

log = get_logger(__name__)

Pair = tuple[str, str]
"""Org and platform: what one sync actor serves."""


class Control(Protocol):
    async def nudge_sync(self, org_id: str, platform: str) -> None:
        """Let the sync actor of the pair look for runs now; have it created when there is none."""
        ...


class NoControl:
    """For processes without actors: everything starts at the next poll."""

    async def nudge_sync(self, org_id: str, platform: str) -> None:
        pass


class Nudger:
    """Fires nudges after a commit, never awaited: one at a time per pair, each cut off after `timeout_s`."""

    def __init__(self, control: Control, units: Units, timeout_s: float = 2.0) -> None:
        self._control = control
        self._units = units
        self._timeout_s = timeout_s
        self._under_way: dict[Pair, bool] = {}
        """Pair -> whether another nudge came meanwhile: the one under way may have looked before its row."""

    def sync(self, org_id: str, platform: str) -> None:
        pair = (org_id, platform)
        if pair in self._under_way:
            self._under_way[pair] = True
            return
        self._under_way[pair] = False
        self._units.spawn(self._nudge(pair))

    async def _nudge(self, pair: Pair) -> None:
        wanted = True
        while wanted:
            self._under_way[pair] = False
            try:
                await asyncio.wait_for(self._control.nudge_sync(*pair), self._timeout_s)
            except Exception as error:
                reason = str(error) or type(error).__name__
                log.info("control.nudge_lost", org_id=pair[0], platform=pair[1], error=reason)
            wanted = self._under_way[pair]
        del self._under_way[pair]
