"""Pinterest's envelope: a code of its own beside the HTTP status, and a sentence."""

from __future__ import annotations

from simulator.http import Refusal, Response


def error(status: int, code: int, message: str) -> Response:
    return Response({"code": code, "message": message}, status)


def unauthorized() -> Response:
    return Response({"code": 2, "message": "Authentication failed.", "status": "failure"}, 401)


def not_permitted() -> Response:
    return error(403, 29, "You are not permitted to access that resource.")


def restricted() -> Response:
    return error(401, 3, "Your application does not have access to this restricted feature.")


def not_analytics() -> Response:
    return error(403, 29, "Not authorized to access the user account analytics.")


def no_pin() -> Response:
    return error(404, 50, "Pin not found.")


def no_board() -> Response:
    return error(404, 40, "Board not found.")


def no_ad_account() -> Response:
    return error(404, 2, "AdAccount not found.")


def bad(message: str) -> Refusal:
    return Refusal(error(400, 1, f"Invalid request: {message}"))
