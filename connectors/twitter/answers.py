"""What X's answers mean: verdicts and budgets, of API v2 and of the Ads API.

v2 answers with problem documents, the gateway and the Ads API with lists of errors. A 200 may carry `errors` beside its
data: those are about single things and are no problem of the call.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from connectors.http import (
    AUTH_DEAD,
    CONFIG,
    GONE,
    RESET_CURSOR,
    RETRY,
    SCOPE_MISSING,
    SHRINK,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    dig,
    on,
    remaining,
)

QUARTER = timedelta(minutes=15)
LOOKUP = "tweets"
"""The look-up of posts by id: of those all may be gone."""


def problem(reply: Reply) -> Problem | None:
    if reply.request.raw:
        return None if reply.status < 400 else Problem(str(reply.status), reply.text[:200])
    data = reply.data
    if not isinstance(data, dict):
        return None
    first = dig(data, "errors.0", {})
    if reply.status < 400:
        if not first or "data" in data or "meta" in data or reply.request.kind == LOOKUP:
            return None
        return Problem(_tail(first), str(first.get("detail") or first.get("message") or ""), first.get("title", ""))
    message = str(first.get("message") or data.get("detail") or "")
    if "type" not in data and "code" in first:
        return Problem(str(first["code"]), message, str(first.get("parameter") or ""))
    return Problem(_tail(data), message, str(data.get("reason") or ""))


def _tail(found: dict[str, object]) -> str:
    """`usage-capped` of https://api.twitter.com/2/problems/usage-capped"""
    return str(found.get("type") or "").rpartition("/")[2].removeprefix("about:blank")


def until_reset(reply: Reply) -> float | None:
    """Seconds until the window of a limit ends; the account's own limit goes before the person's."""
    for name in ("x-account-rate-limit-reset", "x-rate-limit-reset"):
        if (value := reply.header(name)).isdecimal():
            return max(float(value) - time.time(), 1.0)
    return None


def until_period_ends(reply: Reply) -> float:
    """Until a usage cap counts anew: tomorrow, or on the first of next month (UTC)."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if str(dig(reply.data, "period", "")).lower() == "daily":
        return (midnight + timedelta(days=1) - now).total_seconds()
    following = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (following - now).total_seconds()


def _budget(name: str, limit: int, window: timedelta = QUARTER) -> Budget:
    read = remaining("x-rate-limit-remaining", "x-rate-limit-reset", limit="x-rate-limit-limit")
    return Budget(name, limit=limit, window=window, endpoints=(name,), read=read)


V2 = ("me", "user_tweets", "mentions", LOOKUP, "search_recent", "search_all", "dm_events", "analytics")
BUDGETS = (
    _budget("me", 75),
    _budget("user_tweets", 900),
    _budget("mentions", 300),
    _budget(LOOKUP, 5000),
    _budget("search_recent", 300),
    _budget("search_all", 1, timedelta(seconds=1)),
    _budget("dm_events", 15),
    _budget("analytics", 300),
    _budget("post_create", 100),
    _budget("dm_create", 15),
    Budget("project", scope="app", endpoints=V2),
    _budget("ads_accounts", 5),
    _budget("ads_stats", 250),
    Budget(
        "ads_reads",
        per_part=True,
        endpoints=("ads_entities", "ads_jobs"),
        read=remaining("x-account-rate-limit-remaining", "x-account-rate-limit-reset"),
    ),
)

RECONNECT = "X no longer accepts our access: "
ADS_KEYS = "X does not accept the keys for ads: enter new ones."
VERDICTS = (
    # Ads API
    on(code="UNAUTHORIZED_ACCESS", then=SCOPE_MISSING, reason=ADS_KEYS),
    on(code="CURRENT_USER_SUSPENDED", then=AUTH_DEAD, reason=RECONNECT + "the person's account is suspended."),
    on(code={"ACCOUNT_NOT_FOUND", "ACTION_NOT_ALLOWED"}, then=GONE),
    on(code="UNAUTHORIZED_CLIENT_APPLICATION", then=SCOPE_MISSING, reason="X has not granted our app access to ads."),
    on(code="TOO_MANY_REQUESTS", then=THROTTLED, after=until_reset),
    on(
        code={"INTERNAL_ERROR", "OVER_CAPACITY", "SERVICE_UNAVAILABLE", "CANCELLED_REQUEST"}
        | {"LOCK_ACQUISITION_TIMEOUT"},
        then=RETRY,
    ),
    on(code="REQUEST_TOO_COMPLEX", then=SHRINK),
    on(code="INVALID_PARAMETER", message="cursor", then=RESET_CURSOR),
    # API v2
    on(
        code="usage-capped",
        then=THROTTLED,
        after=until_period_ends,
        budget="project",
        reason="The posts that our X project may read in this period are used up.",
    ),
    on(status=402, then=CONFIG, reason="Our X project has no credits left: buy some in the developer console."),
    on(code={"credits", "credits-depleted"}, then=CONFIG, reason="Our X project has no credits left."),
    on(code="client-forbidden", subcode="client-not-enrolled", then=CONFIG),
    on(code="client-forbidden", then=SCOPE_MISSING, reason="Our X project's plan does not include this."),
    on(code="unsupported-authentication", then=CONFIG, reason="This needs a person's token, not the app's."),
    on(code="oauth1-permissions", then=SCOPE_MISSING, reason="Our X app lacks a permission."),
    on(code={"not-authorized-for-resource", "resource-not-found", "disallowed-resource"}, then=GONE),
    on(status=403, code=64, then=AUTH_DEAD, reason=RECONNECT + "the account is suspended."),
    on(status=403, code=326, then=AUTH_DEAD, reason=RECONNECT + "the account is locked until its owner logs in."),
    on(code="invalid-request", message="pagination_token|next_token", then=RESET_CURSOR),
    on(status=429, then=THROTTLED, after=until_reset),
    on(code=88, then=THROTTLED, after=until_reset),
    on(status=403, then=SCOPE_MISSING, reason="X has not granted a permission that this sync needs."),
)
