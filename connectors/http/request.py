"""Requests as connectors describe them, answers as they read them, and what they may know while doing so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from connectors.base import Account

Mark = datetime | int
"""A place in a feed: a time, or an id that grows."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Pure data: the session adds the token, sends it, judges the answer."""

    method: str
    path: str
    """Below the host's base URL."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that are None are left out, lists repeat the name."""
    json: Any = None
    form: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    """Which of the connector's hosts."""
    endpoint: str = ""
    """Class of the call, by which budgets are chosen and rules may ask; the path when left out."""
    token: str | None = field(default=None, repr=False)
    """Instead of the account's own token: a page token."""
    signed: bool = True
    """False sends no token: pre-signed downloads."""
    raw: bool = False
    """The answer is not JSON: read `reply.body`."""
    cost: int = 1

    @property
    def kind(self) -> str:
        return self.endpoint or self.path


def get(path: str, /, *, host: str = "", endpoint: str = "", with_token: str | None = None, **params: Any) -> Request:
    """`with_token` instead of the account's own; every other name is a parameter of the vendor's."""
    return Request("GET", path, params, host=host, endpoint=endpoint, token=with_token)


def post(
    path: str,
    /,
    *,
    json: Any = None,
    form: Mapping[str, Any] | None = None,
    host: str = "",
    endpoint: str = "",
    with_token: str | None = None,
    **params: Any,
) -> Request:
    return Request("POST", path, params, json=json, form=form, host=host, endpoint=endpoint, token=with_token)


class NotJsonError(ValueError):
    """The body is not the JSON that was asked for."""


class Reply:
    """An answer. `headers` are asked by lower-case name."""

    __slots__ = ("_data", "body", "headers", "request", "status")

    def __init__(self, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.request = request
        self.status = status
        self.headers = headers
        self.body = body
        self._data: Any = msgspec.UNSET

    @property
    def data(self) -> Any:
        """The body as JSON; None when it is empty. Errors: NotJsonError."""
        if self._data is msgspec.UNSET:
            self._data = _decode(self.body)
        return self._data

    def at(self, path: str, default: Any = None) -> Any:
        """`reply.at("error.code")`: the value there, or the default when it is missing or null."""
        return dig(self.data, path, default)

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name, default)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def _decode(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if repaired := _without_lone_surrogates(body):
            return repaired
        raise NotJsonError(str(error)) from error


_LONE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def _without_lone_surrogates(body: bytes) -> Any:
    """Vendors cut texts in the middle of an emoji; half of one is no character."""
    cleaned, found = _LONE.subn(rb"\\ufffd", body)
    if not found:
        return None
    try:
        return msgspec.json.decode(cleaned)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def dig(data: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path of objects and list places; the default when it is missing or null."""
    found = data
    for part in path.split(".") if path else ():
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and part.lstrip("-").isdigit() and -len(found) <= int(part) < len(found):
            found = found[int(part)]
        else:
            return default
    return default if found is None else found


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a sync type with a cursor of its own: a channel, a page, an ad account, one post's comments.

    `key` is stored, so it must be stable. `vars` is not: whatever requests and mapping need, tokens included.
    A partition whose `mark` equals the one of its last complete walk has nothing new and is passed over.
    """

    key: str
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)
    mark: str | int | None = None
    zone: str = "UTC"
    """Time zone of its days (DateWindow)."""


WHOLE = Partition("")


@dataclass(frozen=True, slots=True)
class Span:
    """What one walk through pages is to cover. Cursor kinds make it, request builders read it."""

    since: Mark | None = None
    until: Mark | None = None
    first_day: date | None = None
    last_day: date | None = None
    """Both inclusive."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """The same days as half-open instants in the partition's time zone."""


@dataclass(slots=True)
class Context:
    """What request builders and mappings may know."""

    account: Account
    facts: Mapping[str, Any]
    now: datetime
    partition: Partition = WHOLE
    span: Span = field(default_factory=Span)
    size: int = 100
    """How many items to ask for."""
    body: Any = None
    """For mappings: the whole answer that the item came in."""
    unchanged: int = 0
    """For `partitions`: how many in a row had nothing new. It lags by up to a hundred; set it to 0 to count anew."""

    def at(self, partition: Partition) -> Context:
        """For calls that `partitions` makes about one place, so that they count on that place's budgets."""
        return replace(self, partition=partition)

    @property
    def vars(self) -> Mapping[str, Any]:
        return self.partition.vars

    def back_to(self, window: timedelta) -> datetime:
        """For `partitions` that look through what is recent: the days a backfill asks for, else so far back."""
        since = self.span.since
        return since if isinstance(since, datetime) else self.now - window

    def today(self) -> tuple[datetime, datetime]:
        """The current UTC day as half-open instants: the window of lifetime counters, a point for each day."""
        start = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        return start, start + timedelta(days=1)

    @property
    def since(self) -> Any:
        return self.span.since

    @property
    def until(self) -> Any:
        return self.span.until


def chunks(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    """Lists of at most `size`, for endpoints that take so many ids."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
