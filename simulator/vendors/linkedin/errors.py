"""LinkedIn's error envelope and the codes by which clients tell things apart."""

from __future__ import annotations

from simulator.auth import TokenError
from simulator.http import Response
from simulator.limits import Usage

_DEAD = {
    "missing": (65604, "EMPTY_ACCESS_TOKEN", "Empty oauth2 access token"),
    "unknown": (65600, "INVALID_ACCESS_TOKEN", "Invalid access token"),
    "expired": (65602, "EXPIRED_ACCESS_TOKEN", "The token used in the request has expired"),
    "revoked": (65601, "REVOKED_ACCESS_TOKEN", "The token used in the request has been revoked by the user"),
}
_LIMITS = {
    "application_day": "Resource level throttle APPLICATION DAY limit for calls to this resource is reached.",
    "member_day": "Resource level throttle MEMBER DAY limit for calls to this resource is reached.",
    "metric_values": "Too many metric values were requested within five minutes. Please retry later.",
}


def response(status: int, message: str, code: str = "", service: int | None = None) -> Response:
    body: dict[str, object] = {"status": status, "message": message}
    if code:
        body["code"] = code
    if service is not None:
        body["serviceErrorCode"] = service
    return Response(body, status)


def dead_token(error: TokenError) -> Response:
    service, code, text = _DEAD[error.reason]
    return response(401, text, code, service)


def denied(resource: str) -> Response:
    """A scope is missing, or the member lost the role: the same words."""
    return response(403, f"Not enough permissions to access: {resource}", "ACCESS_DENIED", 100)


def over_limit(usage: Usage) -> Response:
    if (text := _LIMITS.get(usage.rule.name)) is None:
        return response(429, "Too many requests", "TOO_MANY_REQUESTS")
    return response(429, text, service=101)


def bad_query(detail: str) -> Response:
    return response(400, f"Invalid query parameters passed to request ({detail})", "ILLEGAL_ARGUMENT")


def bad_param(text: str) -> Response:
    return response(400, text, "PARAM_INVALID")


def not_found(what: str = "entity") -> Response:
    return response(404, f"Could not find {what}", "NOT_FOUND")


def no_version() -> Response:
    text = "A version must be present. Please specify a version by adding the LinkedIn-Version header."
    return response(400, text, "VERSION_MISSING")


def sunset(version: str) -> Response:
    return response(426, f"Requested version {version} is not active", "NONEXISTENT_VERSION")
