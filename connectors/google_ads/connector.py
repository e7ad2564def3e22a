"""Google Ads for one Google login.

An account is the login; the Ads accounts it reaches, itself or through managers, are partitions. They are looked up
once a day and kept with the account's facts, because every query counts on the day's operations. One query is one
operation, however many pages it has. There are no comments, messages or webhooks.

The version of the API lives a year: the secret `api_version` of the installation's app names a newer one, and
`developer_token` is sent if it is there (Google ignores it since September 2026).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from connectors.base import Field
from connectors.google_ads import parse, queries
from connectors.google_ads.answers import BUDGETS, VERDICTS, problem
from connectors.http import (
    Context,
    CursorPager,
    DateWindow,
    HttpConnector,
    Identity,
    OAuth2,
    Partition,
    Renewal,
    Request,
    Snapshot,
    Stream,
    dig,
    get,
    post,
)
from connectors.http.pagers import Token
from sync.base.errors import ScopeMissing, Skippable

if TYPE_CHECKING:
    from connectors.http.api import Api

VERSION = "v26"
SCOPE = "https://www.googleapis.com/auth/adwords"
NOTHING = "None of the Google Ads accounts of this login can be read: they are closed, or access was withdrawn."
LOOKBACK = 30
"""Days that are read again daily: conversions count for the day of the click, most within thirty days."""
MONTHS_37 = 37 * 30
KINDS = tuple(queries.ENTITIES)


@dataclass(frozen=True, slots=True)
class Pages(CursorPager):
    """Following pages of a query are free."""

    def apply(self, request: Request, token: Token) -> Request:
        return replace(CursorPager.apply(self, request, token), cost=0)


PAGER = Pages("nextPageToken", "pageToken", where="json", resizable=False)


def _path(ctx: Context, tail: str) -> str:
    return f"/{ctx.account.installation.secrets.get('api_version') or VERSION}/{tail}"


def search(ctx: Context, customer: str, query: str) -> Request:
    return post(_path(ctx, f"customers/{customer}/googleAds:search"), json={"query": query}, endpoint="search")


def headers(ctx: Context) -> Mapping[str, str]:
    found = {
        "login-customer-id": ctx.vars.get("login"),
        "developer-token": ctx.account.installation.secrets.get("developer_token"),
    }
    return {name: str(value) for name, value in found.items() if value}


# --- whose login, which accounts


async def identify(api: Api) -> Identity:
    """The login is known by the lowest number of the accounts that it may use directly: Google tells no other id."""
    ctx = api.context()
    listed = await api.call(get(_path(ctx, "customers:listAccessibleCustomers"), endpoint="accounts"))
    numbers = sorted(str(name).rpartition("/")[2] for name in listed.at("resourceNames", []))
    if not numbers:
        raise ScopeMissing(NOTHING, code="no_accounts")
    found: dict[str, dict[str, Any]] = {}
    for number in numbers:
        place = Partition(number, {"login": number, "budget_key": number})
        try:
            asked = search(ctx, number, queries.CLIENTS)
            async for row in api.walk(asked, "results", PAGER, ctx=ctx.at(place)):
                client = _client(row["customerClient"], number)
                if client["id"] == number or client["id"] not in found:
                    found[client["id"]] = client
        except Skippable:
            continue
    name = next((client["name"] for client in found.values() if client["id"] in numbers), "")
    return Identity(numbers[0], name, {"customers": list(found.values())})


def _client(row: dict[str, Any], login: str) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "login": login,
        "name": row.get("descriptiveName", ""),
        "currency": row.get("currencyCode"),
        "zone": row.get("timeZone") or "UTC",
    }


def _customers(ctx: Context) -> list[dict[str, Any]]:
    only = {number.strip().replace("-", "") for number in str(ctx.account.config.get("customer_ids") or "").split(",")}
    only.discard("")
    customers = [c for c in ctx.facts.get("customers") or () if not only or c["id"] in only]
    if not customers:
        raise ScopeMissing(NOTHING, code="no_accounts")
    return customers


async def customers(_api: Api, ctx: Context) -> AsyncIterator[Partition]:
    for customer in _customers(ctx):
        yield Partition(customer["id"], {**customer, "budget_key": customer["id"]}, zone=customer["zone"])


async def changed(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """What an account has: listed again when its newest change is another one, and daily for what moves by itself."""
    async for customer in customers(api, ctx):
        asked = search(ctx, customer.key, queries.newest_change(ctx.now.date()))
        try:
            reply = await api.call(asked, ctx.at(customer))
        except Skippable:
            continue
        newest = dig(reply.data, "results.0.changeStatus") or {}
        mark = f"{ctx.now.date()} {newest.get('lastChangeDateTime')} {newest.get('resourceName')}"
        for kind in KINDS:
            yield replace(customer, key=f"{customer.key}/{kind}", vars={**customer.vars, "kind": kind}, mark=mark)


# --- requests


def entities(ctx: Context) -> Request:
    return search(ctx, ctx.vars["id"], queries.ENTITIES[ctx.vars["kind"]])


def _daily(kind: str, title: str) -> Stream:
    def request(ctx: Context) -> Request:
        first, last = ctx.span.first_day, ctx.span.last_day
        assert first is not None and last is not None
        return search(ctx, ctx.vars["id"], queries.daily(kind, first, last))

    return Stream(
        "ads-metrics",
        title,
        part=kind,
        every=timedelta(hours=1),
        scopes=(SCOPE,),
        partitions=customers,
        request=request,
        items="results",
        pager=PAGER,
        cursor=DateWindow(
            step=30, lookback=LOOKBACK, recent=3, settle=timedelta(days=LOOKBACK), first=90, reach=MONTHS_37
        ),
        map=parse.daily,
    )


GOOGLE_ADS = HttpConnector(
    platform="google_ads",
    title="Google Ads",
    base_url={
        "": "https://googleads.googleapis.com",
        "accounts": "https://accounts.google.com",
        "oauth": "https://oauth2.googleapis.com",
    },
    auth=OAuth2(
        authorize_path="/o/oauth2/v2/auth",
        authorize_host="accounts",
        authorize_params={"access_type": "offline", "prompt": "consent"},
        token_path="/token",
        token_host="oauth",
        kind=Renewal.REUSABLE,
    ),
    extra_fields=(
        Field("customer_ids", "Only these Google Ads accounts, by their numbers with commas between; all if empty."),
    ),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    headers=headers,
    timeout_s=120.0,
    streams=(
        _daily("campaign", "Daily figures of campaigns"),
        _daily("ad", "Daily figures of ads"),
        _daily("conversion", "Daily conversions of campaigns by action"),
        Stream(
            "profile",
            "Ads accounts, campaigns, ad groups and ads",
            every=timedelta(minutes=15),
            scopes=(SCOPE,),
            partitions=changed,
            request=entities,
            items="results",
            pager=PAGER,
            cursor=Snapshot(),
            map=parse.entity,
        ),
    ),
)
