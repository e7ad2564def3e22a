"""LinkedIn's OAuth: a refresh token lives a year from the first consent, whatever is refreshed in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError, Refresh, TokenError
from simulator.http import Request, Response, Routes

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

routes = Routes()
_TEXTS = {
    "invalid_client": "Client authentication failed",
    "invalid_grant": "The provided authorization grant or refresh token is invalid, expired or revoked",
    "invalid_redirect_uri": "Unable to retrieve access token: appid/redirect uri/code verifier does not match "
    "authorization code. Or authorization code expired.",
    "unauthorized_client": "The client is not allowed to refresh tokens",
}


@routes.get("/oauth/v2/authorization", auth=False)
def authorization(linkedin: LinkedIn, request: Request) -> Response:
    return linkedin.consent(request, default_scopes=linkedin.scopes)


@routes.post("/oauth/v2/accessToken", token=True)
def access_token(linkedin: LinkedIn, request: Request) -> Response | dict[str, Any]:
    form, auth, now = request.form, linkedin.auth, request.now
    try:
        app = auth.client(form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") == "refresh_token":
            if auth.rules_of(app).refresh is Refresh.NONE:
                return refused("unauthorized_client", 403)
            pair = auth.refresh(app, form.get("refresh_token"), now)
        elif form.get("grant_type") == "authorization_code":
            pair = auth.exchange(app, form.get("code"), form.get("redirect_uri"), None, now)
        else:
            return refused("invalid_request")
    except OAuthError as error:
        if error.error == "invalid_client":
            return refused("invalid_client", 401)
        return refused("invalid_grant" if form.get("grant_type") == "refresh_token" else "invalid_redirect_uri")
    answer: dict[str, Any] = {
        "access_token": pair.access.value,
        "expires_in": pair.access.expires_in(now),
        "scope": ",".join(sorted(pair.access.scopes)),
        "token_type": "Bearer",
    }
    if pair.refresh is not None:
        answer |= {"refresh_token": pair.refresh.value, "refresh_token_expires_in": pair.refresh.expires_in(now)}
    return answer


def refused(error: str, status: int = 400) -> Response:
    return Response({"error": error, "error_description": _TEXTS.get(error, "A required parameter is missing")}, status)


@routes.post("/oauth/v2/introspectToken", auth=False)
def introspect(linkedin: LinkedIn, request: Request) -> Response | dict[str, Any]:
    form = request.form
    try:
        linkedin.auth.client(form.get("client_id"), form.get("client_secret"))
    except OAuthError:
        return refused("invalid_client", 401)
    token = linkedin.auth.tokens.get(form.get("token", ""))
    if token is None:
        return {"active": False}
    status = "active"
    try:
        if token.kind == "access":
            linkedin.auth.check(token.value, request.now)
    except TokenError as error:
        status = error.reason
    return {
        "active": status == "active",
        "client_id": token.grant.app.client_id,
        "status": status,
        "scope": ",".join(sorted(token.scopes)),
        "created_at": int(token.issued),
        "authorized_at": int(token.grant.created),
        "expires_at": int(token.expires_at or 0),
        "auth_type": "3L",
    }
