"""What Pinterest's answers mean: by HTTP status first, for its codes mean different things under different ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from connectors.http import (
    GONE,
    OK,
    REFRESH,
    RESET_CURSOR,
    RETRY,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Reply,
    Usage,
    on,
    problem_at,
    remaining,
)

DAY_S = 86_400
problem = problem_at("code", "message")
_SECONDS = re.compile(r"retry after (\d+) seconds", re.IGNORECASE)


def reset_s(reply: Reply) -> float | None:
    """Seconds until the window ends; Retry-After is not sent."""
    value = reply.header("x-ratelimit-reset")
    return float(value) if value.isdecimal() else None


def in_words(reply: Reply) -> float | None:
    """Figures of ads say only in their sentence how long to wait."""
    found = _SECONDS.search(reply.text)
    return float(found[1]) if found else None


def of_a_day(reply: Reply) -> bool:
    """Whether the limit is that of an app on trial: a thousand calls a day for everybody."""
    return (reset_s(reply) or 0) > 3600


def trial_usage(reply: Reply) -> Sequence[Usage]:
    if "w=86400" not in reply.header("x-ratelimit-limit"):
        return ()
    return _read(reply)


_read = remaining("x-ratelimit-remaining", "x-ratelimit-reset", limit="x-ratelimit-limit", reset_is="seconds")


def _category(name: str, limit: int) -> Budget:
    return Budget(name, limit=limit, window=timedelta(minutes=1), endpoints=(name,), read=_read)


BUDGETS = (
    _category("org_read", 1000),
    _category("org_analytics", 60),
    _category("ads_read", 1000),
    _category("ads_analytics", 300),
    Budget("safety_net", limit=100, window=timedelta(seconds=1)),
    Budget("trial", scope="app", read=trial_usage),
)

FILE = "report_file"
NOT_PERMITTED = "Pinterest has not granted a permission or a role that this needs."
VERDICTS = (
    # A link lives for five minutes: asking for the report again gives a fresh one.
    on(status={400, 403}, endpoint=FILE, then=RETRY),
    on(status=429, where=of_a_day, then=THROTTLED, after=reset_s, budget="trial"),
    on(status=429, where=lambda reply: reset_s(reply) is not None, then=THROTTLED, after=reset_s),
    on(status=429, code=8, then=THROTTLED, after=3600.0),
    on(status=429, then=THROTTLED, after=60.0),
    on(status=400, message=r"retry after \d+ seconds", then=THROTTLED, after=in_words),
    on(status=400, code=12, then=RETRY),
    on(status=400, message="something went wrong", then=RETRY),
    on(status=400, message="bookmark", then=RESET_CURSOR),
    on(status=400, code=1104, then=REFRESH),
    on(status={401, 403}, code=3, then=SCOPE_MISSING, reason="Pinterest has not granted our app this feature."),
    on(status={401, 403}, code=7, then=GONE),
    on(status={401, 403}, code=29, then=SCOPE_MISSING, reason=NOT_PERMITTED),
    on(status=403, message="user account", then=SCOPE_MISSING, reason=NOT_PERMITTED),
    on(status=403, code=654, then=SCOPE_MISSING, reason="This needs a business account of Pinterest."),
    on(status=403, code=2626, then=SCOPE_MISSING, reason="Pinterest is reviewing the account."),
    on(status=409, then=RETRY),
)

LOOKED_UP = (on(status=404, code=50, then=OK),)
"""That a Pin is not there is what we want to know."""
