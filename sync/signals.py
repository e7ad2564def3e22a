"""Wake-up hints between processes. They may be lost: whoever waits for one also looks by itself once a second.

`publish` never blocks and never raises; what is published within a few milliseconds on one topic goes out as one
message (leading edge at once, then at most one per `_GAP_S`), so a burst of enqueues wakes workers once.
Two transports: Redis pub/sub, and PostgreSQL NOTIFY on a connection of its own, outside any enqueuing transaction
(a transaction with a pending NOTIFY takes a database-wide lock at commit).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import psycopg

from sync.base.logs import get_logger

log = get_logger(__name__)

Callback = Callable[[list[str]], None]

_GAP_S = 0.005
"""Least time between two messages on one topic from one process."""
_MAX_ITEMS = 200
"""More items than this become an empty list: "look at everything". Keeps a NOTIFY under its 8,000 bytes."""
_MAX_BYTES = 7000
_SEND_TIMEOUT_S = 2.0


class Message(msgspec.Struct):
    t: str
    p: list[str]


class Transport(Protocol):
    """Carries encoded messages; delivers what it receives to `deliver`."""

    async def start(self, deliver: Callable[[bytes | str], None]) -> None: ...
    async def send(self, message: bytes) -> None: ...
    async def close(self) -> None: ...


class Signals:
    """One per process. Also delivers a process's own messages to its own subscribers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._subscribers: dict[str, list[Callback]] = {}
        self._pending: dict[str, dict[str, None] | None] = {}  # None: everything
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._transport.start(self._deliver)
        self._task = asyncio.create_task(self._send_loop(), name="signals")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self._flush()
        await self._transport.close()

    def publish(self, topic: str, *items: str) -> None:
        """Hint that something happened on `topic`; no items means "look at everything"."""
        known = self._pending.get(topic, {})
        if not items or known is None:
            self._pending[topic] = None
        else:
            known.update(dict.fromkeys(items))
            self._pending[topic] = known if len(known) <= _MAX_ITEMS else None
        self._wake.set()

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Call `callback(items)` on this process's loop for every message; returns the way to stop that."""
        self._subscribers.setdefault(topic, []).append(callback)
        return lambda: self._subscribers[topic].remove(callback)

    def _deliver(self, raw: bytes | str) -> None:
        try:
            message = msgspec.json.decode(raw, type=Message)
        except msgspec.MsgspecError:
            log.warning("signal.unreadable", size=len(raw))
            return
        for callback in list(self._subscribers.get(message.t, ())):
            try:
                callback(message.p)
            except Exception as error:  # a message of another make must not end the connection that brought it
                log.warning("signal.refused", topic=message.t, error=str(error))

    async def _send_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._flush()
            await asyncio.sleep(_GAP_S)

    async def _flush(self) -> None:
        pending, self._pending = self._pending, {}
        for topic, items in pending.items():
            message = msgspec.json.encode(Message(topic, list(items or ())))
            if len(message) > _MAX_BYTES:
                message = msgspec.json.encode(Message(topic, []))
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._transport.send(message)
            except Exception as error:  # a lost hint costs a second of latency, an error here would cost the caller
                log.warning("signal.lost", topic=topic, error=str(error))


class LocalTransport:
    """Within one process only: for tests and one-shot commands."""

    async def start(self, deliver: Callable[[bytes | str], None]) -> None:
        self._deliver = deliver

    async def send(self, message: bytes) -> None:
        self._deliver(message)

    async def close(self) -> None:
        pass


class RedisTransport:
    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._channel = f"{prefix}:signals"
        self._reader: asyncio.Task[None] | None = None
        self._client: Any = None

    async def start(self, deliver: Callable[[bytes | str], None]) -> None:
        from redis.asyncio import Redis

        self._client = Redis.from_url(self._url, socket_connect_timeout=2, socket_timeout=None, health_check_interval=0)
        subscribed = asyncio.Event()
        self._reader = asyncio.create_task(self._read(deliver, subscribed), name="signals.redis")
        with contextlib.suppress(
            TimeoutError
        ):  # Redis may be down: then the reader goes on trying, and polls do the work
            await asyncio.wait_for(subscribed.wait(), 2)

    async def send(self, message: bytes) -> None:
        await self._client.publish(self._channel, message)

    async def close(self) -> None:
        await _stop(self._reader)
        if self._client is not None:
            await self._client.aclose()

    async def _read(self, deliver: Callable[[bytes | str], None], subscribed: asyncio.Event) -> None:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._channel)
                    subscribed.set()
                    while True:
                        message = await pubsub.get_message(timeout=None)
                        if message is not None:
                            deliver(message["data"])
            except Exception as error:
                log.warning("signals.disconnected", transport="redis", error=str(error))
                await asyncio.sleep(1)


class PostgresTransport:
    """NOTIFY and LISTEN on two connections that bypass any PgBouncer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._sender: psycopg.AsyncConnection[Any] | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, deliver: Callable[[bytes | str], None]) -> None:
        listening = asyncio.Event()
        self._reader = asyncio.create_task(self._read(deliver, listening), name="signals.postgres")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listening.wait(), 5)

    async def send(self, message: bytes) -> None:
        known = self._sender is not None
        try:
            await self._send(message)
        except psycopg.OperationalError:
            if not known:
                raise
            await self._send(message)  # the server had closed a connection that lay idle

    async def _send(self, message: bytes) -> None:
        if self._sender is None or self._sender.closed:
            self._sender = await self._connect()
        try:
            await self._sender.execute("SELECT pg_notify('sync', %s)", (message.decode(),))
        except BaseException:
            sender, self._sender = self._sender, None
            await sender.close()
            raise

    async def close(self) -> None:
        await _stop(self._reader)
        if self._sender is not None:
            await self._sender.close()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            application_name="sync.signals",
            options="-c synchronous_commit=off",
            connect_timeout=5,
        )

    async def _read(self, deliver: Callable[[bytes | str], None], listening: asyncio.Event) -> None:
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute("LISTEN sync")
                    listening.set()
                    await _listen(connection, deliver)
            except psycopg.Error as error:
                log.warning("signals.disconnected", transport="postgres", error=str(error))
            await asyncio.sleep(1)


async def _listen(connection: psycopg.AsyncConnection[Any], deliver: Callable[[bytes | str], None]) -> None:
    """Deliver until the connection fails: psycopg.OperationalError.

    Not `connection.notifies()`: that wakes ten times a second in every process, a tenth of what all of Sync may use
    when idle.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    socket = connection.fileno()
    loop.add_reader(socket, readable.set)
    try:
        while True:
            while (notice := connection.pgconn.notifies()) is not None:
                deliver(notice.extra)
            await readable.wait()
            readable.clear()
            connection.pgconn.consume_input()
    finally:
        loop.remove_reader(socket)


async def _stop(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
