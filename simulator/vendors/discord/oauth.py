"""Discord's OAuth2 (form bodies only, refresh tokens good for one use) and what a token may ask about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.auth import App, OAuthError, Pair
from simulator.http import Request, Response, Routes
from simulator.vendors.discord.records import stamp

if TYPE_CHECKING:
    from simulator.vendors.discord import Discord

routes = Routes()
_FORM = "application/x-www-form-urlencoded"


@routes.get("/oauth2/authorize", auth=False)
@routes.get("/api/oauth2/authorize", auth=False)
def authorize(discord: Discord, request: Request) -> Response:
    """The person picks a guild; with the scope `bot` our bot joins it with the permissions asked for."""
    from simulator.vendors.discord import PERMISSIONS

    bits = int(request.query.get("permissions") or 0)
    asked = request.query.get("scope", "").split(" ")
    plan = discord.next_consent
    if (guild := request.query.get("guild_id")) and "account" not in plan:
        plan["account"] = guild
    if "scopes" not in plan and not plan.get("deny"):
        plan["scopes"] = [*asked, *(name for name, bit in PERMISSIONS.items() if bits & bit)]
    return discord.consent(request)


@routes.post("/api/oauth2/token", token=True)
@routes.post("/api/v10/oauth2/token", token=True)
def token(discord: Discord, request: Request) -> Response | dict[str, Any]:
    if not request.headers.get("content-type", "").startswith(_FORM):
        return Response({"error": "unsupported_grant_type"}, 400)
    form = request.form
    kind = form.get("grant_type")
    try:
        app = _client(discord, request)
        if kind == "refresh_token":
            return _answer(discord, discord.auth.refresh(app, form.get("refresh_token"), request.now), request.now)
        if kind == "authorization_code":
            pair = discord.auth.exchange(app, form.get("code"), form.get("redirect_uri"), None, request.now)
            return _answer(discord, pair, request.now) | _guild(discord, pair, request.now)
        if kind == "client_credentials":
            found = discord.auth.client_credentials(app, form.get("scope", "identify").split(" "), request.now)
            return _answer(discord, Pair(found, None), request.now)
    except OAuthError as error:
        return _refused(error, kind)
    return Response({"error": "unsupported_grant_type"}, 400)


@routes.post("/api/oauth2/token/revoke", auth=False)
@routes.post("/api/v10/oauth2/token/revoke", auth=False)
def revoke(discord: Discord, request: Request) -> Response | dict[str, Any]:
    """Any token takes all tokens of this person's authorization along."""
    try:
        _client(discord, request)
    except OAuthError as error:
        return _refused(error, None)
    found = discord.auth.tokens.get(request.form.get("token", ""))
    if found is not None:
        found.grant.dead = "app"
    return {}


@routes.get("/api/v10/oauth2/@me", limits=("user",))
def about(discord: Discord, request: Request) -> dict[str, Any]:
    assert request.token is not None
    if request.token.kind == "bot":
        raise discord.refuse(403, {"message": "Bots cannot use this endpoint", "code": 20001})
    app = {"id": discord.app.id, "name": "Sync", "icon": None, "description": "", "bot_public": True}
    app["verify_key"] = discord.app.secrets["public_key"]
    shown = {
        "application": app,
        "scopes": sorted(scope for scope in request.token.scopes if scope.islower()),
        "expires": stamp(request.token.expires_at or request.now),
    }
    return shown | ({"user": _person(discord, request)} if "identify" in request.token.scopes else {})


def _person(discord: Discord, request: Request) -> dict[str, Any]:
    guild = discord.account(request.account)  # type: ignore[arg-type]
    return guild.people[0]


def _client(discord: Discord, request: Request) -> App:
    form = request.form
    return discord.auth.client(*(request.basic() or (form.get("client_id"), form.get("client_secret"))))


def _answer(discord: Discord, pair: Pair, now: float) -> dict[str, Any]:
    answer = {
        "access_token": pair.access.value,
        "token_type": "Bearer",
        "expires_in": pair.access.expires_in(now),
        "scope": " ".join(sorted(scope for scope in pair.access.scopes if scope.islower())),
    }
    return answer | ({"refresh_token": pair.refresh.value} if pair.refresh else {})


def _guild(discord: Discord, pair: Pair, now: float) -> dict[str, Any]:
    """Where the bot was installed; the event about it goes out, too."""
    account = pair.access.grant.account
    if account is None or "bot" not in pair.access.scopes:
        return {}
    from simulator.vendors.discord.routes import guild_json

    guild = discord.accounts[account.id]
    shown = guild_json(guild, now)
    event = {"integration_type": 0, "scopes": ["bot"], "user": guild.people[0], "guild": shown}
    discord.tell(guild, "APPLICATION_AUTHORIZED", event)
    return {"guild": shown}


def _refused(error: OAuthError, kind: str | None) -> Response:
    if error.error == "invalid_client":
        return Response({"error": "invalid_client"}, 401)
    text = {"refresh_token": 'Invalid "refresh_token" in request.'}.get(kind or "", 'Invalid "code" in request.')
    return Response({"error": error.error, "error_description": text}, 400)
