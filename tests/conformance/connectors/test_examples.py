"""What the vendors' documentation shows is enough: fields that its examples do not have must not be needed.

An example belongs to a stream when something that the stream read has all the example has. That is then cut down to
the fields of the example and read again: it must give the same records, and nothing may be put aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from connectors.http import Reply, Stream, get
from connectors.http.streams import find_items
from connectors.records import ActivityRecord
from tests.conformance.connectors.desk import Desk, Mapped
from tests.simulator.helpers import examples, missing_keys


async def test_documented_examples_can_be_read(desk: Desk) -> None:
    await desk.connect(desk.slug)
    await desk.pull_all()
    try:
        documented = examples(desk.slug)
    except FileNotFoundError:
        pytest.skip("no documented examples are kept for it")
    wrong, read = [], set()
    for name, example in documented.items():
        for seen in _like(example, desk.record.mapped):
            read.add(name)
            wrong += [f"{name} as {seen.stream.name}: {problem}" for problem in _read_cut(seen, example)]
    assert not wrong, "\n".join(dict.fromkeys(wrong))
    if not read:
        pytest.skip("its examples show other fields than it is asked for")


def _like(example: Any, mapped: Iterable[Mapped]) -> Iterator[Mapped]:
    """The first reading of each stream that has all that the example has."""
    done: set[tuple[str, str]] = set()
    for seen in mapped:
        key = (seen.stream.name, seen.stream.part)
        if key in done:
            continue
        alike = type(seen.body) is type(example) and not missing_keys(seen.body, example)
        page = alike and _items(seen.stream, example)
        if page or (_whole(example, seen.item) and not missing_keys(seen.item, example)):
            done.add(key)
            yield seen


def _whole(example: Any, item: Any) -> bool:
    """Whether the example may be an item by itself, not only a detail that many things have."""
    return isinstance(example, dict) and isinstance(item, dict) and len(example) * 2 >= len(item)


def _read_cut(seen: Mapped, example: Any) -> Iterator[str]:
    if missing_keys(seen.item, example):
        body = cut(seen.body, example)
        pairs = list(zip(_items(seen.stream, seen.body), _items(seen.stream, body), strict=True))
    else:
        body = seen.body
        pairs = [(seen.item, cut(seen.item, example))]
    for full, item in pairs:
        try:
            found = _ids(seen, item, body)
        except Exception as error:
            yield f"{type(error).__name__}: {error}"
            continue
        if found != _ids(seen, full, seen.body):
            yield f"gives {found} instead of {_ids(seen, full, seen.body)}"


def _ids(seen: Mapped, item: Any, body: Any) -> set[tuple[str, str]]:
    found = seen.stream.map(item, replace(seen.ctx, body=body))
    records = (found,) if isinstance(found, msgspec.Struct) else tuple(found or ())
    return {(one.kind, one.vendor_id) for one in records if isinstance(one, ActivityRecord)}


def _items(stream: Stream, body: Any) -> Sequence[Any]:
    try:
        return find_items(stream.items, Reply(get("/"), 200, {}, msgspec.json.encode(body)))
    except Exception:
        return ()


def cut(value: Any, example: Any) -> Any:
    """The value with only those keys that the example has; of mixed lists, what the example shows none of stays."""
    if isinstance(value, dict) and isinstance(example, dict) and example:
        return {key: cut(value[key], example[key]) for key in value if key in example}
    if isinstance(value, list) and isinstance(example, list) and example:
        return [cut(item, next((like for like in example if not missing_keys(item, like)), item)) for item in value]
    return value
