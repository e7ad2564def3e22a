"""Connections to PostgreSQL: one small pool per process and transactions with after-commit hooks.

psycopg 3 speaks everywhere; SQL is written as SQL (docs/decisions/0001). Foreign errors are translated here by
SQLSTATE, never by message text: above this module nobody catches `psycopg`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sync.base.errors import SyncError, Transient
from sync.base.settings import StoreSettings

Params = Sequence[Any] | Mapping[str, Any] | None
AfterCommit = Callable[[], Awaitable[None]]
Publish = Callable[..., None]
"""`Signals.publish`: topic, items."""
Connection = psycopg.AsyncConnection[DictRow]

# Classes of SQLSTATE after which the same transaction may succeed: connection trouble (08), transaction rollback (40),
# insufficient resources (53), operator intervention (57), lock not available (55P03), read-only standby (25006).
_TRANSIENT_PREFIXES = ("08", "40", "53", "57")
_TRANSIENT_CODES = {"55P03", "25006"}


_BY_INDEX = "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"
"""Statistics of a queue table are always wrong: it was empty when they were taken and is full now, or the reverse.
Every hot statement descends an index in its order and stops early; a plan that reads and sorts is never better."""


class StoreError(SyncError):
    """PostgreSQL refused a statement."""


class Conflict(StoreError):
    """A unique or exclusion constraint already holds this row."""


def translate(error: psycopg.Error) -> SyncError:
    """The error of our tree that says what to do about a psycopg error."""
    code = error.sqlstate or ""
    if code in _TRANSIENT_CODES or code.startswith(_TRANSIENT_PREFIXES):
        return Transient(f"PostgreSQL cannot do this now ({code}): {error}", sqlstate=code)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Transient(f"The connection to PostgreSQL failed: {error}", sqlstate=code)
    if code in {"23505", "23P01"}:
        return Conflict(str(error), sqlstate=code, constraint=error.diag.constraint_name)
    return StoreError(f"{error} (SQLSTATE {code or 'none'})", sqlstate=code)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Transient(f"No PostgreSQL connection became free: {error}") from error
    except psycopg.Error as error:
        raise translate(error) from error


class Transaction:
    """One open transaction. Commit happens when the block of `Database.transaction()` ends without an error."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._after_commit: list[AfterCommit] = []
        self._hints: dict[str, dict[str, None]] = {}

    def after_commit(self, hook: AfterCommit) -> None:
        """Run `hook` once the commit is durable; never when the transaction rolls back. Wake-ups go here."""
        self._after_commit.append(hook)

    def hint(self, topic: str, *items: str) -> None:
        """Publish on `topic` once the commit is durable, if this process has signals."""
        self._hints.setdefault(topic, {}).update(dict.fromkeys(items))

    async def execute(self, query: str, params: Params = None) -> int:
        """Run a statement; the number of rows it touched."""
        cursor = await self.connection.execute(as_literal(query), params)
        return cursor.rowcount

    async def fetch_all(self, query: str, params: Params = None) -> list[DictRow]:
        cursor = await self.connection.execute(as_literal(query), params)
        return await cursor.fetchall()

    async def fetch_one(self, query: str, params: Params = None) -> DictRow | None:
        cursor = await self.connection.execute(as_literal(query), params)
        return await cursor.fetchone()

    async def fetch_value(self, query: str, params: Params = None) -> Any:
        """First column of the first row, or None."""
        row = await self.fetch_one(query, params)
        return None if row is None else next(iter(row.values()))

    async def copy(self, target: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
        """COPY rows into a table, by far the cheapest way to write many. `columns`: their types, in order.

        JSON columns go as `bytea`: encoded for json, `jsonb_value()` of that for jsonb.
        """
        statement = f"COPY {target} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        async with self.connection.cursor() as cursor, cursor.copy(as_literal(statement)) as copy:
            copy.set_types(tuple(columns.values()))
            for row in rows:
                await copy.write_row(row)


def jsonb_value(encoded: bytes | None) -> bytes | None:
    """Encoded JSON as COPY carries it into a jsonb column: behind the version of the format, without NULs."""
    if encoded is None:
        return None
    if b"\\u0000" in encoded:
        encoded = _ESCAPE.sub(lambda found: b"" if found[0] == b"\\u0000" else found[0], encoded)
    return b"\x01" + encoded


_ESCAPE = re.compile(rb"\\(?:u0000|.)")
"""One escape of JSON: matched one by one, so that the second half of an escaped backslash begins none."""


def as_literal(query: str) -> LiteralString:
    """psycopg's types ask for a literal, against injection; ours come from files and code, values from parameters."""
    return query


class Database:
    """A pool of connections to one PostgreSQL.

    `relaxed=True` gives every connection `synchronous_commit=off`: for claim and finish of the queue, whose loss in
    a server crash only means that a job runs again.
    """

    def __init__(
        self,
        url: str,
        settings: StoreSettings,
        *,
        application: str,
        pool_size: int | None = None,
        relaxed: bool = False,
    ) -> None:
        self.url = url
        self._settings = settings
        self._pool_size = pool_size or settings.pool_size
        options = f"-c statement_timeout={int(settings.statement_timeout_s * 1000)} -c timezone=UTC"
        if relaxed:
            options += f" -c synchronous_commit=off {_BY_INDEX}"
        self._kwargs: dict[str, Any] = {
            "application_name": application,
            "connect_timeout": int(settings.connect_timeout_s),
            "options": options,
            "row_factory": dict_row,
            "prepare_threshold": 2 if settings.prepare else None,
        }
        self._pool: AsyncConnectionPool[Connection] | None = None
        self.publish: Publish | None = None
        """Where the hints of transactions go; set by whoever opens the signals of this process."""

    async def open(self) -> None:
        """Connect. Errors: Transient when the server cannot be reached within `connect_timeout_s`."""
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self.url,
            kwargs=self._kwargs,
            min_size=1,
            max_size=self._pool_size,
            timeout=self._settings.connect_timeout_s,
            max_idle=60,
            reconnect_timeout=3600,
            check=AsyncConnectionPool.check_connection,
            open=False,
            connection_class=psycopg.AsyncConnection[DictRow],
        )
        with translated():
            await pool.open(wait=True, timeout=self._settings.connect_timeout_s)
        self._pool = pool

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def __aenter__(self) -> Database:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> Connection:
        """A connection of one's own (autocommit), outside the pool: for loops that keep theirs busy."""
        with translated():
            return await psycopg.AsyncConnection.connect(self.url, autocommit=True, **self._kwargs)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One unit of work: commits at the end of the block, rolls back on any error.

        Errors: Transient, Conflict or StoreError instead of psycopg's.
        """
        if self._pool is None:
            raise RuntimeError("Database.open() was not called.")
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                transaction = Transaction(connection)
                yield transaction
        if self.publish is not None:
            for topic, items in transaction._hints.items():
                self.publish(topic, *items)
        for hook in transaction._after_commit:
            await hook()

    async def execute(self, query: str, params: Params = None) -> int:
        async with self.transaction() as tx:
            return await tx.execute(query, params)

    async def fetch_all(self, query: str, params: Params = None) -> list[DictRow]:
        async with self.transaction() as tx:
            return await tx.fetch_all(query, params)

    async def fetch_one(self, query: str, params: Params = None) -> DictRow | None:
        async with self.transaction() as tx:
            return await tx.fetch_one(query, params)

    async def fetch_value(self, query: str, params: Params = None) -> Any:
        async with self.transaction() as tx:
            return await tx.fetch_value(query, params)
