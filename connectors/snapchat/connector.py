"""Snapchat for one person's grant.

An account is the person; ad accounts and public profiles of their organizations are partitions, looked up at every
pull, so that a lost role leaves its part out. Lists know no "changed since": they are read whole and compared. Stats
come per ad account with a breakdown, one call for a month of all campaigns. There are no comments, messages or
webhooks, and what needs a public profile is blocked until Snap has allowed our app.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from connectors.http import (
    GONE,
    NONE,
    Context,
    DateWindow,
    HttpConnector,
    Identity,
    NextUrlPager,
    OAuth2,
    Partition,
    Renewal,
    Request,
    Snapshot,
    Stream,
    Watermark,
    dig,
    get,
    on,
)
from connectors.http.times import zone
from connectors.snapchat import parse
from connectors.snapchat.answers import BUDGETS, VERDICTS, problem
from sync.base.errors import ScopeMissing, Skippable

if TYPE_CHECKING:
    from connectors.http.api import Api

ADS, PROFILES = "snapchat-marketing-api", "snapchat-profile-api"
NEXT = NextUrlPager("paging.next_link")
LOOKBACK = 28
"""Days: the longest attribution window."""
ENTITIES = {"adaccount": "adaccounts", "campaign": "campaigns", "adsquad": "adsquads", "ad": "ads"}
CONTENT = {"story": "stories", "saved_story": "saved_stories", "spotlight": "spotlights"}
NOTHING = "The person who connected has no role on a Snapchat ad account any more: connect somebody who has."
NO_PROFILE = "None of the person's organizations has a public profile."


# --- places


async def ad_accounts(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    found = False
    asked = get("/v1/me/organizations", endpoint="organizations", with_ad_accounts="true")
    async for element in api.walk(asked, "organizations"):
        for account in dig(element, "organization.ad_accounts", ()):
            found = True
            facts = {name: account.get(name) for name in ("id", "name", "currency")}
            facts["budget_key"] = account["id"]
            yield Partition(account["id"], facts, zone=account.get("timezone") or "UTC")
    if not found:
        raise ScopeMissing(NOTHING, code="no_ad_account")


async def entity_lists(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for account in ad_accounts(api, ctx):
        for kind in ENTITIES:
            yield Partition(f"{account.key}/{kind}", {**account.vars, "kind": kind}, zone=account.zone)


async def profiles(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    found = False
    async for element in api.walk(get("/v1/me/organizations", endpoint="organizations"), "organizations"):
        org = dig(element, "organization.id", "")
        asked = _business(f"organizations/{org}/public_profiles")
        async for wrapper in api.walk(asked, "public_profiles", NEXT):
            if key := dig(wrapper, "public_profile.id"):
                found = True
                shown = wrapper["public_profile"]
                facts = {"id": key, "name": shown.get("display_name"), "handle": shown.get("snap_user_name")}
                yield Partition(key, facts)
    if not found:
        raise ScopeMissing(NO_PROFILE, code="no_profile")


async def profiles_if_allowed(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Without the permission the ads part of the sync type goes on."""
    try:
        async for profile in profiles(api, ctx):
            yield profile
    except (ScopeMissing, Skippable):
        return


async def content_lists(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for profile in profiles(api, ctx):
        for kind in CONTENT:
            yield Partition(f"{profile.key}/{kind}", {**profile.vars, "kind": kind})


# --- requests


def _business(path: str, **params: Any) -> Request:
    return get(f"/v1/{path}", host="business", endpoint="profiles", **params)


def entities(ctx: Context) -> Request:
    kind, account = ctx.vars["kind"], ctx.vars["id"]
    if kind == "adaccount":
        return get(f"/v1/adaccounts/{account}", endpoint="entities")
    path = f"/v1/adaccounts/{account}/{ENTITIES[kind]}"
    return get(path, endpoint="entities", limit=ctx.size, read_deleted_entities="true")


def _window(ctx: Context) -> dict[str, str]:
    """Midnights with their offsets, which differ when clocks change."""
    span, local = ctx.span, zone(ctx.partition.zone)
    assert span.starts_at is not None and span.ends_at is not None
    return {
        "start_time": span.starts_at.astimezone(local).isoformat(timespec="milliseconds"),
        "end_time": span.ends_at.astimezone(local).isoformat(timespec="milliseconds"),
    }


def ads_stats(level: str) -> Callable[[Context], Request]:
    def request(ctx: Context) -> Request:
        return get(
            f"/v1/adaccounts/{ctx.vars['id']}/stats",
            endpoint="stats",
            granularity="DAY",
            breakdown=level,
            fields=",".join(parse.FIELDS),
            swipe_up_attribution_window="28_DAY",
            view_attribution_window="1_DAY",
            action_report_time="conversion",
            # A row without anything would be most rows; a day that delivered is not restated to nothing.
            omit_empty="true",
            **_window(ctx),
        )

    return request


def _ads(level: str, title: str) -> Stream:
    return Stream(
        "ads-metrics",
        title,
        part=level,
        every=timedelta(hours=1),
        scopes=(ADS,),
        partitions=ad_accounts,
        request=ads_stats(level),
        items=parse.stat_rows,
        pager=NEXT,
        # A month at most; 30 days hold whichever way clocks change.
        cursor=DateWindow(step=30, lookback=LOOKBACK, recent=2, settle=parse.LATE, first=90),
        map=parse.ads_day,
    )


def content(ctx: Context) -> Request:
    return _business(f"public_profiles/{ctx.vars['id']}/{CONTENT[ctx.vars['kind']]}", limit=ctx.size)


def profile(ctx: Context) -> Request:
    return _business(f"public_profiles/{ctx.vars['id']}")


def profile_stats(ctx: Context) -> Request:
    return _business(f"public_profiles/{ctx.vars['id']}/stats", granularity="DAY", **_window(ctx))


async def identify(api: Api) -> Identity:
    me = (await api.call(get("/v1/me", endpoint="me"))).at("me", {})
    return Identity(me["id"], me.get("display_name", ""), {"organization_id": me.get("organization_id")})


SNAPCHAT = HttpConnector(
    platform="snapchat",
    title="Snapchat",
    base_url={
        "": "https://adsapi.snapchat.com",
        "business": "https://businessapi.snapchat.com",
        "accounts": "https://accounts.snapchat.com",
    },
    auth=OAuth2(
        authorize_path="/login/oauth2/authorize",
        authorize_host="accounts",
        token_path="/login/oauth2/access_token",
        token_host="accounts",
        kind=Renewal.REUSABLE,
        margin=timedelta(minutes=1),
    ),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    streams=(
        _ads("campaign", "Daily figures of campaigns"),
        _ads("ad", "Daily figures of ads"),
        Stream(
            "profile",
            "Ad accounts, campaigns, ad squads and ads",
            every=timedelta(minutes=30),
            part="ads",
            scopes=(ADS,),
            partitions=entity_lists,
            request=entities,
            items=parse.first_list(*ENTITIES.values()),
            pager=NEXT,
            page_size=1000,
            min_page_size=50,
            # Once a day everything counts as changed, for what moves without `updated_at`.
            cursor=Watermark(
                parse.changed_at,
                order=NONE,
                overlap=timedelta(hours=1),
                reread=timedelta(days=10_000),
                reread_every=timedelta(hours=24),
            ),
            map=parse.entity,
        ),
        Stream(
            "profile",
            "Public profiles",
            every=timedelta(minutes=30),
            part="public",
            partitions=profiles_if_allowed,
            request=profile,
            items="public_profiles",
            cursor=Snapshot(),
            map=parse.public_profile,
            verdicts=(on(status=403, then=GONE),),
        ),
        Stream(
            "posts",
            "Stories, saved stories and Spotlights",
            every=timedelta(minutes=30),
            scopes=(PROFILES,),
            partitions=content_lists,
            min_page_size=50,
            request=content,
            items=parse.first_list(*CONTENT.values()),
            pager=NEXT,
            cursor=Snapshot(),
            map=parse.content,
        ),
        Stream(
            "engagement-metrics",
            "Daily figures of public profiles",
            every=timedelta(hours=1),
            scopes=(PROFILES,),
            partitions=profiles,
            request=profile_stats,
            items=parse.stat_rows,
            cursor=DateWindow(step=30, lookback=7, recent=2, settle=timedelta(days=3), first=90),
            map=parse.profile_day,
        ),
    ),
)
