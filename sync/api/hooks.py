"""The door for vendors' webhooks: plain ASGI, before the application and its middleware.

A call costs a fifth of what a route costs, and floods of them are not logged line by line. The routes of
`sync.api.routes.webhooks` document what is answered here.

Every refusal is the same small answer, whatever was wrong.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.api.problems import MEDIA_TYPE, RETRY_AFTER_S
from sync.base.errors import Transient
from sync.base.logs import get_logger
from sync.base.settings import WebhookSettings
from sync.webhooks.caps import SourceCaps
from sync.webhooks.intake import Refused
from sync.webhooks.model import Call

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sync.webhooks.intake import Intake

log = get_logger(__name__)

PREFIX = "/social-activity/webhook"
_LOOPBACK = {"127.0.0.1", "::1", ""}
_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Refusal(NamedTuple):
    """A whole answer, always the same."""

    status: int
    problem: dict[str, Any]
    body: bytes

    @classmethod
    def of(cls, status: int, title: str, detail: str) -> Refusal:
        problem = {"type": "/problems/webhook", "title": title, "status": status, "detail": detail}
        return cls(status, problem, json.dumps(problem).encode())


REFUSED = Refusal.of(401, "Not accepted", "This call is not accepted.")
BUSY = Refusal.of(429, "Too many calls", "Send it again later.")
AWAY = Refusal.of(503, "Not now", "Send it again later.")


class HookDoor:
    """Answers calls below `PREFIX`; everything else goes on to the application."""

    def __init__(self, app: ASGIApp, api: FastAPI, settings: WebhookSettings) -> None:
        self._app = app
        self._api = api
        self._settings = settings
        self._caps = SourceCaps(settings.per_source)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            address = _address(scope["path"])
            if address is not None:
                await self._answer(address, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _answer(self, address: tuple[str, ...], scope: Scope, receive: Receive, send: Send) -> None:
        services = getattr(self._api.state, "services", None)
        if services is None:
            await _refuse(send, AWAY)
            return
        intake: Intake = services.webhooks
        try:
            headers = _headers(scope["headers"])
            if not self._caps.take(_source(scope, headers), time.monotonic()):
                await _refuse(send, BUSY)
                return
            body = b"" if scope["method"] == "GET" else await self._body(headers, receive)
            answer = await intake.answer(_call(address, scope, headers, body))
        except Refused as refusal:
            intake.count(refusal)
            await _refuse(send, REFUSED)
        except Transient:
            await _refuse(send, AWAY)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("webhooks.bug", path=scope["path"])
            await _refuse(send, AWAY)
        else:
            await _send(send, answer.status, answer.content_type.encode(), answer.body.encode())

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """Never more of it in memory than allowed, and not for long. Errors: Refused, ClientDisconnect."""
        limit = self._settings.max_body_bytes
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or len(declared) > 18 or int(declared) > limit:
            raise Refused("size")
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body"):
            return _within(body, limit)
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                return await _rest(message, receive, limit)
        except TimeoutError:
            raise Refused("slow") from None


async def _rest(message: Message, receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Refused("size")
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise Refused("size")
    return body


def _address(path: str) -> tuple[str, ...] | None:
    """What follows the prefix; None for a path that is not ours."""
    if not path.startswith(PREFIX):
        return None
    rest = path[len(PREFIX) :]
    if rest and not rest.startswith("/"):
        return None
    return tuple(part for part in rest.split("/") if part)


def _call(address: tuple[str, ...], scope: Scope, headers: dict[str, str], body: bytes) -> Call:
    """Errors: Refused for an address that cannot be one."""
    platform = address[0] if address else ""
    integration_id = None
    if len(address) > 1:
        if len(address) > 2 or not address[1].isascii() or not address[1].isdecimal() or len(address[1]) > 18:
            raise Refused("address")
        integration_id = int(address[1])
    raw = scope["query_string"]
    try:
        query = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=50)) if raw else {}
    except ValueError:
        raise Refused("address") from None
    return Call(scope["method"], headers, query, body, time.time(), platform, integration_id)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}


def _source(scope: Scope, headers: dict[str, str]) -> str:
    """Who calls. Serve's own proxy is on loopback: behind it, what the last proxy in front says counts."""
    client = scope.get("client")
    peer = client[0] if client else ""
    if peer in _LOOPBACK and (forwarded := headers.get("x-forwarded-for")):
        return forwarded.rpartition(",")[2].strip()[:64]
    return str(peer)


async def _send(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [*_HEADERS, (b"content-type", content_type)]
    if status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(send: Send, refusal: Refusal) -> None:
    headers = [*_HEADERS, (b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(refusal.body))]
    if refusal is not REFUSED:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": refusal.body})
