"""A client of `/ws` and `/sse` as docs/realtime.md tells one to be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.tokens import bearer

PATIENCE_S = 60.0


class LiveClient:
    """One WebSocket. Keeps the cursor of the last message that had one."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.cursor: str | None = None

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        """Errors: ConnectionClosed; TimeoutError after a minute."""
        async with asyncio.timeout(PATIENCE_S):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        self.cursor = message.get("cursor", self.cursor)
        return message

    async def expect(self, kind: str) -> dict[str, Any]:
        """The next message of this type; heartbeats are passed over."""
        while (message := await self.next())["type"] == "ping" and kind != "ping":
            pass
        assert message["type"] == kind, message
        return message

    async def event(self) -> dict[str, Any]:
        return dict((await self.expect("event"))["event"])

    async def events(self, count: int) -> list[dict[str, Any]]:
        return [await self.event() for _ in range(count)]

    async def subscribe(self, topics: Any, cursor: str | None = None) -> dict[str, Any]:
        await self.send(op="subscribe", topics=topics, **({} if cursor is None else {"cursor": cursor}))
        return await self.expect("subscribed")

    async def ended(self) -> tuple[int, str, dict[str, Any]]:
        """Code and reason of the closing frame, and the last message."""
        last: dict[str, Any] = {}
        try:
            while True:
                last = await self.next()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the connection broke without a closing frame"
            return closed.rcvd.code, closed.rcvd.reason, last


@contextlib.asynccontextmanager
async def dial(
    port: int, org: str = "acme", role: str = "viewer", *, headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[LiveClient]:
    """Connected; the token of `org` is in the header unless `headers` says otherwise."""
    claims = {"sub": options.pop("sub", "ada")}
    given = bearer(org, role, **claims) if headers is None else headers
    path = options.pop("path", "/ws")
    url = f"ws://127.0.0.1:{port}{path}"
    async with connect(url, additional_headers=given, proxy=None, open_timeout=PATIENCE_S, **options) as connection:
        yield LiveClient(connection)


@contextlib.asynccontextmanager
async def listening(port: int, topics: Any, *, cursor: str | None = None, **options: Any) -> AsyncIterator[LiveClient]:
    """Dialled, ready and subscribed."""
    async with dial(port, **options) as client:
        await client.expect("ready")
        await client.subscribe(topics, cursor)
        yield client


class SseClient:
    """Reads a stream of server-sent events as the WHATWG specification says."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_event_id: str | None = None
        self.lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The data of the next event. Errors: StopAsyncIteration at the end."""
        kind, data = "message", []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await anext(self.lines)
                if not line and data:
                    message: dict[str, Any] = json.loads("\n".join(data))
                    assert message["type"] == kind
                    return message
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last_event_id = value
                elif field == "event":
                    kind = value
                elif field == "data":
                    data.append(value)


@contextlib.asynccontextmanager
async def streaming(port: int, query: str = "", *, org: str = "acme", **headers: str) -> AsyncIterator[SseClient]:
    given = {**bearer(org, "viewer"), **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        async with client.stream("GET", f"http://127.0.0.1:{port}/sse{query}", headers=given) as response:
            assert response.status_code == 200, await response.aread()
            yield SseClient(response)
