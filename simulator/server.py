"""The world over HTTP: one ASGI app, a call's way through it, and how to run it inside or beside a test."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from email.utils import formatdate
from functools import lru_cache
from inspect import isawaitable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.auth import TokenError
from simulator.control import Control
from simulator.faults import Fault
from simulator.http import Refusal, Request, Response, Router
from simulator.limits import Rule, Usage
from simulator.log import Entry
from simulator.vendor import Vendor
from simulator.world import World

if TYPE_CHECKING:
    import uvicorn

_log = logging.getLogger("simulator")

GRACE_S = 1.0
"""How long an answer that is on its way may take when the server stops."""

_REASONED = {"revoked_token": "revoked", "expired_token": "expired"}


class _Cut(Exception):
    """Ends the connection without an answer, or in the middle of one."""


class Simulator:
    """The ASGI app."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._control = Control(world)
        world.call = self._answer
        self._routers = {slug: Router(vendor.tables) for slug, vendor in world.vendors.items()}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        slug, _, rest = path[1:].partition("/")
        request = Request(
            method=scope["method"],
            path=f"/{rest}",
            query_string=scope["query_string"].decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=await _body(receive) if scope["method"] != "GET" else b"",
            base_url=f"{self.world.base_url}/{slug}",
        )
        vendor = self.world.vendors.get(slug)
        if vendor is None:
            response = await self._control.answer(slug, request)
            await _send(send, response, response.payload())
            return
        await self._serve(vendor, request, send)

    async def _serve(self, vendor: Vendor[Any], request: Request, send: Any) -> None:
        begun = perf_counter()
        response = Response(status=0)
        try:
            response = await self._answer(vendor, request)
            body = response.payload()
            if self.world.faults.active:
                body = await self._spoil(vendor, request, response, body, send)
            response.headers += [("date", _date(int(request.now))), *vendor.finish(request, response)]
            await _send(send, response, body)
        finally:
            self._note(vendor, request, response, (perf_counter() - begun) * 1000)

    async def _answer(self, vendor: Vendor[Any], request: Request) -> Response:
        """Find the route, check token, budgets and scopes in that order, then ask the handler."""
        request.now = vendor.now()
        try:
            found = self._routers[vendor.slug].find(request.method, request.path)
            if found is not None:
                request.route, request.params = found
            if (early := await _trouble(vendor, request)) is not None:
                return early
            if found is None:
                return vendor.unknown(request)
            return await self._handled(vendor, request)
        except Refusal as refusal:
            return refusal.response
        except TokenError as error:
            return vendor.unauthorized(request, error)
        except Exception as error:
            _log.exception("%s %s%s", request.method, vendor.slug, request.path)
            vendor.auth.count("simulator_bugs")
            return Response({"simulator_bug": repr(error)}, 500)

    async def _handled(self, vendor: Vendor[Any], request: Request) -> Response:
        route = request.route
        assert route is not None
        if route.token:
            vendor.auth.count("token_requests")
        if route.auth:
            _admit(vendor, request)
        claims = vendor.claims(request)
        if claims:
            request.usages = vendor.limits.spend(claims, request.now, vendor.cost(request))
            if request.usages[0].over:
                return vendor.limited(request, request.usages[0])
        if route.scopes:
            vendor.need(request, *route.scopes)
        answer = route.handler(vendor, request)
        if isawaitable(answer):
            answer = await answer
        return answer if isinstance(answer, Response) else Response(answer)

    async def _spoil(self, vendor: Vendor[Any], request: Request, response: Response, body: bytes, send: Any) -> bytes:
        """Faults that hit a finished answer."""
        if vendor.strike("extra_fields", request):
            body = _with_extras(body)
        if (fault := vendor.strike("garbage", request)) is not None:
            body = str(fault.params.get("text", "<html>\x00\xff Bad Gateway {[")).encode("latin-1", "replace")
        if (fault := vendor.strike("truncate", request)) is not None:
            body = body[: int(len(body) * float(fault.params.get("at", 0.5)))]
        if (fault := vendor.strike("cut", request)) is not None:
            part = body[: int(len(body) * float(fault.params.get("at", 0.5)))]
            await _send(send, response, part, length=len(body), more=True)
            raise _Cut
        return body

    def _note(self, vendor: Vendor[Any], request: Request, response: Response, ms: float) -> None:
        self.world.log.add(
            Entry(
                number=0,
                at=request.now,
                vendor=vendor.slug,
                account=request.account.id if request.account else None,
                app=request.app.client_id if request.app else None,
                method=request.method,
                path=request.path,
                route=request.route.path if request.route else None,
                query=request.query_string,
                headers=request.headers,
                body=request.body,
                status=response.status,
                ms=ms,
                faults=request.faults,
            )
        )


def _admit(vendor: Vendor[Any], request: Request) -> None:
    token = vendor.authenticate(request)
    request.token, request.account, request.app = token, token.grant.account, token.grant.app
    if not vendor.world.faults.active:
        return
    for kind, reason in _REASONED.items():
        fault = vendor.strike(kind, request)  # type: ignore[arg-type]
        if fault is not None:
            if fault.params.get("lasting"):
                if reason == "expired":
                    token.expires_at = request.now
                else:
                    token.grant.dead = str(fault.params.get("reason", "user"))
            raise TokenError(reason, str(fault.params.get("reason", "user")), token)
    if (fault := vendor.strike("missing_scope", request)) is not None:
        route_scopes = request.route.scopes if request.route else ()
        scope = fault.params.get("scope") or (route_scopes[0] if route_scopes else "")
        raise Refusal(vendor.scope_missing(request, (scope,)))
    if (fault := vendor.strike("limited", request)) is not None:
        raise Refusal(vendor.limited(request, _invented(vendor, request, fault)))


def _invented(vendor: Vendor[Any], request: Request, fault: Fault) -> Usage:
    """The usage a `limited` fault pretends; with lasting=true the block is real until it is over."""
    wait = float(fault.params.get("retry_after", 30))
    claims = vendor.claims(request)
    name = fault.params.get("rule") or (claims[0][0] if claims else next(iter(vendor.limits.rules), ""))
    rule = vendor.limits.rules.get(name) or Rule(name, 1, wait)
    key = next((key for claimed, key in claims if claimed == name), "-")
    if fault.params.get("lasting") and name in vendor.limits.rules:
        vendor.limits.block(name, key, request.now + wait)
    return Usage(rule, key, rule.max, 0, request.now + wait, over=True, retry_after=wait)


async def _trouble(vendor: Vendor[Any], request: Request) -> Response | None:
    """Faults that come before the vendor looks at the call."""
    faults = vendor.world.faults
    if not faults.active:
        return None
    with suppress(TokenError, Refusal):
        token = vendor.authenticate(request) if request.route and request.route.auth else None
        request.account = token.grant.account if token else None
    if (fault := vendor.strike("latency", request)) is not None:
        await asyncio.sleep(float(fault.params.get("seconds", 0.2)))
    if (fault := vendor.strike("hang", request)) is not None:
        await asyncio.sleep(float(fault.params.get("seconds", 3600)))
    if (fault := vendor.strike("error", request)) is not None:
        status = int(fault.params.get("status", 503))
        if fault.params.get("html"):
            return Response("<html><body><h1>Service Unavailable</h1></body></html>", status, type="text/html")
        if "body" in fault.params:
            return Response(fault.params["body"], status)
        return vendor.broken(request, status)
    return None


def _with_extras(body: bytes) -> bytes:
    def widen(value: Any) -> Any:
        if isinstance(value, list):
            return [widen(item) for item in value]
        if isinstance(value, dict):
            return {**{key: widen(item) for key, item in value.items()}, "x_new_field": {"since": "yesterday"}}
        return value

    try:
        return msgspec.json.encode(widen(msgspec.json.decode(body)))
    except msgspec.DecodeError:
        return body


@lru_cache(maxsize=8)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


async def _body(receive: Any) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


async def _send(send: Any, response: Response, body: bytes, *, length: int | None = None, more: bool = False) -> None:
    headers = [
        (b"content-type", response.type.encode()),
        (b"content-length", str(len(body) if length is None else length).encode()),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers),
    ]
    if response.status in (204, 304):
        headers = headers[2:]
        body = b""
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


# --- running it


@asynccontextmanager
async def running(world: World, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the world from the running loop; gives its base URL (a free port when 0)."""
    import uvicorn

    # With its protocol named, asyncio switches Nagle's algorithm off; else every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    config = uvicorn.Config(
        Simulator(world),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)  # cut connections are meant
    server = uvicorn.Server(config)
    base_url = f"http://{host}:{listener.getsockname()[1]}"
    world.attach(base_url)
    # Started and stopped by hand: `serve` looks for the end ten times a second, and pauses once more before it ends.
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield base_url
    finally:
        await world.close()
        await _stopped(server)
        listener.close()


async def _stopped(server: uvicorn.Server) -> None:
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    answering = list(server.server_state.tasks)
    if answering:
        _, late = await asyncio.wait(answering, timeout=GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    await asyncio.sleep(0)  # closed connections say goodbye in the loop's next round


@contextmanager
def served(world: World, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """The same from a thread of its own, for code that is not async or must not share its loop."""
    ready = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        stop = asyncio.Event()
        state["stop"] = (asyncio.get_running_loop(), stop)
        async with running(world, host=host, port=port) as base_url:
            state["url"] = base_url
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            state["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    ready.wait()
    if "error" in state:
        raise state["error"]
    try:
        yield state["url"]
    finally:
        loop, stop = state["stop"]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
