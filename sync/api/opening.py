"""Opens the runtime of a serving process, however long PostgreSQL takes.

A process that starts while the database is away serves all the same: it answers 503 and says why until the database
is back. Ending instead would leave the restart to others, who give up after some tries.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from fastapi import FastAPI

from sync.api.control import Control
from sync.api.services import ApiRuntime, Services
from sync.base.errors import Transient
from sync.base.logs import get_logger

log = get_logger(__name__)

RuntimeFactory = Callable[[], AbstractAsyncContextManager[ApiRuntime]]

MAX_PAUSE_S = 5.0


class Opening:
    """From `start` to `close`, `app.state.services` is there or on its way."""

    def __init__(self, app: FastAPI, factory: RuntimeFactory, control: Control) -> None:
        self._app = app
        self._factory = factory
        self._control = control
        self._stack = AsyncExitStack()
        self._retries: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """One try; further ones happen in the background. Errors: all but Transient."""
        try:
            await self._open()
        except Transient as error:
            log.warning("api.waiting", error=str(error))
            self._retries = asyncio.create_task(self._open_later(), name="api.opening")

    async def close(self) -> None:
        if self._retries is not None:
            self._retries.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._retries
        await self._stack.aclose()

    async def _open(self) -> None:
        runtime = await self._stack.enter_async_context(self._factory())
        services = Services(runtime, self._control)
        self._stack.push_async_callback(services.close)
        self._app.state.services = services
        log.info("api.ready")

    async def _open_later(self) -> None:
        pause_s = 0.5
        while True:
            await asyncio.sleep(pause_s)
            try:
                return await self._open()
            except Exception as error:
                log.warning("api.waiting", error=str(error), exc_info=not isinstance(error, Transient))
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
