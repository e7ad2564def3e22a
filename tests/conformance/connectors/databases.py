"""Databases that go from test to test, emptied in between: to make one takes longer than most tests here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from tests.services import PostgresServer

BLOATED = 20_000
"""Rows after which a new database is quicker than what the deleted ones leave behind."""
_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"""
_REFERENCES = """
SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND conrelid <> confrelid AND conparentid = 0"""


@dataclass
class Databases:
    server: PostgresServer
    _free: list[str] = field(default_factory=list)
    _emptied: list[str] = field(default_factory=list)
    """Tables in the order in which their rows can be deleted; those that come filled are left as they are."""

    @classmethod
    @contextmanager
    def of(cls, server: PostgresServer) -> Iterator[Databases]:
        found = cls(server)
        yield found
        for url in found._free:
            server.drop(url)

    @contextmanager
    def lent(self) -> Iterator[str]:
        url = self._free.pop() if self._free else self._make()
        try:
            yield url
        finally:
            if self._empty(url) < BLOATED:
                self._free.append(url)
            else:
                self.server.drop(url)

    def _make(self) -> str:
        url = self.server.create()
        if not self._emptied:
            with psycopg.connect(url) as connection:
                tables = [name for (name,) in connection.execute(_TABLES).fetchall() if not _filled(connection, name)]
                self._emptied = _referring_first(tables, connection.execute(_REFERENCES).fetchall())
        return url

    def _empty(self, url: str) -> int:
        """How many rows there were."""
        with psycopg.connect(url) as connection:
            return sum(
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.SQL(table))).rowcount for table in self._emptied
            )


def _filled(connection: psycopg.Connection, table: str) -> bool:
    return connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.SQL(table))).fetchone() is not None


def _referring_first(tables: list[str], references: list[tuple[str, str]]) -> list[str]:
    waiting, done = list(tables), list[str]()
    while waiting:
        free = [name for name in waiting if not any(to == name and of in waiting for of, to in references)]
        assert free, f"circle of references between {waiting}"
        done += free
        waiting = [name for name in waiting if name not in free]
    return done
