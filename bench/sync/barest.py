"""Less than the bare limit, for comparison: blocking httpx and psycopg, seven columns, a table without any index."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, LiteralString

import httpx
import msgspec
import psycopg

from bench.common import die_with_parent
from bench.sync.vendor import PAGE

_TABLE: LiteralString = """
CREATE TABLE barest (
  channel text, id text, author_id text, author_name text, occurred_at timestamptz, text text, raw json
)"""
_COPY: LiteralString = "COPY barest FROM STDIN"


def store(connection: psycopg.Connection[Any], items: list[dict[str, Any]]) -> None:
    encode = msgspec.json.Encoder().encode
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for item in items:
            author = item["author"]
            who = (item["channel_id"], item["id"], author["id"], author["username"])
            copy.write_row((*who, item["timestamp"], item["content"], encode(item).decode()))


def pull(config: dict[str, Any], connection: psycopg.Connection[Any]) -> int:
    after, count = "0", 0
    with httpx.Client(base_url=config["url"], headers=config["headers"], timeout=30, trust_env=False) as client:
        while True:
            page = msgspec.json.decode(client.get(config["path"], params={"after": after, "limit": PAGE}).content)
            store(connection, page)
            count += len(page)
            if len(page) < PAGE:
                return count
            after = page[0]["id"]  # newest first


def main() -> None:
    die_with_parent()
    config = msgspec.json.decode(sys.argv[1])
    with psycopg.connect(config["dsn"], autocommit=True) as connection:
        connection.execute(_TABLE)
        began, cpu = time.perf_counter(), time.process_time()
        records = pull(config, connection)
        found = {"records": records, "seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
