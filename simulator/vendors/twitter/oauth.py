"""OAuth 2.0 with PKCE and single-use refresh tokens, app-only bearers, and OAuth 1.0a signatures for the Ads API."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha1
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from simulator.auth import OAuthError, Pair, Token, TokenError
from simulator.http import Request, Response, Routes

if TYPE_CHECKING:
    from simulator.vendors.twitter import Twitter

routes = Routes()
DEAD = {"error": "invalid_request", "error_description": "Value passed for the token was invalid."}
NO_HEADER = {"error": "unauthorized_client", "error_description": "Missing valid authorization header"}


@routes.get("/i/oauth2/authorize", auth=False)
def authorize(twitter: Twitter, request: Request) -> Response:
    if request.query.get("response_type") != "code" or not request.query.get("code_challenge"):
        return Response("Something went wrong", 400, type="text/plain")
    return twitter.consent(request, default_scopes=twitter.scopes)


@routes.post("/2/oauth2/token", token=True)
def token(twitter: Twitter, request: Request) -> Response | dict[str, Any]:
    form = request.form
    basic = request.basic()
    if basic is None:
        return Response(NO_HEADER, 401)
    try:
        app = twitter.auth.client(*basic)
    except OAuthError:
        return Response(NO_HEADER, 401)
    try:
        if form.get("grant_type") == "refresh_token":
            pair = twitter.auth.refresh(app, form.get("refresh_token"), request.now)
        elif form.get("grant_type") == "authorization_code":
            verifier, redirect_uri = form.get("code_verifier"), form.get("redirect_uri")
            pair = twitter.auth.exchange(app, form.get("code"), redirect_uri, verifier, request.now)
        else:
            return Response(
                {"error": "invalid_request", "error_description": "Missing required parameter [grant_type]."}, 400
            )
    except OAuthError as error:
        if error.reason in ("pkce", "redirect_uri"):
            text = "Value passed for the code verifier did not match the code challenge."
            return Response({"error": "invalid_request", "error_description": text}, 400)
        return Response(DEAD, 400)
    return _answer(pair, request.now)


def _answer(pair: Pair, now: float) -> dict[str, Any]:
    scopes = pair.access.scopes
    answer = {
        "token_type": "bearer",
        "expires_in": pair.access.expires_in(now),
        "access_token": pair.access.value,
        "scope": " ".join(sorted(scopes)),
    }
    if pair.refresh is not None and "offline.access" in scopes:
        answer["refresh_token"] = pair.refresh.value
    return answer


@routes.post("/2/oauth2/revoke", token=True)
def revoke(twitter: Twitter, request: Request) -> Response | dict[str, Any]:
    try:
        twitter.auth.client(*(request.basic() or (None, None)))
    except OAuthError:
        return Response(NO_HEADER, 401)
    twitter.auth.revoke(request.form.get("token", ""))
    return {"revoked": True}


@routes.post("/oauth2/token", token=True)
def app_token(twitter: Twitter, request: Request) -> Response | dict[str, Any]:
    """The app-only bearer, for the consumer key and secret."""
    name, secret = request.basic() or ("", "")
    app = next((app for app in twitter.auth.apps.values() if app.secrets["consumer_key"] == name), None)
    if app is None or not hmac.compare_digest(app.secrets["consumer_secret"], secret):
        text = "Unable to verify your credentials"
        return Response({"errors": [{"code": 99, "message": text, "label": "authenticity_token_error"}]}, 403)
    bearer = twitter.auth.client_credentials(app, (), request.now)
    bearer.expires_at = None
    return {"token_type": "bearer", "access_token": bearer.value}


def check_signature(twitter: Twitter, request: Request) -> Token:
    """Whose OAuth 1.0a signature a call carries. Errors: TokenError."""
    given = _oauth1_params(request.headers.get("authorization", ""))
    app = next(
        (a for a in twitter.auth.apps.values() if a.secrets["consumer_key"] == given.get("oauth_consumer_key")), None
    )
    token = twitter.auth.tokens.get(given.get("oauth_token", ""))
    if app is None or token is None or token.kind != "oauth1":
        raise TokenError("missing" if not given else "unknown")
    signature = given.pop("oauth_signature", "")
    url = f"http://{request.headers.get('host', '')}/{twitter.slug}{request.path}"
    params = [*given.items(), *request.query_pairs, *request.form.items()]
    secrets = (app.secrets["consumer_secret"], str(token.extra["secret"]))
    if not hmac.compare_digest(signature, sign(request.method, url, params, *secrets)):
        raise TokenError("unknown")
    return twitter.auth.check(token.value, request.now)


def sign(method: str, url: str, params: list[tuple[str, str]], consumer_secret: str, token_secret: str) -> str:
    """HMAC-SHA1 as RFC 5849 has it."""
    pairs = sorted((_escaped(name), _escaped(value)) for name, value in params)
    base = "&".join((method, _escaped(url), _escaped("&".join(f"{name}={value}" for name, value in pairs))))
    key = f"{_escaped(consumer_secret)}&{_escaped(token_secret)}"
    return b64encode(hmac.new(key.encode(), base.encode(), sha1).digest()).decode()


def _escaped(value: str) -> str:
    return quote(value, safe="-._~")


def _oauth1_params(header: str) -> dict[str, str]:
    kind, _, rest = header.partition(" ")
    if kind.lower() != "oauth":
        return {}
    parts = (part.strip().partition("=") for part in rest.split(","))
    return {name: unquote(value.strip('"')) for name, _, value in parts if name != "realm"}
