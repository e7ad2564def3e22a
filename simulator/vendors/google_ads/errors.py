"""Google's error envelope: a status, and a GoogleAdsFailure whose errors have one code of one enum each."""

from __future__ import annotations

from typing import Any

from simulator.auth import TokenError
from simulator.dice import ALNUM, letters, mix
from simulator.http import Response
from simulator.limits import Usage

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SAID = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential.",
    403: "The caller does not have permission",
    429: "Resource has been exhausted (e.g. check quota).",
}


def request_id(*parts: int | str) -> str:
    return letters(22, ALNUM, "request", *parts)


def failure(
    status: int, kind: str, code: str, message: str, *, details: dict[str, Any] | None = None, version: str = "v26"
) -> Response:
    """`failure(403, "authorizationError", "USER_PERMISSION_DENIED", ...)`"""
    error: dict[str, Any] = {"errorCode": {kind: code}, "message": message}
    if details:
        error["details"] = details
    found = {
        "@type": f"type.googleapis.com/google.ads.googleads.{version}.errors.GoogleAdsFailure",
        "errors": [error],
        "requestId": request_id(mix(kind, code, message)),
    }
    return plain(status, details=[found])


def plain(status: int, message: str = "", *, details: list[dict[str, Any]] | None = None) -> Response:
    """An error of the front end, which need not have details."""
    error: dict[str, Any] = {
        "code": status,
        "message": message or _SAID.get(status, "Internal error encountered."),
        "status": _STATUS.get(status, "UNKNOWN"),
    }
    return Response({"error": error | ({"details": details} if details else {})}, status)


def html(status: int, path: str) -> Response:
    """What a path that is no API path gets."""
    text = f"<!DOCTYPE html><html lang=en><title>Error {status} (Not Found)!!1</title><p>The requested URL <code>{path}"
    return Response(f"{text}</code> was not found on this server.", status, type="text/html; charset=UTF-8")


def dead_token(error: TokenError) -> Response:
    if error.reason == "missing":
        return plain(401, "Request is missing required authentication credential.")
    code = {"expired": "OAUTH_TOKEN_EXPIRED", "revoked": "OAUTH_TOKEN_REVOKED"}.get(error.reason, "OAUTH_TOKEN_INVALID")
    text = {"OAUTH_TOKEN_EXPIRED": "expired", "OAUTH_TOKEN_REVOKED": "been revoked"}.get(
        code, "not a valid OAuth token"
    )
    return failure(401, "authenticationError", code, f"The OAuth token in the header has {text}.")


def missing_scope() -> Response:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "domain": "googleapis.com",
        "metadata": {"service": "googleads.googleapis.com"},
    }
    return plain(403, "Request had insufficient authentication scopes.", details=[info])


def over_limit(usage: Usage) -> Response:
    """A daily budget belongs to the project, requests per second to a customer. The wait is only in the body."""
    seconds = max(int(-(-usage.retry_after // 1)), 1)
    daily = usage.rule.name == "operations"
    quota = {
        "rateScope": "DEVELOPER" if daily else "ACCOUNT",
        "rateName": "Number of operations for basic access" if daily else "Requests per account",
        "retryDelay": f"{seconds}s",
    }
    code = "RESOURCE_EXHAUSTED" if daily else "RESOURCE_TEMPORARILY_EXHAUSTED"
    text = f"Too many requests. Retry in {seconds} seconds."
    return failure(429, "quotaError", code, text, details={"quotaErrorDetails": quota})


def not_permitted() -> Response:
    text = (
        "User doesn't have permission to access customer. Note: If you're accessing a client customer, the manager's "
        "customer id must be set in the 'login-customer-id' header."
    )
    return failure(403, "authorizationError", "USER_PERMISSION_DENIED", text)


def not_enabled() -> Response:
    text = "The customer account can't be accessed because it is not yet enabled or has been deactivated."
    return failure(403, "authorizationError", "CUSTOMER_NOT_ENABLED", text)


def no_customer() -> Response:
    text = "No customer found for the provided customer id."
    return failure(401, "authenticationError", "CUSTOMER_NOT_FOUND", text)


def bad_query(code: str, message: str) -> Response:
    return failure(400, "queryError", code, message)
