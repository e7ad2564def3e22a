"""Facebook: Pages, Messenger, Instagram and ads insights behind one Graph API."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha1, sha256
from typing import TYPE_CHECKING, Any

from simulator import text as words
from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, DIGITS, HEX, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.reports import Reports
from simulator.vendor import Connection, Vendor
from simulator.vendors.facebook import data, errors, graph, oauth, subscriptions
from simulator.vendors.facebook.data import MICRO, Owner, Page
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


class Facebook(Vendor[Owner]):
    slug = "facebook"
    tables = (oauth.routes, subscriptions.routes, graph.routes)
    scopes = tuple(
        [
            "pages_show_list",
            "pages_read_engagement",
            "pages_read_user_content",
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
        self.actions = {
            "post": self.post,
            "edit": self.edit,
            "delete": self.delete,
            "comment": self.comment,
            "react": self.react,
            "message": self.message,
        }

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

    def place(self, owner: Owner, place_id: str | None) -> Page | None:
        return next((place for place in owner.places() if place.id == place_id), None)

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

    def _tell(self, place: Page, topic: str, entry: Record) -> None:
        """Facebook escapes slashes and everything beyond ASCII, and signs those bytes."""
        page = place if place.kind == "page" else place.link
        if page is None or (place.kind == "page" and topic not in page.subscribed):
            return
        kind = "page" if place.kind == "page" else "instagram"
        self.hooks.emit(place.owner, escaped({"object": kind, "entry": [{"id": place.id, **entry}]}), topic=topic)

    def _tell_change(self, place: Page, topic: str, value: Record) -> None:
        self._tell(place, topic, {"time": int(self.now()), "changes": [{"field": topic, "value": value}]})

    def _tell_feed(self, place: Page, item: str, verb: str, key: int, **value: Any) -> None:
        if place.kind == "page":
            common = {"item": item, "verb": verb, "post_id": place.post_id(key), "created_time": int(self.now())}
            author = value.pop("author", {"id": place.id, "name": place.name})
            self._tell_change(place, "feed", {**common, "from": author, **value})

    # --- what happens

    def _place(self, account: Owner, place: str | None) -> Page:
        found = self.place(account, place) if place else account.pages[0]
        if found is None:
            raise KeyError(place)
        return found

    def _key(self, feed: Feed, place: Page) -> int:
        """A key for something that happens now; Instagram ids need whole milliseconds."""
        key = feed.free_key(int(self.world.clock.now() * MICRO))
        return key if place.kind == "page" else -(-key // 1000) * 1000

    def _post_key(self, account: Owner, post: str) -> tuple[Page, int]:
        asking = Request("GET", "/", "", {}, b"", "", account=account)
        kind, thing = graph.find(self, asking, post)
        if kind not in ("post", "media"):
            raise KeyError(post)
        return thing  # type: ignore[no-any-return]

    def post(self, account: Owner, *, page: str | None = None, text: str = "") -> str:
        place = self._place(account, page)
        key = self._key(place.posts, place)
        message = text or words.statement(place.id, key)
        record = (
            data.page_post(place, key, message, 0) if place.kind == "page" else data.ig_media(place, key, message, 0)
        )
        place.posts.append(key, record)
        self._tell_feed(place, "status", "add", key, message=message)
        return place.post_id(key)

    def edit(self, account: Owner, *, post: str, text: str) -> str:
        place, key = self._post_key(account, post)
        changes = {"message": text, "updated_time": data.when(int(self.world.clock.now()) * MICRO)}
        place.posts.edit(key, **(changes if place.kind == "page" else {"caption": text}))
        self._tell_feed(place, "post", "edited", key, message=text)
        return post

    def delete(self, account: Owner, *, post: str) -> str:
        place, key = self._post_key(account, post)
        place.posts.delete(key)
        self._tell_feed(place, "post", "remove", key)
        return post

    def comment(self, account: Owner, *, post: str, text: str = "", parent: str | None = None) -> str:
        place, key = self._post_key(account, post)
        feed = place.comments_of(key)
        at = self._key(feed, place)
        above: int | None = None
        if parent:
            asking = Request("GET", "/", "", {}, b"", "", account=account)
            above = graph.find(self, asking, parent)[1][2]
        author, message = data.someone(place.id, at), text or words.reply(place.id, at)
        record = data.comment(place, key, at, message, author, above)
        feed.append(at, record)
        place.posts.touch(key)
        if place.kind == "page":
            self._tell_feed(
                place,
                "comment",
                "add",
                key,
                comment_id=record["id"],
                parent_id=parent or post,
                author=author,
                message=message,
            )
        else:
            value = {"id": record["id"], "from": record["from"], "text": message}
            value |= {"media": {"id": post, "media_product_type": "FEED"}} | ({"parent_id": parent} if parent else {})
            self._tell_change(place, "comments", value)
        return str(record["id"])

    def react(self, account: Owner, *, post: str, count: int = 1) -> int:
        place, key = self._post_key(account, post)
        record = place.posts.get(key) or {}
        name = "_fans" if place.kind == "page" else "like_count"
        place.posts.edit(key, **{name: record[name] + count})
        self._tell_feed(
            place, "reaction", "add", key, reaction_type="like", parent_id=post, author=data.someone(key, count)
        )
        return int(record[name]) + count

    def message(self, account: Owner, *, conversation: str | None = None, text: str = "", echo: bool = False) -> str:
        talks = {talk.id: talk for page in account.pages for talk in page.conversations.values()}
        talk = talks[conversation] if conversation else next(iter(talks.values()))
        key = self._key(talk.messages, talk.page)
        record = data.message(talk, key, text or words.question(talk.id, key), outgoing=echo)
        talk.messages.append(key, record)
        for older in talk.messages.slice(25, below=key).keys:
            talk.messages.touch(older)  # one more of them can no longer be read in full
        now_ms = int(self.now() * 1000)
        content = {"mid": record["id"], "text": record["message"], **({"is_echo": True} if echo else {})}
        ours, theirs = {"id": talk.page.id}, {"id": talk.person["id"]}
        event = {"sender": ours if echo else theirs, "recipient": theirs if echo else ours, "timestamp": key // 1000}
        topic = "message_echoes" if echo else "messages"
        self._tell(talk.page, topic, {"time": now_ms, "messaging": [{**event, "message": content}]})
        return str(record["id"])

    def grow(self, account: Owner) -> str:
        dice = self.random
        place = dice.choice(account.places())
        kind = dice.choices(("post", "comment", "react", "message", "edit", "delete"), (15, 40, 20, 15, 7, 3))[0]
        recent = [place.post_id(key) for key in place.posts.slice(10).keys]
        if kind == "message" and any(page.conversations for page in account.pages):
            talks = [talk.id for page in account.pages for talk in page.conversations.values()]
            self.message(account, conversation=dice.choice(talks), echo=dice.random() < 0.3)
            return kind
        if kind in ("post", "message") or not recent:
            self.post(account, page=place.id)
            return "post"
        post = dice.choice(recent)
        if kind == "comment":
            self.comment(account, post=post)
        elif kind == "react":
            self.react(account, post=post, count=1)
        elif kind == "edit":
            self.edit(account, post=post, text=words.statement(post, dice.random().hex()))
        else:
            self.delete(account, post=post)
        return kind


def _load(usage: Usage, percent: int) -> dict[str, Any]:
    minutes = int(-(-usage.retry_after // 60)) if usage.over else 0
    entry: dict[str, Any] = {"type": usage.rule.name, "call_count": percent, "total_cputime": percent // 2}
    entry |= {"total_time": percent // 2, "estimated_time_to_regain_access": minutes}
    if usage.rule.name.startswith("ads_"):
        entry["ads_api_access_tier"] = "standard_access"
    return {usage.key.rpartition(":")[2]: [entry]}


def escaped(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def signature(secret: str, body: bytes) -> dict[str, str]:
    return {
        "x-hub-signature": "sha1=" + hmac.new(secret.encode(), body, sha1).hexdigest(),
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest(),
    }


__all__ = ["Facebook", "escaped", "signature"]
