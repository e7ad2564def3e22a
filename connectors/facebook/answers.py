"""What Graph API answers mean: verdicts, and usage as its headers tell it.

Limits come as HTTP 400 or 403 with a code, without Retry-After; calling on prolongs a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

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
    Reply,
    Usage,
    dig,
    on,
    problem_at,
)

PAUSE_S = 120.0
"""After a limit of which the headers do not say how long it lasts."""

problem = problem_at("error.code", "error.message", "error.error_subcode")


def _json_header(reply: Reply, name: str) -> Any:
    try:
        return msgspec.json.decode(reply.header(name) or "{}")
    except msgspec.DecodeError:
        return {}


def _percent(found: dict[str, Any], *names: str) -> float:
    """The highest of some percentages, which may be texts, as a share."""
    return max((float(found.get(name) or 0) for name in names), default=0.0) / 100


def app_usage(reply: Reply) -> Sequence[Usage]:
    found = _json_header(reply, "x-app-usage")
    return (Usage(_percent(found, "call_count", "total_time", "total_cputime"), PAUSE_S),) if found else ()


def business_usage(reply: Reply) -> Iterator[Usage]:
    """One for each business object: a Page, an Instagram account, an ad account."""
    for part, entries in _json_header(reply, "x-business-use-case-usage").items():
        for entry in entries:
            minutes = float(entry.get("estimated_time_to_regain_access") or 0)
            used = _percent(entry, "call_count", "total_time", "total_cputime")
            yield Usage(used, minutes * 60 or PAUSE_S, part)


def insights_usage(reply: Reply) -> Sequence[Usage]:
    found = _json_header(reply, "x-fb-ads-insights-throttle")
    return (Usage(_percent(found, "app_id_util_pct", "acc_id_util_pct"), PAUSE_S),) if found else ()


def regain_s(reply: Reply) -> float:
    """How long a limit lasts: the longest that the headers announce."""
    waits = [usage.reset_s for usage in business_usage(reply) if usage.used >= 1.0]
    return max(waits, default=PAUSE_S)


BUDGETS = (
    Budget("app", scope="app", read=app_usage, stop_at=0.95),
    Budget("user"),
    Budget("business", scope="app", per_part=True, read=lambda reply: [*business_usage(reply)], stop_at=0.95),
    Budget("insights", per_part=True, endpoints=("ads_report", "ads_rows"), read=insights_usage, stop_at=0.9),
    Budget(
        "conversations", per_part=True, limit=2, window=timedelta(seconds=1), endpoints=("conversations", "messages")
    ),
)


def unknown_app(reply: Reply) -> bool:
    """At the token endpoint: an unknown app, or a wrong secret."""
    return reply.at("error.code") == 101 or "client secret" in str(reply.at("error.message", ""))


RECONNECT = "Facebook no longer accepts our access: "
VERDICTS = (
    on(code=1, message="reduce the amount of data", then=SHRINK),
    on(code=100, subcode=1487534, then=SHRINK),
    on(code=1, subcode=2853001, then=SCOPE_MISSING),
    on(where=lambda reply: dig(reply.data, "error.is_transient") is True, then=RETRY),
    on(code=4, then=THROTTLED, after=regain_s, budget="app"),
    on(code=17, then=THROTTLED, after=regain_s, budget="user"),
    on(code=613, then=THROTTLED, after=2.5, budget="conversations"),
    on(code={32, *range(80000, 80010), 80014}, then=THROTTLED, after=regain_s, budget="business"),
    on(code={341, 368}, then=THROTTLED, after=3600.0, budget="app", reason="Facebook has blocked our app for a while."),
    on(status=429, then=THROTTLED, after=regain_s),
    on(code=190, message=r"permission\(s\) must be granted", then=SCOPE_MISSING),
    on(code=190, subcode=492, then=GONE),
    on(code=190, subcode=458, then=AUTH_DEAD, reason=RECONNECT + "the app was removed in the person's settings."),
    on(code=190, subcode=460, then=AUTH_DEAD, reason=RECONNECT + "the person changed their password."),
    on(code=190, subcode=463, then=AUTH_DEAD, reason=RECONNECT + "the access has run out after 60 days."),
    on(code={190, 102}, then=AUTH_DEAD, reason=RECONNECT + "somebody has to log in again."),
    on(code=10, message="not enough viewers", then=GONE),
    on(code=100, subcode={33, 2108006}, then=GONE),
    on(code=803, then=GONE),
    on(code=100, message="missing permissions", then=SCOPE_MISSING),
    on(code={3, 10, *range(200, 300)}, then=SCOPE_MISSING),
    on(code=100, message="weren't there while creating", then=RETRY),
    on(code=100, message="invalid cursors", then=RESET_CURSOR),
    on(code=101, then=CONFIG),
    on(code={1, 2}, then=RETRY),
)
