"""An IMAP server that answers from a script: for what real servers do only on bad days."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping

Answer = bytes | Callable[[bytes], bytes | None] | None
"""Sent as it is, with {tag} filled in; a function gets the command line; None closes the connection."""

DEFAULTS: dict[str, Answer] = {
    "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n",
    "LOGIN": b"{tag} OK welcome\r\n",
    "EXAMINE": b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n{tag} OK [READ-ONLY] opened\r\n",
    "SEARCH": b"* SEARCH 1 2 3\r\n{tag} OK done\r\n",
    "LOGOUT": b"* BYE bye\r\n{tag} OK done\r\n",
}


class ImapScript:
    """`answers` by command name (UID SEARCH is SEARCH); `cut` sends everything in pieces of that many bytes."""

    def __init__(
        self, answers: Mapping[str, Answer], *, greeting: bytes | None = b"* OK ready\r\n", cut: int = 0
    ) -> None:
        self._answers = {**DEFAULTS, **answers}
        self._greeting = greeting
        self._cut = cut
        self.seen: list[bytes] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ImapScript]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._greeting is None:
                await reader.read()
                return
            await self._send(writer, self._greeting)
            while line := await reader.readline():
                self.seen.append(line)
                if not await self._answer(line, writer):
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> bool:
        match = re.match(rb"(\S+) (?:UID )?(\S+)", line)
        answer = self._answers.get(match.group(2).decode().upper()) if match else None
        if callable(answer):
            answer = answer(line)
        if answer is None:
            return False
        if answer:
            await self._send(writer, answer.replace(b"{tag}", match.group(1) if match else b"*"))
        return True

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), self._cut or len(data)):
            writer.write(data[start : start + (self._cut or len(data))])
            await writer.drain()
            if self._cut:
                await asyncio.sleep(0)
