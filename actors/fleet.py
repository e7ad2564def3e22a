"""The supervisor's hands: `Fleet` over Ray.

Ray's lookups and named creations are synchronous calls to the cluster's head, so they run in a few threads of our own,
each bounded in time. After a time-out the outcome is unknown, which is harmless here: every pass looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    ActorAlreadyExistsError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    WorkerCrashedError,
)

from actors.create import create
from actors.names import name_of, parse
from sync.base.settings import Settings
from sync.supervision.model import Capacity, FleetError, Pair, Pulse, Seat, Who
from sync.supervision.plan import SEATS

T = TypeVar("T")

GONE = (RayActorError, NodeDiedError, WorkerCrashedError, OutOfMemoryError)
"""A call that ends so found nobody, or lost him under way. The last three are no subclasses of RayActorError."""
CALL_TIMEOUT_S = 10.0
_GRACE_S = 5.0


class RayFleet:
    """Actors of one namespace."""

    def __init__(self, settings: Settings, namespace: str) -> None:
        self._settings = settings
        self._namespace = namespace
        self._ping_timeout_s = settings.supervisor.ping_timeout_s
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="ray-call")
        self._handles: dict[str, Any] = {}
        self._pings: dict[str, asyncio.Future[Pulse]] = {}

    async def existing(self) -> set[Who]:
        listed = await self._blocking(ray.util.list_named_actors, True)
        names = {row["name"] for row in listed if row["namespace"] == self._namespace}
        self._forget_others(names)
        return {who for name in names if (who := parse(name)) is not None}

    async def capacity(self) -> Capacity:
        nodes, resources = await self._blocking(lambda: (ray.nodes(), ray.cluster_resources()))
        alive = sum(bool(node["Alive"]) for node in nodes)
        return Capacity(nodes=alive, sync_slots=int(resources.get("sync_slot", 0)))

    async def start(self, who: Who) -> bool:
        node = await self._node_for(who) if isinstance(who, Seat) else None
        make = partial(create, who, self._settings, self._namespace, node=node)
        try:
            self._handles[name_of(who)] = await self._blocking(make)
        except ActorAlreadyExistsError:
            return False
        return True

    async def ping(self, who: Who) -> Pulse | None:
        name = name_of(who)
        try:
            asked = self._pings.get(name)
            if asked is None or asked.done():
                # One ping at a time: those to an actor that waits for a place would pile up.
                handle = await self._handle(name)
                asked = self._pings[name] = asyncio.ensure_future(_answer(handle.ping.remote()))
                asked.add_done_callback(_retrieved)
            return await asyncio.wait_for(asyncio.shield(asked), self._ping_timeout_s)
        except TimeoutError:
            return None
        except (*GONE, ValueError, FleetError):
            self._drop(name)
            return None

    async def retire(self, who: Who, timeout_s: float) -> bool:
        name = name_of(who)
        try:
            handle = await self._handle(name)
            await asyncio.wait_for(_answer(handle.retire.remote(timeout_s)), timeout_s + _GRACE_S)
        except (*GONE, ValueError):
            pass
        except TimeoutError:
            return False
        finally:
            self._drop(name)
        return who not in await self.existing()

    async def release(self, pair: Pair) -> None:
        try:
            (await self._handle(name_of(pair))).release.remote()
        except (*GONE, ValueError):
            return

    async def kill(self, who: Who) -> None:
        name = name_of(who)
        try:
            handle = await self._handle(name)
            await self._blocking(ray.kill, handle)
        except (*GONE, ValueError):
            return
        finally:
            self._drop(name)

    async def _node_for(self, seat: Seat) -> str | None:
        """A node away from the other scheduler: of the pair, one is to survive."""
        others = [pulse.node for other in SEATS if other != seat and (pulse := await self.ping(other))]
        if not others:
            return None
        nodes = await self._blocking(ray.nodes)
        free = [node["NodeID"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
        return next((node for node in free if node not in others), None)

    async def _handle(self, name: str) -> Any:
        """Errors: ValueError when nobody has the name."""
        if name not in self._handles:
            self._handles[name] = await self._blocking(ray.get_actor, name, self._namespace)
        return self._handles[name]

    def _drop(self, name: str) -> None:
        self._handles.pop(name, None)
        self._pings.pop(name, None)

    def _forget_others(self, names: set[str]) -> None:
        for name in self._handles.keys() - names:
            self._drop(name)

    async def _blocking(self, call: Callable[..., T], *args: Any) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
            return await asyncio.wait_for(running, CALL_TIMEOUT_S)
        except TimeoutError as error:
            raise FleetError(
                f"{getattr(call, '__name__', 'The call')} had no answer from Ray in {CALL_TIMEOUT_S} s."
            ) from error
        except (*GONE, ActorAlreadyExistsError):
            raise
        except RayError as error:
            raise FleetError(str(error)) from error


async def _answer(ref: Any) -> Any:
    return await ref


def _retrieved(future: asyncio.Future[Any]) -> None:
    # Somebody may have stopped waiting; without this asyncio would report an error that nobody misses.
    if not future.cancelled():
        future.exception()
