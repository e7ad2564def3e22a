"""What happens to every request before a route sees it. Plain ASGI classes: they must not buffer streams."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.api import problems
from sync.base.errors import ApiError
from sync.base.logs import get_logger

log = get_logger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class RequestScope:
    """Gives each request an id, binds it to the log context, and turns a bug into a 500 without its cause.

    The caller's own `X-Request-Id` is kept when it is harmless, so that one id follows a request through systems.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if _has_nul(scope):
            refusal = problems.problem("bad-request", "The address holds a NUL character. Leave it out.")
            await problems.render(refusal, scope)(scope, receive, send_with_headers)
            return
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(correlation_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:
                log.exception("http.bug", method=scope["method"], path=scope["path"])
                if status == 0:
                    await problems.internal(scope)(scope, receive, send_with_headers)
            finally:
                _log_request(scope, status, time.perf_counter() - started)


def _has_nul(scope: Scope) -> bool:
    return "\x00" in scope["path"] or b"%00" in scope.get("query_string", b"")


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    changes_something = scope["method"] not in {"GET", "HEAD", "OPTIONS"}
    level = log.info if changes_something or status >= 500 else log.debug
    level("http.request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1))


class BodyLimit:
    """Refuses bodies above `max_bytes`, by their declared length at once and by what really arrives."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await problems.render(self._too_large(), scope)(scope, receive, send)
            return
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._max_bytes:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> ApiError:
        return problems.problem("body-too-large", f"The body may have {self._max_bytes:,} bytes at most. Send less.")
