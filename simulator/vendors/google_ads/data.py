"""Google logins with the Ads customers below them: managers, and accounts with campaigns, ad groups and ads.

Records are flat, by the names that queries use: {"campaign.id": 17141250425, "campaign.name": "Brand"}.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from simulator import text
from simulator.dice import DIGITS, below, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account

DAY = 86_400
MICRO = 1_000_000
_CHANNELS = ("SEARCH", "DISPLAY", "VIDEO")
_PLACES = (("EUR", "Europe/Berlin"), ("JPY", "Asia/Tokyo"), ("USD", "America/Los_Angeles"))


@dataclass(eq=False, kw_only=True)
class Customer:
    """An Ads account, or a manager of some."""

    id: str
    name: str
    currency: str
    zone: str
    manager: bool = False
    status: str = "ENABLED"
    parent: Customer | None = None
    campaigns: Feed = field(default_factory=Feed)
    ad_groups: Feed = field(default_factory=Feed)
    ads: Feed = field(default_factory=Feed)
    changes: dict[str, Record] = field(default_factory=dict)
    """The newest change of each resource, by its name."""

    def local(self, at: float) -> str:
        """As change times are written: the account's own clock."""
        return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(self.zone)).strftime("%Y-%m-%d %H:%M:%S.%f")

    def under(self, manager: str) -> bool:
        above: Customer | None = self
        while above is not None:
            if above.id == manager:
                return True
            above = above.parent
        return False

    def feeds(self) -> dict[str, Feed]:
        return {"campaign": self.campaigns, "ad_group": self.ad_groups, "ad": self.ads}


@dataclass(eq=False, kw_only=True)
class Login(Account):
    """A Google account. What it may use directly is what `listAccessibleCustomers` gives; its id is the least of it."""

    direct: list[Customer]
    customers: list[Customer]
    """All within reach, managers and closed accounts too."""

    def customer(self, customer_id: str) -> Customer | None:
        return next((customer for customer in self.customers if customer.id == customer_id), None)

    def serving(self) -> list[Customer]:
        return [customer for customer in self.customers if not customer.manager and customer.status == "ENABLED"]


def campaign(number: int, name: str, channel: str, status: str, begun: str, budget: int) -> Record:
    return {
        "campaign.id": number,
        "campaign.name": name,
        "campaign.status": status,
        "campaign.primary_status": {"ENABLED": "ELIGIBLE"}.get(status, status),
        "campaign.advertising_channel_type": channel,
        "campaign.bidding_strategy_type": "TARGET_SPEND" if channel == "SEARCH" else "MAXIMIZE_CONVERSIONS",
        "campaign.start_date_time": begun,
        "campaign_budget.id": number + 7,
        "campaign_budget.amount_micros": budget,
    }


def ad_group(number: int, name: str, status: str, parent: Record) -> Record:
    return {
        "ad_group.id": number,
        "ad_group.name": name,
        "ad_group.status": status,
        "ad_group.type": f"{parent['campaign.advertising_channel_type']}_STANDARD",
        "ad_group.cpc_bid_micros": 310_000,
        "campaign.id": parent["campaign.id"],
    }


def ad(number: int, name: str, status: str, parent: Record) -> Record:
    return {
        "ad_group_ad.ad.id": number,
        "ad_group_ad.ad.type": "RESPONSIVE_SEARCH_AD",
        "ad_group_ad.ad.name": name,
        "ad_group_ad.ad.final_urls": [f"https://shop.example/{number}"],
        "ad_group_ad.status": status,
        "ad_group_ad.policy_summary.approval_status": "APPROVED",
        "ad_group.id": parent["ad_group.id"],
        "campaign.id": parent["campaign.id"],
    }


def login(seed: int, number: int, now: float, days: int) -> Login:
    """The first login owns an account and a manager with two more and a closed one; the second an account alone."""
    key = ("google_ads", seed, number)
    own = _customer((*key, "own"), number + 2, now, days)
    customers, direct = [own], [own]
    if number % 2 == 0:
        manager = _customer((*key, "mcc"), number, now, days, manager=True)
        below_it = [_customer((*key, "client", n), n, now, days, parent=manager) for n in range(2)]
        closed = _customer((*key, "closed"), 0, now, days, parent=manager, status="CANCELED")
        customers += [manager, *below_it, closed]
        direct.append(manager)
    return Login(
        id=min(customer.id for customer in direct), name=text.person(*key).name, direct=direct, customers=customers
    )


def huge(seed: int, now: float, count: int) -> Login:
    """One account of very many campaigns."""
    customer = Customer(id=_id("big", seed), name="Everything GmbH", currency="EUR", zone="Europe/Berlin")
    start = int((now - 700 * DAY) * MICRO)

    def make(key: int, index: int) -> Record:
        return campaign(key // 1000, f"Campaign {index}", "SEARCH", "ENABLED", customer.local(key / MICRO)[:19], MICRO)

    customer.campaigns = Feed(Past(count, start, int(now * MICRO), make, mix("big", seed)))
    return Login(id=customer.id, name="Everything", big=True, direct=[customer], customers=[customer])


def _id(*key: Any) -> str:
    return "1" + letters(9, DIGITS, "customer", *key)


def _customer(key: Any, place: int, now: float, days: int, **more: Any) -> Customer:
    currency, zone = _PLACES[place % 3]
    made = Customer(id=_id(*key), name=text.company(*key), currency=currency, zone=zone, **more)
    if made.manager or made.status != "ENABLED":
        return made
    begun = int((now - (days + 30) * DAY) * MICRO)
    for c in range(4):
        channel = "PERFORMANCE_MAX" if c == 3 else _CHANNELS[c % 3]
        status = "PAUSED" if chance("paused", c, *key) < 0.2 else "ENABLED"
        at = begun + c * MICRO
        record = campaign(
            17_000_000_000 + below(10**9, "c", c, *key), f"{pick(text.PRODUCTS, c, *key)} {c}", channel, status,
            made.local(at / MICRO)[:19], (20 + below(80, c, *key)) * MICRO,
        )  # fmt: skip
        made.campaigns.append(at, record)
        for g in range(2 if c < 3 else 0):
            group = ad_group(15_000_000 + below(10**6, c, g, *key) * 10 + g, f"Group {c}.{g}", "ENABLED", record)
            made.ad_groups.append(made.ad_groups.free_key(at), group)
            for a in range(2):
                # Ad ids are unique in an ad group only.
                number = 70_000 + below(10**6, c, a, *key)
                made.ads.append(made.ads.free_key(at), ad(number, f"Ad {c}.{g}.{a}", "ENABLED", group))
    return made
