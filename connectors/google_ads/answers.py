"""What answers of the Google Ads API mean. Waits are in bodies only: there are no rate limit headers.

Names of errors: google/ads/googleads/v26/errors. A call is about one customer, so most refusals leave that one out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from connectors.http import (
    AUTH_DEAD,
    CONFIG,
    GONE,
    REFRESH,
    RESET_CURSOR,
    RETRY,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    dig,
    on,
)
from connectors.http.request import NotJsonError

EXPENSIVE_S = 900.0
"""After a query that cost too much, if Google does not say how long."""
DAILY_S = 3_600.0
"""After a used-up day of which Google does not say when it is over: it slides."""


def problem(reply: Reply) -> Problem | None:
    """code: the error's enum value, or the reason of the front end, or the status. subcode: the enum."""
    error = _error(reply)
    if error is None:
        return None
    said = str(error.get("message", ""))
    for found in _failures(error):
        for kind, code in (found.get("errorCode") or {}).items():
            return Problem(str(code), str(found.get("message") or said), kind)
    for detail in error.get("details") or ():
        if reason := detail.get("reason"):
            return Problem(str(reason), said, "reason")
    return Problem(str(error.get("status") or error.get("code", "")), said)


def _error(reply: Reply) -> dict[str, Any] | None:
    """Streams put an error into a list, even after good rows."""
    data = reply.data
    for part in data if isinstance(data, list) else [data]:
        if isinstance(part, dict) and isinstance(error := part.get("error"), dict):
            return error
    return None


def _failures(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for detail in error.get("details") or ():
        yield from detail.get("errors") or ()


def quota(reply: Reply) -> dict[str, Any]:
    for found in _failures(_error(reply) or {}):
        if details := dig(found, "details.quotaErrorDetails"):
            return dict(details)
    return {}


def of_project(reply: Reply) -> bool:
    return quota(reply).get("rateScope") == "DEVELOPER"


def delay(reply: Reply) -> float | None:
    """`"40591s"`, or the sentence that says the same; None for the page of a front end, which says nothing."""
    try:
        told, said = str(quota(reply).get("retryDelay", "")), problem(reply)
    except NotJsonError:
        return None
    if found := re.fullmatch(r"([\d.]+)s", told):
        return float(found[1])
    if said is not None and (found := re.search(r"Retry in ([\d.]+) seconds", said.message)):
        return float(found[1])
    if said is None or said.subcode != "quotaError":
        return None
    return {"RESOURCE_EXHAUSTED": DAILY_S, "RESOURCE_TEMPORARILY_EXHAUSTED": None}.get(said.code, EXPENSIVE_S)


def _is_page(reply: Reply) -> bool:
    return reply.body.lstrip()[:1] == b"<"


BUDGETS = (
    # Basic access. Explorer has 2,880; 0 stands for Standard, which counts nothing.
    Budget("operations", scope="app", limit=15_000, window=timedelta(days=1), endpoints=("search", "accounts")),
    Budget("project", scope="app"),
    Budget("customer", per_part=True),
)

RECONNECT = "Google no longer accepts our access: "
_DEAD = ("OAUTH_TOKEN_REVOKED", "OAUTH_TOKEN_DISABLED", "GOOGLE_ACCOUNT_AUTHENTICATION_FAILED")
_OURS = (
    "PROJECT_DISABLED",
    "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
    "DEVELOPER_TOKEN_INVALID",
    "DEVELOPER_TOKEN_NOT_APPROVED",
    "DEVELOPER_TOKEN_PROHIBITED",
    "ORGANIZATION_NOT_RECOGNIZED",
    "ORGANIZATION_NOT_APPROVED",
    "ORGANIZATION_NOT_ASSOCIATED_WITH_DEVELOPER_TOKEN",
    "SERVICE_ACCESS_DENIED",
    "MISSING_TOS",
    "SERVICE_DISABLED",
    "UNSUPPORTED_VERSION",
    "INVALID_LOGIN_CUSTOMER_ID",
)
_OF_CUSTOMER = (
    "CUSTOMER_NOT_FOUND",
    "CLIENT_CUSTOMER_ID_INVALID",
    "CUSTOMER_NOT_ENABLED",
    "USER_PERMISSION_DENIED",
    "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION",
    "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT",
    "INCOMPLETE_SIGNUP",
    "ACCESS_DENIED_FOR_ACCOUNT_TYPE",
    "CANNOT_BE_EXECUTED_BY_MANAGER_ACCOUNT",
    "REQUESTED_METRICS_FOR_MANAGER",
)
_NOT_ALLOWED = ("METRIC_ACCESS_DENIED", "ACTION_NOT_PERMITTED", "AUTHORIZATION_ERROR", "ACCESS_PROHIBITED")
_PROTECTION = ("TWO_STEP_VERIFICATION_NOT_ENROLLED", "ADVANCED_PROTECTION_NOT_ENROLLED")
_TRANSIENT = (
    "TRANSIENT_ERROR",
    "INTERNAL_ERROR",
    "DEADLINE_EXCEEDED",
    "RPC_DEADLINE_TOO_SHORT",
    "CONCURRENT_MODIFICATION",
    "ABORTED",
)
VERDICTS = (
    on(code=_NOT_ALLOWED, then=SCOPE_MISSING, reason="The Google login may not read these figures."),
    on(subcode="quotaError", where=of_project, then=THROTTLED, after=delay, budget="project"),
    on(subcode="quotaError", code="RESOURCE_EXHAUSTED", then=THROTTLED, after=delay, budget="project"),
    on(subcode="quotaError", then=THROTTLED, after=delay, budget="customer"),
    on(status=429, then=THROTTLED, after=delay, budget="customer"),
    on(code=_DEAD, then=AUTH_DEAD, reason=RECONNECT + "it was taken back in the Google account."),
    on(code="GOOGLE_ACCOUNT_DELETED", then=AUTH_DEAD, reason=RECONNECT + "the Google account was deleted."),
    on(code="NOT_ADS_USER", then=AUTH_DEAD, reason="This Google login has no Google Ads account: connect another."),
    on(code=("OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID", "OAUTH_TOKEN_HEADER_INVALID"), then=REFRESH),
    on(code=_PROTECTION, then=SCOPE_MISSING, reason="Google asks this login to turn on two-step verification first."),
    on(
        code="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        then=SCOPE_MISSING,
        reason="Access to Google Ads was not ticked when the account was connected: connect it again.",
    ),
    on(code=_OURS, then=CONFIG),
    on(status=404, where=_is_page, then=CONFIG, reason="Google does not know this version of its Ads API any more."),
    on(code=_OF_CUSTOMER, then=GONE),
    on(code=("EXPIRED_PAGE_TOKEN", "INVALID_PAGE_TOKEN"), then=RESET_CURSOR),
    on(code=_TRANSIENT, then=RETRY),
    on(status=409, then=RETRY),
)
