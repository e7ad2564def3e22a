"""A connection that one loop keeps for itself and that comes back by itself after the server went away."""

from __future__ import annotations

import contextlib
import select
from typing import Any

import psycopg
from psycopg.rows import DictRow

from sync.store.engine import Connection, Database, Params, as_literal, translate


class DedicatedConnection:
    """Autocommit; reconnects on the first use after a failure. Not for concurrent use."""

    def __init__(self, database: Database) -> None:
        self.opened = 0
        """Connections opened so far."""
        self._database = database
        self._connection: Connection | None = None

    async def get(self) -> Connection:
        """The live connection. Errors: Transient when the server cannot be reached."""
        if self._connection is not None and _left_by_server(self._connection):
            await self.drop()
        if self._connection is None or self._connection.closed:
            self._connection = await self._database.connect()
            self.opened += 1
        return self._connection

    async def fetch_all(self, query: str, params: Params = None) -> list[DictRow]:
        cursor = await self._run(query, params)
        return await cursor.fetchall()

    async def fetch_one(self, query: str, params: Params = None) -> DictRow | None:
        cursor = await self._run(query, params)
        return await cursor.fetchone()

    async def execute(self, query: str, params: Params = None) -> int:
        cursor = await self._run(query, params)
        return cursor.rowcount

    async def drop(self) -> None:
        """Close what is left of the connection; the next use opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                await connection.close()

    async def _run(self, query: str, params: Params) -> psycopg.AsyncCursor[DictRow]:
        connection = await self.get()
        try:
            return await connection.execute(as_literal(query), params)
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                await self.drop()
            raise translate(error) from error
        except BaseException:
            # Cancelled in mid-statement: its answer would be read as the next one's.
            await self.drop()
            raise

    async def __aenter__(self) -> DedicatedConnection:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.drop()


def _left_by_server(connection: Connection) -> bool:
    """Whether the server hung up while nothing was asked: seen now, it costs nobody a statement of unknown fate."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    for _ in range(3):  # its goodbye, then the end of the stream
        if not poll.poll(0):
            return False
        try:
            connection.pgconn.consume_input()
        except psycopg.Error:
            return True
    return True
