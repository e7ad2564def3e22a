"""id.twitch.tv: codes, reusable refresh tokens, app tokens, validation and revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError, Pair, TokenError
from simulator.http import Request, Response, Routes

if TYPE_CHECKING:
    from simulator.vendors.twitch import Twitch

routes = Routes()


@routes.get("/oauth2/authorize", auth=False)
def authorize(twitch: Twitch, request: Request) -> Response:
    return twitch.consent(request)


@routes.post("/oauth2/token", token=True)
def token(twitch: Twitch, request: Request) -> Response | dict[str, Any]:
    args, now = request.args(), request.now
    kind = args.get("grant_type")
    try:
        app = twitch.auth.client(args.get("client_id"), args.get("client_secret"))
        if kind == "client_credentials":
            found = twitch.auth.client_credentials(app, (), now)
            found.expires_at = now + 5_011_271
            return {"access_token": found.value, "expires_in": found.expires_in(now), "token_type": "bearer"}
        if kind == "refresh_token":
            return _answer(twitch.auth.refresh(app, args.get("refresh_token"), now), now)
        if kind == "authorization_code":
            return _answer(twitch.auth.exchange(app, args.get("code"), args.get("redirect_uri"), None, now), now)
    except OAuthError as error:
        return _refused(error, kind)
    return Response({"status": 400, "message": "missing grant type"}, 400)


def _answer(pair: Pair, now: float) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "access_token": pair.access.value,
        "expires_in": pair.access.expires_in(now),
        "scope": sorted(pair.access.scopes),
        "token_type": "bearer",
    }
    return answer | ({"refresh_token": pair.refresh.value} if pair.refresh else {})


def _refused(error: OAuthError, kind: str | None) -> Response:
    """Flat, but for a refused refresh."""
    if error.error == "invalid_client":
        if error.reason == "unknown":
            return Response({"status": 400, "message": "invalid client"}, 400)
        return Response({"status": 403, "message": "invalid client secret"}, 403)
    if kind == "refresh_token":
        return Response({"error": "Bad Request", "status": 400, "message": "Invalid refresh token"}, 400)
    return Response({"status": 400, "message": "Invalid authorization code"}, 400)


@routes.get("/oauth2/validate", auth=False)
def validate(twitch: Twitch, request: Request) -> Response | dict[str, Any]:
    try:
        found = twitch.auth.check(request.bearer("oauth") or request.bearer(), request.now)
    except TokenError:
        return Response({"status": 401, "message": "invalid access token"}, 401)
    shown: dict[str, Any] = {
        "client_id": found.grant.app.client_id,
        "scopes": sorted(found.scopes),
        "expires_in": found.expires_in(request.now),
    }
    account = found.grant.account
    if account is not None:
        shown |= {"login": twitch.accounts[account.id].login, "user_id": account.id}
    return shown


@routes.post("/oauth2/revoke", auth=False)
def revoke(twitch: Twitch, request: Request) -> Response:
    args = request.args()
    if args.get("client_id") not in twitch.auth.apps:
        return Response({"status": 404, "message": "client does not exist"}, 404)
    if not twitch.auth.revoke(str(args.get("token", ""))):
        return Response({"status": 400, "message": "Invalid token"}, 400)
    return Response(b"", type="text/plain")
