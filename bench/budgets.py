"""How much of a vendor's rate limit two processes use together: `python -m bench.budgets [--windows 4]`.

Two accounts of one app at a simulated TikTok, whose limit counts all calls of an app in a sliding window; each account
is pulled by a `SyncWorker` in a process of its own, and both want more than the limit. What the vendor allows in the
long run is that a call and the one `limit` calls later are a window apart, no less:

    quota_used   a window, over the time that really lay between them on average; 1 cannot be surpassed
    over_limit   calls that the vendor refused
    calls        accepted ones

Once with windows of half a minute and once of a minute: the runs park and come back. Shorter windows would say more
about who else uses the processors than about budgets: calls that left in time arrive late. The last line on standard
output is one JSON object: the worst of these shapes with budgets in PostgreSQL, and beside it the same under `redis`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from bench.common import Disturbance, Servers, die_with_parent, log
from connectors.http import Budget, HttpConnector
from connectors.tiktok.connector import TIKTOK
from simulator.server import served
from simulator.world import Scale, World
from sync.base.logs import configure_logging
from sync.base.sealing import Sealer, new_key
from sync.base.settings import (
    AppSettings,
    ConnectorSettings,
    RedisSettings,
    SecretsSettings,
    Settings,
    StoreSettings,
)
from sync.pull.integrations import Integrations
from sync.pull.runs import SyncRuns
from sync.pull.worker import SyncWorker
from sync.signals import LocalTransport, Signals
from sync.store.engine import Database

ORGS = ("one", "two")
TYPES = ("posts", "comments", "engagement-metrics")
SCALE = Scale("budgets", accounts=2, days=120, per_day=60)
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Shape:
    limit: int
    window_s: float

    @property
    def name(self) -> str:
        return f"{self.limit}/{self.window_s:g}s"


SHAPES = (Shape(300, 30), Shape(600, 60))


@dataclass
class _Runtime:
    settings: Settings
    database: Database
    signals: Signals
    sealer: Sealer


def connector(shape: Shape) -> HttpConnector:
    """TikTok with this one limit, asked for little at a time so that there is much to ask."""
    budget = Budget("qpm", scope="app", limit=shape.limit, window=timedelta(seconds=shape.window_s))
    streams = tuple(replace(s, page_size=2) if s.name in TYPES and s.page_size == 20 else s for s in TIKTOK.streams)
    return replace(TIKTOK, budgets=(budget, TIKTOK.budgets[-1]), streams=streams)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=float, default=4, help="windows to measure, at least 40 s")
    parser.add_argument("--only", default="", help="shapes such as 50/1s, separated by commas")
    parser.add_argument("--stores", default="postgresql,redis")
    options = parser.parse_args()
    shapes = [shape for shape in SHAPES if not options.only or shape.name in options.only.split(",")]
    servers = Servers()
    try:
        servers.start()
        found = {
            store: {shape.name: measure(servers, shape, store, options.windows) for shape in shapes}
            for store in options.stores.split(",")
        }
    finally:
        servers.stop()
    first, *others = ({**_worst(rows), "shapes": rows} for rows in found.values())
    print(json.dumps({**first, **dict(zip(list(found)[1:], others, strict=True))}), flush=True)


def _worst(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "quota_used": min(row["quota_used"] for row in rows.values()),
        "over_limit": sum(row["over_limit"] for row in rows.values()),
    }


def measure(servers: Servers, shape: Shape, store: str, windows: float) -> dict[str, Any]:
    world = World(7, vendors=["tiktok"], scale=SCALE, limits=True)
    limits = world["tiktok"].limits
    for rule in limits.rules.values():
        rule.max = 1e9
    limits.change("qpm", max=shape.limit, period=shape.window_s, retry_after=None)
    times: list[float] = []
    world.log.listener = lambda entry: times.append(entry.at) if "/oauth2/" not in entry.path else None
    seconds = max(windows * shape.window_s, 40) + 0.5 * shape.window_s
    disturbance = Disturbance(servers)
    with servers.database() as url, served(world) as address:
        secrets = SecretsSettings(keys={"k1": SecretStr(new_key())}, current="k1")
        settings = Settings(
            secrets=secrets,
            store=StoreSettings(url=SecretStr(url)),
            redis=RedisSettings(url=SecretStr(servers.redis_url), prefix=shape.name)
            if store == "redis"
            else RedisSettings(),
        )
        settings = asyncio.run(connect(world, settings, url, f"{address}/tiktok"))
        processes = [_context.Process(target=pull, args=(settings, shape, org, seconds)) for org in ORGS]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode != 0:
                raise RuntimeError(f"A worker ended with {process.exitcode}.")
    refused = limits.totals()["over_limit"]
    result = {
        "quota_used": round(quota_used(sorted(times), shape), 3),
        "over_limit": refused,
        "calls": len(times) - refused,
        **disturbance.end(),
    }
    log(store, shape.name, json.dumps(result))
    return result


def quota_used(times: list[float], shape: Shape) -> float:
    gaps = [later - earlier for earlier, later in zip(times, times[shape.limit :], strict=False)]
    if not gaps:
        raise RuntimeError(f"Only {len(times)} calls were made: nothing was limited.")
    return shape.window_s / (sum(gaps) / len(gaps))


async def connect(world: World, settings: Settings, url: str, address: str) -> Settings:
    """Both accounts, and settings as somebody who registered their app would have them."""
    vendor = world["tiktok"]
    async with Database(url, StoreSettings(), application="bench", pool_size=2) as database:
        integrations = Integrations(database, Sealer(settings.secrets), {"tiktok": TIKTOK})
        for org, account in zip(ORGS, vendor.ordinary_accounts(), strict=True):
            given = vendor.connect(account)
            await integrations.connect(
                org,
                "tiktok",
                given.account_id,
                {},
                {
                    "access_token": given.access_token,
                    "refresh_token": str(given.refresh_token),
                    "expires_at": str(int(given.expires_at or 0)),
                    "scope": " ".join(given.scopes),
                },
                by="bench",
            )
    app = AppSettings(client_id=given.client_id, client_secret=SecretStr(given.client_secret))
    return settings.model_copy(
        update={"connectors": ConnectorSettings(apps={"tiktok": app}, base_urls={"tiktok": address})}
    )


def pull(settings: Settings, shape: Shape, org: str, seconds: float) -> None:
    """One process: pull over and over again, for so long."""
    die_with_parent()
    configure_logging("ERROR")
    asyncio.run(_pull(settings, shape, org, seconds))


async def _pull(settings: Settings, shape: Shape, org: str, seconds: float) -> None:
    assert settings.store.url is not None
    platforms = {"tiktok": connector(shape)}
    signals = Signals(LocalTransport())
    await signals.start()
    url = settings.store.url.get_secret_value()
    async with Database(url, settings.store, application=org, pool_size=4) as database:
        runtime = _Runtime(settings, database, signals, Sealer(settings.secrets))
        runs = SyncRuns(database, signals, platforms)
        worker = SyncWorker(runtime, org, "tiktok", org, "bench", connectors=platforms)
        work = asyncio.create_task(worker.run_until_idle(3600.0))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name in TYPES:
                # Does nothing while one of them is under way.
                await runs.trigger(org, "tiktok", name, {"startDate": "2020-01-01"}, trigger="backfill", by="bench")
            await asyncio.sleep(0.25)
        worker.stop()
        await work
    await signals.close()


if __name__ == "__main__":
    main()
