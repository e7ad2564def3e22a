"""What API for Business answers mean. They come as HTTP 200 whatever they say, so `code` decides; nothing tells limits.

40100 does not say which limit was hit. We keep the one per second ourselves, so it is taken for the one per minute,
after which TikTok wants five minutes of silence.
Source: business-api.tiktok.com v1.3, appendix of return codes.
"""

from __future__ import annotations

from datetime import timedelta

from connectors.http import (
    AUTH_DEAD,
    BUG,
    GONE,
    REFRESH,
    RESET_CURSOR,
    RETRY,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Problem,
    Reply,
    on,
)

PAUSE_S = 300.0
FINE = (0, 20001)
"""20001: done in part."""
MESSAGING = ("conversations", "messages")


def problem(reply: Reply) -> Problem | None:
    if reply.status != 200 or not isinstance(reply.data, dict):
        return None
    code = reply.data.get("code")
    return None if code in FINE else Problem(str(code), str(reply.data.get("message", "")))


BUDGETS = (
    # A little longer than a second: calls do not arrive as evenly as they leave.
    Budget("qps", scope="app", limit=10, window=timedelta(seconds=1.1)),
    Budget("qpm", scope="app", limit=600),
    Budget("messaging", scope="app", limit=10, window=timedelta(seconds=1.1), endpoints=MESSAGING),
    Budget("advertiser", per_part=True, endpoints=("report", "ad_comments")),
)

RECONNECT = "TikTok no longer accepts our access: "
VERDICTS = (
    on(code={40016, 40100, 40132}, then=THROTTLED, after=PAUSE_S, budget="qpm"),
    on(code=40133, then=THROTTLED, after=5.0, budget="advertiser"),
    on(code=40102, then=REFRESH, reason=RECONNECT + "it has run out."),
    on(code=40105, then=REFRESH, reason=RECONNECT + "it was revoked."),
    on(code={40103, 40107}, then=AUTH_DEAD, reason=RECONNECT + "it cannot be renewed any more."),
    on(code=40106, then=AUTH_DEAD, reason=RECONNECT + "the TikTok user is not valid any more."),
    on(code=40113, then=AUTH_DEAD, reason=RECONNECT + "our app is blocked."),
    on(code={40300, 40301}, then=GONE),
    on(
        code=40001,
        then=SCOPE_MISSING,
        reason="TikTok does not let us read this: it needs a business account and its consent.",
    ),
    on(code={40118, 40119}, then=SCOPE_MISSING),
    on(code=40125, then=SCOPE_MISSING, reason="The TikTok account has not granted a permission this sync needs."),
    on(code=41000, then=SCOPE_MISSING, reason="TikTok is not available from where this installation runs."),
    on(code=40007, then=GONE),
    on(code=40002, message="conversation_id is invalid", then=GONE),
    on(code=40002, message="invalid cursor", then=RESET_CURSOR),
    on(code={40200, 40201, 40202, 40700, 50000, 50002, 51065, 51305}, then=RETRY),
    on(code=60001, then=RETRY, after=PAUSE_S),
    on(status=404, then=BUG, reason="TikTok knows no such path."),
)

ADS_VERDICTS = (
    on(
        code={40102, 40104, 40105, 40106, 40107},
        then=SCOPE_MISSING,
        reason="TikTok does not accept the advertiser's token any more: connect the ad account again.",
    ),
)
"""For calls with the advertiser's token, whose end concerns nothing but ads."""
