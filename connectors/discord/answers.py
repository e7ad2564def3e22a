"""What Discord's answers mean, and its budgets.

Refusals (401, 403, 429) are counted per address, and ten thousand in ten minutes end in a ban that comes as HTML
without any of the usual headers: so a guild that is lost ends at once, and channels closed to us are left alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connectors.http import (
    AUTH_DEAD,
    BUG,
    CONFIG,
    GONE,
    RETRY,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    on,
    remaining,
)
from connectors.http.request import NotJsonError

BANNED_S = 600.0
LOST = "The bot is no longer in the Discord server: add it again."


def problem(reply: Reply) -> Problem | None:
    """`{"message", "code"}`, with a 202 too while a search index is being made."""
    data: Any = reply.data
    if not isinstance(data, dict) or "code" not in data:
        return None
    return Problem(str(data["code"]), str(data.get("message", "")))


def wait_told(reply: Reply) -> float | None:
    """Seconds with a fraction, in the body."""
    try:
        found = reply.at("retry_after")
    except NotJsonError:
        return None
    return float(found) if isinstance(found, int | float) else None


def _wait_banned(reply: Reply) -> float | None:
    return None if reply.header("retry-after") else BANNED_S


def _everywhere(reply: Reply) -> bool:
    return reply.header("x-ratelimit-scope") == "global" or reply.header("x-ratelimit-global") == "true"


def _of_the_front(reply: Reply) -> bool:
    return not reply.header("x-ratelimit-scope") and "json" not in reply.header("content-type")


VERDICTS = (
    on(status=429, where=_everywhere, then=THROTTLED, after=wait_told, budget="global"),
    on(status=429, where=_of_the_front, then=THROTTLED, after=_wait_banned, budget="global"),
    on(status=429, then=THROTTLED, after=wait_told, budget="route"),
    on(code={40062, 20016, 20028, 20029, 40003}, then=THROTTLED, after=wait_told, budget="route"),
    on(code={110000, 110001}, then=RETRY, after=wait_told),
    on(code={130000, 40006}, then=RETRY),
    on(
        status=401,
        then=AUTH_DEAD,
        reason="Discord does not accept the bot's token any more: enter the new one.",
    ),
    on(code={40001, 50014, 50025, 40012}, then=AUTH_DEAD, reason="Discord does not accept our access any more."),
    on(code={50001, 10004, 40007}, endpoint="^guild$", then=AUTH_DEAD, reason=LOST),
    on(code={40333, 50041}, then=CONFIG),
    on(code={50001, 50013}, endpoint="^(messages|message|archived)$", then=GONE),
    on(
        code={50001, 50013, 50026},
        then=SCOPE_MISSING,
        reason="The bot lacks a permission or a privileged intent for this in Discord.",
    ),
    on(code={40002, 20001, 20002}, then=SCOPE_MISSING),
    on(code={50004, 50024}, then=GONE),
    on(status=404, then=GONE),
    on(status=400, then=BUG),
)

BUDGETS = (
    Budget("global", scope="app", limit=45, window=timedelta(seconds=1)),
    Budget(
        "route",
        per_endpoint=True,
        per_part=True,
        read=remaining("x-ratelimit-remaining", "x-ratelimit-reset-after", reset_is="seconds"),
    ),
)
