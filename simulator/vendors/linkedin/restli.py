"""Rest.li 2.0 in URLs: `List(a,b)` and `(key:value)` with bare punctuation, everything inside it percent-encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from simulator.http import Refusal
from simulator.vendors.linkedin import errors

if TYPE_CHECKING:
    from simulator.http import Request

URL_LIMIT = 4_096


def params(request: Request) -> dict[str, Any]:
    """The query decoded: texts, lists and objects of them. Refuses what LinkedIn's parser would."""
    found: dict[str, Any] = {}
    for pair in filter(None, request.query_string.split("&")):
        name, _, raw = pair.partition("=")
        try:
            found[name] = decode(raw)
        except ValueError as error:
            raise Refusal(errors.bad_query(f"{name}: {error}")) from error
    return found


def decode(raw: str) -> Any:
    """One parameter's value. Errors: ValueError."""
    if not raw.startswith(("List(", "(")):
        if raw.startswith("urn:"):
            raise ValueError("a URN must be percent-encoded")
        return unquote_plus(raw)
    value, end = _value(raw, 0)
    if end != len(raw):
        raise ValueError(f"unexpected text at {end}")
    return value


def _value(raw: str, at: int) -> tuple[Any, int]:
    if raw.startswith("List(", at):
        return _list(raw, at + 5)
    if raw.startswith("(", at):
        return _record(raw, at + 1)
    end = at
    while end < len(raw) and raw[end] not in ",)":
        if raw[end] in ":(":
            raise ValueError(f"{raw[end]!r} must be percent-encoded at {end}")
        end += 1
    return unquote_plus(raw[at:end]), end


def _list(raw: str, at: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while not raw.startswith(")", at):
        item, at = _value(raw, at)
        items.append(item)
        if raw.startswith(",", at):
            at += 1
        elif not raw.startswith(")", at):
            raise ValueError("a list that does not end")
    return items, at + 1


def _record(raw: str, at: int) -> tuple[dict[str, Any], int]:
    record: dict[str, Any] = {}
    while not raw.startswith(")", at):
        colon = raw.find(":", at)
        if colon < 0:
            raise ValueError("an object that does not end")
        record[raw[at:colon]], at = _value(raw, colon + 1)
        if raw.startswith(",", at):
            at += 1
        elif not raw.startswith(")", at):
            raise ValueError("an object that does not end")
    return record, at + 1


def link(request: Request, **changes: object) -> str:
    """The request's own address with other parameters, as `paging.links` has it: sorted by name."""
    pairs = dict(pair.partition("=")[::2] for pair in filter(None, request.query_string.split("&")))
    pairs |= {name: quote(str(value), safe="") for name, value in changes.items()}
    return f"{request.path}?" + "&".join(f"{name}={value}" for name, value in sorted(pairs.items()))
