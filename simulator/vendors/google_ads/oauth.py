"""Google's OAuth: a refresh token comes with the first consent only, or when asked for, and is never replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError, Pair
from simulator.http import Request, Response, Routes

if TYPE_CHECKING:
    from simulator.vendors.google_ads import GoogleAds

routes = Routes()
SCOPE = "https://www.googleapis.com/auth/adwords"
_SAID = {
    "revoked": "Token has been expired or revoked.",
    "expired": "Token has been expired or revoked.",
    "unknown": "Bad Request",
    "spent": "Malformed auth code.",
    "redirect_uri": "Bad Request",
}


@routes.get("/o/oauth2/v2/auth", auth=False)
def authorize(google: GoogleAds, request: Request) -> Response:
    before = len(google.auth.grants)
    answer = google.consent(request, default_scopes=())
    for grant in google.auth.grants[before:]:
        earlier = any(g.user == grant.user and g.app is grant.app for g in google.auth.grants[:before])
        offline = request.query.get("access_type") == "offline"
        google.refreshes[grant.number] = offline and (not earlier or "consent" in request.query.get("prompt", ""))
    return answer


@routes.post("/token", token=True)
def token(google: GoogleAds, request: Request) -> Response | dict[str, Any]:
    form = request.form
    try:
        app = google.auth.client(form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") == "refresh_token":
            return _shown(google.auth.refresh(app, form.get("refresh_token"), request.now), request.now)
        if form.get("grant_type") != "authorization_code":
            return _refused("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        verifier = form.get("code_verifier")
        pair = google.auth.exchange(app, form.get("code"), form.get("redirect_uri"), verifier, request.now)
    except OAuthError as error:
        if error.error == "invalid_client":
            return _refused("invalid_client", "The OAuth client was not found.", 401)
        return _refused(error.error, _SAID.get(error.reason, "Bad Request"))
    answer = _shown(pair, request.now)
    if pair.refresh is not None and google.refreshes.get(pair.access.grant.number, True):
        answer["refresh_token"] = pair.refresh.value
    return answer


@routes.post("/revoke", token=True)
def revoke(google: GoogleAds, request: Request) -> Response | dict[str, Any]:
    found = google.auth.tokens.get(request.args().get("token", ""))
    if found is None or found.dead or found.grant.dead:
        return _refused("invalid_token", "Token expired or revoked")
    found.grant.dead = "app"
    return {}


def _shown(pair: Pair, now: float) -> dict[str, Any]:
    return {
        "access_token": pair.access.value,
        "expires_in": max((pair.access.expires_in(now) or 0) - 1, 0),
        "scope": " ".join(sorted(pair.access.scopes)),
        "token_type": "Bearer",
    }


def _refused(error: str, text: str, status: int = 400) -> Response:
    return Response({"error": error, "error_description": text}, status)
