"""One IMAP connection. The only module that knows aioimaplib (GPL-3.0-only, docs/decisions/0002).

The library is repaired here where it is known to fail (version 2.0.3):
- a refused XOAUTH2 waits for a line from us and would end as a time-out: `_continuation` answers it;
- a lost connection does not wake waiting commands: `connection_lost` does;
- its line handling recurses once per line, so a long answer in one read overflows the stack: `_handle_responses` loops;
- after a time-out or a cancelled command the connection is unusable: it is dropped here;
- a greeting that refuses service is lost in a background task: `welcome` keeps it;
- EXAMINE leaves the state unchanged, user and folder names go out unquoted, SEARCH sends a charset that Exchange
  refuses, DEBUG logging prints mail and tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from aioimaplib import aioimaplib as lib

from connectors.addresses import resolve
from connectors.imap.answers import Fetched, Opened, read_fetch, read_opened, read_search
from connectors.imap.folders import encode_folder
from connectors.imap.replies import Refusal, to_error
from sync.base.errors import ConfigurationError, Transient

logging.getLogger("aioimaplib").setLevel(logging.WARNING)

FETCH_LIMIT = 200
"""Most UIDs of one FETCH: below the 1,000 messages that some servers allow per command."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int = 993
    tls: bool = True
    ca_pem: str | None = None
    private: bool = False
    """Whether an address inside our own network is allowed."""
    timeout_s: float = 60.0


class _Protocol(lib.IMAP4ClientProtocol):  # type: ignore[misc]
    pending_sync_command: Any

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.greeted: asyncio.Future[bytes] = loop.create_future()
        self.farewell: bytes | None = None

    async def welcome(self, command: bytes) -> None:
        if b"BYE" in command:
            self.farewell = command
            self.transport.abort()
            return
        self.state = lib.AUTH if b"PREAUTH" in command else lib.NONAUTH
        if not self.greeted.done():
            self.greeted.set_result(command)

    def _handle_responses(self, data: bytes, line_handler: Any, current_cmd: Any = None) -> None:
        while True:
            if current_cmd is not None and current_cmd.wait_literal_data():
                data = current_cmd.append_literal_data(data)
                if current_cmd.wait_literal_data():
                    raise lib.IncompleteRead(current_cmd)
            line, separator, rest = data.partition(lib.CRLF)
            if not separator:
                if not data and self.pending_sync_command is not None:
                    self.pending_sync_command.flush()
                if data or (current_cmd is not None and current_cmd.wait_data()):
                    raise lib.IncompleteRead(current_cmd, data)
                return
            command = line_handler(line, current_cmd)
            literal = lib.literal_data_re.match(line)
            if literal:
                command = command if command is not None else lib.Command("NIL", "unused")
                command.begin_literal_data(int(literal.group("size")))
            current_cmd = command if command is not None and (literal or command.wait_data()) else None
            data = rest

    def _untagged_response(self, line: bytes) -> Any:
        if line.upper().startswith(b"* BYE"):
            self.farewell = line
            if self.pending_sync_command is None or self.pending_sync_command.name != "LOGOUT":
                self.transport.abort()  # nothing more will come, although some servers keep the line open
        return super()._untagged_response(line)

    def _continuation(self, line: bytes) -> None:
        command = self.pending_sync_command
        if command is not None and command.name == "AUTHENTICATE":
            command.append_to_resp(line)
            self.transport.write(b"\r\n")
            return
        super()._continuation(line)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        reason = (self.farewell or str(exc or "the server closed it").encode()).decode(errors="replace")
        if not self.greeted.done():
            self.greeted.set_exception(lib.Abort(reason))
            self.greeted.exception()  # seen: nobody may be waiting any more
        for command in [self.pending_sync_command, *self.pending_async_commands.values()]:
            if command is not None:
                command._exception = lib.Abort(reason)
                command.close(reason.encode(), "KO")
        self.pending_sync_command = None
        self.pending_async_commands.clear()


class _Library(lib.IMAP4):  # type: ignore[misc]
    def __init__(self, endpoint: Endpoint, address: str) -> None:
        self._endpoint = endpoint
        super().__init__(address, endpoint.port, timeout=endpoint.timeout_s)

    def create_client(self, host: str, port: int, loop: Any, conn_lost_cb: Any = None, ssl_context: Any = None) -> None:
        loop = asyncio.get_running_loop()
        self.protocol = _Protocol(loop)
        tls: dict[str, Any] = {}
        if self._endpoint.tls:
            tls = {
                "ssl": ssl.create_default_context(cadata=self._endpoint.ca_pem),
                "server_hostname": self._endpoint.host,
            }
        self._client_task = loop.create_task(loop.create_connection(lambda: self.protocol, host, port, **tls))


class ImapClient:
    """Logged in or not, one folder open at most, one command at a time. Read-only by construction."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._library: _Library | None = None

    async def connect(self) -> None:
        """Errors: ConfigurationError for a bad certificate or a forbidden address, else Transient."""
        addresses = await resolve(self._endpoint.host, self._endpoint.port, private=self._endpoint.private)
        if not self._endpoint.tls and not all(address.is_loopback for address in addresses):
            raise ConfigurationError("Mail without TLS is for a server on this machine only: use TLS on port 993.")
        for address in addresses[:-1]:
            with contextlib.suppress(Transient):
                return await self._connect(str(address))
        await self._connect(str(addresses[-1]))

    async def _connect(self, address: str) -> None:
        self._library = library = _Library(self._endpoint, address)
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                await library._client_task
                await library.protocol.greeted
        except ssl.SSLCertVerificationError as error:
            self.abort()
            raise ConfigurationError(
                f"The certificate of {where} cannot be trusted: {error.verify_message}", code="certificate"
            ) from error
        except lib.AioImapException as error:
            self.abort()
            raise to_error(Refusal("GREETING", "BYE", str(error), where)) from error
        except (OSError, TimeoutError) as error:
            self.abort()
            raise Transient(f"The mail server {where} cannot be reached: {error or 'no answer in time'}") from error
        except BaseException:
            self.abort()
            raise
        _keep_alive(library.protocol.transport)
        await self._introduce(library)

    async def login(self, user: str, password: str) -> None:
        await self._run("LOGIN", self._open_library().login(lib.quoted(user), password))

    async def xoauth2(self, user: str, token: str) -> None:
        await self._run("AUTHENTICATE", self._open_library().xoauth2(user, token))

    async def examine(self, folder: str) -> Opened:
        """Open `folder` read-only."""
        library = self._open_library()
        opened = read_opened(await self._run("EXAMINE", library.examine(lib.quoted(encode_folder(folder)))))
        library.protocol.state = lib.SELECTED
        return opened

    async def search(self, key: str) -> list[int]:
        """UIDs that match, in no particular order."""
        return read_search(await self._run("SEARCH", self._open_library().uid_search(key, charset=None)))

    async def sizes(self, uids: Sequence[int]) -> dict[int, int]:
        """Size per UID; those that are gone are missing."""
        found = await self._fetch(uids, "(UID RFC822.SIZE)")
        return {uid: answer.size for uid, answer in found.items() if answer.size is not None}

    async def messages(self, uids: Sequence[int], limit: int | None = None) -> dict[int, Fetched]:
        """Whole mails (or their first `limit` bytes) per UID, without setting a flag; without those that are gone."""
        part = "BODY.PEEK[]" if limit is None else f"BODY.PEEK[]<0.{limit}>"
        return await self._fetch(uids, f"(UID FLAGS INTERNALDATE RFC822.SIZE {part})")

    async def close(self) -> None:
        """Log out if the server still listens; a dead session counts against its limit of connections for long."""
        library, self._library = self._library, None
        if library is None or library.protocol.transport is None:
            return
        try:
            if not library.protocol.transport.is_closing():
                with contextlib.suppress(TimeoutError, OSError, lib.AioImapException):
                    async with asyncio.timeout(2):
                        await library.protocol.logout()
        finally:
            library.protocol.transport.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        library, self._library = self._library, None
        if library is None:
            return
        library._client_task.cancel()
        if library.protocol.transport is not None:
            library.protocol.transport.abort()

    async def _introduce(self, library: _Library) -> None:
        command = lib.Command("CAPABILITY", library.protocol.new_tag())
        lines = await self._run("CAPABILITY", library.protocol.execute(command))
        library.protocol.capabilities = {word for line in lines for word in line.decode("ascii", "replace").split()}
        if "ID" in library.protocol.capabilities:
            await self._run("ID", library.id(name="appengine-sync"))  # some providers refuse to open a folder without

    async def _fetch(self, uids: Sequence[int], items: str) -> dict[int, Fetched]:
        if len(uids) > FETCH_LIMIT:
            raise ValueError(f"At most {FETCH_LIMIT} UIDs per FETCH, not {len(uids)}.")
        lines = await self._run("FETCH", self._open_library().uid("fetch", uid_set(uids), items), partial=True)
        wanted = set(uids)
        return {uid: answer for uid, answer in read_fetch(lines).items() if uid in wanted}

    def _open_library(self) -> _Library:
        if self._library is None:
            raise Transient(f"The connection to {self._endpoint.host} is closed.")
        return self._library

    async def _run(self, command: str, work: Awaitable[Any], *, partial: bool = False) -> list[bytes | bytearray]:
        """Await one command. `partial`: a NO after some answers (mails expunged meanwhile) is as good as OK."""
        host = self._endpoint.host
        try:
            async with asyncio.timeout(None if command == "FETCH" else self._endpoint.timeout_s):
                response = await work  # a FETCH has a timer of its own that restarts with every piece of data
        except (TimeoutError, lib.CommandTimeout) as error:
            self.abort()
            raise Transient(
                f"The mail server {host} did not answer {command} in {self._endpoint.timeout_s:g} s."
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{command} cannot be sent: {error}") from error
        except (OSError, lib.AioImapException) as error:
            library, farewell = self._library, None
            if library is not None and library.protocol.farewell:
                farewell = library.protocol.farewell.decode(errors="replace").removeprefix("* ")
            self.abort()
            refusal = Refusal("BYE", "BYE", farewell or f"the connection was lost: {error}", host)
            raise to_error(refusal) from error
        except BaseException:
            self.abort()
            raise
        if response.result == "OK":
            return list(response.lines)
        text = bytes(response.lines[-1]).decode(errors="replace") if response.lines else ""
        refused = to_error(Refusal(command, response.result, text, host))
        if partial and response.result == "NO" and len(response.lines) > 1 and type(refused) is Transient:
            return list(response.lines)
        raise refused


def uid_set(uids: Sequence[int]) -> str:
    """Ascending UIDs as an IMAP set, neighbours as ranges: 1:3,7."""
    ranges: list[tuple[int, int]] = []
    for uid in uids:
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], uid)
        else:
            ranges.append((uid, uid))
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges)


def _keep_alive(transport: asyncio.Transport) -> None:
    # A half-open connection must not hold a pull until its time-out.
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
