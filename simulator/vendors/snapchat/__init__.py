"""Snapchat: the Ads API and, for apps that are allowed to, the Public Profile API."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from simulator import text as words
from simulator.auth import App, Grant, Refresh, TokenError, TokenRules
from simulator.dice import ALNUM, letters
from simulator.feed import Feed
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.reports import Reports
from simulator.vendor import Vendor
from simulator.vendors.snapchat import data, errors, oauth, profiles, routes, stats
from simulator.vendors.snapchat.data import MS, AdAccount, Person

if TYPE_CHECKING:
    from simulator.world import Scale


class Snapchat(Vendor[Person]):
    slug = "snapchat"
    # Stats and profiles have paths that the general ones of `routes` would match as well.
    tables = (oauth.routes, profiles.routes, stats.routes, routes.routes)
    scopes = ("snapchat-marketing-api", "snapchat-profile-api")
    token_rules = TokenRules(access_ttl=1_800, refresh=Refresh.REUSABLE)
    limit_rules = (
        Rule("app", 20, 1, kind="bucket", per=("app",)),
        Rule("token", 10, 1, kind="bucket", per=("token",)),
    )

    def build(self, scale: Scale) -> None:
        self.reports = Reports(self)
        self.calls = 0
        self.returns_refresh = False
        """Whether a refresh answers the refresh token again; sources differ."""
        self.limit_headers = False
        """Not documented, seen by an older client."""
        self.auth.add_app(App(data.uuid("app", self.seed), letters(40, ALNUM, "secret", self.seed)))
        for number in range(scale.accounts):
            self.add(data.person(self.seed, number, self.world.start, scale.days, scale.per_day))
        self.add(data.huge(self.seed, self.world.start, scale.big))
        self.actions = {
            "campaign": self.campaign,
            "edit": self.edit,
            "delete": self.delete,
            "post": self.post,
            "delete_post": self.delete_post,
            "lose_roles": self.lose_roles,
        }

    def feeds(self, account: Person) -> dict[str, Feed]:
        """Deleted campaigns, squads and ads stay in, marked; deleted posts do not."""
        found: dict[str, Feed] = {}
        for ads in account.ad_accounts():
            found |= {f"{kind}:{ads.id}": feed for kind, feed in ads.feeds().items()}
        for profile in account.profiles():
            found |= {f"{kind}:{profile.id}": feed for kind, feed in profile.feeds().items()}
        return found

    def file_name(self, job: str) -> str:
        return sha256(f"{self.seed}:{job}".encode()).hexdigest()[:32]

    # --- what Snap says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.unauthorized()

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return errors.forbidden()

    def limited(self, request: Request, usage: Usage) -> Response:
        return Response("", 429, type="text/plain")

    def broken(self, request: Request, status: int) -> Response:
        return errors.failure(status, "E9999", "Internal error")

    def unknown(self, request: Request) -> Response:
        return errors.failure(404, "E3003", "Resource can not be found")

    def expired_cursor(self, request: Request) -> Response:
        return errors.failure(400, "E1005", "Invalid cursor")

    # --- where Snap differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        return "eyJhbGciOiJI" + letters(90, ALNUM, kind, self.seed, number)

    def finish(self, request: Request, response: Response) -> Headers:
        usage = next((usage for usage in request.usages if usage.rule.name == "token"), None)
        if usage is None or not self.limit_headers:
            return []
        return [
            ("x-rate-limit-limit", str(int(usage.rule.max))),
            ("x-rate-limit-remaining", str(int(usage.remaining))),
            ("x-rate-limit-reset", str(int(usage.reset_at) + 1)),
        ]

    # --- what happens

    def _ms(self, feed: Feed) -> int:
        return feed.free_key(int(self.now() * MS))

    def _ad_account(self, account: Person, key: str | None) -> AdAccount:
        found = next((ads for ads in account.ad_accounts() if key in (None, ads.id)), None)
        if found is None:
            raise KeyError(key)
        return found

    def campaign(self, account: Person, *, ad_account: str | None = None, name: str = "") -> str:
        ads = self._ad_account(account, ad_account)
        ms = self._ms(ads.campaigns)
        record = data.campaign(ads, ms, name or f"Campaign {len(ads.campaigns)}")
        ads.campaigns.append(ms, record)
        return str(record["id"])

    def edit(self, account: Person, *, kind: str, thing: str, **changes: Any) -> str:
        """`kind`: campaign, adsquad, ad."""
        for ads in account.ad_accounts():
            feed = ads.feeds()[kind]
            for key in feed:
                if (feed.get(key) or {}).get("id") == thing:
                    feed.edit(key, **changes, updated_at=data.when(int(self.now() * MS)))
                    return thing
        raise KeyError(thing)

    def delete(self, account: Person, *, kind: str, thing: str) -> str:
        return self.edit(account, kind=kind, thing=thing, deleted=True)

    def post(self, account: Person, *, kind: str = "spotlights", text: str = "") -> str:
        profile = next(account.profiles())
        feed = profile.feeds()[kind]
        ms = self._ms(feed)
        record = data.content(profile, kind, ms, text or words.statement(profile.id, ms))
        feed.append(ms, record)
        return str(record["id"])

    def delete_post(self, account: Person, *, kind: str, thing: str) -> str:
        feed = next(account.profiles()).feeds()[kind]
        key = next(key for key in feed if (feed.get(key) or {}).get("id") == thing)
        feed.delete(key)
        return thing

    def lose_roles(self, account: Person) -> str:
        """The person leaves the company: the token renews, and sees nothing."""
        account.lost = True
        return account.id

    def grow(self, account: Person) -> str:
        dice = self.random
        ads = dice.choice(list(account.ad_accounts()))
        kind = dice.choices(("post", "campaign", "edit", "delete"), (40, 10, 40, 10))[0]
        living = [record for record in ads.ads.records() if not record.get("deleted")]
        if kind == "post":
            self.post(account, kind=dice.choice(("stories", "saved_stories", "spotlights")))
        elif kind == "campaign" or len(living) < 3:
            self.campaign(account, ad_account=ads.id)
            return "campaign"
        elif kind == "edit":
            status = dice.choice(("ACTIVE", "PAUSED"))
            self.edit(account, kind="ad", thing=dice.choice(living)["id"], status=status)
        else:
            self.delete(account, kind="ad", thing=dice.choice(living)["id"])
        return kind


__all__ = ["Snapchat"]
