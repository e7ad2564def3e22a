"""Where one platform is put to the test: a small world on a stopped clock, a database of its own, workers between them.

Every desk of a platform sees the same world (same seed, same instant), so what one pull left behind can be compared
with what another one did under worse conditions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from connectors.base import Account, Connector, Credentials, Session
from connectors.http import Context, HttpConnector, Reply, Stream
from connectors.http import api as http_api
from connectors.http.api import utc_now
from connectors.http.cursors import CursorKind, DateWindow
from connectors.http.session import HttpSession, open_session
from connectors.http.verdicts import Judgement, ProblemReader, Rule
from connectors.registry import PLATFORMS
from simulator.server import running
from simulator.vendor import Vendor
from simulator.vendors.google_ads import GoogleAds
from simulator.world import Scale, World
from sync.base.sealing import Sealer, new_key
from sync.base.settings import ConnectorSettings, SecretsSettings, Settings, StoreSettings, SyncSettings
from sync.pull.accounts import Accounts
from sync.pull.model import ClaimedRun, Integration, Run
from sync.pull.worker import ExitReason
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database
from tests.integration.connectors.conftest import ORG, Office

HTTP: Mapping[str, HttpConnector] = {
    slug: connector for slug, connector in PLATFORMS.items() if isinstance(connector, HttpConnector)
}
AT = float(int(time.time()))
"""When everything happens."""
DAYS = 3
SMALL = Scale("conformance", accounts=2, days=DAYS, per_day=3)
PAGE = 3
"""Items to ask for at a time, where the platform allows so few: even a small world has several pages then."""
_judge = http_api.judge
T = TypeVar("T", bound=Callable[..., Any])


def stopped_clock() -> datetime:
    return datetime.fromtimestamp(AT, UTC)


@dataclass
class Exchange:
    """A call as it went out and how its answer was judged."""

    outgoing: httpx.Request
    reply: Reply
    read: ProblemReader
    rules: tuple[Rule, ...]
    judgement: Judgement


@dataclass
class Mapped:
    """An item on its way to records."""

    stream: Stream
    item: Any
    ctx: Context
    body: Any


@dataclass
class Record:
    """What a desk saw of its connector at work."""

    exchanges: list[Exchange] = field(default_factory=list)
    mapped: list[Mapped] = field(default_factory=list)
    last: httpx.Request | None = None

    def judge(self, reply: Reply, read: ProblemReader, rules: tuple[Rule, ...]) -> Judgement:
        judgement = _judge(reply, read, rules)
        assert self.last is not None
        self.exchanges.append(Exchange(self.last, reply, read, tuple(rules), judgement))
        return judgement


class _Watched(httpx.AsyncHTTPTransport):
    def __init__(self, record: Record) -> None:
        super().__init__(verify=False)
        self._record = record

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._record.last = request
        return await super().handle_async_request(request)


@dataclass(frozen=True)
class Watched(HttpConnector):
    """A connector with another clock, that does not wait between tries and tells what it does."""

    clock: Callable[[], datetime] = utc_now
    record: Record | None = None

    def open(self, account: Account) -> AbstractAsyncContextManager[Session]:
        transport = _Watched(self.record) if self.record is not None else None
        return open_session(self, account, transport=transport, now=self.clock, sleep=_no_wait)


async def _no_wait(_seconds: float) -> None:
    await asyncio.sleep(0)


def watched(connector: HttpConnector, *, clock: Callable[[], datetime], record: Record | None, page: int) -> Watched:
    def smaller(stream: Stream) -> Stream:
        size = min(max(stream.min_page_size, page), stream.page_size)

        def mapper(item: Any, ctx: Context) -> Any:
            if record is not None:
                record.mapped.append(Mapped(stream, item, replace(ctx), ctx.body))
            return stream.map(item, ctx)

        return replace(stream, page_size=size, map=mapper, cursor=_fewer_days(stream.cursor))

    values = {item.name: getattr(connector, item.name) for item in fields(HttpConnector)}
    return Watched(
        **{**values, "streams": tuple(smaller(stream) for stream in connector.streams)}, clock=clock, record=record
    )


def _fewer_days(cursor: CursorKind) -> CursorKind:
    """A month of ads takes long and shows no more than some days of them."""
    if not isinstance(cursor, DateWindow):
        return cursor
    return replace(
        cursor, step=min(cursor.step, 2), first=min(cursor.first, 4), lookback=min(cursor.lookback, DAYS), recent=1
    )


def only(platforms: Iterable[str]) -> Callable[[T], T]:
    """A test for some platforms, not all."""

    def mark(test: T) -> T:
        test.only = frozenset(platforms)  # type: ignore[attr-defined]
        return test

    return mark


class Killed(BaseException):
    """A worker's process is gone: nothing after this point of it happens."""


@dataclass
class Desk(Office):
    slug: str = ""
    url: str = ""
    record: Record = field(default_factory=Record)

    @property
    def connector(self) -> HttpConnector:
        found = self.connectors[self.slug]
        assert isinstance(found, HttpConnector)
        return found

    @property
    def vendor(self) -> Vendor[Any]:
        return self.world[self.slug]

    @property
    def sync_types(self) -> list[str]:
        return [sync_type.name for sync_type in self.connector.sync_types]

    async def pull_all(self, **options: Any) -> None:
        """Every sync type, one after another, as a platform is declared."""
        for sync_type in self.sync_types:
            await self.pull(sync_type, **options)

    async def pull(self, sync_type: str, **options: Any) -> Run:
        run = await self.settle(sync_type, **options)
        assert run.state == "succeeded", f"{self.slug} {sync_type}: {run.error_class}: {run.error_text}"
        return run

    async def pull_at_once(self) -> list[Run]:
        """Every sync type at the same time, past parkings, however it ends."""
        runs = await self.sync(self.slug)
        for _ in range(50):
            if all(run.state not in ("queued", "running") for run in runs):
                break
            await self.no_waiting()
            await self.work(self.slug)
            runs = [await self.runs.show(ORG, run.id) for run in runs]
        return runs

    async def settle(self, sync_type: str, **options: Any) -> Run:
        """One sync type until its run has ended, well or not."""
        (run,) = await self.sync(self.slug, sync_type, **options)
        for _ in range(50):
            if run.state not in ("queued", "running"):
                return run
            await self.no_waiting()
            await self.work(self.slug)
            run = await self.runs.show(ORG, run.id)
        raise AssertionError(f"{self.slug} {sync_type} does not come to an end: {run}")

    async def killed_after_every_page(self, sync_type: str, most: int) -> int:
        """Pull with a worker that dies at its first committed page, then another one, and so on. Returns the deaths."""
        (triggered,) = await self.runs.trigger(ORG, self.slug, sync_type)
        deaths = 0
        for _ in range(most + 50):
            run = await self.runs.show(ORG, triggered.run_id)
            if run.state not in ("queued", "running"):
                assert run.state == "succeeded", f"{self.slug} {sync_type}: {run.error_class}: {run.error_text}"
                return deaths
            await self.no_waiting()
            life = _Life(mortal=deaths < most)
            worker = self.worker(self.slug, holder=f"w{deaths}", page_committed=life.page)
            async with asyncio.timeout(300):
                assert await worker.run_until_idle() is ExitReason.IDLE
            deaths += life.over
        raise AssertionError(f"{self.slug} {sync_type} does not come to an end")

    @asynccontextmanager
    async def opened(self, integration: Integration) -> AsyncIterator[HttpSession]:
        """A session with an account, as a worker would have it, but without its stored tokens."""
        given = self.vendor.connect(integration.account)
        accounts = Accounts(self.database, self.sealer, self.settings)
        account = accounts.unsaved(
            integration.org_id, self.slug, integration.account, {}, Credentials(self.credentials(given))
        )
        async with open_session(self.connector, account, now=stopped_clock, sleep=_no_wait) as session:
            yield session

    async def outcome(self) -> dict[str, Any]:
        """What pulls left behind, without ids and times of ours."""
        columns = (
            "kind, vendor_id, parent_id, thread_id, place, author_id, text, direction, version, counters::text, "
            "deleted_at IS NOT NULL, encode(content_hash, 'hex')"
        )
        points = "entity_kind, entity, metric, starts_at, ends_at, dimensions, value, currency, is_final, place"
        return {
            "activities": await self.rows(f"SELECT {columns} FROM activity ORDER BY kind, vendor_id"),
            "metrics": await self.rows(f"SELECT {points} FROM metric_point ORDER BY 1, 2, 3, 4, 5, 6"),
            "quarantine": await self.rows(
                "SELECT sync_type, place, error, raw::text FROM activity_quarantine ORDER BY 1, 2, 3"
            ),
            **await self.told(),
        }

    async def told(self) -> dict[str, Any]:
        """What the events said: how often of each record, and of how many numbers."""
        return {
            "events": await self.rows(
                "SELECT type, payload ->> 'kind', payload ->> 'vendor_id', count(*) FROM event "
                "WHERE type LIKE 'activity.%%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            ),
            "points told": await self.rows(
                "SELECT payload ->> 'sync_type', sum((payload ->> 'points')::int) FROM event "
                "WHERE type = 'metrics.changed' GROUP BY 1 ORDER BY 1"
            ),
        }

    async def live_cursors(self) -> dict[str, Any]:
        return {
            "streams": await self.rows("SELECT sync_type, cursor::text FROM sync_stream ORDER BY 1"),
            "partitions": await self.rows(
                "SELECT sync_type, partition, cursor::text FROM sync_partition WHERE run_id = 0 ORDER BY 1, 2"
            ),
        }

    def calls(self) -> int:
        return self.requests(self.slug)


@dataclass
class _Life:
    mortal: bool
    over: bool = False

    def page(self, _run: ClaimedRun, _number: int) -> None:
        if self.mortal:
            self.over = True
            raise Killed


@asynccontextmanager
async def desk_at(
    slug: str, url: str, *, live: bool = False, scale: Scale = SMALL, page: int = PAGE, record: bool = True
) -> AsyncIterator[Desk]:
    """`live`: time passes and rate limits refuse; otherwise it stands still and they only count."""
    world = World(7, vendors=[slug], scale=scale, at=None if live else AT, limits=live)
    if isinstance(google := world.vendors[slug], GoogleAds):
        google.page_rows = 3 * page  # nobody can ask it for fewer
    seen = Record()
    connector = watched(
        HTTP[slug], clock=utc_now if live else stopped_clock, record=seen if record else None, page=page
    )
    limits = {} if live else {f"{slug}.{budget.name}": 0 for budget in connector.budgets}
    secrets = SecretsSettings(keys={"k1": SecretStr(new_key())}, current="k1")
    settings = Settings(
        secrets=secrets,
        sync=SyncSettings(lease_ttl_s=60.0, shared_pages=1),
        connectors=ConnectorSettings(limits=limits),
    )
    signals = Signals(LocalTransport())
    await signals.start()
    connectors: dict[str, Connector] = {slug: connector}
    try:
        async with running(world), Database(url, StoreSettings(), application="test", pool_size=6) as database:
            with recording(seen if record else None):
                yield Desk(
                    world, database, signals, settings, Sealer(secrets), connectors, slug=slug, url=url, record=seen
                )
    finally:
        await signals.close()


class recording:
    """Judge through a record meanwhile."""

    def __init__(self, record: Record | None) -> None:
        self._record = record

    def __enter__(self) -> None:
        if self._record is not None:
            http_api.judge = self._record.judge  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        http_api.judge = _judge


def differences(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """What one outcome has and the other has not, as lines that a person can read."""
    for name, rows in one.items():
        mine, theirs = set(rows), set(other[name])
        yield from (f"{name}: only here {row}" for row in sorted(mine - theirs, key=str)[:5])
        yield from (f"{name}: only there {row}" for row in sorted(theirs - mine, key=str)[:5])
        if len(rows) != len(other[name]):
            yield f"{name}: {len(rows)} here, {len(other[name])} there"


def assert_same(here: dict[str, Any], there: dict[str, Any]) -> None:
    found: Sequence[str] = list(differences(here, there))
    assert not found, "\n".join(found)


__all__ = ["AT", "HTTP", "ORG", "SMALL", "Desk", "Integration", "assert_same", "desk_at", "only"]
