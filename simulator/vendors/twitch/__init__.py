"""Twitch: Helix, id.twitch.tv and EventSub webhooks.

A connected account is one broadcaster. Chat and whispers are told as they happen and can be read nowhere afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import LOWER, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.vendors.twitch import data, eventsub, helix, oauth
from simulator.vendors.twitch.data import Channel, nano
from simulator.vendors.twitch.deeds import Deeds
from simulator.vendors.twitch.eventsub import Subscription, signature
from simulator.webhooks import Delivery, HookRules, Target

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale


class Twitch(Deeds):
    slug = "twitch"
    tables = (oauth.routes, helix.routes, eventsub.routes)
    scopes = (
        "moderator:read:followers",
        "user:read:chat",
        "user:bot",
        "channel:bot",
        "user:write:chat",
        "moderator:read:chatters",
        "channel:read:subscriptions",
        "bits:read",
        "channel:read:polls",
        "channel:read:goals",
        "channel:read:ads",
        "moderation:read",
        "user:read:whispers",
    )
    token_rules = TokenRules(access_ttl=14_124, refresh=Refresh.REUSABLE)
    limit_rules = (Rule("points", 800, 60, kind="bucket"),)
    hook_rules = HookRules(retries=(0.05, 10, 60), timeout_s=10)

    def build(self, scale: Scale) -> None:
        self.subscriptions: list[Subscription] = []
        self.sent = 0
        secret = letters(40, LOWER, "eventsub", self.seed)
        client = letters(30, LOWER, "client", self.seed)
        self.auth.add_app(
            App(client, letters(30, LOWER, "secret", self.seed), id=client, secrets={"eventsub_secret": secret})
        )
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.channel(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.channel(self.seed, 999, start, 700, 0, big=scale.big))
        self.actions = self.deeds()
        self.online(self.account())

    def feeds(self, account: Channel) -> dict[str, Feed]:
        return {"videos": account.videos, "clips": account.clips, "followers": account.followers}

    # --- what Twitch says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return failed(401, "OAuth token is missing" if error.reason == "missing" else "Invalid OAuth token")

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return failed(401, f"Missing scope: {next(iter(needed), '')}")

    def limited(self, request: Request, usage: Usage) -> Response:
        request.usages = [usage]
        return failed(429, "Request limit exceeded")

    def broken(self, request: Request, status: int) -> Response:
        return failed(status, "An internal error occurred.")

    def unknown(self, request: Request) -> Response:
        if request.path.startswith("/kraken"):
            return failed(410, "The API is deprecated.")
        return failed(404, "Endpoint not found.")

    def expired_cursor(self, request: Request) -> Response:
        return failed(400, helix.BAD_CURSOR)

    # --- where Twitch differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        """Refresh tokens hold characters that must be escaped in a form."""
        text = letters(46 if kind == "refresh" else 30, LOWER, "twitch", kind, self.seed, number)
        return f"{text}%/+=" if kind == "refresh" else text

    def authenticate(self, request: Request) -> Token:
        token = self.auth.check(self.token_of(request), request.now)
        client = request.headers.get("client-id")
        if client is None:
            raise helix.fail(self, 401, "Client ID is missing")
        if client != token.grant.app.client_id:
            raise helix.fail(self, 401, "Client ID and OAuth token do not match")
        return token

    def finish(self, request: Request, response: Response) -> Headers:
        usage = next(iter(request.usages), None)
        if usage is None:
            return []
        left = 0 if usage.over else math.floor(usage.remaining)
        reset = max(usage.reset_at, request.now + usage.retry_after if usage.over else 0)
        return [
            ("ratelimit-limit", str(int(usage.rule.max))),
            ("ratelimit-remaining", str(left)),
            ("ratelimit-reset", str(math.ceil(reset))),
        ]

    def revoke(self, account: Channel | str | None = None, reason: str = "user") -> int:
        """The person disconnects the app (or is gone): subscriptions that needed consent end with a message."""
        channel = self.account(account)
        ended = super().revoke(channel, reason)
        status = "user_removed" if reason == "user_removed" else "authorization_revoked"
        for found in [s for s in self.subscriptions if s.channel == channel.id and s.status == "enabled"]:
            if reason == "user_removed" or eventsub.TYPES[found.kind][1]:
                found.status = status
                eventsub.send(self, found, channel, "revocation", None)
        who = {"user_id": channel.id, "user_login": channel.login, "user_name": channel.name}
        shown = {**who, "user_login": None, "user_name": None} if channel.gone else who
        self.notify(channel, "user.authorization.revoke", {"client_id": self.app.client_id, **shown})
        return ended

    # --- EventSub

    def secret_of(self, target: Target) -> str:
        return target.secret or self.app.secrets["eventsub_secret"]

    def notify(self, channel: Channel, kind: str, event: Record) -> None:
        for found in self.subscriptions:
            about_all = kind.startswith("user.authorization.")
            if found.kind == kind and found.status == "enabled" and (about_all or found.channel == channel.id):
                eventsub.send(self, found, channel, "notification", event)
        for target in self.hooks.targets:
            wanted = not target.topics or kind in target.topics
            if target.active and wanted and target.account in (None, channel):
                found = eventsub.wildcard(self, target, kind, channel)
                eventsub.send(self, found, channel, "notification", event)

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        secret = "wrong-secret" if delivery.forged else self.secret_of(delivery.target)
        return {
            **signature(secret, delivery.id, nano(now), delivery.body),
            "twitch-eventsub-message-retry": str(attempt),
            "twitch-eventsub-message-type": delivery.extra["kind"],
            "twitch-eventsub-subscription-type": delivery.topic,
            "twitch-eventsub-subscription-version": delivery.extra["version"],
        }

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        account = target.account if isinstance(target.account, Channel) else None
        return await eventsub.challenge(self, client, eventsub.wildcard(self, target, "stream.online", account))

    def hook_failed(self, delivery: Delivery) -> None:
        for found in self.subscriptions:
            if found.id == delivery.extra.get("subscription"):
                found.status = "notification_failures_exceeded"


def failed(status: int, message: str) -> Response:
    return Response({"error": HTTPStatus(status).phrase, "status": status, "message": message}, status)


__all__ = ["Twitch", "failed", "signature"]
