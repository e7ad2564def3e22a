"""The actor pools: what each is for, and how large it is unless the settings say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.base.errors import ConfigurationError
from sync.base.settings import PoolSettings, Settings


@dataclass(frozen=True, slots=True)
class Pool:
    purpose: str
    bounds: PoolSettings


POOLS: Mapping[str, Pool] = {
    "consumer.one-off": Pool("ad-hoc jobs", PoolSettings(min=1, max=2)),
    "consumer.schedule": Pool("jobs with a run-at, cron definitions, maintenance", PoolSettings(min=1, max=2)),
    "consumer.datatype": Pool("fan-out of data changes", PoolSettings(min=1, max=2)),
    "processor.notification": Pool("deliveries on every channel", PoolSettings(min=1, max=2)),
    "processor.escalation": Pool("SLA thresholds", PoolSettings(min=1, max=1)),
    "processor.billing": Pool("usage windows, invoices, charges", PoolSettings(min=1, max=1)),
}


def bounds(settings: Settings, pool: str) -> PoolSettings:
    """Bounds of one pool. The settings may name it in full or without its family: `one-off` is `consumer.one-off`."""
    override = settings.pools.get(pool) or settings.pools.get(pool.partition(".")[2])
    return override or POOLS[pool].bounds


def check_pools(settings: Settings) -> None:
    """Errors: ConfigurationError for settings of a pool that does not exist."""
    known = set(POOLS) | {pool.partition(".")[2] for pool in POOLS}
    if unknown := sorted(set(settings.pools) - known):
        raise ConfigurationError(f"SYNC_POOLS names {', '.join(unknown)}; the pools are {', '.join(POOLS)}.")
