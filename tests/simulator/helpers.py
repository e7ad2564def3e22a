"""Comparing answers with the examples of the vendors' documentation, and receiving webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def examples(vendor: str) -> dict[str, Any]:
    """Documented answers and events of a vendor, by name; only their keys and kinds of values matter."""
    found = json.loads((Path(__file__).parent / "examples" / f"{vendor}.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def missing_keys(answer: Any, example: Any, path: str = "") -> list[str]:
    """Keys that a documented example has and no comparable part of the answer has."""
    if isinstance(example, dict) and isinstance(answer, dict):
        found: list[str] = []
        for key, value in example.items():
            found += [f"{path}.{key}"] if key not in answer else missing_keys(answer[key], value, f"{path}.{key}")
        return found
    if isinstance(example, list) and example and isinstance(answer, list):
        if not answer:
            return [f"{path}[]"]
        return min((missing_keys(item, example[0], f"{path}[]") for item in answer), key=len)
    return []


@dataclass
class Call:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Call], tuple[int, bytes]]


@dataclass
class Receiver:
    """Answers webhooks with `answer(call) -> (status, body)`, and keeps them."""

    answer: Answer
    url: str = ""
    calls: list[Call] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(method, target, headers, body)
        self.calls.append(call)
        status, text = self.answer(call)
        writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(text)) + text)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def receiving(answer: Answer = lambda _call: (200, b"")) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()
