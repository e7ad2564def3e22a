"""LinkedIn: organization pages, what people do there, and ads; everything is a URN and every call names a version."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from simulator import text as words
from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, HEX, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Refusal, Request, Response
from simulator.limits import Rule, Usage
from simulator.vendor import Vendor
from simulator.vendors.linkedin import ads, data, errors, oauth, organizations, social, subscriptions, writing
from simulator.vendors.linkedin.data import Member, Org, key_at, little, ms_of, person_urn
from simulator.vendors.linkedin.restli import URL_LIMIT
from simulator.vendors.linkedin.subscriptions import EVENT, challenge_response, signature
from simulator.webhooks import Delivery, HookRules, Target

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale

DAY = 86_400
_YEAR = TokenRules(access_ttl=60 * DAY, refresh=Refresh.REUSABLE, refresh_ttl=365 * DAY)
_BATCH = 10
"""Notifications in one webhook delivery, at most."""


class LinkedIn(Vendor[Member]):
    slug = "linkedin"
    tables = (organizations.routes, oauth.routes, writing.routes, social.routes, ads.routes, subscriptions.routes)
    scopes = tuple(
        [
            "openid",
            "profile",
            "email",
            "r_organization_social",
            "r_organization_social_feed",
            "w_organization_social",
            "rw_organization_admin",
            "r_organization_followers",
            "r_ads",
            "r_ads_reporting",
        ]
    )
    token_rules = _YEAR
    limit_rules = (
        Rule("application_day", 100_000, DAY, "aligned", per=("app", "route")),
        Rule("member_day", 20_000, DAY, "aligned", per=("account", "route")),
        Rule("metric_values", 45_000_000, 300, "aligned", per=("app",)),
    )
    hook_rules = HookRules(retries=(300,) * 96, timeout_s=3)

    def build(self, scale: Scale) -> None:
        self.versions = {f"{2025 + month // 12}{month % 12 + 1:02d}" for month in range(7, 23)}
        """Months that are still served: August 2025 to November 2026."""
        self.token_delay_s = 0.0
        """How long a renewed token is not known everywhere yet."""
        for name, rules in (("main", _YEAR), ("plain", TokenRules(access_ttl=60 * DAY))):
            self.auth.add_app(
                App(
                    "77" + letters(12, "0123456789abcdefghijklmnop", name, self.seed),
                    letters(16, ALNUM, "secret", name, self.seed),
                    id=letters(9, "123456789", "app", name, self.seed),
                    options={"name": name},
                    rules=rules,
                )
            )
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.member(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.member(self.seed, 999, start, 700, 0, big=scale.big))
        self.actions = {
            "post": self.post,
            "edit": self.edit,
            "delete": self.delete,
            "comment": self.comment,
            "edit_comment": self.edit_comment,
            "delete_comment": self.delete_comment,
            "react": self.react,
            "mention": self.mention,
            "demote": self.demote,
            "blind": self.blind,
            "sunset": self.sunset,
            "slow_tokens": self.slow_tokens,
            "revalidate": self.revalidate,
        }

    def feeds(self, account: Member) -> dict[str, Feed]:
        found: dict[str, Feed] = {}
        for org in account.orgs:
            found[f"posts:{org.urn}"] = org.posts
            if not account.big:
                found |= {f"comments:{org.post_urn(key)}": org.comments_of(key) for key in org.posts}
                found[f"notices:{org.urn}"] = org.notices
        return found

    # --- what LinkedIn says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.dead_token(error)

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        resource = request.path.split("/")[2] if request.path.count("/") > 1 else "resource"
        return errors.denied(f"{resource}.{request.method}.{request.headers.get('linkedin-version', '')}")

    def limited(self, request: Request, usage: Usage) -> Response:
        return errors.over_limit(usage)

    def broken(self, request: Request, status: int) -> Response:
        return errors.response(status, "Internal Server Error", "INTERNAL_SERVER_ERROR")

    def unknown(self, request: Request) -> Response:
        return errors.response(404, "No virtual resource found", "RESOURCE_NOT_FOUND")

    def expired_cursor(self, request: Request) -> Response:
        return errors.bad_param("pageToken is invalid or has expired")

    # --- where LinkedIn differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        if kind == "code":
            return "AQ" + letters(90, ALNUM, kind, self.seed, number)
        return ("AQX" if kind == "access" else "AQW") + letters(500, ALNUM + "-_", kind, self.seed, number)

    def authenticate(self, request: Request) -> Token:
        if request.path.startswith("/rest/"):
            _untunnel(request)
            self._check_call(request)
        token = self.auth.check(self.token_of(request), request.now)
        renewed = token.issued > token.grant.created
        if renewed and request.now < token.issued + self.token_delay_s:
            raise TokenError("unknown", token=token)
        return token

    def _check_call(self, request: Request) -> None:
        version = request.headers.get("linkedin-version", "")
        if not version:
            raise Refusal(errors.no_version())
        if version not in self.versions:
            raise Refusal(errors.sunset(version))
        if "urn:" in request.path:
            raise Refusal(errors.bad_query("URNs in paths must be percent-encoded"))
        if request.headers.get("x-restli-protocol-version") != "2.0.0":
            asked = request.path + request.query_string
            if "urn%3A" in asked or "List(" in asked or "=(" in asked:
                raise Refusal(errors.bad_query("X-Restli-Protocol-Version 2.0.0 is needed"))

    def member(self, request: Request) -> Member:
        return self.account(request.account)  # type: ignore[arg-type]

    def org(self, request: Request, urn: str | None, roles: tuple[str, ...], resource: str) -> Org:
        """A page that the member has one of these roles on. No roles: any page that exists."""
        found = next((org for org in self.member(request).orgs if org.urn == urn), None)
        if found is None and not roles:
            everyone = (org for member in self.accounts.values() for org in member.orgs)
            found = next((org for org in everyone if org.urn == urn), None)
        if found is None or (roles and found.role not in roles):
            raise Refusal(errors.denied(f"{resource}.{request.headers.get('linkedin-version', '')}"))
        return found

    def finish(self, request: Request, response: Response) -> Headers:
        number = letters(16, HEX, self.seed, int(request.now * 1000), request.path)
        return [("x-restli-protocol-version", "2.0.0"), ("x-li-uuid", number), ("x-li-fabric", "prod-lva1")]

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        return signature("wrong" if delivery.forged else self.app.client_secret, delivery.body)

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        import httpx

        challenge = letters(36, HEX, "challenge", self.seed, len(self.hooks.targets))
        expected = challenge_response(self.app.client_secret, challenge)
        try:
            answer = await client.get(target.url, params={"challengeCode": challenge, "applicationId": self.app.id})
            told = answer.json()
        except (httpx.HTTPError, ValueError):
            return False
        if answer.status_code != 200 or not isinstance(told, dict) or told.get("challengeCode") != challenge:
            return False
        return hmac.compare_digest(str(told.get("challengeResponse", "")), expected)

    async def handshake_with(self, target: Target) -> bool:
        return await self.handshake(self.world.http_client(self.hook_rules.timeout_s, 0), target)

    async def revalidate(self, _account: Member) -> dict[str, bool]:
        """What happens every two hours; the third failure in a row blocks a receiver."""
        for target in self.hooks.targets:
            failures = 0 if await self.handshake_with(target) else target.extra.get("failures", 0) + 1
            target.extra["failures"] = failures
            target.active = failures < 3
        return {target.url: target.active for target in self.hooks.targets}

    def _tell(self, org: Org, *notices: Record) -> None:
        """Keep notifications and deliver them, ten at a time. Without the token or the role nothing is told."""
        now_ms = int(self.now() * 1000)
        kept = [org.keep_notice(now_ms, notice) for notice in notices]
        for place in range(0, len(kept), _BATCH):
            payload = {"type": EVENT, "notifications": kept[place : place + _BATCH]}
            if org.role == "ADMINISTRATOR":
                self.hooks.emit(org.owner, payload, topic=org.urn)

    # --- what happens

    def _org(self, account: Member, org: str | None) -> Org:
        return next(found for found in account.orgs if org in (None, found.urn, str(found.id)))

    def _post(self, account: Member, post: str) -> tuple[Org, int]:
        found = social.find_post(self, self._asking(account), post)
        if found is None:
            raise KeyError(post)
        return found

    def _comment(self, account: Member, comment: str) -> tuple[Org, int, int]:
        found = social.find_comment(self, self._asking(account), comment)
        if found is None:
            raise KeyError(comment)
        return found

    def _asking(self, account: Member) -> Request:
        return Request("GET", "/", "", {}, b"", "", now=self.now(), account=account)

    def _key(self, feed: Feed) -> int:
        """For something that happens now: a millisecond that nothing in the feed has yet."""
        key = key_at(self.world.clock.now() * 1000)
        free = feed.free_key(key)
        return key if free == key else key_at(ms_of(free) + 1)

    def post(self, account: Member, *, org: str | None = None, text: str = "") -> str:
        page = self._org(account, org)
        key = self._key(page.posts)
        page.posts.append(key, page.post(key, little(text) if text else little(words.statement(page.id, key))))
        return page.post_urn(key)

    def edit(self, account: Member, *, post: str, text: str) -> str:
        page, key = self._post(account, post)
        now_ms = max(int(self.now() * 1000), ms_of(key) + 1)
        page.modified[key] = now_ms
        edited = {"isEditedByAuthor": True}
        page.posts.edit(key, commentary=little(text), lastModifiedAt=now_ms, lifecycleStateInfo=edited)
        return post

    def delete(self, account: Member, *, post: str) -> str:
        page, key = self._post(account, post)
        page.posts.delete(key)
        return post

    def comment(
        self, account: Member, *, post: str, text: str = "", parent: str | None = None, ours: bool = False
    ) -> str:
        """From somebody, or written as the page. Returns its URN."""
        page, key = self._post(account, post)
        feed = page.comments_of(key)
        at = self._key(feed)
        actor = page.urn if ours else person_urn(page.id, at)
        above = None if parent is None else self._comment(account, parent)[2]
        record = page.comment(key, at, text or words.reply(page.id, at), actor, above)
        feed.append(at, record)
        page.posts.touch(key)
        self._tell(page, data.comment_notice("ADMIN_COMMENT" if ours else "COMMENT", page.post_urn(key), record))
        return str(record["commentUrn"])

    def edit_comment(self, account: Member, *, comment: str, text: str) -> str:
        page, post, key = self._comment(account, comment)
        feed = page.comments_of(post)
        before = feed.get(key) or {}
        stamp = {**before["lastModified"], "time": int(self.now() * 1000)}
        after = feed.edit(key, message={"attributes": [], "text": text}, lastModified=stamp)
        self._tell(page, data.comment_notice("COMMENT_EDIT", page.post_urn(post), after))
        return comment

    def delete_comment(self, account: Member, *, comment: str) -> str:
        """Its replies go with it."""
        page, post, key = self._comment(account, comment)
        feed = page.comments_of(post)
        gone = feed.get(key) or {}
        for other in [record for record in feed.records() if record["_parent"] == key]:
            feed.delete(int(other["id"]))
        feed.delete(key)
        page.posts.touch(post)
        self._tell(page, data.comment_notice("COMMENT_DELETE", page.post_urn(post), gone))
        return comment

    def react(self, account: Member, *, post: str, count: int = 1) -> int:
        page, key = self._post(account, post)
        fans = int((page.posts.get(key) or {})["_fans"])
        page.posts.edit(key, _fans=fans + count)
        urn = page.post_urn(key)
        notices = []
        for number in range(fans, fans + count):
            like = f"urn:li:reaction:({person_urn('fan', page.id, key, number)},{data.activity_urn(key)})"
            notices.append({"action": "LIKE", "sourcePost": urn, "generatedActivity": like})
        self._tell(page, *notices)
        return fans + count

    def mention(self, account: Member, *, org: str | None = None, text: str = "") -> str:
        page = self._org(account, org)
        key = key_at(self.now() * 1000) + 16 * len(page.notices)
        notice = page.mention(key, text or words.question("mention", key))
        self._tell(page, notice)
        return str(notice["sourcePost"])

    def demote(self, account: Member, *, org: str | None = None, role: str = "") -> str:
        """The member loses their role on a page, or gets a lesser one."""
        page = self._org(account, org)
        page.role = role
        return page.urn

    def blind(self, account: Member) -> str:
        """The member may not read the ad account's reports any more."""
        account.ad_accounts[0].readable = False
        return account.ad_accounts[0].urn

    def sunset(self, _account: Member, *, version: str) -> list[str]:
        self.versions.discard(version)
        return sorted(self.versions)

    def slow_tokens(self, _account: Member, *, seconds: float) -> float:
        self.token_delay_s = seconds
        return seconds

    def grow(self, account: Member) -> str:
        dice = self.random
        kinds = ("post", "comment", "reply", "react", "edit", "edit_comment", "delete_comment", "mention", "delete")
        kind = dice.choices(kinds, (14, 35, 10, 18, 8, 5, 4, 4, 2))[0]
        org = dice.choice(account.orgs)
        recent = [org.post_urn(key) for key in org.posts.slice(10).keys]
        if kind == "mention":
            self.mention(account, org=org.urn)
            return kind
        if kind == "post" or not recent:
            self.post(account, org=org.urn)
            return "post"
        post = dice.choice(recent)
        place, key = self._post(account, post)
        talk = [record["commentUrn"] for record in place.comments_of(key).records() if record["_parent"] is None]
        fresh = words.statement(post, dice.random().hex())
        if kind == "react":
            self.react(account, post=post)
        elif kind == "edit":
            self.edit(account, post=post, text=fresh)
        elif kind == "delete":
            self.delete(account, post=post)
        elif kind == "reply" and talk:
            self.comment(account, post=post, parent=dice.choice(talk), ours=dice.random() < 0.5)
        elif kind == "edit_comment" and talk:
            self.edit_comment(account, comment=dice.choice(talk), text=fresh)
        elif kind == "delete_comment" and talk:
            self.delete_comment(account, comment=dice.choice(talk))
        else:
            self.comment(account, post=post)
            return "comment"
        return kind


def _untunnel(request: Request) -> None:
    """A query too long for an address may come as the body of a POST."""
    if request.method == "POST":
        if writing.is_write(request):
            return
        if request.headers.get("x-http-method-override") != "GET":
            raise Refusal(errors.response(405, "Method Not Allowed", "METHOD_NOT_ALLOWED"))
        request.query_string = request.body.decode("utf-8", "replace")
    elif len(request.path) + len(request.query_string) > URL_LIMIT:
        raise Refusal(errors.response(414, "URI Too Long"))


__all__ = ["LinkedIn", "challenge_response", "signature"]
