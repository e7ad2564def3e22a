"""Builds the real things of one process: settings in, connected collaborators out. Tests override here only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.base.clock import Clock, SystemClock
from sync.base.errors import ConfigurationError
from sync.base.logs import configure_logging
from sync.base.sealing import Sealer
from sync.base.settings import QueueSettings, Settings
from sync.signals import LocalTransport, PostgresTransport, RedisTransport, Signals, Transport
from sync.store.engine import Database

if TYPE_CHECKING:
    from sync.jobs.catalogue import Catalogue, JobKind
    from sync.jobs.queue import Queue


@dataclass(frozen=True)
class Core:
    """What every process has; enough to run syncs."""

    settings: Settings
    database: Database
    signals: Signals
    sealer: Sealer


@dataclass(frozen=True)
class Runtime:
    """What every part of one process shares."""

    settings: Settings
    database: Database
    relaxed: Database
    """The same server, committing with synchronous_commit=off: for claim and finish only."""
    signals: Signals
    catalogue: Catalogue
    queue: Queue
    clock: Clock
    sealer: Sealer

    @property
    def queue_settings(self) -> QueueSettings:
        return self.settings.queue


def database_url(settings: Settings) -> str:
    """The connection string. Errors: ConfigurationError when no server is named and no embedded one was started."""
    if settings.store.url is None:
        raise ConfigurationError(
            "No PostgreSQL is known: set SYNC_STORE__URL, or start the embedded one with `syncctl up`."
        )
    return settings.store.url.get_secret_value()


@asynccontextmanager
async def open_core(settings: Settings, *, application: str) -> AsyncIterator[Core]:
    """As `open_runtime`, without the queue and what it would import."""
    configure_logging(settings.log_level, json=settings.log_json)
    url = database_url(settings)
    async with Database(url, settings.store, application=application) as database:
        signals = Signals(_transport(settings, url))
        await signals.start()
        database.publish = signals.publish
        try:
            yield Core(settings, database, signals, Sealer(settings.secrets))
        finally:
            await signals.close()


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, application: str, extra_kinds: Iterable[JobKind] = ()
) -> AsyncIterator[Runtime]:
    """Connect everything for one process; closed at the end of the block. Errors: Transient, ConfigurationError."""
    from sync.catalogue import build_catalogue
    from sync.consumers.one_off import HttpCaller
    from sync.consumers.secrets import OrgSecrets
    from sync.jobs.catalogue import Catalogue
    from sync.jobs.queue import Queue

    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings, application=application))
        database, signals, sealer = core.database, core.signals, core.sealer
        relaxed = Database(database_url(settings), settings.store, application=application, relaxed=True)
        relaxed.publish = signals.publish
        caller = HttpCaller(OrgSecrets(database, sealer), settings.outbound)
        stack.push_async_callback(caller.close)
        catalogue = Catalogue([*build_catalogue(settings, database, signals, caller), *extra_kinds])
        await catalogue.install(database)
        queue = Queue(database, signals, catalogue)
        await queue.open()
        stack.push_async_callback(queue.close)
        yield Runtime(settings, database, relaxed, signals, catalogue, queue, SystemClock(), sealer)


def _transport(settings: Settings, url: str) -> Transport:
    if settings.redis.url is not None:
        return RedisTransport(settings.redis.url.get_secret_value(), settings.redis.prefix)
    if not settings.store.listen:
        return LocalTransport()
    direct = settings.store.direct_url
    return PostgresTransport(direct.get_secret_value() if direct is not None else url)
