"""Follows the end of the event log for one process, as long as somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from sync.base.errors import Transient
from sync.base.logs import get_logger
from sync.events import EventLog, LoggedEvent, Position
from sync.events.outbox import TOPIC
from sync.signals import Signals
from sync.store.engine import Database

log = get_logger(__name__)

_BATCH = 1000
_GAP_S = 0.02
"""Least time between two looks: under a steady stream of commits fifty a second are enough."""
_RETRY_S = 0.5
# Ids that were drawn and never used lie below the horizon, too. A position at one of them might be given out again
# after a crash of the server; that of an event stays.
_LAST = "SELECT coalesce(max(id), 0) FROM event WHERE id <= (SELECT sync_event_horizon())"

Deliver = Callable[[Sequence[LoggedEvent]], None]


class Tail:
    """`position` is that of the last event delivered; it is known once `started()` returns."""

    def __init__(
        self,
        database: Database,
        signals: Signals,
        deliver: Deliver,
        wanted: Callable[[], bool],
        *,
        poll_s: float,
    ) -> None:
        self._database = database
        self._signals = signals
        self._deliver = deliver
        self._wanted = wanted
        self._poll_s = poll_s
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._away = False
        self.position = Position()

    def start(self) -> None:
        """Run until nobody listens any more. Safe to repeat."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="realtime.tail")

    async def started(self) -> None:
        await self._ready.wait()

    def look(self) -> None:
        """Look now: for events, and whether anybody listens."""
        self._wake.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        unsubscribe = self._signals.subscribe(TOPIC, lambda _orgs: self._wake.set())
        try:
            while self._wanted():
                await self._look_and_wait()
        finally:  # nothing is awaited from the last question on: whoever comes now finds it stopped, and starts it
            unsubscribe()
            self._ready.clear()
            self._task = None

    async def _look_and_wait(self) -> None:
        pause_s, least_s = self._poll_s, _GAP_S
        self._wake.clear()
        try:
            await self.step()
            self._away = False
        except Exception as error:
            if not self._away:
                log.warning("realtime.waiting", error=str(error), exc_info=not isinstance(error, Transient))
            self._away = True
            pause_s = least_s = _RETRY_S
        await asyncio.sleep(least_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause_s)

    async def step(self) -> None:
        """Deliver everything that is there now."""
        if not self._ready.is_set():
            self.position = Position(int(await self._database.fetch_value(_LAST)))
            self._ready.set()
        async with self._database.transaction() as tx:  # one connection for both questions
            horizon = await EventLog.end(tx)
            while self.position < horizon:
                events, _ = await EventLog.read(tx, self.position, limit=_BATCH, horizon=horizon)
                if not events:
                    return
                self._deliver(events)
                self.position = Position(events[-1].id)
                if len(events) < _BATCH:
                    return
