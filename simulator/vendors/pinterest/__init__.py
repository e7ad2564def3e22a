"""Pinterest: API v5 - Pins, their figures, ads. There are no conversations, and no webhooks but for leads.

Not simulated: lead forms and their webhook (its layout is not published), catalogues, trends, writing, hourly figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import text as words
from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, DIGITS, HEX, letters
from simulator.feed import Feed
from simulator.http import Headers, Refusal, Request, Response
from simulator.limits import Rule, Usage
from simulator.reports import Reports
from simulator.vendor import Connection, Vendor
from simulator.vendors.pinterest import ads, data, errors, oauth, organic
from simulator.vendors.pinterest.data import Business

if TYPE_CHECKING:
    from simulator.world import Scale

MINUTE, DAY = 60, 86_400


class Pinterest(Vendor[Business]):
    slug = "pinterest"
    tables = (oauth.routes, organic.routes, ads.routes)
    scopes = ("ads:read", "boards:read", "pins:read", "user_accounts:read")
    token_rules = TokenRules(access_ttl=30 * DAY, refresh=Refresh.ROTATING, refresh_ttl=60 * DAY)
    limit_rules = (
        Rule("org_read", 1000, MINUTE),
        Rule("org_analytics", 60, MINUTE),
        Rule("ads_read", 1000, MINUTE),
        Rule("ads_analytics", 300, MINUTE),
        Rule("safety_net", 100, 1),
        Rule("trial", 1000, DAY, per=("app",)),
    )

    def build(self, scale: Scale) -> None:
        self.reports = Reports(self)
        self._refused = 0
        for name in ("main", "trial"):
            app_id, secret = letters(7, "123456789", name, self.seed), letters(40, HEX, name, self.seed)
            self.auth.add_app(App(app_id, secret, options={"name": name, "beta": False}))
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.business(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.business(self.seed, 999, start, 700, 0, big=scale.big))
        self.actions = {
            "pin": self.pin,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "set_kind": self.set_kind,
            "grant_beta": self.grant_beta,
        }

    def feeds(self, account: Business) -> dict[str, Feed]:
        return {"pins": account.pins}

    def business(self, request: Request) -> Business:
        return self.account(request.account)  # type: ignore[arg-type]

    def acting(self, request: Request) -> Business:
        """Whose organic data a call is about: with ad_account_id, the owner's of that ad account."""
        who, wanted = self.business(request), request.query.get("ad_account_id")
        if wanted and all(account.id != wanted for account in who.ad_accounts):
            raise Refusal(errors.error(403, 29, "Not authorized to access the user account."))
        return who

    def grants_beta(self, request: Request) -> bool:
        return bool(request.app and request.app.options["beta"])

    # --- what Pinterest says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.unauthorized()

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return errors.not_permitted()

    def limited(self, request: Request, usage: Usage) -> Response:
        """Figures of ads are also refused with 400, and then only the sentence says how long."""
        request.usages = [usage]
        self._refused += 1
        seconds = max(int(-(-usage.retry_after // 1)), 1)
        if usage.rule.name == "ads_analytics" and self._refused % 2 == 0:
            return errors.error(400, 1, f"You have exceeded your rate limit. Retry after {seconds} seconds")
        return errors.error(429, 8, "You have exceeded your rate limit. Try again later.")

    def broken(self, request: Request, status: int) -> Response:
        return errors.error(status, 12, "Something went wrong on our end. Sorry about that.")

    def unknown(self, request: Request) -> Response:
        return errors.error(404, 2, "Resource not found.")

    def expired_cursor(self, request: Request) -> Response:
        return errors.error(400, 1, "Invalid request: bookmark is not valid")

    # --- where Pinterest differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        prefix = {"access": "pina_A", "refresh": "pinr_A"}.get(kind, "")
        return prefix + letters(64 if prefix else 40, ALNUM, kind, self.seed, number)

    def claims(self, request: Request) -> list[tuple[str, str]]:
        route = request.route
        if route is None or route.token or not route.limits:
            return []
        if request.app is not None and request.app.options["name"] == "trial":
            return [("trial", request.app.client_id)]
        names = (*route.limits, "safety_net")
        return [(name, self.limit_key(request, self.limits.rules[name])) for name in names]

    def finish(self, request: Request, response: Response) -> Headers:
        headers: Headers = [("x-pinterest-rid", letters(16, DIGITS, request.path, int(request.now)))]
        bound = next((usage for usage in request.usages if usage.rule.name != "safety_net"), None)
        if bound is None:
            return headers
        most, period = int(bound.rule.max), int(bound.rule.period)
        both = f'{most}, 100;w=1;name="safety_net_app_id_user_id", '
        both += f'{most};w={period};name="{bound.rule.name}_app_id_user_id"'
        left = 0 if bound.over else int(bound.remaining)
        reset = bound.retry_after if bound.over else bound.reset_at - request.now
        headers += [("x-ratelimit-limit", both), ("x-ratelimit-remaining", str(left))]
        return [*headers, ("x-ratelimit-reset", str(max(int(-(-reset // 1)), 0)))]

    def connection_of(self, account: Business, app: App, access: Token, refresh: Token | None) -> Connection:
        made = super().connection_of(account, app, access, refresh)
        found = [{"id": act.id, "currency": act.currency} for act in account.ad_accounts]
        return replace(made, facts={"ad_accounts": found, "username": account.username})

    # --- what happens

    def pin(self, account: Business, *, text: str = "", board: str = "") -> str:
        key = account.pins.free_key(data.key_at(self.world.clock.now()))
        record = data.pin(account, key, text or words.statement(account.id, key), board=board)
        account.pins.append(key, record | {"parent_pin_id": None})
        return str(key)

    def edit(self, account: Business, *, pin: str, text: str) -> str:
        account.pins.edit(int(pin), title=text[:100], description=text)
        return pin

    def delete(self, account: Business, *, pin: str) -> str:
        if not account.pins.delete(int(pin)):
            raise KeyError(pin)
        return pin

    def react(self, account: Business, *, pin: str, likes: int = 1, comments: int = 0) -> int:
        record = account.pins.get(int(pin))
        if record is None:
            raise KeyError(pin)
        changed = {"_likes": record["_likes"] + likes, "_comments": record["_comments"] + comments}
        account.pins.edit(int(pin), **changed)
        return int(changed["_likes"])

    def set_kind(self, account: Business, *, kind: str) -> str:
        """A personal account (PINNER) has no analytics."""
        account.kind = kind
        return kind

    def grant_beta(self, _account: Business, *, granted: bool = True) -> bool:
        """Whether the app may ask for many Pins' analytics in one call."""
        self.app.options["beta"] = granted
        return granted

    def grow(self, account: Business) -> str:
        dice = self.random
        kind = dice.choices(("pin", "react", "edit", "delete"), (30, 50, 14, 6))[0]
        recent = [str(key) for key in account.pins.slice(10, view=lambda _record: None).keys]
        if kind == "pin" or not recent:
            self.pin(account)
            return "pin"
        chosen = dice.choice(recent)
        if kind == "react":
            self.react(account, pin=chosen, likes=1, comments=dice.randrange(2))
        elif kind == "edit":
            self.edit(account, pin=chosen, text=words.statement(chosen, dice.random().hex()))
        else:
            self.delete(account, pin=chosen)
        return kind


__all__ = ["Pinterest"]
