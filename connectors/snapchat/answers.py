"""What Snap's answers mean. Limits come without a word about how long they last; bodies may be empty or no JSON.

Source: developers.snap.com, marketing-api/Ads-API, pages errors, rate-limits, authentication.
"""

from __future__ import annotations

import time
from datetime import timedelta

from connectors.http import GONE, RESET_CURSOR, SCOPE_MISSING, THROTTLED, Budget, Problem, Reply, on, remaining

PAUSE_S = 5.0
"""After a 429: averages are over seconds, and our own counting keeps below them."""


def problem(reply: Reply) -> Problem | None:
    """request_status is compared in any case; PARTIAL is a success whose elements have to be looked at."""
    data = reply.data
    if not isinstance(data, dict) or "request_status" not in data:
        return None
    status = str(data["request_status"]).upper()
    if status in ("SUCCESS", "PARTIAL") and reply.status < 400:
        return None
    message = data.get("debug_message") or data.get("display_message") or status
    return Problem(str(data.get("error_code") or status), str(message))


def pause(reply: Reply) -> float | None:
    """Retry-After is left to the runtime; the reset of an older client's headers, if it is there."""
    if reply.header("retry-after"):
        return None
    try:
        return max(float(reply.header("x-rate-limit-reset")) - time.time(), 1.0)
    except ValueError:
        return PAUSE_S


def _unauthorized(reply: Reply) -> bool:
    """Said to apps that are not on the list, whatever the status; the token is proven by a call before."""
    return reply.status >= 400 and b"unauthorized" in reply.body.lower()


SECOND = timedelta(seconds=1)
BUDGETS = (
    # Snap allows averages of 20 and 10 a second.
    Budget("app", scope="app", limit=15, window=SECOND),
    Budget("token", limit=5, window=SECOND, read=remaining("x-rate-limit-remaining", "x-rate-limit-reset")),
)

NOT_ALLOWED = (
    "Snap does not let us see public profiles: our app has to be on Snap's list for its Public Profile API, and the "
    "account has to be connected with that permission."
)
NO_ROLE = "The person who connected has no role on this organization any more, or access to ads was not granted."
VERDICTS = (
    on(status=429, then=THROTTLED, after=pause, budget="token"),
    on(code="E0001", then=GONE),
    on(status=400, message="not supported", then=GONE),
    on(status=400, message="invalid cursor", then=RESET_CURSOR),
    on(status=403, endpoint="^(entities|stats)$", then=GONE),
    on(status=403, endpoint="^profiles$", then=SCOPE_MISSING, reason=NOT_ALLOWED),
    on(status=403, then=SCOPE_MISSING, reason=NO_ROLE),
    on(endpoint="^profiles$", where=_unauthorized, then=SCOPE_MISSING, reason=NOT_ALLOWED),
)
