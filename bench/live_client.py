"""Thousands of WebSockets in one process: a protocol that answers pings, counts frames and looks for one number."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import defaultdict

_NUMBER = re.compile(rb'"number":(\d+)')
_TEXT, _CLOSE, _PING = 1, 8, 9


class Tally:
    """What all connections got together. Times are CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.frames = 0
        self.closed = 0
        self.arrived: dict[int, list[float]] = defaultdict(list)
        """Number of the event -> when each client had it."""
        self.last = 0.0


class Socket(asyncio.Protocol):
    def __init__(self, path: str, token: str, tally: Tally, subscribe: bytes, *, deflate: bool) -> None:
        extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if deflate else ""
        self._hello = (
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n{extensions}"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._tally = tally
        self._subscribe = subscribe
        self._buffer = b""
        self._upgraded = False
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._texts = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._hello)

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.closed += 1
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError("closed before it had subscribed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._upgraded, self._buffer = True, rest
            self._send(_TEXT, self._subscribe)
        while (frame := self._next()) is not None:
            self._take(*frame)

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10]), 10
        if len(buffer) < start + size or (start > 2 and len(buffer) < start):
            return None
        self._buffer = buffer[start + size :]
        return buffer[0] & 15, buffer[start : start + size]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._send(10, payload)
        elif opcode == _TEXT:
            self._texts += 1
            if self._texts == 2:  # ready, subscribed
                self.subscribed.set_result(None)
            elif (match := _NUMBER.search(payload)) is not None:
                now = time.monotonic()
                self._tally.frames += 1
                self._tally.last = now
                self._tally.arrived[int(match[1])].append(now)

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        size = bytes([128 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
        self.transport.write(bytes([128 | opcode]) + size + mask + masked)
