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
    content_type: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        found = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in found}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(method, target, headers, body)
        self.calls.append(call)
        status, text = self.answer(call)
        head = f"HTTP/1.1 {status} X\r\nconnection: close\r\n"
        if self.content_type:
            head += f"content-type: {self.content_type}\r\n"
        if status != 204:
            head += f"content-length: {len(text)}\r\n"
        writer.write(f"{head}\r\n".encode() + text)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def receiving(answer: Answer = lambda _call: (200, b""), *, content_type: str = "") -> AsyncIterator[Receiver]:
    receiver = Receiver(answer, content_type=content_type)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()
