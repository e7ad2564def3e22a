"""Twitter / X: API v2 with OAuth 2.0, the X Activity API's webhooks, the X Ads API v12 with OAuth 1.0a.

Not simulated: the Account Activity API (deprecated), streams, XChat, post writing.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, letters
from simulator.feed import Feed
from simulator.http import Headers, Refusal, Request, Response
from simulator.limits import Rule, Usage
from simulator.reports import Reports
from simulator.vendor import Connection
from simulator.vendors.twitter import activity, ads, data, errors, oauth, routes, writing
from simulator.vendors.twitter.activity import Activity
from simulator.vendors.twitter.data import Profile, snowflake
from simulator.vendors.twitter.deeds import Deeds
from simulator.webhooks import Delivery, HookRules, Target

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale

QUARTER = 900
LIMITS = {
    "user_tweets": (10_000, 900),
    "mentions": (450, 300),
    "tweets": (3_500, 5_000),
    "tweet": (450, 900),
    "search_recent": (450, 300),
    "search_all": (300, 300),
    "quotes": (75, 75),
    "me": (0, 75),
    "user": (300, 900),
    "dms": (0, 15),
    "dm_event": (0, 15),
    "dms_with": (0, 15),
    "dms_of": (0, 15),
    "analytics": (0, 300),
    "webhooks": (450, 450),
    "subscriptions": (500, 500),
    "replay": (100, 100),
    "usage": (50, 50),
    "post_create": (0, 100),
    "dm_create": (0, 15),
}
"""Calls in 15 minutes: of an app by itself, of a person through an app; 0 forbids that kind of token."""
ADS_LIMITS = {"ads_accounts": 5, "ads_reads": 2_000, "ads_core": 10_000, "ads_stats": 250}
_ACCOUNT_LIMITS = ("ads_reads", "ads_core", "ads_writes")


def _rules() -> tuple[Rule, ...]:
    app = [Rule(f"{name}:app", most, QUARTER, per=("app", "route")) for name, (most, _) in LIMITS.items() if most]
    user = [Rule(f"{name}:user", most, QUARTER) for name, (_, most) in LIMITS.items()]
    both = [Rule("search_second", 1, 1), Rule("ads_writes", 450, 60)]
    return (*app, *user, *both, *(Rule(name, most, QUARTER) for name, most in ADS_LIMITS.items()))


class Twitter(Deeds):
    slug = "twitter"
    tables = (oauth.routes, routes.routes, writing.routes, activity.routes, ads.routes)
    scopes = tuple(
        [
            "tweet.read",
            "users.read",
            "dm.read",
            "like.read",
            "follows.read",
            "offline.access",
            "tweet.write",
            "dm.write",
        ]
    )
    token_rules = TokenRules(
        access_ttl=7200, refresh=Refresh.ROTATING, refresh_ttl=182 * 86_400, code_ttl=30, pkce=True
    )
    limit_rules = _rules()
    hook_rules = HookRules(retries=(0.05, 60, 300), timeout_s=10)

    def build(self, scale: Scale) -> None:
        self.reports, self.activity = Reports(self), Activity(self)
        self.reads = 0
        """Posts and messages handed out, as billed."""
        self.bill = ""
        """Why the app's project may not read any more: see set_bill."""
        self.auth.add_app(
            App(
                letters(34, ALNUM, "client", self.seed),
                letters(50, ALNUM, "secret", self.seed),
                id="29820954",
                secrets={
                    "consumer_key": letters(25, ALNUM, "consumer", self.seed),
                    "consumer_secret": letters(50, ALNUM, "consumer secret", self.seed),
                },
            )
        )
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.profile(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.profile(self.seed, 999, start, 700, 0, big=scale.big))
        self.actions = self.deeds() | {"bill": self.set_bill}

    def feeds(self, account: Profile) -> dict[str, Feed]:
        found = {"posts": account.posts, "mentions": account.mentions, "messages": account.dms}
        return found | {f"replies:{root}": feed for root, feed in account.conversations.items() if len(feed)}

    def profile(self, request: Request) -> Profile:
        return self.account(request.account)  # type: ignore[arg-type]

    # --- what X says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        if _is_ads(request):
            return errors.ads(401, "UNAUTHORIZED_ACCESS", "This request is not properly authenticated")
        return errors.unauthorized()

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        if _is_ads(request):
            return errors.ads(
                403,
                "UNAUTHORIZED_CLIENT_APPLICATION",
                "The client application making this request does not have access",
            )
        return errors.problem(403, "Forbidden", "Forbidden")

    def limited(self, request: Request, usage: Usage) -> Response:
        request.usages = [usage]
        if _is_ads(request):
            return errors.ads(429, "TOO_MANY_REQUESTS", "Too many requests")
        return errors.too_many()

    def broken(self, request: Request, status: int) -> Response:
        if _is_ads(request):
            return errors.ads(status, "SERVICE_UNAVAILABLE", "Service unavailable", [("retry-after", "30")])
        return errors.problem(status, "Service Unavailable", "Service Unavailable")

    def unknown(self, request: Request) -> Response:
        if _is_ads(request):
            return errors.ads(404, "ROUTE_NOT_FOUND", f"The requested resource could not be found: {request.path}")
        return errors.problem(
            404, "Not Found", f"Could not find {request.path}", f"{errors.NEW_TYPES}/resource-not-found"
        )

    def expired_cursor(self, request: Request) -> Response:
        if _is_ads(request):
            return errors.ads(400, "INVALID_PARAMETER", "Invalid cursor")
        name = "next_token" if "next_token" in request.query else "pagination_token"
        value = request.query.get(name, "")
        return errors.invalid(name, value, f"Invalid `{name}`: [{value}] is not a valid pagination token.")

    def paid(self, request: Request) -> None:
        """Refuse a read that the project cannot pay for."""
        if self.bill == "unenrolled":
            raise Refusal(errors.not_enrolled(self.app.id))
        if self.bill:
            answer = errors.no_credits if self.bill == "depleted" else errors.capped
            raise Refusal(answer("1553086854915936256"))

    # --- where X differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        if kind == "oauth1":
            return f"{grant.user}-{letters(40, ALNUM, kind, self.seed, number)}"
        return letters(91, ALNUM, kind, self.seed, number)

    def authenticate(self, request: Request) -> Token:
        if _is_ads(request):
            return oauth.check_signature(self, request)
        token = self.auth.check(self.token_of(request), request.now)
        if token.kind == "oauth1":
            raise TokenError("unknown")
        if token.kind == "app" and any(LIMITS.get(name, (1, 1))[0] == 0 for name in self._route_limits(request)):
            raise Refusal(errors.wrong_token_kind())
        return token

    def need(self, request: Request, *scopes: str) -> None:
        if request.token is not None and request.token.kind != "app":
            super().need(request, *scopes)

    def _route_limits(self, request: Request) -> tuple[str, ...]:
        return request.route.limits if request.route else ()

    def claims(self, request: Request) -> list[tuple[str, str]]:
        kind = "app" if request.token is not None and request.token.kind == "app" else "user"
        names = [f"{name}:{kind}" if name in LIMITS else name for name in self._route_limits(request)]
        return [(name, self.limit_key(request, self.limits.rules[name])) for name in names]

    def finish(self, request: Request, response: Response) -> Headers:
        headers: Headers = []
        for usage in request.usages:
            if usage.rule.name == "search_second" and not usage.over:
                continue
            prefix = "x-account-rate-limit" if usage.rule.name in _ACCOUNT_LIMITS else "x-rate-limit"
            headers += [
                (f"{prefix}-limit", str(int(usage.rule.max))),
                (f"{prefix}-remaining", str(0 if usage.over else int(usage.remaining))),
                (
                    f"{prefix}-reset",
                    str(int(-(-(request.now + usage.retry_after if usage.over else usage.reset_at) // 1))),
                ),
            ]
        return headers

    def connection_of(self, account: Profile, app: App, access: Token, refresh: Token | None) -> Connection:
        """`facts` has the OAuth 1.0a token that the Ads API wants, where the account has ads."""
        made = super().connection_of(account, app, access, refresh)
        if "offline.access" not in made.scopes:
            made = replace(made, refresh_token=None)
        if not account.ad_accounts:
            return made
        secret = letters(45, ALNUM, "oauth1", self.seed, access.value)
        token = self.auth.issue("oauth1", access.grant, self.now(), secret=secret)
        facts: dict[str, Any] = {"ads_token": token.value, "ads_token_secret": secret}
        facts["ad_accounts"] = [
            {"id": found.id, "currency": found.currency, "timezone": found.zone} for found in account.ad_accounts
        ]
        return replace(made, facts=facts)

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        secret = "wrong" if delivery.forged else self.app.secrets["consumer_secret"]
        return {"x-twitter-webhooks-signature": signature(secret, delivery.body)}

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        challenge = letters(48, ALNUM, "crc", self.seed, len(self.hooks.targets), int(self.now()))
        answer = await client.get(target.url, params={"crc_token": challenge})
        try:
            found = answer.json().get("response_token") if answer.status_code == 200 else None
        except (ValueError, AttributeError):
            return False
        return found == signature(self.app.secrets["consumer_secret"], challenge.encode())

    # --- bills and ends

    def set_bill(self, _account: Profile, *, state: str = "") -> str:
        """Let the project's credits run out (depleted), its month be used up (capped), or have no plan (unenrolled)."""
        if state not in ("", "depleted", "capped", "unenrolled"):
            raise ValueError("state must be empty, depleted, capped or unenrolled")
        self.bill = state
        return state

    def revoke(self, account: Profile | str | None = None, reason: str = "user") -> int:
        profile = self.account(account)
        count = super().revoke(profile, reason)
        at = data.when(snowflake(self.now()))
        gone = {"date_time": at[:19] + "+00:00", "user_id": profile.id, "app_id": self.app.id}
        self.activity.tell(profile, "oauth.revoke", gone, about=False)
        return count


def _is_ads(request: Request) -> bool:
    return request.path.startswith("/12/")


def signature(secret: str, body: bytes) -> str:
    return "sha256=" + b64encode(hmac.new(secret.encode(), body, sha256).digest()).decode()


__all__ = ["Twitter", "signature"]
