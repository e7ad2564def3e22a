"""Every error is an RFC 9457 problem document that says what to do next.

`type` is `/problems/<code>`; GET on that address explains the code. Clients switch on it, people read `detail`.
Members beyond the standard's: `requestId` (also in the log lines), `errors` (one entry per wrong field).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sync.base.errors import ApiError, Permanent, Transient
from sync.base.logs import get_logger
from sync.store.engine import Conflict

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemKind:
    status: int
    title: str
    help: str


KINDS: dict[str, ProblemKind] = {
    "malformed-json": ProblemKind(400, "The body is not valid JSON", "Send one JSON document, encoded as UTF-8."),
    "bad-request": ProblemKind(400, "The request cannot be read", "Compare it with the examples in /docs."),
    "token-required": ProblemKind(401, "A token is required", "Send `Authorization: Bearer <JWT>`."),
    "token-invalid": ProblemKind(401, "The token is not accepted", "Get a new token from whoever issues yours."),
    "forbidden": ProblemKind(403, "The token may not do this", "Use a token whose role allows it."),
    "not-found": ProblemKind(404, "There is no such thing here", "List what exists in your org, then use its id."),
    "method-not-allowed": ProblemKind(405, "This address has no such method", "Use a method of the `Allow` header."),
    "conflict": ProblemKind(409, "The present state does not allow this", "Read the object again, then decide."),
    "body-too-large": ProblemKind(413, "The body is too large", "Send fewer jobs per request, or smaller ones."),
    "not-json": ProblemKind(415, "The body must be JSON", "Send `Content-Type: application/json`."),
    "validation": ProblemKind(422, "Some fields are wrong", "Correct the fields named in `errors`."),
    "refused": ProblemKind(422, "The request is understood but refused", "Read `detail`; sent again, it fails again."),
    "too-many-connections": ProblemKind(429, "Too many connections are open", "Close some, or wait and try again."),
    "queue-full": ProblemKind(429, "The queue is full", "Wait for `Retry-After` seconds, then send it again."),
    "internal": ProblemKind(500, "Something went wrong in Sync", "Try again; if it stays, report the `requestId`."),
    "unavailable": ProblemKind(503, "Sync cannot answer now", "Wait for `Retry-After` seconds, then try again."),
}
_BY_STATUS = {
    400: "bad-request",
    401: "token-invalid",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "body-too-large",
    415: "not-json",
    422: "refused",
    429: "queue-full",
    503: "unavailable",
}
RETRY_AFTER_S = 5


def problem(
    code: str, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> ApiError:
    """The error to raise: `raise problem("not-found", "There is no job 17 in your org.")`."""
    kind = KINDS[code]
    return ApiError(kind.status, kind.title, detail or kind.help, code=code, headers=dict(headers or {}), extra=extra)


def not_found(what: str, key: object) -> ApiError:
    return problem("not-found", f"There is no {what} {key} in your org. List what there is and use an id from there.")


def field_error(pointer: str, detail: str) -> ApiError:
    """One wrong field of the body, named by its JSON pointer."""
    return fields_error([{"pointer": pointer, "detail": detail}])


def fields_error(errors: list[dict[str, str]]) -> ApiError:
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return problem("validation", f"{first['pointer'] or 'The body'}: {first['detail']}{more}", errors=errors)


def render(error: ApiError, scope: Mapping[str, Any]) -> JSONResponse:
    code = error.fields.get("code") or _BY_STATUS.get(error.status, "internal")
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or KINDS[code].help,
        "instance": scope.get("path", ""),
    }
    request_id = scope.get("state", {}).get("request_id")
    if request_id:
        body["requestId"] = request_id
    body.update(error.fields.get("extra") or {})
    headers = dict(error.fields.get("headers") or {})
    if error.status in {429, 503}:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return JSONResponse(body, error.status, headers, media_type=MEDIA_TYPE)


def internal(scope: Mapping[str, Any]) -> JSONResponse:
    """The answer to a bug: nothing of its cause leaves the process, the log has it under the request id."""
    return render(problem("internal"), scope)


def install(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(Transient, _on_transient)
    app.add_exception_handler(Permanent, _on_permanent)
    app.add_exception_handler(Conflict, _on_conflict)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return render(error, request.scope)


async def _on_transient(request: Request, error: Exception) -> JSONResponse:
    log.warning("http.unavailable", path=request.url.path, error=str(error))
    retry_after_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
    headers = {"Retry-After": str(max(1, round(retry_after_s)))}
    detail = "A service that Sync needs does not answer at the moment; nothing was changed. Try again shortly."
    return render(problem("unavailable", detail, headers=headers), request.scope)


async def _on_permanent(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Permanent)
    if error.fields.get("status") == 404:
        return render(problem("not-found", str(error)), request.scope)
    return render(problem("refused", str(error)), request.scope)


async def _on_conflict(request: Request, error: Exception) -> JSONResponse:
    log.warning("http.conflict", path=request.url.path, error=str(error))
    return render(problem("conflict", "Another request changed the same thing first. Read it again."), request.scope)


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    details = error.errors()
    if isinstance(error.body, bytes) and error.body:  # FastAPI parses nothing that is not declared as JSON
        return render(problem("not-json"), request.scope)
    if details and details[0]["type"] == "json_invalid":
        return render(_malformed(details[0]), request.scope)
    errors = [{"pointer": _pointer(detail["loc"]), "detail": _sentence(detail)} for detail in details]
    return render(fields_error(errors), request.scope)


def _malformed(detail: Mapping[str, Any]) -> ApiError:
    reason = detail.get("ctx", {}).get("error", "syntax error")
    return problem("malformed-json", f"The body is not valid JSON: {reason} at character {detail['loc'][-1]}.")


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
    detail = None
    if error.status_code == 404:
        detail = f"Nothing lives at {request.url.path}. GET /sync lists the addresses; /docs explains them."
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow") or "another method"
        detail = f"{request.method} is not possible here; use {allowed}."
    kind = KINDS[code]
    answer = ApiError(error.status_code, kind.title, detail or kind.help, code=code, headers=dict(error.headers or {}))
    return render(answer, request.scope)


def _pointer(location: tuple[int | str, ...]) -> str:
    """`("body", "jobs", 3, "kind")` -> `/jobs/3/kind`; parameters keep their place: `query:limit`."""
    place, *path = (part for part in location if not str(part).startswith("<"))  # "<...>": tags of our unions
    if place == "body":
        return "".join(f"/{part}" for part in path)
    return f"{place}:{'.'.join(str(part) for part in path)}"


def _sentence(detail: Mapping[str, Any]) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    return message if message.endswith(".") else f"{message}."
