"""The bare limit, as a process: `python -m bench.sync.bare '{"url": ..., "path": ..., "headers": ..., "dsn": ...}'`.

The same pages one after the other with httpx; each page's rows by COPY and a commit, from asyncio like everything in
Sync. The rows are those that a sync makes of the messages, in a table like `activity` with its indexes. Left out is all
that makes a sync of it: no cursor, no look at what is there, no lease, no events, no counters, no verdicts, no budgets,
and nothing read ahead. Without a `dsn` the pages are only fetched and decoded.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any, LiteralString

import httpx
import msgspec
import psycopg
import uvloop

from bench.common import die_with_parent
from bench.sync.vendor import PAGE

Item = dict[str, Any]

_TABLE: LiteralString = """
CREATE TABLE bare (LIKE activity INCLUDING ALL EXCLUDING IDENTITY);
CREATE SEQUENCE bare_id;
ALTER TABLE bare ALTER id SET DEFAULT nextval('bare_id')"""
_COLUMNS = {
    "org_id": "text",
    "integration_id": "int8",
    "platform": "text",
    "kind": "text",
    "vendor_id": "text",
    "thread_id": "text",
    "place": "text",
    "author_id": "text",
    "author_name": "text",
    "author_handle": "text",
    "direction": "text",
    "occurred_at": "timestamptz",
    "text": "text",
    "permalink": "text",
    "version": "int8",
    "content_hash": "bytea",
    "raw": "bytea",  # JSON as it is written
}
_COPY = f"COPY bare ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_NO_HASH = b"\0" * 16

Connection = psycopg.AsyncConnection[Any]


def row(item: Item, raw: bytes) -> tuple[Any, ...]:
    channel, number, author = item["channel_id"], item["id"], item["author"]
    key = f"{channel}:{number}"
    return (
        *("bench", 1, "discord", "message", key, key, channel),
        *(author["id"], author.get("global_name") or author["username"], author["username"], "in"),
        datetime.fromisoformat(item["timestamp"]),
        item["content"],
        f"https://discord.com/channels/0/{channel}/{number}",
        *(0, _NO_HASH, raw),
    )


async def store(connection: Connection, items: list[Item]) -> None:
    encode = msgspec.json.Encoder().encode
    async with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(tuple(_COLUMNS.values()))
        for item in items:
            await copy.write_row(row(item, encode(item)))


async def pull(config: dict[str, Any], connection: Connection | None) -> int:
    after, count = "0", 0
    async with httpx.AsyncClient(
        base_url=config["url"], headers=config["headers"], timeout=30, trust_env=False
    ) as client:
        while True:
            reply = await client.get(config["path"], params={"after": after, "limit": PAGE})
            page = msgspec.json.decode(reply.content)
            if connection is not None:
                await store(connection, page)
            count += len(page)
            if len(page) < PAGE:
                return count
            after = page[0]["id"]  # newest first


async def work(config: dict[str, Any]) -> dict[str, Any]:
    connection = None
    if config.get("dsn"):
        connection = await psycopg.AsyncConnection.connect(config["dsn"], autocommit=True)
        await connection.execute(_TABLE)
    began, cpu = time.perf_counter(), time.process_time()
    records = await pull(config, connection)
    found = {"records": records, "seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    if connection is not None:
        await connection.close()
    return found


if __name__ == "__main__":
    die_with_parent()
    print(json.dumps(uvloop.run(work(msgspec.json.decode(sys.argv[1])))))
