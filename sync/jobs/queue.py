"""Putting jobs in: one at a time, in bulk, in the caller's transaction or in a group commit.

Without a transaction of the caller's, concurrent `enqueue` calls share commits: a writer takes whatever has gathered
while the last commit was on its way. Every caller returns only after its own row is durable; a caller that gives up
harms neither the group nor its row.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import psycopg

from sync.base.errors import ConfigurationError, Permanent, Transient
from sync.base.ids import check_org_id
from sync.jobs.catalogue import Catalogue
from sync.jobs.model import EnqueueResult, Meta, NewJob
from sync.signals import Signals
from sync.store.dedicated import DedicatedConnection
from sync.store.engine import Connection, Database, Transaction, as_literal, translate
from sync.store.sql import load_sql

_COPY_FROM = 8
"""From this many rows on COPY beats single inserts."""
_GROUP = 1000
_MAX_GATHERED = 20_000
_CHUNK = 5000
_MAX_KEY_BYTES = 1000
"""Keys stand in indexes, whose entries PostgreSQL limits to about 2,700 bytes."""
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_ROLLED_BACK = {"40001", "40P01", "55P03"}
"""SQLSTATEs of a passing trouble that surely left nothing behind."""
_COPY = "COPY job (seq, queue_id, lane, max_attempts, org_id, kind, args, meta) FROM STDIN"


class _Row(NamedTuple):
    """A checked job, as its columns."""

    queue_id: int
    pool: str
    lane: int
    max_attempts: int
    org_id: str
    kind: str
    args: str
    meta: str | None
    job: NewJob
    unique_key: str | None

    @property
    def plain(self) -> bool:
        return self.unique_key is None and self.job.run_at is None and self.job.idempotency_key is None

    @property
    def hint(self) -> str:
        return f"{self.queue_id}/{self.lane}/{self.org_id}"


_Waiting = tuple[_Row, asyncio.Future[EnqueueResult]]


class Queue:
    """Enqueues jobs of the catalogue's kinds. Errors: Permanent (unknown kind, wrong arguments), Transient."""

    def __init__(self, database: Database, signals: Signals, catalogue: Catalogue) -> None:
        self._database = database
        self._signals = signals
        self._catalogue = catalogue
        self._queues: dict[str, tuple[int, str]] = {}
        self._db = DedicatedConnection(database)
        self._gathered: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._space = asyncio.Event()
        self._space.set()

    async def open(self) -> None:
        """Learn the ids of the queues. Errors: ConfigurationError when the catalogue was not installed."""
        rows = await self._database.fetch_all("SELECT id, name, pool FROM queue")
        self._queues = {row["name"]: (row["id"], row["pool"]) for row in rows}
        missing = {kind.queue_name for kind in self._catalogue.kinds} - self._queues.keys()
        if missing:
            raise ConfigurationError(
                f"The database does not know the queues {sorted(missing)}: install the catalogue first."
            )

    async def close(self) -> None:
        if self._writer is not None:
            await asyncio.wait([self._writer])
        await self._db.drop()

    async def enqueue(self, job: NewJob, tx: Transaction | None = None) -> EnqueueResult:
        """One job; durable when this returns, or with the caller's transaction."""
        row = self._row(job)
        if tx is not None:
            result = await _insert(tx.connection, row)
            tx.after_commit(lambda: self._wake([row]))
            return result
        await self._space.wait()
        future: asyncio.Future[EnqueueResult] = asyncio.get_running_loop().create_future()
        self._gathered.append((row, future))
        if len(self._gathered) >= _MAX_GATHERED:
            self._space.clear()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups(), name="enqueue.writer")
        return await future

    async def enqueue_many(self, jobs: Iterable[NewJob], tx: Transaction | None = None) -> list[int]:
        """Many jobs, ids in order; all or nothing within the transaction."""
        rows = [self._row(job) for job in jobs]
        if tx is None:
            async with self._database.transaction() as own:
                return await self._insert_all(own, rows)
        return await self._insert_all(tx, rows)

    async def _insert_all(self, tx: Transaction, rows: Sequence[_Row]) -> list[int]:
        ids: list[int] = []
        for start in range(0, len(rows), _CHUNK):
            ids += [result.job_id for result in await _insert_many(tx.connection, rows[start : start + _CHUNK])]
        tx.after_commit(lambda: self._wake(rows))
        return ids

    def _row(self, job: NewJob) -> _Row:
        kind = self._catalogue.get(job.kind)
        queue_id, pool = self._queues[kind.queue_name]
        check_org_id(job.org_id)
        if job.run_at is not None and job.run_at.tzinfo is None:
            raise Permanent("run_at must carry a time zone.")
        lane = kind.priority if job.priority is None else job.priority
        if not 0 <= lane <= 3:
            raise Permanent("priority must be 0 (urgent) to 3 (low).")
        max_attempts = job.max_attempts or kind.max_attempts
        if not 1 <= max_attempts <= 1000:
            raise Permanent("max_attempts must be 1 to 1000.")
        args = kind.encode(job.args)
        _check_json("The arguments hold", args)
        unique_key = job.unique_key
        if unique_key is None and kind.unique is not None:
            unique_key = kind.unique(msgspec.json.decode(args, type=kind.args))
        _check_key("unique_key", unique_key)
        _check_key("idempotency_key", job.idempotency_key)
        return _Row(queue_id, pool, lane, max_attempts, job.org_id, kind.kind, args, _meta(job.meta), job, unique_key)

    async def _wake(self, rows: Sequence[_Row]) -> None:
        hints: dict[str, dict[str, None]] = {}
        for row in rows:
            hints.setdefault(row.pool, {})[row.hint] = None
        for pool, items in hints.items():
            self._signals.publish(f"queue.{pool}", *items)

    async def _write_groups(self) -> None:
        """Write until nothing is left; the next `enqueue` starts a new writer."""
        while self._gathered:
            group, self._gathered = self._gathered[:_GROUP], self._gathered[_GROUP:]
            self._space.set()
            try:
                results = await self._write([row for row, _ in group])
            except Transient as error:
                if error.fields.get("sqlstate") in _ROLLED_BACK:
                    await self._one_by_one(group, error)
                else:  # the commit may have arrived and only its answer got lost: again could make every job twice
                    _settle(group, [error] * len(group))
            except asyncio.CancelledError:
                _settle(group, [Transient("Enqueueing was cut off: the process is stopping.")] * len(group))
                raise
            except Exception as error:
                await self._one_by_one(group, error)
            else:
                await self._wake([row for row, _ in group])
                _settle(group, results)

    async def _one_by_one(self, group: Sequence[_Waiting], error: Exception) -> None:
        """One bad row must not fail the others: after a refused group, which changed nothing, each is written alone."""
        if len(group) == 1:
            _settle(group, [error])
            return
        for row, future in group:
            if future.done():
                continue
            try:
                result = (await self._write([row]))[0]
            except Exception as own:
                _settle([(row, future)], [own])
            else:
                await self._wake([row])
                _settle([(row, future)], [result])

    async def _write(self, rows: Sequence[_Row]) -> list[EnqueueResult]:
        connection = await self._db.get()
        try:
            if len(rows) == 1:
                return [await _insert(connection, rows[0])]
            async with connection.transaction():
                return await _insert_many(connection, rows)
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                await self._db.drop()
            raise translate(error) from error
        except BaseException:
            await self._db.drop()
            raise


def _settle(group: Sequence[_Waiting], results: Sequence[EnqueueResult | Exception]) -> None:
    for (_, future), result in zip(group, results, strict=True):
        if future.done():  # its caller gave up
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


async def _insert(connection: Connection, row: _Row) -> EnqueueResult:
    if row.plain:
        cursor = await connection.execute(
            as_literal(load_sql("enqueue_one")),
            {
                "queue": row.queue_id,
                "lane": row.lane,
                "max_attempts": row.max_attempts,
                "org": row.org_id,
                "kind": row.kind,
                "args": row.args,
                "meta": row.meta,
            },
        )
        inserted = await cursor.fetchone()
        return EnqueueResult(inserted["seq"], True)  # type: ignore[index]
    cursor = await connection.execute(
        as_literal(load_sql("enqueue_keyed")),
        {
            "kind": row.kind,
            "args": row.args,
            "org": row.org_id,
            "run_at": row.job.run_at,
            "lane": row.lane,
            "unique_key": row.unique_key,
            "idempotency_key": row.job.idempotency_key,
            "max_attempts": row.max_attempts,
            "meta": row.meta,
        },
    )
    found = await cursor.fetchone()
    return EnqueueResult(found["job_id"], found["created"])  # type: ignore[index]


async def _insert_many(connection: Connection, rows: Sequence[_Row]) -> list[EnqueueResult]:
    plain = [row for row in rows if row.plain]
    if len(plain) < _COPY_FROM:
        return [await _insert(connection, row) for row in rows]
    ids = iter(await _copy(connection, plain))
    return [EnqueueResult(next(ids), True) if row.plain else await _insert(connection, row) for row in rows]


async def _copy(connection: Connection, rows: Sequence[_Row]) -> list[int]:
    """COPY is the fastest way in; the ids are drawn first so that the caller can have them."""
    cursor = await connection.execute(
        "SELECT array_agg(nextval('job_seq')) AS ids FROM generate_series(1, %s)", (len(rows),)
    )
    drawn = await cursor.fetchone()
    ids: list[int] = drawn["ids"]  # type: ignore[index]
    lines = "".join(
        f"{job_id}\t{row.queue_id}\t{row.lane}\t{row.max_attempts}\t{row.org_id}\t{row.kind}"
        f"\t{_escape(row.args)}\t{_escape(row.meta)}\n"
        for job_id, row in zip(ids, rows, strict=True)
    )
    async with connection.cursor() as copier, copier.copy(_COPY) as copy:
        await copy.write(lines)
    return ids


def _escape(json: str | None) -> str:
    """JSON text for COPY: encoded JSON holds no raw tab or newline, so only the backslash needs care."""
    if json is None:
        return r"\N"
    return json.replace("\\", "\\\\") if "\\" in json else json


def _meta(meta: Meta | None) -> str | None:
    if meta is None:
        return None
    try:
        text = msgspec.json.encode(meta).decode()
    except (TypeError, UnicodeError) as error:
        raise Permanent(f"meta cannot be written as JSON: {error}") from error
    _check_json("meta holds", text)
    return text


def _check_json(what_holds: str, text: str) -> None:
    if "\\u0000" in text and _NUL.search(text):
        raise Permanent(f"{what_holds} a NUL character, which PostgreSQL cannot read out of JSON.")


def _check_key(name: str, key: str | None) -> None:
    """A key that PostgreSQL refuses would fail the whole group it is written with."""
    if key is None:
        return
    try:
        fits = 0 < len(key.encode()) <= _MAX_KEY_BYTES and "\x00" not in key
    except UnicodeError:
        fits = False
    if not fits:
        raise Permanent(f"{name} must be 1 to {_MAX_KEY_BYTES} bytes of text without NUL characters.")
