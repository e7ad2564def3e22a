"""One pool member as a process: `python -m bench.worker '{"url": ..., "name": ..., ...}'`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from bench.common import Recorder, die_with_parent
from bench.kinds import bench_kinds
from sync.base.settings import PoolSettings, QueueSettings, RedisSettings, Settings, StoreSettings
from sync.jobs.claim import Claimer
from sync.jobs.member import PoolMember
from sync.wiring import open_runtime

POOL = "consumer.one-off"


def bench_settings(url: str, redis_url: str | None, **queue: Any) -> Settings:
    """What a production process gets, pointed at the benchmark's servers."""
    database = str(conninfo_to_dict(url)["dbname"])
    return Settings(
        store=StoreSettings(url=SecretStr(url)),
        redis=RedisSettings(url=SecretStr(redis_url) if redis_url else None, prefix=database),
        queue=QueueSettings(**queue),
        log_level="WARNING",
    )


def _count_claims(recorder: Recorder) -> None:
    claim = Claimer.claim

    async def counted(self: Claimer, limit: int) -> Any:
        recorder.claim()
        return await claim(self, limit)

    Claimer.claim = counted  # type: ignore[method-assign]


async def serve(config: dict[str, Any]) -> None:
    recorder = Recorder(Path(config["record"]))
    if config.get("count_claims"):
        _count_claims(recorder)
    settings = bench_settings(config["url"], config["redis_url"], **config.get("queue", {}))
    kinds = bench_kinds(recorder, Path(config["file"]))
    async with open_runtime(settings, application=config["name"], extra_kinds=kinds) as runtime:
        member = PoolMember(runtime, POOL, config["name"], "bench", PoolSettings(concurrency=config["concurrency"]))
        await member.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    die_with_parent()
    uvloop.run(serve(msgspec.json.decode(sys.argv[1])))
