"""How each actor is created: one table, and the only place where `ray.remote` is applied.

detached            they outlive the process that creates them
max_restarts        -1: Ray restarts it for ever, under its name. 0 for syncs: a restart would run only `__init__` and
                    hold the name while it waits; their work is rows, so the supervisor creates a new one instead
max_task_retries    0: a control call is never repeated behind our back
num_cpus            fractions, never left out (Ray would reserve a whole CPU for an actor that names any other resource)
                    and never 0 (that is no demand, and could land on a head that is to be left alone)
memory              what a process needs (68 MB when idle, docs/decisions/0004) and some for its work
sync_slot           the room for syncs on a node; a sync actor that waits for one is demand the autoscaler sees
enable_task_events  off: pings every few seconds would fill the task table of the head
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.names import SUPERVISOR, name_of
from sync.base.settings import Settings
from sync.supervision.model import Member, Pair, Seat, Who

CONTROL_CALLS = 16
"""Control calls served side by side; more wait."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `actor` is a path, so that creating one does not import what it hosts."""

    actor: str
    num_cpus: float
    memory_mb: int
    max_restarts: int = -1
    sync_slots: int = 0
    spread: bool = False


SUPERVISOR_KIND = Kind("actors.supervisor:SupervisorActor", num_cpus=0.05, memory_mb=96)
SCHEDULER_KIND = Kind("actors.schedulers:SchedulerActor", num_cpus=0.05, memory_mb=96, spread=True)
SYNC_KIND = Kind("actors.sync_workers:SyncWorkerActor", num_cpus=0.1, memory_mb=128, max_restarts=0, sync_slots=1)
POOL_KINDS = {
    "consumer.one-off": Kind("actors.consumers:OneOffConsumerActor", num_cpus=0.25, memory_mb=128, spread=True),
    "consumer.schedule": Kind("actors.consumers:ScheduleConsumerActor", num_cpus=0.25, memory_mb=128, spread=True),
    "consumer.datatype": Kind("actors.consumers:DatatypeConsumerActor", num_cpus=0.25, memory_mb=128, spread=True),
    "processor.notification": Kind(
        "actors.processors:NotificationProcessorActor", num_cpus=0.25, memory_mb=128, spread=True
    ),
    "processor.escalation": Kind(
        "actors.processors:EscalationProcessorActor", num_cpus=0.1, memory_mb=128, spread=True
    ),
    "processor.billing": Kind("actors.processors:BillingProcessorActor", num_cpus=0.1, memory_mb=128, spread=True),
}


def create(who: Who, settings: Settings, namespace: str, *, node: str | None = None) -> Any:
    """The handle of a new actor, placed on `node` if that can be. Blocks on the head.

    Errors: ActorAlreadyExistsError when the name is taken.
    """
    strategy = NodeAffinitySchedulingStrategy(node, soft=True) if node else None
    match who:
        case Member(pool, _):
            return _create(POOL_KINDS[pool], name_of(who), settings, namespace, pool, strategy=strategy)
        case Seat():
            return _create(SCHEDULER_KIND, name_of(who), settings, namespace, strategy=strategy)
        case Pair(org_id, platform):
            return _create(SYNC_KIND, name_of(who), settings, namespace, org_id, platform, strategy=strategy)


def create_supervisor(settings: Settings, namespace: str) -> Any:
    """As `create`, for the supervisor itself."""
    return _create(SUPERVISOR_KIND, SUPERVISOR, settings, namespace)


def _create(kind: Kind, name: str, settings: Settings, namespace: str, *rest: str, strategy: Any = None) -> Any:
    options: dict[str, Any] = {"name": name, "namespace": namespace}
    if strategy is not None:
        options["scheduling_strategy"] = strategy
    # Plain values only: an actor whose creator dies before its arguments are resolved is lost, detached or not.
    return _remote(kind).options(**options).remote(settings, name, namespace, *rest)


@cache
def _remote(kind: Kind) -> Any:
    module, _, name = kind.actor.partition(":")
    return ray.remote(
        lifetime="detached",
        max_restarts=kind.max_restarts,
        max_task_retries=0,
        num_cpus=kind.num_cpus,
        memory=kind.memory_mb * 1024 * 1024,
        resources={"sync_slot": kind.sync_slots} if kind.sync_slots else None,
        scheduling_strategy="SPREAD" if kind.spread else "DEFAULT",
        concurrency_groups={"control": CONTROL_CALLS},
        enable_task_events=False,
    )(getattr(import_module(module), name))
