"""The HTTP API on Ray Serve: `build(settings)` is what Serve runs, `RayControl` how its replicas reach the actors.

Settings travel as the constructor's argument, not in `runtime_env`, which the dashboard shows. Everything with a
connection is made in the replica, when its ASGI lifespan starts.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray import serve

from actors.fleet import GONE
from actors.loopback import keep_grpc_private
from actors.names import NAMESPACE, sync_actor
from sync.base.descriptors import make_room
from sync.base.logs import get_logger
from sync.base.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

log = get_logger(__name__)

MAX_ONGOING = 500
"""Requests one replica works on at a time. They wait for PostgreSQL, not for the processor; Serve's default is 5.
Serve counts every open WebSocket and stream as one, so the connections of `/ws` and `/sse` come on top."""
_HANDLES = 2000


class RayControl:
    """Nudges sync actors by handles it keeps. Every method may fail or hang: `Nudger` bounds and swallows that."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._handles: dict[str, Any] = {}
        # Ray's lookups block on the cluster's head; in threads of their own they cannot use up the loop's.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="ray-lookup")

    async def nudge_sync(self, org_id: str, platform: str) -> None:
        """Without an actor there is nobody to tell: the row's signal has woken the supervisor, which creates one."""
        name = sync_actor(org_id, platform)
        handle = self._handles.get(name) or await self._find(name)
        if handle is None:
            return
        try:
            await handle.nudge.remote()
        except GONE:
            self._handles.pop(name, None)

    async def _find(self, name: str) -> Any | None:
        look = partial(ray.get_actor, name, self._namespace)
        try:
            handle = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        except ValueError:
            return None
        if len(self._handles) >= _HANDLES:
            self._handles.clear()
        self._handles[name] = handle
        return handle


class SyncApi:
    """One replica. Stateless: it can be killed at any time, and a client that repeats its request loses nothing."""

    def __init__(self, settings: Settings, namespace: str) -> None:
        keep_grpc_private()
        make_room(MAX_ONGOING + settings.realtime.max_connections)
        self._settings = settings
        self._namespace = namespace
        self._bootstrap = asyncio.get_running_loop().create_task(self._ensure_supervisor())

    def __serve_build_asgi_app__(self) -> FastAPI:
        from sync.api.app import create_app
        from sync.wiring import open_runtime

        runtime_factory = partial(open_runtime, self._settings, application="api")
        return create_app(self._settings, runtime_factory, RayControl(self._namespace))

    async def _ensure_supervisor(self) -> None:
        """Detached actors do not come back by themselves after the loss of a cluster; whoever serves sees to it."""
        from actors.supervisor import ensure_supervisor

        try:
            await asyncio.to_thread(ensure_supervisor, self._settings, self._namespace)
        except Exception:
            log.warning("api.no_supervisor", exc_info=True)


def build(settings: Settings, namespace: str = NAMESPACE) -> Application:
    """The application for `serve.run`."""
    deployment = serve.deployment(
        serve.ingress()(SyncApi),
        name="SyncApi",
        num_replicas=settings.http.replicas,
        max_ongoing_requests=MAX_ONGOING + settings.realtime.max_connections,
        logging_config={"enable_access_log": False},  # our own log has more of it, and it costs time in every call
        graceful_shutdown_timeout_s=15,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": 0.25, "memory": 200 * 1024 * 1024},
    )
    return deployment.bind(settings, namespace)
