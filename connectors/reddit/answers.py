"""What Reddit's answers mean. It refuses in four shapes: JSON, JSON with a reason, HTML, and 200 with errors inside."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connectors.http import (
    AUTH_DEAD,
    CONFIG,
    GONE,
    REFRESH,
    RESET_CURSOR,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    dig,
    on,
    remaining,
)
from connectors.http.verdicts import retry_after


def problem(reply: Reply) -> Problem | None:
    try:
        data = reply.data
    except ValueError:
        if reply.status < 400:
            raise
        return Problem("html", reply.text[:200])
    if not isinstance(data, dict):
        return None
    errors = dig(data, "json.errors", [])
    if errors:
        code, text, *_ = [*map(str, errors[0]), ""]
        return Problem(code, text)
    if reply.status < 300 and "error" not in data:
        return None
    message = str(data.get("explanation") or data.get("message") or "")
    return Problem(str(data.get("error") or reply.status), message, str(data.get("reason") or ""))


def scope_refused(reply: Reply) -> bool:
    return "insufficient_scope" in reply.header("www-authenticate")


def is_page(reply: Reply) -> bool:
    return "html" in reply.header("content-type")


def is_later_page(reply: Reply) -> bool:
    return bool(reply.request.params.get("after"))


def wait_s(reply: Reply) -> float:
    """Retry-After, else the end of the window, else a minute."""
    if (said := retry_after(reply)) is not None:
        return said
    reset: Any = reply.header("x-ratelimit-reset")
    return float(reset) + 1 if str(reset).isdecimal() else 60.0


# 1000 calls in ten minutes for all accounts of our app together.
BUDGETS = (
    Budget(
        "client",
        scope="app",
        limit=1000,
        window=timedelta(minutes=10),
        read=remaining("x-ratelimit-remaining", "x-ratelimit-reset", reset_is="seconds"),
    ),
)

GONE_CODES = {
    *("SUBREDDIT_NOEXIST", "SUBREDDIT_NOTALLOWED", "THREAD_LOCKED", "TOO_OLD", "DELETED_COMMENT", "DELETED_THING"),
    *("USER_BLOCKED", "NOT_AUTHOR"),
}
VERDICTS = (
    on(code="RATELIMIT", then=THROTTLED, after=lambda reply: float(reply.at("json.ratelimit", 60)), budget="client"),
    on(code="QUOTA_FILLED", then=THROTTLED),
    on(code="USER_REQUIRED", then=REFRESH),
    on(code=GONE_CODES, then=GONE),
    on(status=429, then=THROTTLED, after=wait_s),
    on(
        endpoint="^me$",
        where=lambda reply: dig(reply.data, "is_suspended") is True,
        then=AUTH_DEAD,
        reason="Reddit has suspended the account.",
    ),
    on(status=403, where=scope_refused, then=SCOPE_MISSING, reason="Reddit has not granted a permission."),
    on(
        status=403,
        where=is_page,
        then=CONFIG,
        reason="Reddit blocks our app: its User-Agent or its address is not welcome.",
    ),
    on(status={302, 403, 404, 451}, then=GONE),
    on(status=400, where=is_later_page, then=RESET_CURSOR),
)
