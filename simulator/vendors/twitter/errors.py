"""X's problem documents (RFC 7807), and the two older envelopes: of its gateway and of the Ads API."""

from __future__ import annotations

from typing import Any

from simulator.http import Headers, Response

TYPES = "https://api.twitter.com/2/problems"
NEW_TYPES = "https://api.x.com/2/problems"
PROBLEM = "application/problem+json; charset=utf-8"


def problem(
    status: int, title: str, detail: str, kind: str = "about:blank", headers: Headers | None = None, **more: Any
) -> Response:
    body = {**more, "title": title, "detail": detail, "type": kind, "status": status}
    return Response(body, status, headers or [], PROBLEM)


def unauthorized() -> Response:
    return problem(401, "Unauthorized", "Unauthorized")


def too_many() -> Response:
    return problem(429, "Too Many Requests", "Too Many Requests")


def invalid(parameter: str, value: str, message: str) -> Response:
    """A parameter that cannot be used. This problem has no status in its body."""
    body = {
        "errors": [{"parameters": {parameter: [value]}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": f"{TYPES}/invalid-request",
    }
    return Response(body, 400, type=PROBLEM)


def wrong_token_kind() -> Response:
    kinds = "[OAuth 1.0a User Context, OAuth 2.0 User Context]"
    detail = (
        "Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint. "
        f"Supported authentication types are {kinds}."
    )
    return problem(403, "Unsupported Authentication", detail, f"{TYPES}/unsupported-authentication")


def not_enrolled(client_id: str) -> Response:
    detail = (
        "When authenticating requests to the Twitter API v2 endpoints, you must use keys and tokens from a Twitter "
        "developer App that is attached to a Project."
    )
    more = {"client_id": client_id, "required_enrollment": "Appropriate Level of API Access"}
    kind, reason = f"{TYPES}/client-forbidden", "client-not-enrolled"
    return problem(403, "Client Forbidden", detail, kind, None, reason=reason, **more)


def not_found(resource_id: str, kind: str, parameter: str) -> dict[str, Any]:
    """The partial error of a resource that is gone."""
    return {
        "resource_id": resource_id,
        "resource_type": kind,
        "parameter": parameter,
        "value": resource_id,
        "title": "Not Found Error",
        "detail": f"Could not find {kind} with {parameter}: [{resource_id}].",
        "type": f"{NEW_TYPES}/resource-not-found",
    }


def private_field(resource_id: str, field: str) -> dict[str, Any]:
    return {
        "resource_id": resource_id,
        "resource_type": "tweet",
        "parameter": field,
        "field": field,
        "section": "data",
        "title": "Field Authorization Error",
        "detail": f"Sorry, you are not authorized to access '{field}' on the tweet.",
        "type": f"{TYPES}/not-authorized-for-field",
    }


def no_credits(account_id: str) -> Response:
    detail = f"Your enrolled account [{account_id}] does not have any credits to fulfill this request."
    body = {"account_id": account_id, "title": "CreditsDepleted", "detail": detail, "type": f"{TYPES}/credits"}
    return Response(body, 402, type=PROBLEM)


def capped(account_id: str) -> Response:
    """The cap of the month; the window's headers look fine beside it."""
    body = {
        "account_id": account_id,
        "product_name": "standard-basic",
        "title": "UsageCapExceeded",
        "period": "Monthly",
        "scope": "Product",
        "detail": "Usage cap exceeded: Monthly product cap",
        "type": f"{TYPES}/usage-capped",
    }
    return Response(body, 429, type=PROBLEM)


def ads(status: int, code: str, message: str, headers: Headers | None = None) -> Response:
    body = {"errors": [{"code": code, "message": message}], "request": {"params": {}}}
    return Response(body, status, headers or [])
