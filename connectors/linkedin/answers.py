"""What LinkedIn's answers mean. Quotas are per day and resource, end at 00:00 UTC, and have no headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.http import (
    AUTH_DEAD,
    BUG,
    CONFIG,
    REFRESH,
    RESET_CURSOR,
    RETRY,
    SCOPE_MISSING,
    SHRINK,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    on,
)
from connectors.http.times import day_start
from connectors.http.verdicts import retry_after

MOST_ELEMENTS = 15_000
"""adAnalytics has no pages: what is beyond is not told."""
PAUSE_S = 300.0


def problem(reply: Reply) -> Problem | None:
    found = reply.data  # read in any case: what is no JSON is no answer
    if reply.status < 400 or not isinstance(found, dict):
        return None
    service = str(found.get("serviceErrorCode") or "")
    code = found.get("code") or found.get("error") or service or reply.status
    return Problem(str(code), str(found.get("message") or found.get("error_description") or ""), service)


def until_midnight(_reply: Reply) -> float:
    """Seconds to the next 00:00 UTC, and a moment more."""
    now = datetime.now(UTC)
    return (day_start(now.date() + timedelta(days=1)) - now).total_seconds() + 1


def pause(reply: Reply) -> float:
    return retry_after(reply) or PAUSE_S


def full(reply: Reply) -> bool:
    return reply.status == 200 and len(reply.at("elements", ())) >= MOST_ELEMENTS


BUDGETS = (
    Budget("application_day", scope="app", per_endpoint=True, window=timedelta(days=1)),
    Budget("member_day", per_endpoint=True, window=timedelta(days=1)),
)

RECONNECT = "LinkedIn no longer accepts our access: "
VERDICTS = (
    on(code="EMPTY_ACCESS_TOKEN", then=BUG),
    on(
        code="REVOKED_ACCESS_TOKEN",
        then=AUTH_DEAD,
        reason=RECONNECT + "it was revoked, or the person's password changed.",
    ),
    on(code="EXPIRED_ACCESS_TOKEN", then=REFRESH, reason=RECONNECT + "it has run out, and somebody has to log in."),
    on(status=401, then=REFRESH, reason=RECONNECT + "somebody has to log in again."),
    on(
        status=426,
        then=CONFIG,
        reason="LinkedIn does not serve this version of its API any more: set a newer `api_version`.",
    ),
    on(code={"VERSION_MISSING", "NONEXISTENT_VERSION"}, then=CONFIG),
    on(status=403, message="unpermitted fields", then=BUG),
    on(
        status=403,
        then=SCOPE_MISSING,
        reason="LinkedIn does not let us read this: a permission is missing, or the person has lost the role it needs.",
    ),
    on(status=400, message="pageToken", then=RESET_CURSOR),
    on(status=409, then=RETRY),
    on(status=414, then=SHRINK),
    on(status=429, message="APPLICATION DAY", then=THROTTLED, after=until_midnight, budget="application_day"),
    on(status=429, message="MEMBER DAY", then=THROTTLED, after=until_midnight, budget="member_day"),
    on(status=429, then=THROTTLED, after=pause, budget="application_day"),
    on(endpoint="adAnalytics", where=full, then=SHRINK, reason="LinkedIn tells no more than 15,000 rows at a time."),
)
