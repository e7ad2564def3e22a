"""Ad accounts, what is in them, and adAnalytics: no pages, at most 20 fields and 15,000 elements."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.dice import chance
from simulator.feed import Record
from simulator.http import Refusal, Request, Routes
from simulator.vendors.linkedin import errors
from simulator.vendors.linkedin.answers import finder, list_arg, paged, reads, single, tokened
from simulator.vendors.linkedin.data import AdAccount
from simulator.vendors.linkedin.restli import params

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

routes = Routes()
MOST_FIELDS, MOST_ELEMENTS = 20, 15_000
_USD = {"EUR": Decimal("1.0837"), "USD": Decimal(1), "JPY": Decimal("0.00671")}
_DAILY = {"landingPageClicks": 70.0, "externalWebsiteConversions": 4.0, "oneClickLeads": 6.0, "likes": 25.0}
_DAILY |= {"comments": 4.0, "shares": 6.0, "follows": 3.0, "videoViews": 900.0, "totalEngagements": 200.0}
_PIVOTS = ("ACCOUNT", "CAMPAIGN_GROUP", "CAMPAIGN", "CREATIVE")


# --- entities


@reads(routes, "/rest/adAccounts", "r_ads")
def ad_accounts(linkedin: LinkedIn, request: Request) -> Record:
    args = params(request)
    finder(args, "search")
    shown = [account_json(account) for account in linkedin.member(request).ad_accounts]
    return tokened(linkedin, request, _searched(args, shown))


def account_json(account: AdAccount) -> Record:
    return {
        "id": account.id,
        "name": account.name,
        "currency": account.currency,
        "status": "ACTIVE",
        "type": "BUSINESS",
        "reference": account.org.urn,
        "servingStatuses": ["RUNNABLE"],
        "test": False,
        "version": {"versionTag": "7"},
    }


@reads(routes, "/rest/adAccountUsers", "r_ads")
def ad_account_users(linkedin: LinkedIn, request: Request) -> Record:
    finder(params(request), "authenticatedUser")
    who = linkedin.member(request)
    entries = [{"account": account.urn, "user": who.urn, "role": "ACCOUNT_MANAGER"} for account in who.ad_accounts]
    return paged(linkedin, request, entries, lambda entry: entry)


def _searched(args: dict[str, Any], records: Iterable[Record]) -> list[Record]:
    search = args.get("search") or {}
    if not isinstance(search, dict):
        raise Refusal(errors.bad_query("search must be an object"))
    wanted = (search.get("status") or {}).get("values")
    return [record for record in records if not wanted or record["status"] in wanted]


def _account(linkedin: LinkedIn, request: Request, urn: str) -> AdAccount | None:
    return next((a for a in linkedin.member(request).ad_accounts if a.urn == urn), None)


def _path_account(linkedin: LinkedIn, request: Request) -> AdAccount:
    account = _account(linkedin, request, f"urn:li:sponsoredAccount:{request.params['id']}")
    if account is None:
        raise Refusal(errors.not_found("ad account"))
    return account


@reads(routes, "/rest/adAccounts/{id}/adCampaigns", "r_ads")
def campaigns(linkedin: LinkedIn, request: Request) -> Record:
    finder(params(request), "search")
    return tokened(linkedin, request, _searched(params(request), _path_account(linkedin, request).campaigns))


@reads(routes, "/rest/adAccounts/{id}/adCampaignGroups", "r_ads")
def campaign_groups(linkedin: LinkedIn, request: Request) -> Record:
    finder(params(request), "search")
    return tokened(linkedin, request, _searched(params(request), _path_account(linkedin, request).groups))


@reads(routes, "/rest/adAccounts/{id}/creatives", "r_ads")
def creatives(linkedin: LinkedIn, request: Request) -> Record:
    finder(params(request), "criteria")
    return tokened(linkedin, request, _path_account(linkedin, request).creatives)


# --- reports


@reads(routes, "/rest/adAnalytics", "r_ads_reporting")
def analytics(linkedin: LinkedIn, request: Request) -> Record:
    """Accounts that the member may not read give nothing, like accounts where nothing happened."""
    args = params(request)
    finder(args, "analytics", "statistics")
    fields = [name for name in str(args.get("fields") or "impressions,clicks").split(",") if name]
    if len(fields) > MOST_FIELDS:
        raise Refusal(errors.bad_param(f"fields: at most {MOST_FIELDS} are allowed"))
    pivot, grain = str(args.get("pivot", "")), str(args.get("timeGranularity", ""))
    if pivot not in _PIVOTS or grain not in ("ALL", "DAILY"):
        raise Refusal(errors.bad_param("pivot or timeGranularity is invalid"))
    if "accounts" not in args and "campaigns" not in args:
        raise Refusal(errors.bad_param("accounts or campaigns must be given"))
    span = _days(args, request.now)
    rows: list[Record] = []
    for account in _asked(linkedin, request, args):
        for entity, below in _entities(account, pivot):
            if "campaigns" in args and not {c["campaign"] for c in below} & set(args["campaigns"]):
                continue
            slots = [[day] for day in span] if grain == "DAILY" else [span]
            found = (_row(request.now, account, entity, below, slot) for slot in slots if slot)
            rows += [{name: row[name] for name in fields if name in row} for row in found if row is not None]
    app = request.app.client_id if request.app else "-"
    usages = linkedin.limits.spend([("metric_values", app)], request.now, max(len(rows) * len(fields), 1))
    if usages[0].over:
        raise Refusal(linkedin.limited(request, usages[0]))
    return single(rows[:MOST_ELEMENTS])


def _asked(linkedin: LinkedIn, request: Request, args: dict[str, Any]) -> list[AdAccount]:
    if "accounts" not in args:
        return [account for account in linkedin.member(request).ad_accounts if account.readable]
    found = [_account(linkedin, request, urn) for urn in list_arg(args, "accounts")]
    return [account for account in found if account is not None and account.readable]


def _days(args: dict[str, Any], now: float) -> list[date]:
    asked = args.get("dateRange")
    if not isinstance(asked, dict) or "start" not in asked:
        raise Refusal(errors.bad_param("dateRange is invalid"))
    today = numbers.today(now)
    first = _day(asked["start"])
    last = min(_day(asked["end"]) if "end" in asked else today, today)
    return numbers.days(first, last) if first <= last else []


def _day(part: Any) -> date:
    try:
        return date(int(part["year"]), int(part["month"]), int(part["day"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(errors.bad_param("dateRange is invalid")) from error


def _entities(account: AdAccount, pivot: str) -> list[tuple[str, list[Record]]]:
    """Entities of a pivot with the creatives below each."""
    if pivot == "CREATIVE":
        return [(creative["id"], [creative]) for creative in account.creatives]
    if pivot == "ACCOUNT":
        return [(account.urn, account.creatives)]
    groups = {f"urn:li:sponsoredCampaign:{c['id']}": c["campaignGroup"] for c in account.campaigns}
    found: dict[str, list[Record]] = {}
    for creative in account.creatives:
        name = creative["campaign"] if pivot == "CAMPAIGN" else groups[creative["campaign"]]
        found.setdefault(name, []).append(creative)
    return list(found.items())


def _row(now: float, account: AdAccount, entity: str, below: list[Record], span: list[date]) -> Record | None:
    impressions = clicks = cents = 0
    totals = dict.fromkeys(_DAILY, 0)
    for creative in below:
        for day in span:
            if chance("delivered", creative["id"], day.toordinal()) < 0.15:
                continue
            shown = numbers.daily(now, day, 4_000, creative["id"], settle_days=1, late_share=0.05)
            hit = int(shown * (0.008 + 0.01 * chance("ctr", creative["id"])))
            impressions, clicks = impressions + shown, clicks + hit
            cents += hit * (300 + int(400 * chance("cpc", creative["id"])))
            for name, mean in _DAILY.items():
                settle, late = (90, 0.4) if name == "externalWebsiteConversions" else (1, 0.05)
                totals[name] += numbers.daily(now, day, mean, name, creative["id"], settle_days=settle, late_share=late)
    if not impressions:
        return None
    cost = numbers.money(cents, 2) if account.currency != "JPY" else numbers.money(cents, 0)
    return {
        "dateRange": {"start": _date_json(span[0]), "end": _date_json(span[-1])},
        "pivotValues": [entity],
        "impressions": impressions,
        "clicks": clicks,
        "costInLocalCurrency": cost,
        "costInUsd": str(Decimal(cost) * _USD[account.currency]),
        **totals,
    }


def _date_json(day: date) -> Record:
    return {"year": day.year, "month": day.month, "day": day.day}
