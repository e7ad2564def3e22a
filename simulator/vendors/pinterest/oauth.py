"""Pinterest's OAuth: continuous refresh tokens, a new one of 60 days with every renewal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError, Pair
from simulator.http import Request, Response, Routes
from simulator.vendors.pinterest import errors

if TYPE_CHECKING:
    from simulator.vendors.pinterest import Pinterest

routes = Routes()


@routes.get("/oauth/", auth=False)
@routes.get("/oauth", auth=False)
def authorize(pinterest: Pinterest, request: Request) -> Response:
    return pinterest.consent(request, separator=",", default_scopes=pinterest.scopes)


@routes.post("/v5/oauth/token", token=True)
def token(pinterest: Pinterest, request: Request) -> Response | dict[str, Any]:
    form = request.form
    try:
        app = pinterest.auth.client(*(request.basic() or (None, None)))
    except OAuthError:
        return errors.unauthorized()
    try:
        if form.get("grant_type") == "refresh_token":
            pair = pinterest.auth.refresh(app, form.get("refresh_token"), request.now)
        elif form.get("grant_type") == "authorization_code":
            pair = pinterest.auth.exchange(app, form.get("code"), form.get("redirect_uri"), None, request.now)
        else:
            return errors.error(400, 1, "Invalid request: grant_type")
    except OAuthError:
        return errors.unauthorized()
    return _answer(pair, str(form["grant_type"]), request.now)


def _answer(pair: Pair, grant_type: str, now: float) -> dict[str, Any]:
    assert pair.refresh is not None
    return {
        "response_type": grant_type,
        "access_token": pair.access.value,
        "token_type": "bearer",
        "expires_in": pair.access.expires_in(now),
        "scope": " ".join(sorted(pair.access.scopes)),
        "refresh_token": pair.refresh.value,
        "refresh_token_expires_in": pair.refresh.expires_in(now),
        "refresh_token_expires_at": int(pair.refresh.expires_at or 0),
    }
