"""What refusals at token endpoints mean, in every envelope that vendors put them in.

A lost account is told from a wrong secret of ours: for that nobody has to reconnect anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http.session import open_session
from connectors.registry import PLATFORMS
from sync.base.errors import ConfigurationError, IntegrationRevoked, SyncError, Transient

SECRETS = Credentials({"access_token": "a", "refresh_token": "r"})
HTML = "<html><body>Bad gateway</body></html>"


def flat(error: str, text: str = "") -> dict[str, str]:
    return {"error": error, "error_description": text}


@pytest.mark.parametrize(
    ("slug", "status", "body", "expected"),
    [
        ("facebook", 400, {"error": {"message": "Session has expired", "code": 190}}, IntegrationRevoked),
        ("facebook", 400, {"error": {"message": "Error validating application.", "code": 101}}, ConfigurationError),
        ("facebook", 400, {"error": {"message": "Error validating client secret.", "code": 1}}, ConfigurationError),
        ("facebook", 400, {"error": {"message": "An unknown error occurred", "code": 1}}, Transient),
        ("google_ads", 400, flat("invalid_grant", "Token has been expired or revoked."), IntegrationRevoked),
        ("google_ads", 401, flat("invalid_client", "The OAuth client was not found."), ConfigurationError),
        ("linkedin", 400, flat("invalid_grant"), IntegrationRevoked),
        ("linkedin", 401, flat("invalid_client"), ConfigurationError),
        ("pinterest", 400, {"code": 1, "message": "Invalid request"}, IntegrationRevoked),
        ("pinterest", 401, {"code": 2, "message": "Authentication failed."}, IntegrationRevoked),
        ("pinterest", 403, {"code": 7, "message": "Not authorized"}, IntegrationRevoked),
        ("pinterest", 429, {"code": 8, "message": "Rate limit"}, Transient),
        ("reddit", 400, {"error": 400}, IntegrationRevoked),
        ("reddit", 400, {"message": "Bad Request", "error": 400}, IntegrationRevoked),
        ("reddit", 200, {"error": "invalid_grant"}, IntegrationRevoked),
        ("reddit", 401, {"message": "Unauthorized", "error": 401}, ConfigurationError),
        ("reddit", 401, HTML, ConfigurationError),
        ("reddit", 200, flat("unauthorized_client", "Only script apps may use password auth"), ConfigurationError),
        ("slack", 200, {"ok": False, "error": "invalid_refresh_token"}, IntegrationRevoked),
        ("slack", 200, {"ok": False, "error": "bad_client_secret"}, ConfigurationError),
        ("slack", 200, {"ok": False, "error": "invalid_client_id"}, ConfigurationError),
        ("slack", 200, {"ok": False, "error": "internal_error"}, Transient),
        ("snapchat", 400, flat("invalid_grant"), IntegrationRevoked),
        ("snapchat", 401, flat("invalid_client"), ConfigurationError),
        ("tiktok", 200, {"code": 40107, "message": "Refresh token is invalid."}, IntegrationRevoked),
        ("tiktok", 200, {"code": 40103, "message": "Refresh token is expired."}, IntegrationRevoked),
        ("tiktok", 200, flat("invalid_grant", "Refresh token is invalid or expired."), IntegrationRevoked),
        ("tiktok", 200, {"code": 40002, "message": "Invalid client_id or client_secret."}, ConfigurationError),
        ("tiktok", 200, flat("invalid_client"), ConfigurationError),
        ("tiktok", 200, {"code": 50000, "message": "Internal error"}, Transient),
        ("twitch", 400, {"status": 400, "message": "Invalid refresh token"}, IntegrationRevoked),
        ("twitch", 400, {"status": 400, "message": "invalid client"}, ConfigurationError),
        ("twitch", 403, {"status": 403, "message": "invalid client secret"}, ConfigurationError),
        ("twitch", 400, {"status": 400, "message": "missing grant type"}, Transient),
        ("twitter", 400, flat("invalid_request", "Value passed for the token was invalid."), IntegrationRevoked),
        ("twitter", 400, flat("invalid_grant"), IntegrationRevoked),
        ("twitter", 401, flat("unauthorized_client", "Missing valid authorization header"), ConfigurationError),
        ("twitter", 401, flat("invalid_client"), ConfigurationError),
        ("twitter", 403, {"errors": [{"code": 99, "message": "Unable to verify"}]}, ConfigurationError),
        *[(slug, 503, HTML, Transient) for slug in ("facebook", "pinterest", "reddit", "tiktok", "twitch", "twitter")],
        *[(slug, 404, HTML, Transient) for slug in ("facebook", "slack", "tiktok", "twitch", "twitter")],
    ],
)
async def test_a_refused_renewal_says_who_has_to_act(
    slug: str, status: int, body: Any, expected: type[SyncError]
) -> None:
    answer = {"text": body} if isinstance(body, str) else {"json": body}
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, **answer))
    account = Account("acme", "1", {}, SECRETS, installation=Installation("app", "secret"))
    connector: Any = PLATFORMS[slug]
    async with open_session(connector, account, transport=transport, now=lambda: datetime.now(UTC)) as session:
        with pytest.raises(expected) as refused:
            await session.api.exchange(SECRETS)
    assert type(refused.value) is expected
