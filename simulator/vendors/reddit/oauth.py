"""Reddit's OAuth: reusable refresh tokens, and only with duration=permanent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError, Pair
from simulator.http import Request, Response, Routes
from simulator.vendors.reddit import errors

if TYPE_CHECKING:
    from simulator.vendors.reddit import Reddit

routes = Routes()


@routes.get("/api/v1/authorize", auth=False)
def authorize(reddit: Reddit, request: Request) -> Response:
    """The redirect ends with `#_`, as Reddit's does."""
    separator = "," if "," in request.query.get("scope", "") else " "
    answer = reddit.consent(request, separator=separator)
    reddit.permanent = request.query.get("duration") == "permanent"
    answer.headers = [(name, value + "#_" if name == "location" else value) for name, value in answer.headers]
    return answer


@routes.post("/api/v1/access_token", token=True, limits=("token",))
def access_token(reddit: Reddit, request: Request) -> Response | dict[str, Any]:
    reddit.recognise(request)
    form = request.form
    try:
        app = reddit.auth.client(*(request.basic() or (None, None)))
    except OAuthError:
        return errors.plain(401, "Unauthorized", [("www-authenticate", 'Basic realm="reddit"')])
    grant_type = form.get("grant_type", "")
    try:
        if grant_type == "authorization_code":
            pair = reddit.auth.exchange(app, form.get("code"), form.get("redirect_uri"), None, request.now)
            return _answer(pair, request.now, permanent=reddit.permanent)
        if grant_type == "refresh_token":
            return _answer(reddit.auth.refresh(app, form.get("refresh_token"), request.now), request.now)
        if grant_type == "client_credentials":
            token = reddit.auth.client_credentials(app, ("*",), request.now)
            return _answer(Pair(token, None), request.now)
    except OAuthError:
        return {"error": "invalid_grant"} if grant_type == "authorization_code" else errors.plain(400, "Bad Request")
    if grant_type == "password":
        return {"error": "unauthorized_client", "error_description": "Only script apps may use password auth"}
    return {"error": "unsupported_grant_type"}


def _answer(pair: Pair, now: float, *, permanent: bool = True) -> dict[str, Any]:
    answer = {
        "access_token": pair.access.value,
        "token_type": "bearer",
        "expires_in": pair.access.expires_in(now),
        "scope": " ".join(sorted(pair.access.scopes)),
    }
    if pair.refresh is not None and permanent:
        answer["refresh_token"] = pair.refresh.value
    return answer


@routes.post("/api/v1/revoke_token", token=True, limits=("token",))
def revoke(reddit: Reddit, request: Request) -> Response:
    """Also for a token nobody knows."""
    try:
        reddit.auth.client(*(request.basic() or (None, None)))
    except OAuthError:
        return errors.plain(401, "Unauthorized", [("www-authenticate", 'Basic realm="reddit"')])
    reddit.auth.revoke(request.form.get("token", ""))
    return Response(b"", 200)
