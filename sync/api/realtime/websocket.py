"""One WebSocket: who it is, what it asks for, and the way of the events to it."""

from __future__ import annotations

import asyncio
import contextlib
import time

from fastapi import WebSocket, WebSocketDisconnect

from sync.api.auth import Principal, TokenVerifier
from sync.api.realtime.failure import end_on_failure
from sync.api.realtime.identity import SUBPROTOCOL, check_address, identify, token_in
from sync.base.logs import get_logger
from sync.realtime import Close, Hub, Listener, Refused
from sync.realtime.protocol import (
    Auth,
    Frame,
    Ping,
    Request,
    Subscribe,
    bad_message,
    forbidden,
    message,
    parse,
    slow_consumer,
    token_required,
    too_many_messages,
)
from sync.realtime.topics import TOPICS, Selection

log = get_logger(__name__)

_FAREWELL_S = 2.0
"""For the last message and the closing frame: a peer that takes nothing is left without them."""


class Session:
    def __init__(self, websocket: WebSocket, hub: Hub, verifier: TokenVerifier) -> None:
        self._websocket = websocket
        self._hub = hub
        self._verifier = verifier
        self._meter = Meter(hub.settings.messages_per_minute)
        self._joining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """To the end of the connection, whoever ends it."""
        with contextlib.suppress(WebSocketDisconnect):
            close = await self._serve()
            if close is not None:
                await farewell(self._websocket, close)

    async def _serve(self) -> Close | None:
        """Why we end it. None: the client did."""
        subprotocols = self._websocket.scope.get("subprotocols", [])
        await self._websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in subprotocols else None)
        try:
            with self._hub.admitted():
                return await self._listen(await self._identify(subprotocols))
        except Refused as refused:
            return refused.close

    async def _listen(self, who: Principal) -> Close | None:
        listener = self._hub.enter(who.org_id, who.subject, who.expires_at)
        try:
            listener.push(self._ready(who))
            return await self._exchange(listener)
        finally:
            self._hub.leave(listener)

    def _ready(self, who: Principal) -> Frame:
        return message(
            "ready",
            org=who.org_id,
            user=who.subject,
            expires=int(who.expires_at),
            heartbeat=self._hub.settings.heartbeat_s,
            topics=list(TOPICS),
        )

    async def _identify(self, subprotocols: list[str]) -> Principal:
        check_address(self._websocket.query_params)
        token = token_in(self._websocket.headers.get("authorization"), subprotocols)
        if token is None:
            try:
                async with asyncio.timeout(self._hub.settings.auth_timeout_s):
                    first = await self._receive()
            except TimeoutError:
                raise Refused(token_required()) from None
            if not isinstance(first, Auth):
                raise Refused(bad_message('The first message has to be {"op": "auth", "token": "<JWT>"}.'))
            token = first.token
        return await identify(self._verifier, token)

    async def _exchange(self, listener: Listener) -> Close | None:
        reading = asyncio.create_task(self._read(listener))
        writing = asyncio.create_task(self._write(listener))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [task for task in (reading, writing, self._joining) if task is not None]
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result
        return listener.closed

    async def _read(self, listener: Listener) -> None:
        while True:
            try:
                await self._handle(await self._receive(), listener)
            except Refused as refused:
                return listener.close(refused.close)

    async def _handle(self, request: Request, listener: Listener) -> None:
        if isinstance(request, Subscribe):
            self._subscribe(request, listener)
        elif isinstance(request, Ping):
            listener.push(message("pong"))
        elif isinstance(request, Auth):
            await self._renew(request.token, listener)

    def _subscribe(self, request: Subscribe, listener: Listener) -> None:
        try:
            selection = Selection(request.filters)
        except ValueError as error:
            raise Refused(bad_message(str(error))) from error
        if self._joining is None:
            self._joining = asyncio.create_task(self._hub.join(listener, selection, request.cursor))
            self._joining.add_done_callback(lambda task: end_on_failure(task, listener))
        elif request.cursor is not None:
            raise Refused(bad_message("A cursor belongs to the first subscription of a connection."))
        else:
            self._hub.reselect(listener, selection)

    async def _renew(self, token: str, listener: Listener) -> None:
        fresh = await identify(self._verifier, token)
        if (fresh.org_id, fresh.subject) != (listener.org_id, listener.user):
            raise Refused(forbidden("The new token is somebody else's. Open another connection for it."))
        listener.expires_at = fresh.expires_at
        listener.push(message("authenticated", expires=int(fresh.expires_at)))

    async def _receive(self) -> Request:
        """Errors: WebSocketDisconnect; Refused."""
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code") or 1005)
        text = event.get("text") or event.get("bytes") or ""
        if len(text) > self._hub.settings.max_message_bytes:
            raise Refused(bad_message(f"A message may have {self._hub.settings.max_message_bytes} bytes at most."))
        if not self._meter.allows():
            raise Refused(too_many_messages())
        try:
            return parse(text)
        except ValueError as error:
            raise Refused(bad_message(str(error))) from error

    async def _write(self, listener: Listener) -> None:
        while frames := await listener.take():
            for frame in frames:
                if listener.closed is not None:
                    return
                try:
                    async with asyncio.timeout(self._hub.settings.send_timeout_s):
                        await self._websocket.send_text(frame.text)
                except TimeoutError:
                    return listener.close(slow_consumer())


class Meter:
    """So many per minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._count = 0
        self._since = time.monotonic()

    def allows(self) -> bool:
        now = time.monotonic()
        if now - self._since >= 60:
            self._count, self._since = 0, now
        self._count += 1
        return self._count <= self._per_minute


async def farewell(websocket: WebSocket, close: Close) -> None:
    """Say why, then close."""
    level = log.info if close.code in {1011, 4420} else log.debug
    level("realtime.closed", code=close.code, reason=close.reason)
    with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
        async with asyncio.timeout(_FAREWELL_S):
            last = message("closing", code=close.code, reason=close.reason, detail=close.detail)
            await websocket.send_text(last.text)
            await websocket.close(close.code, close.reason)
