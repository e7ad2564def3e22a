"""People with the organizations, ad accounts and public profiles that they may see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from simulator import text
from simulator.dice import DIGITS, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.numbers import iso
from simulator.vendor import Account

DAY, MS = 86_400, 1_000
_PLACES = (("EUR", "Europe/Berlin"), ("USD", "America/Los_Angeles"), ("JPY", "Asia/Tokyo"))


def uuid(*key: int | str) -> str:
    return str(UUID(int=mix(0, *key) << 64 | mix(1, *key), version=4))


def when(ms: int) -> str:
    return iso(ms / MS, "%Y-%m-%dT%H:%M:%S.") + f"{ms % MS:03d}Z"


@dataclass(eq=False, kw_only=True)
class AdAccount:
    """Feeds by creation in ms. A deleted record stays with `deleted` set, and leaves the lists."""

    id: str
    name: str
    org: Organization
    currency: str
    zone: str
    created: str
    status: str = "ACTIVE"
    campaigns: Feed = field(default_factory=Feed)
    adsquads: Feed = field(default_factory=Feed)
    ads: Feed = field(default_factory=Feed)

    def feeds(self) -> dict[str, Feed]:
        return {"campaign": self.campaigns, "adsquad": self.adsquads, "ad": self.ads}

    def json(self) -> Record:
        return {
            "id": self.id,
            "updated_at": self.created,
            "created_at": self.created,
            "name": self.name,
            "type": "PARTNER",
            "status": self.status,
            "organization_id": self.org.id,
            "currency": self.currency,
            "timezone": self.zone,
            "advertiser": self.org.name,
        }


@dataclass(eq=False, kw_only=True)
class Profile:
    id: str
    name: str
    handle: str
    born: float
    stories: Feed = field(default_factory=Feed)
    saved_stories: Feed = field(default_factory=Feed)
    spotlights: Feed = field(default_factory=Feed)

    def feeds(self) -> dict[str, Feed]:
        return {"stories": self.stories, "saved_stories": self.saved_stories, "spotlights": self.spotlights}


@dataclass(eq=False, kw_only=True)
class Organization:
    id: str
    name: str
    created: str
    ad_accounts: list[AdAccount] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)


@dataclass(eq=False, kw_only=True)
class Person(Account):
    """Who connected; the token sees what their roles allow."""

    organizations: list[Organization]
    lost: bool = False
    """Whether the roles are gone: everything is 403 or 404 then, while the token still renews."""

    def ad_accounts(self) -> Iterator[AdAccount]:
        if not self.lost:
            yield from (account for org in self.organizations for account in org.ad_accounts)

    def profiles(self) -> Iterator[Profile]:
        if not self.lost:
            yield from (profile for org in self.organizations for profile in org.profiles)


def campaign(account: AdAccount, ms: int, name: str) -> Record:
    key = uuid("campaign", account.id, ms)
    return {
        "id": key,
        "updated_at": when(ms),
        "created_at": when(ms),
        "name": name,
        "ad_account_id": account.id,
        "status": "PAUSED" if chance("paused", key) < 0.2 else "ACTIVE",
        "objective": pick(("WEB_CONVERSION", "BRAND_AWARENESS", "APP_INSTALL"), key),
        "objective_v2_properties": {"objective_v2_type": "SALES"},
        "buy_model": "AUCTION",
        "daily_budget_micro": 50_000_000,
        "start_time": when(ms),
        "delivery_status": ["VALID"],
        "creation_state": "PUBLISHED",
    }


def adsquad(account: AdAccount, ms: int, parent: Record, name: str) -> Record:
    return {
        "id": uuid("adsquad", account.id, ms),
        "updated_at": when(ms),
        "created_at": when(ms),
        "name": name,
        "campaign_id": parent["id"],
        "status": "ACTIVE",
        "type": "SNAP_ADS",
        "optimization_goal": "PIXEL_PURCHASE",
        "bid_micro": 1_000_000,
        "bid_strategy": "LOWEST_COST_WITH_MAX_BID",
        "daily_budget_micro": 25_000_000,
        "targeting": {"geos": [{"country_code": "us"}]},
        "delivery_status": ["VALID"],
    }


def ad(account: AdAccount, ms: int, parent: Record, name: str) -> Record:
    key = uuid("ad", account.id, ms)
    return {
        "id": key,
        "updated_at": when(ms),
        "created_at": when(ms),
        "name": name,
        "ad_squad_id": parent["id"],
        "creative_id": uuid("creative", key),
        "status": "ACTIVE",
        "type": "SNAP_AD",
        "render_type": "STATIC",
        "review_status": "APPROVED",
        "review_status_reasons": [],
        "delivery_status": ["VALID"],
        "_campaign": parent["campaign_id"],
    }


def content(profile: Profile, kind: str, ms: int, words: str) -> Record:
    """A story, saved story or Spotlight."""
    record: Record = {"id": uuid(kind, profile.id, ms), "created_at": when(ms), "updated_at": when(ms)}
    record["profile_id"] = profile.id
    record["media_id"] = uuid("media", kind, profile.id, ms)
    if kind == "spotlights":
        return record | {"description": words[:160], "locale": "en_US", "status": "LIVE"}
    return record | {"title": words[:60]} if kind == "saved_stories" else record


def person(seed: int, number: int, now: float, days: int, per_day: int) -> Person:
    key = ("snapchat", seed, number)
    name = text.company(*key)
    start = int((now - (days + 30) * DAY) * MS)
    org = Organization(id=uuid("org", *key), name=name, created=when(start))
    for place in range(2 if number == 0 else 1):
        currency, zone = _PLACES[(number + place) % 3]
        org.ad_accounts.append(_ad_account(org, (*key, place), f"{name} {currency}", currency, zone, start))
    org.profiles.append(_profile(key, name, now, days, per_day))
    return Person(id=uuid("person", *key), name=text.person(*key).name, organizations=[org])


def huge(seed: int, now: float, count: int) -> Person:
    """One ad account with very many campaigns."""
    start = int((now - 700 * DAY) * MS)
    org = Organization(id=uuid("org", "big", seed), name="Everything Inc", created=when(start))
    account = AdAccount(
        id=uuid("act", "big", seed), name="Everything", org=org, currency="USD", zone="UTC", created=when(start)
    )
    account.campaigns = Feed(
        Past(count, start, int(now * MS), lambda ms, n: campaign(account, ms, f"Campaign {n}"), mix("big", seed))
    )
    org.ad_accounts.append(account)
    return Person(id=uuid("person", "big", seed), name="Everything", big=True, organizations=[org])


def _ad_account(org: Organization, key: Any, name: str, currency: str, zone: str, start: int) -> AdAccount:
    made = AdAccount(
        id=uuid("act", *key), name=name, org=org, currency=currency, zone=zone, created=when(start - DAY * MS)
    )
    for c in range(3):
        at = start + c * 60 * MS
        top = campaign(made, at, f"{pick(text.PRODUCTS, c, *key)} {c}".title())
        made.campaigns.append(at, top)
        for s in range(2):
            squad = adsquad(made, at + s + 1, top, f"Squad {c}.{s}")
            made.adsquads.append(at + s + 1, squad)
            for a in range(2):
                made.ads.append(at + 2 * s + a + 1, ad(made, at + 2 * s + a + 1, squad, f"Ad {c}.{s}.{a}"))
    return made


def _profile(key: Any, name: str, now: float, days: int, per_day: int) -> Profile:
    handle = name.lower().replace(" ", "")[:12] + letters(2, DIGITS, *key)
    profile = Profile(id=uuid("profile", *key), name=name, handle=handle, born=now - 400 * DAY)
    for kind, feed in profile.feeds().items():
        back = 1 if kind == "stories" else days
        step = back * DAY * MS // (per_day + 1)
        for turn in range(per_day):
            at = int((now - back * DAY) * MS) + (turn + 1) * step - 600_000
            feed.append(feed.free_key(at), content(profile, kind, feed.free_key(at), text.statement(kind, turn, *key)))
    return profile
