"""Google Ads: one query endpoint over REST, customers behind managers, daily operations and no push."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from simulator.auth import App, Grant, Refresh, TokenError, TokenRules
from simulator.dice import ALNUM, DIGITS, LOWER, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.vendor import Vendor
from simulator.vendors.google_ads import data, errors, oauth, routes, rows
from simulator.vendors.google_ads.data import MICRO, Customer, Login

if TYPE_CHECKING:
    from simulator.world import Scale

DAY = 86_400
_TYPES = {"campaign": "CAMPAIGN", "ad_group": "AD_GROUP", "ad": "AD_GROUP_AD"}
_STATUS = {"campaign": "campaign.status", "ad_group": "ad_group.status", "ad": "ad_group_ad.status"}
_NAME = {"campaign": "campaign.name", "ad_group": "ad_group.name", "ad": "ad_group_ad.ad.name"}


class GoogleAds(Vendor[Login]):
    slug = "google_ads"
    tables = (oauth.routes, routes.routes)
    scopes = (oauth.SCOPE,)
    token_rules = TokenRules(access_ttl=3_600, refresh=Refresh.REUSABLE)
    limit_rules = (
        Rule("operations", 15_000, DAY, kind="sliding", per=("app",)),
        Rule("requests", 50, 1, kind="bucket", retry_after=5),
    )

    def build(self, scale: Scale) -> None:
        self.refreshes: dict[int, bool] = {}
        """By number of a grant: whether its code gives a refresh token."""
        self.page_rows = 10_000
        self.change_delay_s = 180.0
        """How late a change shows in change_status."""
        self._calls = 0
        self._answers: dict[tuple[str, str], tuple[list[Record], str]] = {}
        client = f"{letters(12, DIGITS, 'app', self.seed)}-{letters(32, LOWER, 'app', self.seed)}"
        secret = "GOCSPX-" + letters(28, ALNUM, "secret", self.seed)
        self.auth.add_app(App(f"{client}.apps.googleusercontent.com", secret))
        for number in range(scale.accounts):
            self.add(data.login(self.seed, number, self.world.start, scale.days))
        self.add(data.huge(self.seed, self.world.start, scale.big))
        self.actions = {
            "create": self.create,
            "rename": self.rename,
            "set_status": self.set_status,
            "remove": self.remove,
            "cancel": self.cancel,
        }

    def feeds(self, account: Login) -> dict[str, Feed]:
        """Removed things stay in their feeds, as they stay readable."""
        serving = account.serving()
        return {f"{kind}:{customer.id}": feed for customer in serving for kind, feed in customer.feeds().items()}

    # --- what Google says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.dead_token(error)

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return errors.missing_scope()

    def limited(self, request: Request, usage: Usage) -> Response:
        return errors.over_limit(usage)

    def broken(self, request: Request, status: int) -> Response:
        if status == 500:
            return errors.failure(500, "internalError", "INTERNAL_ERROR", "An internal error has occurred.")
        return errors.plain(status, "The service is currently unavailable.")

    def unknown(self, request: Request) -> Response:
        return errors.html(404, request.path)

    def expired_cursor(self, request: Request) -> Response:
        return errors.failure(400, "requestError", "EXPIRED_PAGE_TOKEN", "Page token in the request has expired.")

    # --- where Google differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        prefix = {"access": "ya29.a0Af", "refresh": "1//0g", "code": "4/0A"}.get(kind, "ya29.")
        return prefix + letters(60, ALNUM, kind, self.seed, number)

    def claims(self, request: Request) -> list[tuple[str, str]]:
        """One query is one operation however many pages it has; requests per second count by customer."""
        route = request.route
        if route is None or route.token or request.app is None:
            return []
        app = request.app.client_id
        found = [("requests", f"{app}:{request.params['customer']}")] if "customer" in request.params else []
        return found if routes.paged(request) else [*found, ("operations", app)]

    def finish(self, request: Request, response: Response) -> Headers:
        self._calls += 1
        return [("request-id", errors.request_id(self.seed, self._calls))]

    def asked(
        self, login: Login, customer: Customer, query: str, now: float, *, again: bool = False
    ) -> tuple[list[Record], str]:
        """Rows of a query; following pages come from the same rows as the first."""
        key = (customer.id, query)
        if again and key in self._answers:
            return self._answers[key]
        found = rows.answer(query, login, customer, now)
        if len(self._answers) > 20:
            self._answers.clear()
        self._answers[key] = found
        return found

    # --- what happens

    def _customer(self, account: Login, customer: str | None) -> Customer:
        found = account.customer(customer) if customer else account.serving()[0]
        if found is None:
            raise KeyError(customer)
        return found

    def _changed(self, customer: Customer, kind: str, record: Record, status: str) -> None:
        name, at = resource_name(customer, kind, record), self.now()
        number = int(at * MICRO)
        customer.changes[name] = {
            "change_status.resource_name": f"customers/{customer.id}/changeStatus/{number}-{len(customer.changes)}",
            "change_status.last_change_date_time": customer.local(at),
            "change_status.resource_type": _TYPES[kind],
            "change_status.resource_status": status,
            f"change_status.{_TYPES[kind].lower()}": name,
            "_at": at + self.change_delay_s,
        }

    def _edit(self, account: Login, kind: str, thing: str, customer: str | None, **changes: Any) -> str:
        """`thing`: an id; for ads `AD_GROUP~AD`."""
        place = self._customer(account, customer)
        feed = place.feeds()[kind]
        for key in feed:
            record = feed.get(key)
            if record is not None and resource_name(place, kind, record).rpartition("/")[2] == thing:
                status = "REMOVED" if "REMOVED" in changes.values() else "CHANGED"
                self._changed(place, kind, feed.edit(key, **changes), status)
                return thing
        raise KeyError(thing)

    def create(self, account: Login, *, customer: str | None = None, name: str = "") -> str:
        """A campaign."""
        place = self._customer(account, customer)
        key = place.campaigns.free_key(int(self.now() * MICRO))
        title = name or f"New {len(place.campaigns)}"
        begun = place.local(self.now())[:19]
        record = data.campaign(18_000_000_000 + key % 10**9, title, "SEARCH", "ENABLED", begun, 15 * MICRO)
        place.campaigns.append(key, record)
        self._changed(place, "campaign", record, "ADDED")
        return str(record["campaign.id"])

    def rename(
        self, account: Login, *, thing: str, name: str, kind: str = "campaign", customer: str | None = None
    ) -> str:
        return self._edit(account, kind, thing, customer, **{_NAME[kind]: name})

    def set_status(
        self, account: Login, *, thing: str, status: str, kind: str = "campaign", customer: str | None = None
    ) -> str:
        more = {"campaign.primary_status": status} if kind == "campaign" else {}
        return self._edit(account, kind, thing, customer, **{_STATUS[kind]: status}, **more)

    def remove(self, account: Login, *, thing: str, kind: str = "campaign", customer: str | None = None) -> str:
        return self.set_status(account, thing=thing, status="REMOVED", kind=kind, customer=customer)

    def cancel(self, account: Login, *, customer: str) -> str:
        """The account is closed; it answers CUSTOMER_NOT_ENABLED from now on."""
        self._customer(account, customer).status = "CANCELED"
        return customer

    def grow(self, account: Login) -> str:
        dice = self.random
        place = dice.choice(account.serving())
        kind = dice.choices(("create", "rename", "set_status", "remove"), (10, 40, 40, 10))[0]
        living = [r for r in place.ads.records() if r["ad_group_ad.status"] != "REMOVED"]
        if kind == "create" or not living:
            self.create(account, customer=place.id)
            return "create"
        thing = resource_name(place, "ad", dice.choice(living)).rpartition("/")[2]
        if kind == "rename":
            self.rename(account, thing=thing, name=f"Ad {dice.random():.6f}", kind="ad", customer=place.id)
        elif kind == "remove":
            self.remove(account, thing=thing, kind="ad", customer=place.id)
        else:
            status = dice.choice(("ENABLED", "PAUSED"))
            self.set_status(account, thing=thing, status=status, kind="ad", customer=place.id)
        return kind


def resource_name(customer: Customer, kind: str, record: Record) -> str:
    base = f"customers/{customer.id}"
    if kind == "campaign":
        return f"{base}/campaigns/{record['campaign.id']}"
    if kind == "ad_group":
        return f"{base}/adGroups/{record['ad_group.id']}"
    return f"{base}/adGroupAds/{record['ad_group.id']}~{record['ad_group_ad.ad.id']}"


__all__ = ["GoogleAds"]
