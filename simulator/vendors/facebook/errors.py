"""The Graph API's one error envelope, and the codes by which its clients tell things apart."""

from __future__ import annotations

from typing import Any

from simulator.auth import TokenError
from simulator.dice import ALNUM, letters, mix
from simulator.http import Request, Response
from simulator.limits import Usage

_MORE = "For more info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
_LIMITS = {
    "app": (4, None, 403, "(#4) Application request limit reached"),
    "user": (17, None, 400, "(#17) User request limit reached"),
    "pages": (
        80001,
        None,
        400,
        f"(#80001) There have been too many calls to this Page account. Wait a bit and try again. {_MORE}",
    ),
    "instagram": (
        80002,
        None,
        400,
        f"(#80002) There have been too many calls to this Instagram account. Wait a bit and try again. {_MORE}",
    ),
    "messenger": (
        80006,
        None,
        400,
        f"(#80006) There have been too many messenger api calls. Wait a bit and try again. {_MORE}",
    ),
    "conversations": (613, None, 400, "(#613) Calls to this api have exceeded the rate limit."),
    "ads_insights": (
        80000,
        2446079,
        400,
        f"(#80000) There have been too many calls from this ad-account. Wait a bit and try again. {_MORE}",
    ),
    "ads_management": (
        80004,
        2446079,
        400,
        f"(#80004) There have been too many calls to this ad-account. Wait a bit and try again. {_MORE}",
    ),
}
_DEAD = {
    "user": (458, "Error validating access token: The user has not authorized application."),
    "password": (
        460,
        "Error validating access token: The session has been invalidated because the user changed their password or "
        "Facebook has changed the session for security reasons.",
    ),
    "role": (492, "Error validating access token: The user is no longer an admin of the page."),
}


def body(
    message: str, code: int, subcode: int | None = None, *, kind: str = "OAuthException", **more: Any
) -> dict[str, Any]:
    error: dict[str, Any] = {"message": message, "type": kind, "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    return {"error": {**error, **more, "fbtrace_id": "A" + letters(22, ALNUM, mix(message, code))}}


def response(message: str, code: int, subcode: int | None = None, *, status: int = 400, **more: Any) -> Response:
    return Response(body(message, code, subcode, **more), status)


def dead_token(request: Request, error: TokenError) -> Response:
    if error.reason == "missing":
        return response("An active access token must be used to query information about the current user.", 2500)
    if error.reason == "expired":
        text = "Error validating access token: Session has expired. The current time is later."
        return response(text, 190, 463, status=401)
    if error.reason == "revoked":
        subcode, text = _DEAD.get(error.detail, _DEAD["user"])
        return response(text, 190, subcode, status=401)
    return response("Invalid OAuth access token - Cannot parse access token", 190, status=401)


def missing_scope(needed: str) -> Response:
    if needed.startswith("ads_"):
        return response(f"(#200) Requires {needed} permission to manage the object", 200, status=403)
    return response(
        f"(#10) This endpoint requires the '{needed}' permission or the 'Page Public Content Access' feature.",
        10,
        status=403,
    )


def over_limit(usage: Usage) -> Response:
    code, subcode, status, text = _LIMITS.get(usage.rule.name, _LIMITS["app"])
    return response(text, code, subcode, status=status)


def no_node(node: str) -> Response:
    return response(
        f"Unsupported get request. Object with ID '{node}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation. Please read the Graph API documentation at "
        "https://developers.facebook.com/docs/graph-api",
        100,
        33,
        kind="GraphMethodException",
    )


def no_edge(edge: str) -> Response:
    return response(f"(#100) Tried accessing nonexisting field ({edge})", 100)


def bad_metric() -> Response:
    return response("(#100) The value must be a valid insights metric", 100)


def bad_argument(text: str) -> Response:
    return response(f"(#100) {text}", 100)
