"""Snap's envelope: request_status, a code, and texts for developers and for people."""

from __future__ import annotations

from typing import Any

from simulator.dice import HEX, letters, mix
from simulator.http import Refusal, Response

SORRY = "We're sorry, but the requested resource is not available at this time"


def request_id(*parts: int | str) -> str:
    return letters(24, HEX, "request", *parts)


def failure(status: int, code: str, debug: str, display: str = SORRY) -> Response:
    body: dict[str, Any] = {
        "request_status": "ERROR",
        "request_id": request_id(mix(code, debug)),
        "debug_message": debug,
        "display_message": display,
        "error_code": code,
    }
    return Response(body, status)


def not_found() -> Refusal:
    """Also for what exists and is not this person's."""
    return Refusal(failure(404, "E3003", "Resource can not be found"))


def bad(code: str, debug: str) -> Refusal:
    return Refusal(failure(400, code, debug))


def unauthorized() -> Response:
    return failure(401, "E1001", "The access token is invalid or expired")


def forbidden() -> Response:
    return failure(403, "E1002", "You do not have access to this resource")
