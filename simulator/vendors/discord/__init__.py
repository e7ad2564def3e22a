"""Discord: REST API v10 for a bot in guilds, OAuth2 with rotating refresh tokens, signed webhook events.

A connected account is one guild of our one bot, whose token never runs out and serves all guilds. What a consent gives
are permissions in that guild; intents belong to the app and are set by `intents`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, letters
from simulator.feed import Feed
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.vendor import Connection
from simulator.vendors.discord import data, messages, oauth, routes
from simulator.vendors.discord.data import Channel, Guild, Thread
from simulator.vendors.discord.deeds import Deeds
from simulator.vendors.discord.records import DAY, snowflake, user
from simulator.webhooks import Delivery, HookRules, Target

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale

PERMISSIONS = {
    "VIEW_AUDIT_LOG": 1 << 7,
    "VIEW_CHANNEL": 1 << 10,
    "SEND_MESSAGES": 1 << 11,
    "READ_MESSAGE_HISTORY": 1 << 16,
    "MANAGE_THREADS": 1 << 34,
}
INTENTS = ("MESSAGE_CONTENT", "GUILD_MEMBERS")
_TROUBLE_MAX, _TROUBLE_S = 10_000, 600


class Discord(Deeds):
    slug = "discord"
    tables = (oauth.routes, routes.routes, messages.routes)
    scopes = ("bot", *PERMISSIONS)
    token_rules = TokenRules(access_ttl=604_800, refresh=Refresh.ROTATING)
    limit_rules = (
        Rule("global", 50, 1, per=("app",)),
        Rule("messages", 5, 1),
        Rule("channel", 10, 2),
        Rule("guild", 10, 2),
        Rule("user", 5, 1),
        Rule("search", 5, 5),
        Rule("shared", 10, 1),
        Rule("trouble", _TROUBLE_MAX, _TROUBLE_S),
    )
    hook_rules = HookRules(retries=(0.05, 5, 30, 120, 300), timeout_s=3)

    def build(self, scale: Scale) -> None:
        seed, start = self.seed, self.world.start
        app_id = snowflake(start - 500 * DAY)
        self.key = Ed25519PrivateKey.from_private_bytes(sha256(f"discord:{seed}".encode()).digest())
        public = self.key.public_key().public_bytes_raw().hex()
        self.auth.add_app(
            App(
                str(app_id),
                letters(32, ALNUM, "discord", "secret", seed),
                id=str(app_id),
                secrets={"public_key": public, "bot_token": self._bot_token(0)},
                options={"intents": set(INTENTS), "resets": 0},
            )
        )
        self.bot = user(app_id, bot="Sync")
        for number in range(scale.accounts):
            self.add(data.guild(seed, number, start, scale.days, scale.per_day, self.bot))
        self.add(data.guild(seed, 999, start, 700, 0, self.bot, big=scale.big))
        self.indexed: set[str] = set()
        self.nonces: dict[tuple[int, str], str] = {}
        """Guilds whose search index is ready."""
        self.actions = self.deeds()

    def feeds(self, account: Guild) -> dict[str, Feed]:
        found: dict[str, Feed] = {}
        for channel in account.channels.values():
            if channel.readable and (len(channel.feed) or channel.past):
                found[f"messages:{channel.id}"] = channel.feed
        return found | {f"thread:{thread.id}": thread.feed for thread in account.threads.values()}

    def _bot_token(self, number: int) -> str:
        return (
            f"{letters(24, ALNUM, 'bot', self.seed)}.{letters(6, ALNUM, 'bot', number)}."
            f"{letters(27, ALNUM, 'bot', self.seed, number)}"
        )

    # --- what Discord says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return Response({"message": "401: Unauthorized", "code": 0}, 401)

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        if "VIEW_CHANNEL" in set(needed):
            return Response({"message": "Missing Access", "code": 50001}, 403)
        return Response({"message": "Missing Permissions", "code": 50013}, 403)

    def limited(self, request: Request, usage: Usage) -> Response:
        wait, everywhere, shared = usage.retry_after, usage.rule.name == "global", usage.rule.name == "shared"
        headers = [
            ("retry-after", str(max(math.ceil(wait), 1))),
            ("x-ratelimit-scope", "global" if everywhere else "shared" if shared else "user"),
        ]
        if everywhere:
            headers.append(("x-ratelimit-global", "true"))
        text = "The resource is being rate limited." if shared else "You are being rate limited."
        return Response({"message": text, "retry_after": round(wait, 3), "global": everywhere}, 429, headers)

    def broken(self, request: Request, status: int) -> Response:
        return Response({"message": f"{status}: Internal Server Error", "code": 0}, status)

    def unknown(self, request: Request) -> Response:
        if request.path.startswith(("/api/v3/", "/api/v4/", "/api/v5/")):
            return Response({"message": "Invalid API version provided", "code": 50041}, 400)
        return Response({"message": "404: Not Found", "code": 0}, 404)

    def expired_cursor(self, request: Request) -> Response:
        """There are no page tokens to expire; ids are the cursors."""
        return Response({"message": "Invalid Form Body", "code": 50035, "errors": {}}, 400)

    # --- where Discord differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        return letters(30 if kind in ("access", "refresh") else 24, ALNUM, "discord", kind, self.seed, number)

    def authenticate(self, request: Request) -> Token:
        """A bot token is one for all guilds: which grant it stands for depends on the guild the call is about."""
        self._refuse_banned(request)
        if not request.headers.get("user-agent", "").startswith("DiscordBot ("):
            raise self.refuse(403, {"message": "Cloudflare is blocking your request.", "code": 40333})
        value = request.bearer("bot")
        if value is None:
            return self.auth.check(request.bearer(), request.now)
        if value != self.app.secrets["bot_token"]:
            raise TokenError("unknown")
        guild = self.guild_of(request)
        grant = self.bot_grant(guild) if guild else Grant(self.app, None, self.bot["id"], {"bot"}, request.now)
        if grant is None:
            assert guild is not None
            raise self._gone(request, guild)
        return Token(value, "bot", grant, request.now)

    def _gone(self, request: Request, guild: Guild) -> Exception:
        """The bot is no longer in the guild, or the guild is no more."""
        deleted = any(grant.account is guild and grant.dead == "deleted" for grant in self.auth.grants)
        if not deleted:
            return self.refuse(403, {"message": "Missing Access", "code": 50001})
        on_guild = "guild" in request.params
        found = (
            {"message": "Unknown Guild", "code": 10004} if on_guild else {"message": "Unknown Channel", "code": 10003}
        )
        return self.refuse(404, found)

    def _refuse_banned(self, request: Request) -> None:
        """Too many refusals, and Cloudflare answers instead of Discord."""
        usage = self.limits.meter("trouble", "ip").look(request.now)
        if self.limits.enabled and usage.used >= usage.rule.max:
            page = "<html><head><title>Access denied | discord.com used Cloudflare</title></head></html>"
            seconds = str(max(int(usage.reset_at - request.now), 1))
            raise self.refuse_page(page, [("retry-after", seconds)])

    def refuse_page(self, page: str, headers: Headers) -> Exception:
        refusal = self.refuse(429, page, headers)
        refusal.response.type = "text/html"
        return refusal

    def bot_grant(self, guild: Guild) -> Grant | None:
        """The newest living consent that put the bot into a guild."""
        grants = reversed(self.auth.grants)
        return next((g for g in grants if g.account is guild and g.dead is None and "bot" in g.scopes), None)

    def permissions(self, guild: Guild) -> int:
        """What the bot may in a guild, as one number."""
        grant = self.bot_grant(guild)
        return sum(bit for name, bit in PERMISSIONS.items() if grant is not None and name in grant.scopes)

    def guild_of(self, request: Request) -> Guild | None:
        if (guild := request.params.get("guild")) is not None:
            return self.accounts.get(guild)
        number = request.params.get("channel", "")
        if not number.isdigit():
            return None
        return next((guild for guild in self.accounts.values() if guild.find(int(number))), None)

    def limit_key(self, request: Request, rule: Rule) -> str:
        """Budgets are per route and top-level id."""
        if rule.name == "global":
            return self.app.client_id
        top = request.params.get("channel") or request.params.get("guild") or "-"
        return f"{request.route.path if request.route else '-'}:{top}"

    def claims(self, request: Request) -> list[tuple[str, str]]:
        found = super().claims(request)
        return [*found, ("global", self.app.client_id)] if found else []

    def finish(self, request: Request, response: Response) -> Headers:
        shared = ("x-ratelimit-scope", "shared") in response.headers
        if response.status in (401, 403, 429) and not shared and request.route and request.route.auth:
            meter = self.limits.meter("trouble", "ip")
            meter.look(request.now)
            meter.take(request.now, 1)
        usage = next((usage for usage in request.usages if usage.rule.name != "global"), None)
        if usage is None or not self.limits.enabled:
            return []
        left = 0 if usage.over else math.floor(usage.remaining)
        after = usage.retry_after if usage.over else usage.reset_at - request.now
        return [
            ("x-ratelimit-limit", str(int(usage.rule.max))),
            ("x-ratelimit-remaining", str(left)),
            ("x-ratelimit-reset", f"{request.now + after:.3f}"),
            ("x-ratelimit-reset-after", f"{after:.3f}"),
            ("x-ratelimit-bucket", sha256((request.route.path if request.route else "").encode()).hexdigest()[:32]),
        ]

    def connection_of(self, account: Guild, app: App, access: Token, refresh: Token | None) -> Connection:
        """The bot token; the tokens of the person who agreed are not needed for anything."""
        found = super().connection_of(account, app, access, None)
        bot = {"access_token": app.secrets["bot_token"], "expires_at": None, "facts": {"guild_id": account.id}}
        return replace(found, **bot)  # type: ignore[arg-type]

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        return signature(self.key, int(now), delivery.body + (b" " if delivery.forged else b""))

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        """A PING with a right signature, and one with a wrong signature that must be turned away."""
        interactions = target.extra.get("kind") == "interactions"
        ping: dict[str, Any] = {"version": 1, "application_id": self.app.id, "type": 0}
        if interactions:
            ping = {"type": 1, "id": str(snowflake(self.now())), "application_id": self.app.id}
        body = msgspec.json.encode(ping)
        headers = {"content-type": "application/json", **signature(self.key, int(self.now()), body)}
        wrong = {**headers, "x-signature-ed25519": "00" * 64}
        refused = await client.post(target.url, content=body, headers=wrong)
        answer = await client.post(target.url, content=body, headers=headers)
        if refused.status_code != 401 or "content-type" not in answer.headers:
            return False
        if interactions:
            return answer.status_code == 200 and answer.json() == {"type": 1}
        return answer.status_code == 204 and not answer.content

    def revoke(self, account: Guild | str | None = None, reason: str = "user") -> int:
        """The bot is kicked (user), the guild deleted (deleted), or the bot's token reset (token)."""
        if reason == "token":
            app = self.app
            app.options["resets"] += 1
            app.secrets["bot_token"] = self._bot_token(app.options["resets"])
            return len(self.auth.grants)
        return super().revoke(account, reason)


def signature(key: Ed25519PrivateKey, at: int, body: bytes) -> dict[str, str]:
    signed = key.sign(str(at).encode() + body).hex()
    return {"x-signature-ed25519": signed, "x-signature-timestamp": str(at)}


__all__ = ["Channel", "Discord", "Thread", "signature"]
