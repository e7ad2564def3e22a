"""LinkedIn pages and ads for one member's grant.

An account is the member who connected; pages they have a role on and ad accounts are partitions, looked up at every
pull, so a lost role leaves its page out. Comments know no `since`: posts of a trailing window are read again when
their number of comments or a notification changes. LinkedIn has no direct messages for apps like ours, and no presence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from connectors.http import (
    NONE,
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
    Watermark,
    back_walk,
    chunks,
    get,
)
from connectors.http.times import epoch_ms, milliseconds
from connectors.linkedin import calls, parse
from connectors.linkedin.answers import BUDGETS, VERDICTS, problem
from connectors.linkedin.replies import REPLIES
from connectors.linkedin.restli import StartPager, ThreadPager, address, urn
from connectors.linkedin.webhook import WEBHOOK
from sync.base.errors import ScopeMissing

if TYPE_CHECKING:
    from connectors.http.api import Api

PAGER = StartPager()
WATCHED = timedelta(days=30)
"""How long a post is watched for new comments, changing totals and its deletion."""
BATCH = 50
"""URNs in one address, which may have 4 KB."""

ADMINS = ("ADMINISTRATOR",)
READERS = (*ADMINS, "CONTENT_ADMIN", "DIRECT_SPONSORED_CONTENT_POSTER")
ADMIN, SOCIAL, FEED = "rw_organization_admin", "r_organization_social", "r_organization_social_feed"
NO_ROLE = "On none of their LinkedIn pages has the person who connected the role that this needs (administrator)."


# --- pages and ad accounts


async def _pages(api: Api, roles: tuple[str, ...], *, needed: bool = True) -> AsyncIterator[Partition]:
    """Pages on which the member has one of these roles. Errors: ScopeMissing if they have pages, but none such."""
    held: dict[str, str] = {}
    async for found in api.walk(calls.roles(), "elements", PAGER):
        page, role = found["organization"], found["role"]
        if page not in held or role in ADMINS:
            held[page] = role
    fitting = [(page, role) for page, role in held.items() if role in roles]
    if needed and held and not fitting:
        raise ScopeMissing(NO_ROLE, code="role")
    for page, role in fitting:
        yield Partition(page, {"urn": page, "id": page.rpartition(":")[2], "role": role})


async def pages(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    async for page in _pages(api, READERS):
        yield page


async def administered(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    async for page in _pages(api, ADMINS):
        yield page


async def notifying(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    """Pages whose notifications may be read; doing without is possible."""
    async for page in _pages(api, ADMINS, needed=False):
        yield page


async def ad_accounts(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    """Also those that are over: their last days may still be restated."""
    listing = calls.rest("adAccounts", q="search", search={"status": {"values": ["ACTIVE", "CANCELED"]}}, pageSize=100)
    async for found in api.walk(listing, "elements", CursorPager("metadata.nextPageToken", "pageToken")):
        account = f"urn:li:sponsoredAccount:{found['id']}"
        yield Partition(account, {"urn": account, "currency": found.get("currency")})


# --- posts of a trailing window


async def _watched(api: Api, page: Partition, since: datetime) -> AsyncIterator[str]:
    listing = calls.rest("posts", q="author", author=page.key, sortBy="CREATED", count=100)
    async for found in api.walk(listing, "elements", PAGER):
        if (created_at := epoch_ms(found.get("createdAt"))) is not None and created_at < since:
            return
        yield found["id"]


async def _batches(api: Api, page: Partition, since: datetime) -> AsyncIterator[list[str]]:
    posts = [post async for post in _watched(api, page, since)]
    for batch in chunks(posts, BATCH):
        yield batch


async def commented(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Posts with comments; one is passed over while neither their number nor a notification about them changes."""
    async for page in _pages(api, READERS):
        told = await _told(api, ctx, page) if page.vars["role"] in ADMINS else {}
        async for batch in _batches(api, page, ctx.back_to(WATCHED)):
            totals = (await api.call(calls.rest("socialMetadata", ids=batch))).at("results", {})
            for post, found in totals.items():
                count = (found.get("commentSummary") or {}).get("count", 0)
                if count or post in told:
                    yield Partition(post, {**page.vars, "post": post}, mark=f"{count}/{told.get(post, 0)}")


async def _told(api: Api, ctx: Context, page: Partition) -> dict[str, int]:
    """The newest notification about each post's comments within two days: edits do not change a count."""
    latest: dict[str, int] = {}
    listing = calls.notices(ctx.at(page), "COMMENT", "ADMIN_COMMENT", "COMMENT_EDIT", "COMMENT_DELETE")
    span = {"start": milliseconds(ctx.now - timedelta(days=2)), "end": milliseconds(ctx.now)}
    async for found in api.walk(Request("GET", listing.path, {**listing.params, "timeRange": span}), "elements", PAGER):
        latest.setdefault(str(found.get("sourcePost")), int(found["notificationId"]))
    return latest


async def post_batches(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for page in _pages(api, ADMINS):
        number = 0
        async for batch in _batches(api, page, ctx.now - WATCHED):
            yield Partition(f"{page.key}/{number}", {**page.vars, "posts": batch})
            number += 1


async def known_posts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Posts we hold, to see which of them are gone."""
    number = 0
    async for known in api.known(("post",), ctx.now - WATCHED):
        for batch in chunks(known, BATCH):
            yield Partition(str(number), {"posts": batch})
            number += 1


async def identify(api: Api) -> Identity:
    """By sign-in, or else by the roles: not every app may ask for the scopes of sign-in."""
    me, owned = "", []
    try:
        async for found in api.walk(calls.roles(), "elements", PAGER):
            me = found["roleAssignee"].rpartition(":")[2]
            owned.append(found["organization"])
    except ScopeMissing:
        owned = []
    try:
        found = (await api.call(get("/v2/userinfo", endpoint="userinfo"))).data
    except ScopeMissing:
        if not me:
            raise
        found = {"sub": me}
    return Identity(found["sub"], found.get("name", ""), {"user_id": found["sub"], "places": sorted(set(owned))})


# --- the platform

DAYS = DateWindow(step=30, lookback=4, recent=2, settle=timedelta(days=3), first=90, reach=364)
_listing = partial(Stream, every=timedelta(minutes=15), items="elements", pager=PAGER)
_figures = partial(Stream, "engagement-metrics", every=timedelta(minutes=60))
_days = partial(
    Stream,
    "engagement-metrics",
    every=timedelta(minutes=60),
    scopes=(ADMIN,),
    partitions=administered,
    items="elements",
    cursor=DAYS,
)
_profile = partial(Stream, "profile", every=timedelta(hours=6), items="", cursor=Snapshot())
LINKEDIN = HttpConnector(
    platform="linkedin",
    title="LinkedIn",
    base_url={"": "https://api.linkedin.com", "www": "https://www.linkedin.com"},
    auth=OAuth2(
        authorize_path="/oauth/v2/authorization",
        authorize_host="www",
        token_path="/oauth/v2/accessToken",
        token_host="www",
        kind=Renewal.REUSABLE,
        scopes=("openid", "profile"),
        margin=timedelta(days=7),
        settle=timedelta(seconds=30),
    ),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    before=address,
    headers=calls.headers,
    webhook=WEBHOOK,
    replies=REPLIES,
    streams=(
        _listing(
            "posts",
            "Posts of pages",
            scopes=(ADMIN, SOCIAL),
            partitions=pages,
            request=calls.posts,
            # Pages are counted from the newest change: what is deleted meanwhile can hide a post until the next reread.
            cursor=back_walk(parse.changed_at, overlap=timedelta(minutes=10), reread=WATCHED),
            map=parse.post,
        ),
        Stream(
            "posts",
            "Posts that were deleted",
            every=timedelta(minutes=15),
            part="gone",
            scopes=(SOCIAL,),
            partitions=known_posts,
            request=lambda ctx: calls.rest("posts", ids=ctx.vars["posts"]),
            items=calls.outcomes,
            cursor=Watermark(lambda _item: None, order=NONE),
            map=parse.vanished,
        ),
        Stream(
            "comments",
            "Comments on posts and replies to them",
            every=timedelta(minutes=15),
            scopes=(ADMIN, SOCIAL, FEED),
            partitions=commented,
            request=calls.comments,
            items="elements",
            pager=ThreadPager(),
            cursor=Watermark(parse.commented_at, order=NONE),
            map=parse.comment,
        ),
        _listing(
            "comments",
            "Comments that were deleted",
            part="gone",
            scopes=(ADMIN,),
            partitions=notifying,
            request=lambda ctx: calls.notices(ctx, "COMMENT_DELETE"),
            cursor=back_walk(parse.told_at, stop=False, overlap=timedelta(minutes=10), first=calls.TOLD),
            map=parse.deleted_comment,
        ),
        _listing(
            "mentions",
            "Posts that mention a page",
            scopes=(ADMIN,),
            partitions=administered,
            request=lambda ctx: calls.notices(ctx, "SHARE_MENTION"),
            cursor=back_walk(parse.told_at, stop=False, overlap=timedelta(minutes=10), first=calls.TOLD),
            map=parse.mention,
        ),
        _figures(
            "Totals of posts",
            part="posts",
            scopes=(ADMIN, SOCIAL),
            partitions=post_batches,
            request=calls.post_totals,
            items="elements",
            cursor=Snapshot(),
            map=parse.post_totals,
        ),
        _figures(
            "Reactions to posts by type",
            part="reactions",
            scopes=(FEED,),
            partitions=post_batches,
            request=lambda ctx: calls.rest("socialMetadata", ids=ctx.vars["posts"]),
            items=lambda reply: list(reply.at("results", {}).items()),
            cursor=Snapshot(),
            map=parse.reaction_totals,
        ),
        _days(
            "Reach and engagement of pages by day",
            part="days",
            request=calls.by_day("organizationalEntityShareStatistics", "organizationalEntity"),
            map=parse.page_day,
        ),
        _days(
            "New followers by day",
            part="followers",
            request=calls.by_day("organizationalEntityFollowerStatistics", "organizationalEntity"),
            map=parse.follower_day,
        ),
        _days(
            "Page views by day",
            part="views",
            request=calls.by_day("organizationPageStatistics", "organization"),
            map=parse.view_day,
        ),
        Stream(
            "ads-metrics",
            "Results of campaigns by day",
            every=timedelta(minutes=60),
            scopes=("r_ads", "r_ads_reporting"),
            partitions=ad_accounts,
            request=calls.analytics,
            items="elements",
            cursor=DateWindow(step=30, lookback=90, recent=2, settle=timedelta(days=90), first=90, reach=3650),
            map=parse.ads_row,
        ),
        _profile(
            "Pages",
            scopes=(ADMIN,),
            partitions=administered,
            request=lambda ctx: calls.rest("organizations", f"/{ctx.vars['id']}"),
            map=parse.profile,
        ),
        _profile(
            "Followers of pages",
            part="followers",
            scopes=(SOCIAL,),
            partitions=pages,
            request=lambda ctx: calls.rest(
                "networkSizes", f"/{urn(ctx.partition.key)}", edgeType="COMPANY_FOLLOWED_BY_MEMBER"
            ),
            map=parse.followers,
        ),
    ),
)
