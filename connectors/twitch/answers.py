"""What Twitch's answers mean. There are no error codes: status and words decide, and a 401 may be almost anything."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from connectors.http import (
    AUTH_DEAD,
    BUG,
    CONFIG,
    GONE,
    OK,
    REFRESH,
    RESET_CURSOR,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    on,
    remaining,
)
from connectors.http.request import NotJsonError

OPTIONAL = (
    on(status=401, message="missing (required )?scope|must match the user", then=GONE),
    on(status=403, then=GONE),
)
"""For parts whose scope not everybody grants: the others go on without them."""


def problem(reply: Reply) -> Problem | None:
    """Flat or nested, errors repeat their status; only the message tells causes apart."""
    data: Any = reply.data
    if not isinstance(data, dict) or not isinstance(data.get("status"), int) or "message" not in data:
        return None
    return Problem(str(data["status"]), str(data["message"]))


def until_full(reply: Reply) -> float | None:
    """Seconds until the bucket is full; None for limits of an endpoint's own, which tell nothing."""
    reset, left = reply.header("ratelimit-reset"), reply.header("ratelimit-remaining")
    return max(int(reset) - time.time(), 1.0) if reset.isdecimal() and left == "0" else None


def nobody(reply: Reply) -> bool:
    return reply.status == 200 and reply.at("data") == []


def refused(reply: Reply) -> bool:
    """A refresh token that is good no more. Other refusals are about our app."""
    try:
        return reply.status in (400, 401) and "invalid refresh token" in str(reply.at("message", "")).lower()
    except NotJsonError:
        return False


VERDICTS = (
    on(status={425, 429}, then=THROTTLED, after=until_full),
    on(
        status=200,
        endpoint="^users$",
        where=nobody,
        then=AUTH_DEAD,
        reason="Twitch does not know this account any more: it was deleted or suspended.",
    ),
    on(
        status=401,
        message="missing (required )?scope",
        then=SCOPE_MISSING,
        reason="The Twitch account has not granted a permission that this needs: reconnect it.",
    ),
    on(
        status=401,
        message="must match the user|be a moderator",
        then=SCOPE_MISSING,
        reason="Twitch gives this to the broadcaster alone: connect their own account.",
    ),
    on(status=401, message="oauth token is missing|client[ -]id", then=CONFIG),
    on(status=401, then=REFRESH, reason="Twitch does not accept our access any more: reconnect the account."),
    on(status=403, then=SCOPE_MISSING),
    on(status=404, then=GONE),
    on(status=409, then=OK),
    on(status=400, message="cursor", then=RESET_CURSOR),
    on(status={400, 410, 422}, then=BUG),
)

BUDGETS = (
    Budget(
        "points",
        limit=600,  # of 800: bursts near the limit are refused all the same
        window=timedelta(minutes=1),
        read=remaining("ratelimit-remaining", "ratelimit-reset", limit="ratelimit-limit"),
    ),
)
