"""What a platform is to Sync.

A connector declares itself (fields that connect an account, sync types with their cadence and options) and brings code
at two seams: `open` makes a session with one account, `pages` yields what the account holds, oldest first where the
vendor allows it. It has no state, no database and no queue; importing its module opens nothing.

The caller owns everything else: it stores a page and its cursor in one transaction, asks again with the last stored
cursor, waits, retries, expires accounts. So a connector may be killed anywhere, and
- yields a page only with the cursor from which a later pull would continue after exactly that page;
- never writes to the vendor while pulling;
- raises the errors of `sync.base.errors`: Transient, RateLimited(retry_after_s), IntegrationRevoked, ScopeMissing,
  ConfigurationError. Anything else is a bug and is retried like Transient.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

from sync.base.errors import ConfigurationError

Cursor = dict[str, Any]
"""Opaque to the caller: JSON that only its connector reads."""


class Credentials(Mapping[str, str]):
    """Secrets of one account, opened for one session; never printed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._values)})"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to know about an account in order to connect it. Secret ones are sealed, the others are config."""

    name: str
    help: str
    kind: Literal["text", "integer", "boolean", "choice", "date"] = "text"
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    secret: bool = False
    operator_only: bool = False
    """Only the operator of the installation may set it, never a tenant: it opens the way into our own network."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something that a trigger may ask of a sync type."""

    name: str
    kind: Literal["date", "boolean"]
    help: str


BACKFILL_OPTIONS = (
    Option("startDate", "date", "Pull everything from this day on again (a backfill; the live cursor stays)."),
    Option("endDate", "date", "The last day of the backfill; today if absent."),
    Option("force", "boolean", "Emit events for records that did not change, too."),
)


@dataclass(frozen=True, slots=True)
class SyncType:
    name: str
    title: str
    stores: str
    """Kind of its records, which decides where they are stored."""
    every: timedelta
    """Cadence, unless the account asks for another."""
    options: tuple[Option, ...] = ()
    scopes: tuple[str, ...] = ()
    """What the account must have granted; without it this sync type is blocked and the others go on."""

    @property
    def backfills(self) -> bool:
        return any(option.name == "startDate" for option in self.options)


@dataclass(frozen=True, slots=True)
class Installation:
    """What this installation knows about a platform: our app there, and where the platform is."""

    client_id: str = ""
    client_secret: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What else the app comes with: a signing secret, a bot token."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """Base URLs instead of the vendor's, by host name; '' stands for all hosts that are not named."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Other limits than the declared ones, by budget; 0 switches a limit off."""


Exchange = Callable[[Credentials], Awaitable[Mapping[str, str]]]
"""Turns credentials into new ones at the vendor. Errors: IntegrationRevoked when it refuses for good, Transient."""


class Tokens(Protocol):
    """The account's credentials, kept by the runtime: one renewal at a time in the whole cluster."""

    async def current(self) -> Credentials: ...

    async def renew(self, used: Credentials, exchange: Exchange) -> Credentials:
        """Credentials that are not `used` any more: those somebody else got meanwhile, or what `exchange` gives.

        They are stored before this returns. Errors: those of `exchange`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that is about to be made, on one bucket. Without a limit only blocks of the bucket count."""

    key: str
    limit: int = 0
    window_s: float = 0.0
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Delay:
    """A claim that has to wait: for so long at least, because of this bucket."""

    seconds: float
    key: str


class Budgets(Protocol):
    """Rate budgets, shared by everybody who calls for the same app or account."""

    async def take(self, claims: Sequence[Claim]) -> Delay | None:
        """Take from every bucket (None), or from none of them (the longest delay)."""
        ...

    async def block(self, key: str, seconds: float) -> None:
        """Let nobody call on this bucket for so long."""
        ...


class Known(Protocol):
    """What our store already holds of an account, for sync types that look at known records again."""

    def recent(self, kinds: Sequence[str], since: datetime) -> AsyncIterator[list[str]]:
        """Vendor ids of records not older than `since`, newest first, in batches of 100."""
        ...

    def living(self, kind: str, prefix: str, data: Mapping[str, str]) -> AsyncIterator[list[str]]:
        """Vendor ids that begin so, of all records with this in their data that are not deleted, in batches."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a session is opened with."""

    org_id: str
    account: str
    config: Mapping[str, Any]
    credentials: Credentials
    installation: Installation = field(default_factory=Installation)
    tokens: Tokens | None = None
    budgets: Budgets | None = None
    known: Known | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the vendor told about the account when we last asked: ids of ours there, time zone, currency."""
    remember: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None
    """Keep new facts."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One request for pages: everything after `cursor`, within the days asked for."""

    sync_type: str
    cursor: Cursor | None = None
    start: date | None = None
    end: date | None = None
    """Both inclusive."""
    run: int | None = None
    """Which run this is; the same for all its attempts."""
    scheduled: bool = False
    """Nobody asked for it: what is not due yet may be left out."""
    partitions: Partitions | None = None
    """Cursors of the parts of a sync type (channels, ad accounts), for connectors that have them."""


class Partitions(Protocol):
    async def load(self, keys: Sequence[str]) -> Mapping[str, Cursor]:
        """The stored cursors of these parts; those never seen are missing."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, and where to continue once they are stored. `more` says that another page may follow at once.

    `cursor` belongs to `partition`, or to the sync type itself when that is empty; None leaves it as it is.
    """

    records: Sequence[Any]
    cursor: Cursor | None
    more: bool
    partition: str = ""
    settle: bool = False
    """Ask for the next page only when this one is stored: asking destroys it at the vendor."""


class Session(Protocol):
    """A conversation with one account."""

    async def check(self) -> None:
        """Prove that the credentials work and the configured place can be read."""
        ...

    def pages(self, pull: Pull) -> AsyncGenerator[Page, None]: ...


class Connector(Protocol):
    @property
    def platform(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def sync_types(self) -> tuple[SyncType, ...]: ...

    def open(self, account: Account) -> AbstractAsyncContextManager[Session]: ...


@dataclass(frozen=True, slots=True)
class Given:
    """Checked answers to a connector's fields."""

    config: dict[str, Any] = field(default_factory=dict)
    credentials: Credentials = field(default_factory=lambda: Credentials({}))


def find_sync_type(connector: Connector, name: str) -> SyncType:
    """Errors: ConfigurationError that lists the ones there are."""
    for sync_type in connector.sync_types:
        if sync_type.name == name:
            return sync_type
    known = ", ".join(sync_type.name for sync_type in connector.sync_types)
    raise ConfigurationError(f"{connector.title} has no sync type {name!r}; it has: {known}.")


def check_fields(
    connector: Connector, config: Mapping[str, Any], credentials: Mapping[str, Any], *, operator: bool
) -> Given:
    """Fill in defaults and check types. Errors: ConfigurationError with every problem in one sentence each."""
    problems: list[str] = []
    known = {item.name: item for item in connector.fields}
    problems += [f"{name!r} is not a field of {connector.title}." for name in {*config, *credentials} - known.keys()]
    misplaced = {name for name in config if name in known and known[name].secret}
    problems += [f"{name} is a secret and belongs to the credentials." for name in misplaced]
    problems += [f"{name} is no secret." for name in credentials if name in known and not known[name].secret]
    clean: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    for item in connector.fields:
        value = (credentials if item.secret else config).get(item.name)
        if value is None or value == "":
            if item.required:
                problems.append(f"{item.name} is needed: {item.help}")
            elif item.default is not None:
                clean[item.name] = item.default
            continue
        if item.operator_only and not operator and value != item.default:
            problems.append(f"{item.name} can be set by the operator of this installation only.")
        elif (problem := _type_problem(item, value)) is not None:
            problems.append(problem)
        elif item.secret:
            secrets[item.name] = value
        else:
            clean[item.name] = value
    if problems:
        raise ConfigurationError(" ".join(problems))
    return Given(clean, Credentials(secrets))


def _type_problem(item: Field, value: Any) -> str | None:
    wrong = {
        "text": not isinstance(value, str),
        "integer": not isinstance(value, int) or isinstance(value, bool),
        "boolean": not isinstance(value, bool),
        "choice": value not in item.choices,
        "date": not _is_date(value),
    }[item.kind]
    if not wrong:
        return None
    wanted = {"choice": "one of " + ", ".join(item.choices), "date": "a date like 2026-11-30"}.get(item.kind, item.kind)
    return f"{item.name} must be {wanted}."


def _is_date(value: Any) -> bool:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
