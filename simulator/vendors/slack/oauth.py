"""Slack's OAuth v2: tokens with and without rotation, revocation, uninstall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import App, OAuthError, Pair
from simulator.http import Request, Response, Routes

if TYPE_CHECKING:
    from simulator.vendors.slack import Slack

routes = Routes()

_ERRORS = {
    ("invalid_client", "unknown"): "invalid_client_id",
    ("invalid_client", "client"): "bad_client_secret",
    ("invalid_grant", "redirect_uri"): "bad_redirect_uri",
}


@routes.get("/oauth/v2/authorize", auth=False)
def authorize(slack: Slack, request: Request) -> Response:
    return slack.consent(request, separator=",", default_scopes=slack.scopes)


@routes.add("GET POST", "/api/oauth.v2.access", token=True, limits=("special",))
def access(slack: Slack, request: Request) -> dict[str, Any]:
    args = request.args()
    basic = request.basic() or (args.get("client_id"), args.get("client_secret"))
    grant_type = args.get("grant_type", "authorization_code")
    try:
        app = slack.auth.client(*basic)
        if grant_type == "refresh_token":
            pair = slack.auth.refresh(app, args.get("refresh_token"), request.now)
        elif grant_type == "authorization_code":
            pair = slack.auth.exchange(app, args.get("code"), args.get("redirect_uri"), None, request.now)
        else:
            return {"ok": False, "error": "invalid_grant_type"}
    except OAuthError as error:
        fallback = "invalid_refresh_token" if grant_type == "refresh_token" else "invalid_code"
        return {"ok": False, "error": _ERRORS.get((error.error, error.reason), fallback)}
    return _answer(slack, app, pair, request.now)


def _answer(slack: Slack, app: App, pair: Pair, now: float) -> dict[str, Any]:
    team = slack.account(pair.access.grant.account)  # type: ignore[arg-type]
    answer = {
        "ok": True,
        "access_token": pair.access.value,
        "token_type": "bot",
        "scope": ",".join(sorted(pair.access.scopes)),
        "bot_user_id": team.bot_user,
        "app_id": app.id,
        "team": {"name": team.name, "id": team.id},
        "enterprise": None,
        "is_enterprise_install": False,
        "authed_user": {"id": team.people()[0]},
    }
    if pair.refresh:
        answer |= {"expires_in": pair.access.expires_in(now), "refresh_token": pair.refresh.value}
    return answer


@routes.add("GET POST", "/api/auth.revoke", limits=("tier3",))
def revoke(slack: Slack, request: Request) -> dict[str, Any]:
    assert request.token is not None
    if request.args().get("test") not in ("1", "true", True):
        slack.auth.revoke(request.token.value)
    return {"ok": True, "revoked": True}


@routes.add("GET POST", "/api/apps.uninstall", limits=("special",))
def uninstall(slack: Slack, request: Request) -> dict[str, Any]:
    slack.revoke(request.account, "uninstalled")  # type: ignore[arg-type]
    return {"ok": True}


@routes.add("GET POST", "/api/auth.test", limits=("special",))
def test(slack: Slack, request: Request) -> dict[str, Any]:
    team = slack.team(request)
    return {
        "ok": True,
        "url": team.url,
        "team": team.name,
        "user": "sync",
        "team_id": team.id,
        "user_id": team.bot_user,
        "bot_id": team.bot_id,
        "is_enterprise_install": False,
    }
