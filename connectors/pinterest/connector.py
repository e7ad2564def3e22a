"""Pinterest for one account: Pins, their figures, ads.

Lists know no `since` and promise no order: pulls end at what is known, and once a day go through everything. A deleted
Pin just is not there any more, so Pins of the last months that no list shows are asked for by id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.base import Field, Installation
from connectors.http import (
    NONE,
    CodeGrant,
    Context,
    CursorPager,
    DateWindow,
    HttpConnector,
    Identity,
    OAuth2,
    Partition,
    Renewal,
    Reply,
    Report,
    Request,
    Snapshot,
    Stream,
    Watermark,
    back_walk,
    chunks,
    get,
    post,
)
from connectors.pinterest import parse
from connectors.pinterest.answers import BUDGETS, FILE, LOOKED_UP, VERDICTS, problem

if TYPE_CHECKING:
    from connectors.http.api import Api

V = "/v5"
PAGER = CursorPager("bookmark", "bookmark")
PINS = ("boards:read", "pins:read")
WATCHED = timedelta(days=90)
"""How long a Pin is looked at for changes, and how far back its daily figures reach."""
ANALYSED = timedelta(days=30)
EVERYTHING = timedelta(days=3650)
DAILY = timedelta(hours=20)
BATCH = 250
"""Campaigns in a call."""
REPORTS_EVERY_S = 6 * 3600

PIN_METRICS = "IMPRESSION,OUTBOUND_CLICK,PIN_CLICK,SAVE,TOTAL_COMMENTS,TOTAL_REACTIONS"
VIDEO_METRICS = f"{PIN_METRICS},VIDEO_MRC_VIEW,VIDEO_10S_VIEW,VIDEO_START,VIDEO_V50_WATCH_TIME"
COLUMNS = (*parse.MONEY, *parse.COUNTS, *parse.ATTRIBUTED)
STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED")
ATTRIBUTION: dict[str, Any] = {
    "click_window_days": 30,
    "engagement_window_days": 30,
    "view_window_days": 1,
    "conversion_report_time": "TIME_OF_AD_ACTION",
}


# --- requests


def organic(path: str, config: Mapping[str, Any], endpoint: str = "org_read", **params: Any) -> Request:
    """For the account itself, or for the owner of an ad account that it works for."""
    return get(f"{V}/{path}", endpoint=endpoint, ad_account_id=config.get("ad_account_id") or None, **params)


def pins(ctx: Context) -> Request:
    return organic("pins", ctx.account.config, page_size=ctx.size, pin_metrics="true")


def pin_analytics(ctx: Context) -> Request:
    first = max((ctx.now - ANALYSED).date(), ctx.vars["born"])
    return organic(
        f"pins/{ctx.vars['pin']}/analytics",
        ctx.account.config,
        "org_analytics",
        start_date=str(first),
        end_date=str(ctx.now.date()),
        metric_types=VIDEO_METRICS if ctx.vars["video"] else PIN_METRICS,
    )


def account_analytics(ctx: Context) -> Request:
    return organic("user_account/analytics", ctx.account.config, "org_analytics", **_days(ctx))


def _days(ctx: Context) -> dict[str, str]:
    return {"start_date": str(ctx.span.first_day), "end_date": str(ctx.span.last_day)}


def campaign_analytics(ctx: Context) -> Request:
    return get(
        f"{V}/ad_accounts/{ctx.vars['account']}/campaigns/analytics",
        endpoint="ads_analytics",
        campaign_ids=ctx.vars["ids"],
        columns=",".join(COLUMNS),
        granularity="DAY",
        **_days(ctx),
        **ATTRIBUTION,
    )


def create_report(ctx: Context) -> Request:
    body = {
        **_days(ctx),
        "granularity": "DAY",
        "level": "PIN_PROMOTION",
        "columns": [*parse.NAMED, *COLUMNS],
        # Six at most; drafts have no figures.
        "campaign_statuses": ["RUNNING", "PAUSED", "NOT_STARTED", "COMPLETED", "ADVERTISER_DISABLED", "ARCHIVED"],
        "report_format": "JSON",
        "primary_sort": "BY_ID",
        **ATTRIBUTION,
    }
    return post(f"{V}/ad_accounts/{ctx.vars['account']}/reports", endpoint="ads_analytics", json=body)


def poll_report(ctx: Context, token: str) -> Request:
    path = f"{V}/ad_accounts/{ctx.vars['account']}/reports"
    return Request("GET", path, {"token": token}, endpoint="ads_analytics")


def report_ready(reply: Reply) -> bool | None:
    """Also of no use any more: a report is kept for an hour."""
    status = reply.at("report_status")
    return True if status == "FINISHED" else None if status == "IN_PROGRESS" else False


def report_file(_ctx: Context, _token: str, reply: Reply) -> Request:
    return Request("GET", str(reply.at("url")), endpoint=FILE, signed=False)


def report_rows(reply: Reply) -> list[Any]:
    return [row for rows in (reply.data or {}).values() if isinstance(rows, list) for row in rows]


# --- parts


async def young_pins(api: Api, ctx: Context, since: timedelta) -> AsyncIterator[dict[str, Any]]:
    """Pins that are not older, as far as the lists are in order: a whole page of older ones ends them."""
    oldest, old = ctx.back_to(since), 0
    async for found in api.walk(organic("pins", ctx.account.config, page_size=250), "items", PAGER, size=250, ctx=ctx):
        at = parse.created_at(found)
        if at is not None and at >= oldest:
            old = 0
            yield found
        elif (old := old + 1) >= 250:
            return


async def missing_pins(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Pins that we hold and no list shows any more."""
    shown = {found["id"] async for found in young_pins(api, ctx, WATCHED)}
    async for ids in api.known(("post",), ctx.back_to(WATCHED)):
        for pin_id in ids:
            if pin_id not in shown:
                yield Partition(pin_id)


async def analysed_pins(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Pins of the last weeks, once a day: sixty calls a minute have to do for all of them."""
    if not _is_business(api):
        return
    async for found in young_pins(api, ctx, ANALYSED):
        born = parse.created_at(found)
        if born is not None:
            details = {"pin": found["id"], "born": born.date(), "video": found.get("creative_type") == "VIDEO"}
            yield Partition(found["id"], details, mark=str(ctx.now.date()))


async def business(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    """The account, if it is one that has figures."""
    if _is_business(api):
        yield Partition("account")


def _is_business(api: Api) -> bool:
    return bool(api.facts.get("account_type") != "PINNER")


async def ad_accounts(api: Api, _ctx: Context) -> AsyncIterator[dict[str, Any]]:
    listing = get(f"{V}/ad_accounts", endpoint="ads_read", include_shared_accounts="true", page_size=250)
    async for found in api.walk(listing, "items", PAGER, size=250):
        yield found


async def campaigns(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """In the order of their creation: a batch, once full, stays the same. Archived ones have spent money, too."""
    async for account in ad_accounts(api, ctx):
        path = f"{V}/ad_accounts/{account['id']}/campaigns"
        listing = get(path, endpoint="ads_read", entity_statuses=list(STATUSES), order="ASCENDING", page_size=250)
        ids = sorted([found["id"] async for found in api.walk(listing, "items", PAGER, size=250)], key=int)
        for number, batch in enumerate(chunks(ids, BATCH)):
            details = {"account": account["id"], "currency": account.get("currency"), "kind": "campaign", "ids": batch}
            yield Partition(f"{account['id']}:{number}", details)


async def reported_accounts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Passed over until the next quarter of the day: reports are slow."""
    async for account in ad_accounts(api, ctx):
        details = {"account": account["id"], "currency": account.get("currency"), "kind": "ad"}
        yield Partition(account["id"], details, mark=int(ctx.now.timestamp() // REPORTS_EVERY_S))


# --- access


async def identify(api: Api) -> Identity:
    found = (await api.call(organic("user_account", api.account.config))).data
    facts = {"user_id": found["id"], "username": found["username"], "account_type": found.get("account_type")}
    return Identity(found["id"], found.get("business_name") or found["username"], facts)


BASIC = OAuth2(
    authorize_path="/oauth/",
    authorize_host="www",
    token_path=f"{V}/oauth/token",
    kind=Renewal.ROTATING,
    separator=",",
    client_auth="basic",
    scopes=("user_accounts:read",),
    # A connection that is not renewed for 60 days is lost; an access token lives for 30.
    margin=timedelta(days=7),
    # Everything else than a limit: a wrong secret of ours looks the same.
    dead=lambda reply: 400 <= reply.status < 500 and reply.status != 429,
)


def exchange(grant: CodeGrant, installation: Installation) -> Request:
    """Older apps get refresh tokens that can be renewed only when they ask for them."""
    request = BASIC.code_request(grant, installation)
    return replace(request, form={**(request.form or {}), "continuous_refresh": "true"})


MINUTES = timedelta(minutes=1)

_figures = partial(Stream, "engagement-metrics", every=60 * MINUTES)
_ads = partial(Stream, "ads-metrics", every=60 * MINUTES, scopes=("ads:read",), map=parse.ads_row)
_pins = partial(Stream, scopes=PINS, request=pins, items="items", pager=PAGER, page_size=250)
PINTEREST = HttpConnector(
    platform="pinterest",
    title="Pinterest",
    base_url={"": "https://api.pinterest.com", "www": "https://www.pinterest.com"},
    auth=replace(BASIC, exchange=exchange),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    extra_fields=(Field("ad_account_id", "Ad account whose owner's Pins are meant, for agencies."),),
    streams=(
        _pins(
            "posts",
            "Pins",
            every=15 * MINUTES,
            cursor=back_walk(parse.created_at, overlap=timedelta(days=1), reread=EVERYTHING, reread_every=DAILY),
            map=parse.pin,
        ),
        Stream(
            "posts",
            "Pins that were deleted",
            every=15 * MINUTES,
            part="gone",
            scopes=PINS,
            partitions=missing_pins,
            request=lambda ctx: organic(f"pins/{ctx.partition.key}", ctx.account.config),
            items=parse.looked_up,
            # Without an order; it can be asked of any days, as a backfill does.
            cursor=Watermark(lambda _item: None, order=NONE),
            verdicts=LOOKED_UP,
            map=parse.gone,
        ),
        _pins(
            "engagement-metrics",
            "Totals of Pins",
            every=60 * MINUTES,
            part="pins",
            cursor=back_walk(parse.created_at, overlap=WATCHED, reread=EVERYTHING, reread_every=DAILY),
            map=parse.measured_pin,
        ),
        _figures(
            "Figures of Pins by day",
            part="days",
            scopes=PINS,
            partitions=analysed_pins,
            request=pin_analytics,
            items="all.daily_metrics",
            cursor=Snapshot(),
            map=parse.days,
        ),
        _figures(
            "Figures of the account by day",
            part="account",
            scopes=("user_accounts:read",),
            partitions=business,
            request=account_analytics,
            items="all.daily_metrics",
            cursor=DateWindow(step=90, lookback=6, recent=4, first=89, reach=89),
            map=parse.days,
        ),
        _ads(
            "Results of campaigns by day",
            part="campaigns",
            partitions=campaigns,
            request=campaign_analytics,
            items="",
            # Conversions move for as long as their window is open.
            cursor=DateWindow(step=90, lookback=31, recent=2, settle=timedelta(days=31), first=60, reach=89),
        ),
        _ads(
            "Results of ads by day",
            part="ads",
            partitions=reported_accounts,
            report=Report(
                create=create_report,
                job_id="token",
                poll=poll_report,
                ready=report_ready,
                download=report_file,
                poll_s=15.0,
            ),
            items=report_rows,
            cursor=DateWindow(step=90, lookback=31, recent=2, settle=timedelta(days=31), first=60, reach=913),
        ),
        Stream(
            "profile",
            "The profile and its followers",
            every=360 * MINUTES,
            scopes=("user_accounts:read",),
            request=lambda ctx: organic("user_account", ctx.account.config),
            items="",
            cursor=Snapshot(),
            map=parse.profile,
        ),
    ),
)
