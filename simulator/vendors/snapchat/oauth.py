"""Snap's OAuth: half an hour of access, a refresh token that stays, app credentials in the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError
from simulator.http import Request, Response, Routes

if TYPE_CHECKING:
    from simulator.vendors.snapchat import Snapchat

routes = Routes()


@routes.get("/login/oauth2/authorize", auth=False)
def authorize(snapchat: Snapchat, request: Request) -> Response:
    return snapchat.consent(request, default_scopes=("snapchat-marketing-api",))


@routes.post("/login/oauth2/access_token", token=True)
def access_token(snapchat: Snapchat, request: Request) -> Response | dict[str, Any]:
    form = request.form
    try:
        app = snapchat.auth.client(form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") == "refresh_token":
            pair = snapchat.auth.refresh(app, form.get("refresh_token"), request.now)
        elif form.get("grant_type") == "authorization_code":
            pair = snapchat.auth.exchange(app, form.get("code"), form.get("redirect_uri"), None, request.now)
        else:
            raise OAuthError("unsupported_grant_type")
    except OAuthError as error:
        body = {"error": error.error, "error_description": error.reason or "The grant type is not supported"}
        return Response(body, 401 if error.error == "invalid_client" else 400)
    answer: dict[str, Any] = {
        "access_token": pair.access.value,
        "token_type": "Bearer",
        "expires_in": pair.access.expires_in(request.now),
        "scope": " ".join(sorted(pair.access.scopes)),
    }
    if form.get("grant_type") == "authorization_code" or snapchat.returns_refresh:
        assert pair.refresh is not None
        answer["refresh_token"] = pair.refresh.value
    return answer
