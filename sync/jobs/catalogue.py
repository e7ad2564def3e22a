"""The table of everything that can run: kind, arguments, handler, queue, limits.

A kind is a literal dotted string with aliases for renames, never an import path: stored rows survive refactoring.
Wrong tables stop the process with a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sync.base.errors import ConfigurationError, Permanent
from sync.jobs.context import JobContext
from sync.jobs.outcome import Outcome
from sync.jobs.retry import Backoff
from sync.store.engine import Database, Transaction
from sync.store.sql import load_sql

Handler = Callable[[Any, JobContext], Awaitable[Outcome | None]]

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")

QUEUES: Mapping[str, str] = {
    "one-off": "consumer.one-off",
    "schedule": "consumer.schedule",
    "maintenance": "consumer.schedule",
    "datatype": "consumer.datatype",
    "notification": "processor.notification",
    "escalation": "processor.escalation",
    "billing": "processor.billing",
}
"""Queue -> the pool that serves it. A queue exists for isolation; a pool is a set of processes."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of work.

    concurrency, org_concurrency: how many run at once in the whole cluster, in all and per org. A kind with a limit
    gets a queue of its own, `<queue>/<kind>`, served by the same pool, so the limit never blocks its neighbours.
    unique: makes the default unique key from the arguments.
    tenants: whether a tenant may enqueue it, over HTTP or by a schedule of his own. What serves the whole install, or
    is a step of something bigger, is for ourselves and for operators alone.
    """

    kind: str
    args: type[msgspec.Struct]
    handler: Handler
    queue: str = "one-off"
    priority: int = 2
    max_attempts: int = 20
    timeout_s: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int | None = None
    org_concurrency: int | None = None
    unique: Callable[[Any], str] | None = None
    aliases: tuple[str, ...] = ()
    tenants: bool = True
    description: str = ""

    @property
    def queue_name(self) -> str:
        limited = self.concurrency is not None or self.org_concurrency is not None
        return f"{self.queue}/{self.kind}" if limited else self.queue

    def encode(self, args: msgspec.Struct | Mapping[str, Any]) -> str:
        """Checked arguments as JSON text. Errors: Permanent, naming the field."""
        try:
            checked = args if isinstance(args, self.args) else msgspec.convert(dict(_mapping(args)), self.args)
            return msgspec.json.encode(checked).decode()
        except (msgspec.ValidationError, TypeError, UnicodeError) as error:
            raise Permanent(f"The arguments of {self.kind} are wrong: {error}", kind=self.kind) from error


def _mapping(args: msgspec.Struct | Mapping[str, Any]) -> Mapping[str, Any]:
    return msgspec.structs.asdict(args) if isinstance(args, msgspec.Struct) else args


class Catalogue:
    """All kinds of one process. Errors at construction: ConfigurationError."""

    def __init__(self, kinds: Iterable[JobKind]) -> None:
        self.kinds = tuple(kinds)
        self._by_name: dict[str, JobKind] = {}
        for kind in self.kinds:
            _check(kind)
            for name in (kind.kind, *kind.aliases):
                if name in self._by_name:
                    raise ConfigurationError(f"Job kind {name!r} is declared twice.")
                self._by_name[name] = kind

    def find(self, name: str) -> JobKind | None:
        return self._by_name.get(name)

    def get(self, name: str) -> JobKind:
        """Errors: Permanent for an unknown kind, with the known ones."""
        kind = self._by_name.get(name)
        if kind is None:
            raise Permanent(
                f"There is no job kind {name!r}. Known kinds: {', '.join(sorted(self._by_name)) or 'none'}."
            )
        return kind

    async def install(self, database: Database) -> None:
        """Write queues and kinds to the database, so that sync_enqueue() and other languages know them."""
        async with database.transaction() as tx:
            await self._install_queues(tx)
            await tx.execute(
                load_sql("install_kinds"),
                {
                    "kinds": [name for name in self._by_name],
                    "queues": [kind.queue_name for kind in self._by_name.values()],
                    "priorities": [kind.priority for kind in self._by_name.values()],
                    "max_attempts": [kind.max_attempts for kind in self._by_name.values()],
                },
            )

    async def _install_queues(self, tx: Transaction) -> None:
        rows: dict[str, tuple[str, int | None, int | None]] = {
            name: (pool, None, None) for name, pool in QUEUES.items()
        }
        for kind in self.kinds:
            if kind.queue_name != kind.queue:
                rows[kind.queue_name] = (QUEUES[kind.queue], kind.concurrency, kind.org_concurrency)
        names = sorted(rows)  # one order for all processes, or two that start together would deadlock
        await tx.execute(
            load_sql("install_queues"),
            {
                "names": names,
                "pools": [rows[name][0] for name in names],
                "concurrency": [rows[name][1] for name in names],
                "org_concurrency": [rows[name][2] for name in names],
            },
        )


def _check(kind: JobKind) -> None:
    if not _KIND.fullmatch(kind.kind):
        raise ConfigurationError(
            f"{kind.kind!r} is not a job kind: write it dotted and in lower case, like 'mail.ingest'."
        )
    if kind.queue not in QUEUES:
        raise ConfigurationError(
            f"Job kind {kind.kind!r} names queue {kind.queue!r}; known queues: {', '.join(QUEUES)}."
        )
    if kind.queue == "maintenance" and kind.tenants:
        raise ConfigurationError(f"Job kind {kind.kind!r} is maintenance, which concerns all orgs: say tenants=False.")
    if not 0 <= kind.priority <= 3:
        raise ConfigurationError(f"Job kind {kind.kind!r}: priority must be 0 (urgent) to 3 (low).")
    if not 1 <= kind.max_attempts <= 1000:
        raise ConfigurationError(f"Job kind {kind.kind!r}: max_attempts must be 1 to 1000.")
    if kind.timeout_s <= 0:
        raise ConfigurationError(f"Job kind {kind.kind!r}: timeout_s must be positive.")
