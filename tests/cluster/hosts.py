"""An actor that hosts nothing but an event loop, to be teased."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from actors.base import HostActor, control
from sync.base.errors import LeaseLost
from sync.base.settings import Settings


class TeasedActor(HostActor):
    """Lives until told otherwise. Needs no database."""

    def __init__(self, settings: Settings, name: str, namespace: str) -> None:
        self._told = asyncio.Event()
        self._order = ""
        super().__init__(settings, name, namespace)

    @control
    async def tell(self, order: str) -> None:
        async def obey() -> None:
            self._order = order
            self._told.set()

        await self._on_main(obey())

    @control
    async def block(self, seconds: float) -> None:
        self._main_loop.call_soon_threadsafe(time.sleep, seconds)

    async def _open(self, stack: Any) -> Any:
        return None

    async def _serve(self, runtime: Any) -> None:
        await self._told.wait()
        match self._order:
            case "crash":
                raise RuntimeError("told to crash")
            case "lose the lease":
                raise LeaseLost("told so")

    async def _stop(self, timeout_s: float) -> None:
        self._told.set()
