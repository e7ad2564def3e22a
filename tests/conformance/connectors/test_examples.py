"""What the vendors' documentation shows is enough: fields that its examples do not have must not be needed.

An example belongs to a stream when something that the stream read has all the example has. That is then cut down to
the fields of the example and read again: it must give the same records, and nothing may be put aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from connectors.http import Reply, Stream, get
from connectors.http.streams import find_items
from connectors.records import ActivityRecord
from tests.conformance.connectors.desk import HTTP, Desk, Mapped, only
from tests.simulator.helpers import examples, missing_keys

FREE = {"google_ads"}
"""Queries name their fields there, and the examples have others than ours."""


@only(set(HTTP) - FREE)
async def test_documented_examples_can_be_read(desk: Desk) -> None:
    wrong, found = [], await _found(desk)
    for name, seen, example in found:
        wrong += [f"{name} as {seen.stream.name}: {problem}" for problem in _read_cut(seen, example)]
    assert not wrong, "\n".join(dict.fromkeys(wrong))
    assert found


@only(FREE)
async def test_only_examples_of_other_fields_are_left_out(desk: Desk) -> None:
    assert not await _found(desk)


async def _found(desk: Desk) -> list[tuple[str, Mapped, Any]]:
    """Documented examples, each with what was read of its kind."""
    await desk.connect(desk.slug)
    await desk.pull_all()
    documented = examples(desk.slug).items()
    return [(name, seen, example) for name, example in documented for seen in _like(example, desk.record.mapped)]


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
