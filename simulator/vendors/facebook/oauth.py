"""Facebook Login: no refresh token; a short-lived user token is exchanged for one of 60 days, pages have their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError, Token, TokenError
from simulator.http import Request, Response, Routes
from simulator.vendors.facebook import errors

if TYPE_CHECKING:
    from simulator.vendors.facebook import Facebook

routes = Routes()
LONG_S = 5_184_000
SHORT_S = 5_400


@routes.get("/{version}/dialog/oauth", auth=False)
@routes.get("/dialog/oauth", auth=False)
def dialog(facebook: Facebook, request: Request) -> Response:
    return facebook.consent(request, separator=",", default_scopes=facebook.scopes)


@routes.add("GET POST", "/{version}/oauth/access_token", token=True)
@routes.add("GET POST", "/oauth/access_token", token=True)
def access_token(facebook: Facebook, request: Request) -> Response | dict[str, Any]:
    args = request.args()
    try:
        app = facebook.auth.client(args.get("client_id"), args.get("client_secret"))
        if args.get("grant_type") == "fb_exchange_token":
            token = facebook.auth.extend(args.get("fb_exchange_token"), request.now, LONG_S)
        elif args.get("grant_type") == "client_credentials":
            return {"access_token": f"{app.client_id}|{app.client_secret}", "token_type": "bearer"}
        else:
            token = facebook.auth.exchange(app, args.get("code"), args.get("redirect_uri"), None, request.now).access
            token.expires_at = request.now + SHORT_S
    except OAuthError as error:
        return _refused(error, request)
    return {"access_token": token.value, "token_type": "bearer", "expires_in": token.expires_in(request.now)}


def _refused(error: OAuthError, request: Request) -> Response:
    if error.error == "invalid_client":
        if error.reason == "unknown":
            return errors.response(
                "Error validating application. Cannot get application info due to a system error.", 101
            )
        return errors.response("Error validating client secret.", 1)
    if request.args().get("grant_type") == "fb_exchange_token":
        return errors.dead_token(request, TokenError(error.reason))
    text = {
        "expired": "This authorization code has expired.",
        "spent": "This authorization code has been used.",
        "redirect_uri": "Error validating verification code. Please make sure your redirect_uri is identical "
        "to the one you used in the OAuth dialog request",
    }.get(error.reason, "Invalid verification code format.")
    return errors.response(text, 100, 36009 if error.reason == "spent" else 36007)


@routes.get("/{version}/debug_token")
@routes.get("/debug_token")
def debug_token(facebook: Facebook, request: Request) -> dict[str, Any]:
    value = request.query.get("input_token")
    token = facebook.auth.tokens.get(value or "")
    if token is None:
        error = {"code": 190, "message": "Malformed access token"}
        return {"data": {"error": error, "is_valid": False, "scopes": []}}
    return {"data": _described(facebook, token, request.now)}


def _described(facebook: Facebook, token: Token, now: float) -> dict[str, Any]:
    valid = True
    try:
        facebook.auth.check(token.value, now)
    except TokenError:
        valid = False
    scopes = sorted(token.scopes)
    page = token.extra.get("page")
    return {
        "app_id": token.grant.app.client_id,
        "type": "PAGE" if page else "USER",
        "application": "Sync",
        "data_access_expires_at": int(token.grant.created + 90 * 86_400),
        "expires_at": int(token.expires_at or 0),
        "is_valid": valid,
        "issued_at": int(token.issued),
        "scopes": scopes,
        "granular_scopes": [{"scope": scope} for scope in scopes],
        "user_id": token.grant.user,
        **({"profile_id": page} if page else {}),
    }


@routes.get("/{version}/me/permissions")
def permissions(_facebook: Facebook, request: Request) -> dict[str, Any]:
    assert request.token is not None
    return {"data": [{"permission": scope, "status": "granted"} for scope in sorted(request.token.scopes)]}


@routes.add("DELETE", "/{version}/me/permissions")
def deauthorize(facebook: Facebook, request: Request) -> dict[str, Any]:
    facebook.revoke(request.account)  # type: ignore[arg-type]
    return {"success": True}
