"""Signed calls over kept-open connections, cheap enough to share two cores with what it measures.

`python -m bench.webhooks.load '<json>'` prints one JSON object: how many were acknowledged within the time, their
latencies in milliseconds, and, if asked for, the ids of all that were acknowledged.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from bench.common import die_with_parent, percentile

TEXT = "Is the blue one in stock? :eyes: " * 8
_PATIENCE_S = 30.0


class Load(msgspec.Struct, frozen=True):
    """`rate` 0: every connection sends as soon as it has its answer."""

    port: int
    path: str
    secret: str
    first: int
    connections: int
    seconds: float
    rate: float = 0.0
    warm_s: float = 1.0
    ids: bool = False


def payload(number: int) -> bytes:
    """A message in a workspace, of the size such things have."""
    event = {"type": "message", "user": "U222222222", "text": TEXT, "ts": f"{number}.000100", "channel": "C123ABC456"}
    body = {"team_id": "T123ABC456", "event": event, "type": "event_callback", "event_id": f"Ev{number:010d}"}
    return json.dumps(body).encode()


def request(load: Load, number: int) -> bytes:
    body, stamp = payload(number), str(int(time.time()))
    digest = hmac.new(load.secret.encode(), f"v0:{stamp}:".encode() + body, sha256).hexdigest()
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: sync.test\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: v0={digest}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Tally:
    began: float
    warm_s: float
    acknowledged: list[int] = field(default_factory=list)
    counted: int = 0
    refused: int = 0
    broken: int = 0
    latencies_us: list[int] = field(default_factory=list)

    def note(self, number: int, status: int, sent: float) -> None:
        now = time.perf_counter()
        if not 200 <= status < 300:
            self.refused += 1
            return
        self.acknowledged.append(number)
        if now - self.began >= self.warm_s:
            self.counted += 1
            self.latencies_us.append(int((now - sent) * 1e6))


class Caller(asyncio.Protocol):
    """One connection. It sends the next call when told to, and tells when the answer is there."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.lower().split(b"\r\n")[1:]:
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) >= length:
            self._buffer = rest[length:]
            self._settle(int(head[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self._settle(0)

    def _settle(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    async def call(self, data: bytes) -> int:
        """The status; 0 when the connection broke."""
        assert self._transport is not None
        if self._transport.is_closing():
            return 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await asyncio.wait_for(self._answer, _PATIENCE_S)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def run(load: Load) -> Tally:
    tally = Tally(time.perf_counter(), load.warm_s)
    numbers: Iterator[int] = iter(range(load.first, load.first + 10_000_000))
    until = tally.began + load.warm_s + load.seconds
    pause = load.connections / load.rate if load.rate else 0.0
    await asyncio.gather(*(_connection(load, tally, numbers, until, place, pause) for place in range(load.connections)))
    return tally


async def _connection(load: Load, tally: Tally, numbers: Iterator[int], until: float, place: int, pause: float) -> None:
    """With a rate, calls leave on a grid and a late answer counts from its due time: waiting is not forgiven."""
    loop = asyncio.get_running_loop()
    caller: Caller | None = None
    due = tally.began + pause * place / load.connections
    while time.perf_counter() < until:
        if pause:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        number = next(numbers)
        data = request(load, number)
        sent = due if pause else time.perf_counter()
        due += pause
        while time.perf_counter() < until + _PATIENCE_S:
            try:
                if caller is None:
                    _, caller = await loop.create_connection(Caller, "127.0.0.1", load.port)
                status = await caller.call(data)
            except (OSError, TimeoutError):
                status = 0
            if status:
                tally.note(number, status, sent)
                if status < 500:
                    break
            else:
                tally.broken += 1
                if caller is not None:
                    caller.close()
                caller = None
            await asyncio.sleep(0.05)  # as a vendor sends again what was not acknowledged, only sooner
            if time.perf_counter() >= until:
                break
    if caller is not None:
        caller.close()


def main() -> None:
    die_with_parent()
    load = msgspec.json.decode(sys.argv[1], type=Load)
    try:
        import uvloop
    except ImportError:
        tally = asyncio.run(run(load))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            tally = runner.run(run(load))
    found: dict[str, Any] = {
        "acknowledged": len(tally.acknowledged),
        "per_s": tally.counted / load.seconds,
        "refused": tally.refused,
        "broken": tally.broken,
        "last": max(tally.acknowledged, default=load.first),
    }
    if tally.latencies_us:
        found |= {
            name: percentile(tally.latencies_us, share) / 1000 for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
        }
    if load.ids:
        found["ids"] = tally.acknowledged
    print(json.dumps(found))


if __name__ == "__main__":
    main()
