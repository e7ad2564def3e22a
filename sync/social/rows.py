"""Rows for COPY and unnest: values that are JSON already, texts that PostgreSQL takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg.types.json import Json, Jsonb

from sync.store.engine import Transaction, as_literal, translated

encode = msgspec.json.Encoder(order=None, decimal_format="string").encode
encode_sorted = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


def _as_is(value: Any) -> Any:
    return value


def json(value: bytes | None) -> Json | None:
    """Encoded JSON for a json column: kept as it is, characters that jsonb refuses included."""
    return None if value is None else Json(value, dumps=_as_is)


def jsonb(value: bytes | None) -> Jsonb | None:
    return None if value is None else Jsonb(value.replace(b"\\u0000", b""), dumps=_as_is)


def clean(text: str | None) -> str | None:
    """PostgreSQL has no NUL in texts."""
    return text.replace("\x00", "") if text and "\x00" in text else text


async def copy(tx: Transaction, statement: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """COPY rows in. Errors: Conflict when one is there already."""
    with translated():
        async with tx.connection.cursor() as cursor, cursor.copy(as_literal(statement)) as target:
            target.set_types(types)
            for row in rows:
                await target.write_row(row)
