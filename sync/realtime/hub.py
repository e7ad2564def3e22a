"""Fans events out to the listeners of this process, lets them resume, and looks after them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from sync.base.errors import ConfigurationError, Transient
from sync.base.logs import get_logger
from sync.base.settings import RealtimeSettings
from sync.events import EventLog, LoggedEvent, Position
from sync.realtime.listener import Limits, Listener
from sync.realtime.protocol import (
    Close,
    Frame,
    event_message,
    failed,
    message,
    restarting,
    slow_consumer,
    token_expired,
    too_many_connections,
)
from sync.realtime.tail import Tail
from sync.realtime.topics import Selection, topic_of
from sync.signals import Signals
from sync.store.engine import Database

log = get_logger(__name__)

T = TypeVar("T")

_SWEEP_S = 1.0
_CATCHING_UP = 4
"""Listeners that read the log at a time: thousands that reconnect at once must leave the pool to requests."""
_PAGE = 500
_RETRY_S = 0.5
_UNKNOWN = 16
"""Connections that have not shown a token yet, or a fifth of all: strangers must not use up the places."""
_EXTENT = """
SELECT (SELECT min(id) FROM event) AS oldest, CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS newest
FROM event_id_seq"""


class Refused(Exception):
    """The connection cannot be served."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.detail)
        self.close = close


class _Reset(Exception):
    """The client cannot continue from its cursor."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _TooFar(Exception):
    """A listener would have to read more than anybody should."""


class Hub:
    """One per process. Every method belongs to its event loop."""

    def __init__(
        self,
        database: Database,
        signals: Signals,
        settings: RealtimeSettings,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._database = database
        self._now = now
        self._tail = Tail(database, signals, self._deliver, lambda: bool(self._listeners), poll_s=settings.poll_s)
        self._limits = Limits(settings.buffer_messages, settings.buffer_bytes)
        self._listeners: dict[str, set[Listener]] = {}
        self._connections = 0
        self._of_org: Counter[str] = Counter()
        self._max_unknown = max(_UNKNOWN, settings.max_connections // 5)
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)
        self._sweeper: asyncio.Task[None] | None = None
        self._behind: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def connections(self) -> int:
        return self._connections

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Around a connection, from before it is known whose it is. Errors: Refused."""
        if self._draining:
            raise Refused(restarting())
        unknown = self._connections - self._of_org.total()
        if self._connections >= self.settings.max_connections or unknown >= self._max_unknown:
            raise Refused(too_many_connections("This server holds as many connections as it may. Try again later."))
        self._connections += 1
        try:
            yield
        finally:
            self._connections -= 1

    def enter(self, org_id: str, user: str, expires_at: float) -> Listener:
        """A listener that wants nothing yet; `leave` has to follow. Errors: Refused."""
        if self._draining:
            raise Refused(restarting())
        if self._of_org[org_id] >= self.settings.max_per_org:
            raise Refused(too_many_connections(f"Your org holds {self._of_org[org_id]} connections here. Close some."))
        self._of_org[org_id] += 1
        listener = Listener(org_id, user, expires_at, self._limits)
        listener.pinged_at = self._now()
        self._listeners.setdefault(org_id, set()).add(listener)
        self._tail.start()
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="realtime.sweep")
        return listener

    def leave(self, listener: Listener) -> None:
        listener.close(restarting())
        listeners = self._listeners[listener.org_id]
        listeners.discard(listener)
        if not listeners:
            del self._listeners[listener.org_id]
        self._of_org[listener.org_id] -= 1
        self._of_org += Counter()  # forgets orgs without any
        if not self._listeners:
            self._tail.look()

    async def close(self) -> None:
        """Tell everybody to go elsewhere, and stop."""
        self._draining = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close(restarting())
        await self._tail.stop()
        for task in self._behind:
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def join(self, listener: Listener, selection: Selection, cursor: str | None) -> None:
        """Begin to deliver what is wanted: what follows the cursor, or what happens from now on."""
        await self._tail.started()
        listener.hold()
        listener.selection = selection
        try:
            position = self._tail.position if cursor is None else await self._known(cursor)
            listener.push(message("subscribed", topics=selection.topics, cursor=str(position)))
        except _Reset as reset:
            position = await self._reset(listener, reset)
        while True:
            listener.after = position.id
            try:
                return await self._catch_up(listener, position)
            except _TooFar:
                detail = f"More than {self.settings.replay_limit} events have happened since."
                position = await self._reset(listener, _Reset("too-far-behind", detail))

    def reselect(self, listener: Listener, selection: Selection) -> None:
        """Deliver something else from now on."""
        listener.selection = selection
        cursor = str(self._tail.position) if listener.live else None
        listener.push(message("subscribed", topics=selection.topics, cursor=cursor))

    async def _known(self, cursor: str) -> Position:
        """Errors: _Reset when events after the cursor are gone, or it never was one."""
        try:
            position = Position.parse(cursor)
        except ConfigurationError as error:
            raise _Reset("cursor-unknown", "This is not a cursor of this log.") from error
        if position == self._tail.position:
            return position
        extent = await _patiently(lambda: self._database.fetch_one(_EXTENT))
        assert extent is not None
        oldest, newest = extent["oldest"], extent["newest"]
        if position.id > newest:
            raise _Reset("cursor-unknown", "This log has not come that far: it was restored, or is another one.")
        if (newest + 1 if oldest is None else oldest) > position.id + 1:
            raise _Reset("cursor-expired", "Events after this cursor are not kept any more.")
        return position

    async def _catch_up(self, listener: Listener, position: Position) -> None:
        left = self.settings.replay_limit
        while listener.closed is None:
            listener.hold()
            upto = self._tail.position  # what comes live is above it
            async for events in self._between(listener, position, upto):
                left -= len(events)
                if left < 0:
                    raise _TooFar
                for event in events:
                    topic = topic_of(event.type)
                    if topic is not None and listener.selection.wants(topic, event, listener.user):
                        await listener.room()
                        listener.push(event_message(topic, event))
            position = max(position, upto)
            if await listener.release():
                return

    async def _between(
        self, listener: Listener, position: Position, upto: Position
    ) -> AsyncIterator[Sequence[LoggedEvent]]:
        def page() -> Awaitable[tuple[list[LoggedEvent], Position]]:
            return EventLog.read(self._database, position, limit=_PAGE, org_id=listener.org_id, horizon=upto)

        while position < upto and listener.closed is None:
            async with self._catching_up:
                events, position = await _patiently(page)
            if events:
                yield events

    async def _reset(self, listener: Listener, reset: _Reset) -> Position:
        """Say that events are missing; the position from which none will be."""
        await listener.room()
        position = self._tail.position
        detail = f"{reset.detail} Read anew what you show, and go on from here."
        listener.push(message("reset", cursor=str(position), reason=reset.reason, detail=detail))
        return position

    def _deliver(self, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            frame: Frame | None = None
            for listener in self._listeners.get(event.org_id, ()):
                topic = topic_of(event.type)
                if topic is None:
                    break
                if event.id > listener.after and listener.selection.wants(topic, event, listener.user):
                    frame = frame or event_message(topic, event)
                    if not listener.offer(frame):
                        self._fall_behind(listener, Position(event.id - 1))

    def _fall_behind(self, listener: Listener, position: Position) -> None:
        """Events came faster than the client takes them: from here on it reads them itself, at its own pace."""
        listener.fall_behind()
        task = asyncio.create_task(self._keep_up(listener, position), name="realtime.behind")
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _keep_up(self, listener: Listener, position: Position) -> None:
        try:
            await self._catch_up(listener, position)
        except _TooFar:
            listener.close(slow_consumer())
        except Exception:
            log.exception("realtime.bug")
            listener.close(failed())

    async def _sweep(self) -> None:
        try:
            while self._listeners:
                await asyncio.sleep(_SWEEP_S)
                self.sweep()
        finally:
            self._sweeper = None

    def sweep(self) -> None:
        """End those whose token has expired; show the others that the connection lives, and how far the log is."""
        now = self._now()
        with_cursor = message("ping", cursor=str(self._tail.position))
        without = message("ping")
        for listeners in self._listeners.values():
            for listener in listeners:
                if listener.expires_at <= now:
                    listener.close(token_expired())
                elif now - listener.pinged_at >= self.settings.heartbeat_s:
                    listener.pinged_at = now
                    listener.push(with_cursor if listener.live else without)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """The result of reading, however long PostgreSQL is away: the client waits, or leaves."""
    while True:
        try:
            return await work()
        except Transient:
            await asyncio.sleep(_RETRY_S)
