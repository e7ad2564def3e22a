"""API for Business answers: HTTP 200 whatever they say, and a number that decides."""

from __future__ import annotations

from typing import Any

from simulator.auth import OAuthError, TokenError
from simulator.dice import DIGITS, letters
from simulator.http import Request, Response
from simulator.limits import Usage
from simulator.numbers import iso

_DEAD = {
    "missing": (40104, "Access token is null, you should set it in http header with key Access-Token."),
    "unknown": (40105, "Access token is incorrect or has been revoked."),
    "revoked": (40105, "Access token is incorrect or has been revoked."),
    "expired": (40102, "Access token is expired."),
}


def request_id(request: Request) -> str:
    return iso(request.now, "%Y%m%d%H%M%S") + letters(18, DIGITS, request.path, request.query_string)


def fine(request: Request, data: Any, message: str = "OK") -> dict[str, Any]:
    return {"code": 0, "message": message, "request_id": request_id(request), "data": data}


def response(request: Request, code: int, message: str) -> Response:
    return Response({"code": code, "message": message, "request_id": request_id(request), "data": {}})


def dead_token(request: Request, error: TokenError) -> Response:
    return response(request, *_DEAD[error.reason])


def over_limit(request: Request, _usage: Usage) -> Response:
    return response(request, 40100, "Too many requests. Please retry in some time.")


def refused_code(request: Request, error: OAuthError) -> Response:
    if error.error == "invalid_client":
        return response(request, 40002, "Invalid client_id or client_secret.")
    return response(request, 40110, "Auth_code is expired or has been used.")


def refused_refresh(request: Request, error: OAuthError) -> Response:
    if error.error == "invalid_client":
        return response(request, 40002, "Invalid client_id or client_secret.")
    if error.reason == "expired":
        return response(request, 40103, "Refresh token is expired.")
    return response(request, 40107, "Refresh token is invalid.")
