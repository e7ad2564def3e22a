"""Facebook: Pages, Messenger, Instagram and ads insights behind one Graph API."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha1, sha256
from typing import TYPE_CHECKING, Any

from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, DIGITS, HEX, letters
from simulator.feed import Feed
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.reports import Reports
from simulator.vendor import Connection
from simulator.vendors.facebook import data, errors, graph, oauth, subscriptions, writing
from simulator.vendors.facebook.data import Owner, Page
from simulator.vendors.facebook.deeds import Deeds, escaped
from simulator.webhooks import Delivery, HookRules, Target

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale

HOUR, DAY = 3_600, 86_400
_SCOPE = {
    ("owner", "accounts"): "pages_show_list",
    ("owner", "adaccounts"): "ads_read",
    ("page", "conversations"): "pages_messaging",
    ("page", "insights"): "read_insights",
    ("post", "insights"): "read_insights",
    ("page", "subscribed_apps"): "pages_manage_metadata",
    ("page", "tagged"): "pages_read_user_content",
    ("post", "comments"): "pages_read_user_content",
    ("ig", "insights"): "instagram_manage_insights",
    ("media", "insights"): "instagram_manage_insights",
    ("media", "comments"): "instagram_manage_comments",
}
_KIND_SCOPE = {
    "page": "pages_read_engagement",
    "post": "pages_read_engagement",
    "ig": "instagram_basic",
    "media": "instagram_basic",
    "conversation": "pages_messaging",
    "message": "pages_messaging",
    "act": "ads_read",
    "entity": "ads_read",
    "run": "ads_read",
}


class Facebook(Deeds):
    slug = "facebook"
    tables = (oauth.routes, subscriptions.routes, writing.routes, graph.routes)
    scopes = tuple(
        [
            "pages_show_list",
            "pages_read_engagement",
            "pages_read_user_content",
            "pages_manage_engagement",
            "pages_manage_metadata",
            "pages_messaging",
            "read_insights",
            "instagram_basic",
            "instagram_manage_comments",
            "instagram_manage_insights",
            "instagram_manage_messages",
            "business_management",
            "ads_read",
        ]
    )
    token_rules = TokenRules(access_ttl=oauth.LONG_S, refresh=Refresh.EXTEND)
    limit_rules = (
        Rule("app", 20_000, HOUR, per=("app",)),
        Rule("pages", 48_000, DAY),
        Rule("instagram", 48_000, DAY),
        Rule("messenger", 20_000, DAY),
        Rule("conversations", 2, 1, kind="sliding"),
        Rule("ads_insights", 1_000, HOUR),
        Rule("ads_management", 700, HOUR),
    )
    hook_rules = HookRules(retries=(0.05, 60, 300, 1800, 7200, 28_800, 86_400), timeout_s=5)

    def build(self, scale: Scale) -> None:
        self.reports = Reports(self)
        self.auth.add_app(
            App(
                letters(15, DIGITS, "app", self.seed),
                letters(32, HEX, "secret", self.seed),
                secrets={"verify_token": letters(20, ALNUM, "verify", self.seed)},
            )
        )
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.owner(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.owner(self.seed, 49, start, 700, 0, big=scale.big))
        self.actions = self.deeds()

    def feeds(self, account: Owner) -> dict[str, Feed]:
        found: dict[str, Feed] = {}
        for place in account.places():
            found[f"posts:{place.id}"] = place.posts
            if account.big:
                continue
            found |= {f"comments:{place.post_id(key)}": place.comments_of(key) for key in place.posts}
            found |= {f"messages:{talk.id}": talk.messages for talk in place.conversations.values()}
            found[f"tagged:{place.id}"] = place.tagged
        return found

    # --- what Facebook says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.dead_token(request, error)

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return errors.missing_scope(next(iter(needed), "pages_read_engagement") or "pages_read_engagement")

    def limited(self, request: Request, usage: Usage) -> Response:
        request.usages = [usage]
        return errors.over_limit(usage)

    def broken(self, request: Request, status: int) -> Response:
        return errors.response("Service temporarily unavailable", 2, status=status, is_transient=True)

    def unknown(self, request: Request) -> Response:
        return errors.response(f"Unknown path components: {request.path}", 2500)

    def expired_cursor(self, request: Request) -> Response:
        return errors.response("Invalid cursors values", 100)

    # --- where Facebook differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        return "EAA" + letters(120, ALNUM, kind, self.seed, number)

    def token_of(self, request: Request) -> str | None:
        return request.query.get("access_token") or request.form.get("access_token") or request.bearer()

    def authenticate(self, request: Request) -> Token:
        value = self.token_of(request) or ""
        client_id, found, secret = value.partition("|")
        if found and (app := self.auth.apps.get(client_id)) and app.client_secret == secret:
            return Token(value, "app", Grant(app, None, "", set(self.scopes), request.now), request.now)
        token = self.auth.check(value, request.now)
        proof = request.query.get("appsecret_proof") or request.form.get("appsecret_proof")
        expected = hmac.new(token.grant.app.client_secret.encode(), value.encode(), sha256).hexdigest()
        if proof and not hmac.compare_digest(proof, expected):
            raise self.refuse(400, errors.body("Invalid appsecret_proof provided in the API argument", 100))
        return token

    def page_token(self, request: Request, page: Page) -> str:
        """The Page's own token, the same at every asking."""
        assert request.token is not None
        grant = request.token.grant
        for token in self.auth.tokens.values():
            if token.grant is grant and token.extra.get("page") == page.id:
                return token.value
        return self.auth.issue("page", grant, request.now, page=page.id).value

    def connection_of(self, account: Owner, app: App, access: Token, refresh: Token | None) -> Connection:
        """A user token of 60 days; `facts` has the Pages with their tokens, and the ad accounts."""
        asking = Request("GET", "/", "", {}, b"", "", now=self.now(), token=access, account=account, app=app)
        facts = {
            "pages": [
                {
                    "id": page.id,
                    "name": page.name,
                    "access_token": self.page_token(asking, page),
                    "instagram_id": page.link.id if page.link else None,
                }
                for page in account.pages
            ],
            "ad_accounts": [
                {"id": f"act_{ads.id}", "currency": ads.currency, "timezone": ads.zone} for ads in account.ad_accounts
            ],
        }
        return replace(super().connection_of(account, app, access, refresh), facts=facts)

    def scope_of(self, kind: str, edge: str | None, request: Request) -> str | None:
        if edge == "conversations" and request.query.get("platform") == "instagram":
            return "instagram_manage_messages"
        return _SCOPE.get((kind, edge or "")) or _KIND_SCOPE.get(kind)

    # --- limits: by what a call is about

    def claims(self, request: Request) -> list[tuple[str, str]]:
        route = request.route
        if route is None or route.token or request.token is None or request.app is None:
            return []
        app = request.app.client_id
        found: list[tuple[str, str]] = []
        rule, place = self._business(request)
        if rule:
            found.append((rule, f"{app}:{place}"))
            if rule == "messenger":
                found.insert(0, ("conversations", f"{app}:{place}"))
        return [*found, ("app", app)]

    def _business(self, request: Request) -> tuple[str, str]:
        """The business use case of a call, and the business object that pays for it."""
        node, edge, owner = request.params.get("node", ""), request.params.get("edge", ""), request.account
        if node.startswith("act_"):
            insights = edge == "insights" or (request.route and request.route.path.endswith("/insights"))
            return ("ads_insights" if insights else "ads_management"), node[4:]
        if not isinstance(owner, Owner) or not node or node in ("me", owner.id):
            return "", ""
        if node in self.reports.jobs:
            return "ads_insights", self.reports.jobs[node].params["account"].id
        if node.startswith(("t_", "m_")) or edge == "conversations":
            page = next((p.id for p in owner.pages if node == p.id or node in p.conversations), owner.id)
            return "messenger", page
        for place in owner.places():
            if node == place.id or node.startswith(f"{place.id}_"):
                return ("pages" if place.kind == "page" else "instagram"), place.id
        page_id = request.token.extra.get("page") if request.token else None
        return ("pages" if "_" in node else "instagram"), str(page_id or owner.id)

    def cost(self, request: Request) -> float:
        ids = request.query.get("ids", "")
        return ids.count(",") + 1 if ids else 1

    def finish(self, request: Request, response: Response) -> Headers:
        headers: Headers = [("facebook-api-version", request.params.get("version", "v25.0"))]
        for usage in request.usages:
            percent = min(int(usage.percent), 100)
            if usage.rule.name == "app":
                load: dict[str, float] = {
                    "call_count": percent,
                    "total_time": percent // 2,
                    "total_cputime": percent // 2,
                }
                headers.append(("x-app-usage", json.dumps(load)))
            elif usage.rule.name != "conversations":
                headers.append(("x-business-use-case-usage", json.dumps(_load(usage, percent))))
            if usage.rule.name == "ads_insights":
                load = {"app_id_util_pct": round(usage.percent / 10, 2), "acc_id_util_pct": round(usage.percent, 2)}
                tier = {"ads_api_access_tier": "standard_access"}
                headers.append(("x-fb-ads-insights-throttle", json.dumps(load | tier)))
        return headers

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        return signature("wrong" if delivery.forged else self.app.client_secret, delivery.body)

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        challenge = letters(10, DIGITS, "challenge", self.seed, len(self.hooks.targets))
        token = target.extra.get("verify_token", self.app.secrets["verify_token"])
        ask = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
        answer = await client.get(target.url, params=ask)
        return answer.status_code == 200 and answer.text == challenge


def _load(usage: Usage, percent: int) -> dict[str, Any]:
    minutes = int(-(-usage.retry_after // 60)) if usage.over else 0
    entry: dict[str, Any] = {"type": usage.rule.name, "call_count": percent, "total_cputime": percent // 2}
    entry |= {"total_time": percent // 2, "estimated_time_to_regain_access": minutes}
    if usage.rule.name.startswith("ads_"):
        entry["ads_api_access_tier"] = "standard_access"
    return {usage.key.rpartition(":")[2]: [entry]}


def signature(secret: str, body: bytes) -> dict[str, str]:
    return {
        "x-hub-signature": "sha1=" + hmac.new(secret.encode(), body, sha1).hexdigest(),
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest(),
    }


__all__ = ["Facebook", "escaped", "signature"]
