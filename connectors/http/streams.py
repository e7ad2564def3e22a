"""What an author declares: streams (sync types), report jobs, webhooks, and the connector that holds them.

Everything is a frozen value. Functions in it are pure (request builders, mappings) except the three seams marked async:
`Stream.partitions`, `HttpConnector.identify` and `HttpConnector.before`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.base import BACKFILL_OPTIONS, Account, Field, Session, SyncType
from connectors.http.auth import Auth
from connectors.http.budgets import Budget
from connectors.http.cursors import CursorKind, Snapshot
from connectors.http.listed import Listed
from connectors.http.pagers import Pager, Single
from connectors.http.replies import Replies
from connectors.http.request import Context, Partition, Reply, Request, dig
from connectors.http.verdicts import ProblemReader, Rule, no_problem
from connectors.records import SOCIAL, ActivityRecord, MetricRecord
from sync.base.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.http.api import Api

Record = ActivityRecord | MetricRecord
Mapper = Callable[[Any, Context], Record | Iterable[Record] | None]
Items = str | Callable[[Reply], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """An asynchronous report: make it, ask until it is ready, read it.

    The job's id is stored before it is asked about, so a stop never makes a second job; while it is not ready the run
    parks. `ready` answers True, False (failed: it is made again, twice at most) or None (not yet).
    """

    create: Callable[[Context], Request]
    job_id: str | Callable[[Reply], str]
    poll: Callable[[Context, str], Request]
    ready: Callable[[Reply], bool | None]
    download: Callable[[Context, str, Reply], Request]
    """The first page of its rows; the stream's pager and `items` go on from there."""
    poll_s: float = 10.0
    """First pause; it doubles up to five minutes."""
    give_up: timedelta = timedelta(minutes=30)
    """A job not ready by then is made anew, over half the days if possible."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A sync type, or a part of one: streams of the same name run one after another under it."""

    name: str
    title: str
    every: timedelta
    """The fastest part gives the sync type its cadence; the schedule passes over slower ones until it is their time."""
    map: Mapper
    """One item to its records. Raising anything puts the item aside (Rejected); None leaves it out."""
    request: Callable[[Context], Request] | None = None
    """The first page of `ctx.span` of `ctx.partition`, `ctx.size` items at a time."""
    report: Report | None = None
    """Instead of `request`."""
    items: Items = "data"
    """Where the items of a page are: a path in the body (an object there is one item), or a function."""
    pager: Pager = field(default_factory=Single)
    cursor: CursorKind = field(default_factory=Snapshot)
    partitions: Callable[[Api, Context], AsyncIterator[Partition]] | None = None
    """Async seam: the parts to walk, each with a cursor of its own."""
    part: str = ""
    """Names this stream among those of its name; it becomes part of partition keys, so it must not change."""
    page_size: int = 100
    min_page_size: int = 1
    scopes: tuple[str, ...] = ()
    verdicts: tuple[Rule, ...] = ()
    """Tried before those of the connector."""
    listed: Listed | None = None
    """The list holds all there are, and what is not in it any more was deleted (`http/listed.py`)."""
    destructive: bool = False
    """Asking for the next page deletes this one at the vendor: it is stored first."""
    max_pages: int = 100_000
    """Of one walk; more is taken for a fault."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose credentials these are."""

    account: str
    """The vendor's id of the account."""
    label: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What mappings and requests need to know about it: our own user id, time zone, currency.

    `places`: ids of what belongs to it and webhooks name instead of it: pages, channels, boards.
    """


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook request as it came in."""

    method: str
    headers: Mapping[str, str]
    """By lower-case name."""
    query: Mapping[str, str]
    body: bytes
    received_at: float
    """Seconds since 1970."""
    secrets: Mapping[str, str]
    """Of the installation's app: client_secret and what else is configured."""


def read_object(body: bytes | str) -> dict[str, Any]:
    """The JSON object that somebody sent; empty if it is none."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class HookAnswer:
    status: int = 200
    body: str = ""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class HookEvent:
    """One thing that a webhook tells about one account."""

    account: str
    """The vendor's id of the account, as `Identity.account`, or of one of its `places`."""
    key: str
    """Unique per delivery of the vendor's: the same key again is a duplicate."""
    records: tuple[Record, ...] = ()
    dirty: tuple[str, ...] = ()
    """Sync types to pull now, for events that say only that something changed."""
    revoked: str = ""
    """Why the account is gone, if that is the event."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """How a vendor's webhooks are recognised, answered, checked and read. All functions but `register` are pure."""

    verify: Callable[[Hook], bool]
    """Signature and age over the raw body, in constant time."""
    events: Callable[[Hook], Iterable[HookEvent]]
    handshake: Callable[[Hook], HookAnswer | None] = lambda _hook: None
    """The answer to a challenge; None for everything else. It is asked after `verify` unless it is a GET."""
    verify_handshake: bool = True
    signed_by: str = ""
    """The header that this vendor's signature is in and nobody else's: it tells the platform at the common address."""
    challenge: str = ""
    """The query parameter of a handshake by GET, for the same purpose."""
    delivery_id: Callable[[Hook], str] = lambda _hook: ""
    """What tells apart two deliveries with the same body, where bodies may be equal; a retry has the same."""
    kept: tuple[str, ...] = ()
    """Headers that `events` reads; nothing else of a request but its body is stored."""
    kept_query: tuple[str, ...] = ()
    """Query parameters that `verify` and `events` read."""
    address: Callable[[str, Mapping[str, Any]], Mapping[str, str]] = lambda _account, _facts: {}
    """Those that the address of one integration stands for, from its account and facts."""
    accepted: Callable[[Hook], HookAnswer] = lambda _hook: HookAnswer()
    """The answer to a delivery that was stored."""
    register: Callable[[Api, str], Awaitable[None]] | None = None
    """Async seam: have the vendor call this address about the account. Done already is fine: it is asked daily."""


Headers = Mapping[str, str] | Callable[[Context], Mapping[str, str]]


@dataclass(frozen=True)
class HttpConnector:
    """A platform. Implements `connectors.base.Connector`."""

    platform: str
    title: str
    base_url: str | Mapping[str, str]
    """With several hosts: by the names that requests use, '' for the usual one. Installations may override each."""
    auth: Auth
    streams: tuple[Stream, ...]
    budgets: tuple[Budget, ...] = ()
    verdicts: tuple[Rule, ...] = ()
    problem: ProblemReader = no_problem
    """Reads the vendor's error out of an answer; None if it is none."""
    identify: Callable[[Api], Awaitable[Identity]] | None = None
    """Async seam: whose token this is. Asked at connect and then once a day for the facts."""
    before: Callable[[Request, Context], Awaitable[Request]] | None = None
    """Async seam: the last change to a request that carries its token, such as a signature over it."""
    headers: Headers = field(default_factory=dict)
    extra_fields: tuple[Field, ...] = ()
    """Besides those of the auth."""
    webhook: Webhook | None = None
    replies: Replies | None = None
    """How it answers comments and messages; None: people answer there."""
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        for stream in self.streams:
            if (stream.request is None) == (stream.report is None):
                raise ConfigurationError(f"{self.platform} {stream.name} needs a request or a report, not both.")
        keys = [(stream.name, stream.part) for stream in self.streams]
        if len(set(keys)) != len(keys):
            raise ConfigurationError(f"{self.platform} has two streams of one name and part.")

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        return (*self.auth.fields, *self.extra_fields)

    @cached_property
    def sync_types(self) -> tuple[SyncType, ...]:
        return tuple(self._sync_type(name) for name in dict.fromkeys(stream.name for stream in self.streams))

    def streams_of(self, name: str) -> tuple[Stream, ...]:
        return tuple(stream for stream in self.streams if stream.name == name)

    def urls(self, account: Account) -> dict[str, str]:
        """Where each host is for this installation."""
        own = {"": self.base_url} if isinstance(self.base_url, str) else dict(self.base_url)
        given = account.installation.urls
        return {name: (given.get(name) or given.get("") or url).rstrip("/") for name, url in own.items()}

    def open(self, account: Account) -> AbstractAsyncContextManager[Session]:
        from connectors.http.session import open_session

        return open_session(self, account)

    def _sync_type(self, name: str) -> SyncType:
        parts = self.streams_of(name)
        backfills = all(part.cursor.backfills for part in parts)
        return SyncType(
            name,
            parts[0].title,
            stores=SOCIAL,
            every=min(part.every for part in parts),
            options=BACKFILL_OPTIONS if backfills else (),
            scopes=tuple(dict.fromkeys(scope for part in parts for scope in part.scopes)),
        )


def find_items(items: Items, reply: Reply) -> Sequence[Any]:
    """The items of a page; an object at the path is one item, nothing there is none."""
    if callable(items):
        return items(reply)
    found = dig(reply.data, items)
    if found is None:
        return ()
    return found if isinstance(found, list) else (found,)
