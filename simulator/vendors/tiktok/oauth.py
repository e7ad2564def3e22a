"""Two kinds of access: a TikTok account's token of a day with a rotating refresh token, an advertiser's that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from simulator.auth import OAuthError, Pair
from simulator.http import Request, Response, Routes
from simulator.vendors.tiktok import errors

if TYPE_CHECKING:
    from simulator.vendors.tiktok import TikTok

routes = Routes()
V = "/open_api/v1.3"
ADS_SCOPE = [4, 100, 220]


@routes.get("/v2/auth/authorize", auth=False)
@routes.get("/v2/auth/authorize/", auth=False)
def authorize(tiktok: TikTok, request: Request) -> Response:
    return tiktok.consent(request, separator=",", client_arg="client_key", default_scopes=tiktok.scopes)


@routes.post(f"{V}/tt_user/oauth2/token/", token=True)
def token(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    try:
        app = tiktok.auth.client(body.get("client_id"), body.get("client_secret"))
        pair = tiktok.auth.exchange(app, body.get("auth_code"), body.get("redirect_uri"), None, request.now)
    except OAuthError as error:
        return errors.refused_code(request, error)
    return errors.fine(request, _granted(pair, request.now))


@routes.post(f"{V}/tt_user/oauth2/refresh_token/", token=True)
def refresh(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    try:
        app = tiktok.auth.client(body.get("client_id"), body.get("client_secret"))
        pair = tiktok.auth.refresh(app, body.get("refresh_token"), request.now)
    except OAuthError as error:
        return errors.refused_refresh(request, error)
    return errors.fine(request, _granted(pair, request.now))


def _granted(pair: Pair, now: float) -> dict[str, Any]:
    assert pair.refresh is not None
    return {
        "access_token": pair.access.value,
        "token_type": "Bearer",
        "scope": ",".join(sorted(pair.access.scopes)),
        "expires_in": pair.access.expires_in(now),
        "refresh_token": pair.refresh.value,
        "refresh_token_expires_in": pair.refresh.expires_in(now),
        "open_id": pair.access.grant.user,
    }


@routes.post(f"{V}/tt_user/oauth2/revoke/", auth=False)
def revoke(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    found = tiktok.auth.tokens.get(str(body.get("access_token")))
    if found is None:
        return errors.response(request, 40105, "Access token is incorrect or has been revoked.")
    found.grant.dead = "app"
    return errors.fine(request, {})


@routes.post(f"{V}/tt_user/token_info/get/", auth=False)
def token_info(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    found = tiktok.auth.check(body.get("access_token"), request.now)
    told = {"app_id": found.grant.app.client_id, "creator_id": found.grant.user, "open_id": found.grant.user}
    return errors.fine(request, told | {"scope": ",".join(sorted(found.scopes))})


# --- advertisers


@routes.get("/portal/auth", auth=False)
def portal(tiktok: TikTok, request: Request) -> Response:
    """An advertiser agrees at once."""
    args = request.query
    app, target = tiktok.auth.apps.get(args.get("app_id", "")), args.get("redirect_uri", "")
    if app is None or not target:
        return Response("This app is not registered.", 400, type="text/plain")
    account = tiktok.account(args.get("sim_account") or tiktok.next_consent.get("account"))
    grant = tiktok.auth.consent(app, account, {"ads"}, request.now)
    code = tiktok.auth.code(grant, request.now)
    answer = {"auth_code": code, "code": code} | ({"state": args["state"]} if "state" in args else {})
    return Response(b"", 302, [("location", f"{target}{'&' if '?' in target else '?'}{urlencode(answer)}")])


@routes.post(f"{V}/oauth2/access_token/", token=True)
def access_token(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    try:
        app = tiktok.auth.client(body.get("app_id"), body.get("secret"))
        pair = tiktok.auth.exchange(app, body.get("auth_code"), "", None, request.now)
    except OAuthError as error:
        return errors.refused_code(request, error)
    given = tiktok.ads_token(pair.access.grant, request.now)
    account = tiktok.account(given.grant.account)  # type: ignore[arg-type]
    ids = [advertiser.id for advertiser in account.advertisers]
    return errors.fine(request, {"access_token": given.value, "advertiser_ids": ids, "scope": ADS_SCOPE})


@routes.post(f"{V}/oauth2/revoke_token/", auth=False)
def revoke_token(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    if not tiktok.auth.revoke(str(body.get("access_token")), "app"):
        return errors.response(request, 40105, "Access token is incorrect or has been revoked.")
    return errors.fine(request, {})


@routes.get(f"{V}/oauth2/advertiser/get/")
def advertisers(tiktok: TikTok, request: Request) -> Response | dict[str, Any]:
    try:
        tiktok.auth.client(request.query.get("app_id"), request.query.get("secret"))
    except OAuthError as error:
        return errors.refused_code(request, error)
    found = tiktok.creator(request).advertisers
    listed = [{"advertiser_id": advertiser.id, "advertiser_name": advertiser.name} for advertiser in found]
    return errors.fine(request, {"list": listed})
