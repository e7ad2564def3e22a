"""Live events: what thousands of open connections cost, how fast events fan out to them, and how late they arrive.

One serving process (uvicorn as Ray Serve runs it, without the proxy in front), one process of clients, PostgreSQL with
the settings of production. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import psutil

from actors.environment import free_port
from bench.common import ROOT, Servers, die_with_parent, log, machine, percentile
from bench.live_client import Socket, Tally
from sync.base.settings import AuthSettings, RealtimeSettings, Settings, StoreSettings
from sync.events import Event, append_events
from sync.signals import PostgresTransport, RedisTransport, Signals
from sync.store.engine import Database

_SECRET = "a-secret-for-benchmarks-that-is-long-enough"
_SUBSCRIBE = json.dumps({"op": "subscribe", "topics": ["runs", "alerts"]}).encode()


def settings_for(url: str, redis: str | None) -> Settings:
    settings = Settings(
        store=StoreSettings(url=url, pool_size=4),
        auth=AuthSettings(secret=_SECRET),
        realtime=RealtimeSettings(max_connections=10_000, max_per_org=10_000),
        log_level="WARNING",
    )
    return (
        settings
        if redis is None
        else settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": redis})})
    )


def serve(port: int, url: str, redis: str | None) -> None:
    """One replica."""
    import uvicorn

    from sync.api.app import create_app
    from sync.api.control import NoControl
    from sync.wiring import open_runtime

    die_with_parent()
    settings = Settings.model_validate(settings_for(url, redis).model_dump())
    app = create_app(settings, lambda: open_runtime(settings, application="api"), NoControl())
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, loop="uvloop", backlog=4096)


class Replica:
    def __init__(self, url: str, redis: str | None) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "bench.realtime", "--serve", str(self.port), url, *([redis] if redis else [])]
        self._popen = subprocess.Popen(command, cwd=ROOT)
        self.process = psutil.Process(self._popen.pid)

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        self._popen.kill()
        self._popen.wait()

    @property
    def rss_kb(self) -> float:
        return float(self.process.memory_info().rss) / 1024

    @property
    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


async def connect(port: int, org: str, tally: Tally, *, deflate: bool = False) -> Socket:
    claims = {"sub": "ada", "org": org, "role": "viewer", "exp": int(time.time()) + 7200}
    token = jwt.encode(claims, _SECRET, algorithm="HS256")
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(
        lambda: Socket("/ws", token, tally, _SUBSCRIBE, deflate=deflate), "127.0.0.1", port
    )
    async with asyncio.timeout(60):
        await socket.subscribed
    return socket


async def connect_all(replica: Replica, count: int, orgs: int, tally: Tally, *, deflate: bool = False) -> list[Socket]:
    sockets: list[Socket] = []
    for base in range(0, count, 50):
        sockets += await asyncio.gather(
            *(
                connect(replica.port, f"org-{number % orgs}", tally, deflate=deflate)
                for number in range(base, min(base + 50, count))
            )
        )
    return sockets


async def idle(replica: Replica, options: argparse.Namespace, tally: Tally) -> dict[str, Any]:
    before, cpu = replica.rss_kb, replica.cpu_s
    begun = time.monotonic()
    sockets = await connect_all(replica, options.connections, options.orgs, tally)
    took_s = time.monotonic() - begun
    connect_cpu_s = replica.cpu_s - cpu
    per_connection = (replica.rss_kb - before) / len(sockets)
    cpu, begun = replica.cpu_s, time.monotonic()
    await asyncio.sleep(options.idle_s)
    cores = (replica.cpu_s - cpu) / (time.monotonic() - begun)
    return {
        "connections": len(sockets),
        "connect_per_s": round(len(sockets) / took_s),
        "connect_cpu_ms": round(1000 * connect_cpu_s / len(sockets), 2),
        "rss_per_connection_kb": round(per_connection, 1),
        "rss_mb": round(replica.rss_kb / 1024),
        "idle_cores": round(cores, 4),
    }


async def fan_out(replica: Replica, options: argparse.Namespace, tally: Tally, db: Database) -> dict[str, Any]:
    """Every org gets events, a few per transaction, as fast as they are committed."""
    per_org, batch = options.events, 10
    expected = tally.frames + per_org * options.connections
    cpu, begun = replica.cpu_s, time.monotonic()
    first = 1_000_000
    for base in range(0, per_org, batch):
        for org in range(options.orgs):
            await write(db, f"org-{org}", range(first + base, first + base + batch))
    async with asyncio.timeout(300):
        while tally.frames < expected:
            await asyncio.sleep(0.05)
    seconds = tally.last - begun
    await asyncio.sleep(1)  # for what should not come
    deliveries = per_org * options.connections
    return {
        "deliveries": deliveries,
        "deliveries_per_s": round(deliveries / seconds),
        "deliveries_per_cpu_s": round(deliveries / (replica.cpu_s - cpu)),
        "lost": max(0, expected - tally.frames),
        "doubled": max(0, tally.frames - expected),
    }


async def latency(options: argparse.Namespace, tally: Tally, db: Database) -> dict[str, Any]:
    """From just before the commit to the last byte at each client; one org at a time has an event."""
    committed: dict[int, float] = {}
    each = options.connections // options.orgs
    for number in range(options.latency_events):
        begun = time.monotonic()
        committed[number] = begun
        await write(db, f"org-{number % options.orgs}", [number])
        await asyncio.sleep(max(0.0, 1 / options.rate - (time.monotonic() - begun)))
    async with asyncio.timeout(60):
        while sum(len(tally.arrived[number]) for number in committed) < each * len(committed):
            await asyncio.sleep(0.05)
    micros = [int(1e6 * (at - begun)) for number, begun in committed.items() for at in tally.arrived[number]]
    return {
        "latency_p50_ms": round(percentile(micros, 0.5) / 1000, 2),
        "latency_p99_ms": round(percentile(micros, 0.99) / 1000, 2),
        "latency_max_ms": round(max(micros) / 1000, 2),
    }


async def write(db: Database, org: str, numbers: Any) -> None:
    async with db.transaction() as tx:
        await append_events(
            tx,
            [
                Event(org, "sync.completed", f"integration:{number % 9}", {"number": number, "platform": "slack"})
                for number in numbers
            ],
        )


@contextlib.asynccontextmanager
async def writing(url: str, redis: str | None) -> AsyncIterator[Database]:
    signals = Signals(PostgresTransport(url) if redis is None else RedisTransport(redis, "sync"))
    await signals.start()
    async with Database(url, StoreSettings(), application="bench", pool_size=4) as db:
        db.publish = signals.publish
        yield db
    await signals.close()


async def measure(options: argparse.Namespace, url: str, redis: str | None) -> dict[str, Any]:
    replica = Replica(url, redis)
    try:
        await replica.ready()
        tally = Tally()
        compressing = await connect_all(replica, 200, 1, tally, deflate=True)  # also warms up
        for socket in compressing:
            socket.transport.close()
        async with writing(url, redis) as db:
            result = await idle(replica, options, tally)
            log("idle", json.dumps(result))
            result |= await latency(options, tally, db)
            log("latency", json.dumps(result))
            result |= await fan_out(replica, options, tally, db)
            result["dropped"] = tally.closed - len(compressing)
            before = replica.rss_kb
            more = await connect_all(replica, 500, 1, tally, deflate=True)
            result["rss_per_compressing_connection_kb"] = round((replica.rss_kb - before) / len(more), 1)
            return result
    finally:
        replica.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--orgs", type=int, default=20)
    parser.add_argument("--idle-s", type=float, default=60)
    parser.add_argument("--events", type=int, default=100, help="per org, in the fan-out")
    parser.add_argument("--latency-events", type=int, default=400)
    parser.add_argument("--rate", type=float, default=20, help="events a second while latency is measured")
    parser.add_argument("--redis", action="store_true", help="signals through Redis instead of PostgreSQL")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        port, url, *redis = options.serve
        return serve(int(port), url, redis[0] if redis else None)
    servers = Servers()
    servers.start()
    try:
        with servers.database() as url:
            result = asyncio.run(measure(options, url, servers.redis_url if options.redis else None))
    finally:
        servers.stop()
    print(json.dumps({**result, "signals": "redis" if options.redis else "postgresql", **machine()}))


if __name__ == "__main__":
    main()
