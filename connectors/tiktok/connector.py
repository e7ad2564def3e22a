"""TikTok business accounts and their ads, through API for Business.

The account's token of a day and the advertiser's lasting one are two consents: the second is a field of its own, and
what becomes of it concerns ads alone. Comments know no `since` and tell neither deletions nor late replies: the newest
are read at every pull, all of a video's now and then. Of messages only the newest twenty of a conversation can be
read; webhooks bring the others. Personal accounts, which only the Display API knows (another app, other tokens), are
not served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from connectors.base import Field
from connectors.http import (
    NONE,
    Context,
    CursorPager,
    DateWindow,
    HttpConnector,
    Identity,
    OAuth2,
    PagePager,
    Partition,
    Renewal,
    Reply,
    Request,
    Snapshot,
    Stream,
    Watermark,
    back_walk,
    chunks,
    header,
)
from connectors.tiktok import calls, parse
from connectors.tiktok.answers import ADS_VERDICTS, BUDGETS, VERDICTS, problem
from connectors.tiktok.replies import REPLIES
from connectors.tiktok.webhook import WEBHOOK
from sync.base.errors import ScopeMissing

if TYPE_CHECKING:
    from connectors.http.api import Api

V = calls.V
PAGER = CursorPager("data.cursor", "cursor", more="data.has_more")
NUMBERED = PagePager("page", pages="data.page_info.total_page")
WATCHED = timedelta(days=60)
"""How long a video is watched for new comments and its numbers."""
FRESH = timedelta(days=7)
"""Younger videos are looked at at every pull, the others four times a day."""
DEAD = frozenset({40103, 40105, 40106, 40107, 40113})


# --- parts


async def commented(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Recent videos. How many comments they have is known a day late, so it cannot tell what is new."""
    since = ctx.back_to(WATCHED)
    listing = calls.videos(replace(ctx, size=20), ("item_id", "create_time"))
    async for found in api.walk(listing, "data.videos", PAGER, size=20):
        if (born := parse.created_at(found)) is None:
            continue
        if born < since:
            return
        fresh = ctx.now - born < FRESH
        yield Partition(found["item_id"], {"video": found["item_id"]}, mark=None if fresh else _quarter_day(ctx))


def _quarter_day(ctx: Context) -> int:
    return int(ctx.now.timestamp() // 21_600)


async def insight_round(_api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """All recent videos at once, four times a day: TikTok itself counts anew once a day."""
    yield Partition("recent", mark=_quarter_day(ctx))


async def known_videos(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Videos we hold, to see which are not shown any more."""
    number = 0
    async for known in api.known(("post",), ctx.now - WATCHED):
        for batch in chunks(known, 20):
            yield Partition(str(number), {"ids": batch})
            number += 1


async def conversations(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Of people whom the business has answered, and of strangers."""
    for kind in ("SINGLE", "STRANGER"):
        async for found in api.walk(calls.conversations(ctx, kind), "data.conversations", PAGER):
            yield Partition(found["conversation_id"], {"kind": kind}, mark=found.get("up_time"))


async def advertisers(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    """Errors: ScopeMissing without the advertiser's token."""
    credentials, app = api.account.credentials, api.account.installation
    if not credentials.get("ads_token"):
        raise ScopeMissing(calls.NO_ADVERTISER, code="ads_token")
    listing = calls.marketing(
        credentials, "oauth2/advertiser/get", "advertisers", app_id=app.client_id, secret=app.client_secret
    )
    ids = [found["advertiser_id"] async for found in api.walk(listing, "data.list", rules=ADS_VERDICTS)]
    for batch in chunks(ids, 50):
        fields = ("advertiser_id", "currency", "timezone", "display_timezone")
        asked = calls.marketing(credentials, "advertiser/info", "advertisers", advertiser_ids=batch, fields=fields)
        for found in (await api.call(asked, rules=ADS_VERDICTS)).at("data.list", ()):
            zone = found.get("display_timezone") or found.get("timezone") or "UTC"
            facts = {"currency": found.get("currency"), "budget_key": found["advertiser_id"]}
            yield Partition(found["advertiser_id"], facts, zone=zone)


async def ad_groups(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Whose ads may have comments; looked at every hour. Nobody needs to have ads."""
    if not api.account.credentials.get("ads_token"):
        return
    async for advertiser in advertisers(api, ctx):
        listing = calls.marketing(
            api.account.credentials,
            "adgroup/get",
            "ad_groups",
            advertiser_id=advertiser.key,
            fields=("adgroup_id",),
            page=1,
            page_size=1000,
        )
        async for found in api.walk(listing, "data.list", NUMBERED, size=1000, rules=ADS_VERDICTS):
            facts = {**advertiser.vars, "advertiser": advertiser.key}
            hour = int(ctx.now.timestamp() // 3600)
            yield Partition(found["adgroup_id"], facts, mark=hour, zone=advertiser.zone)


# --- auth


async def identify(api: Api) -> Identity:
    app = api.account.installation.client_id
    asked = Request("POST", f"{V}/tt_user/token_info/get/", json={"app_id": app}, endpoint="token_info")
    told = (await api.call(asked)).data["data"]
    account = str(told.get("open_id") or told["creator_id"])
    ctx = replace(api.context(), facts={"business_id": account})
    try:
        asked = calls.business(ctx, "get", "account", fields=["display_name", "username"])
        shown = (await api.call(asked)).data["data"]
    except ScopeMissing:
        shown = {}
    return Identity(account, shown.get("display_name", ""), {"business_id": account, "username": shown.get("username")})


async def prove(request: Request, _ctx: Context) -> Request:
    """The one call that wants its token in the body as well."""
    if request.endpoint != "token_info":
        return request
    return replace(request, json={**request.json, "access_token": request.token})


def dead(reply: Reply) -> bool:
    return reply.at("code") in DEAD


def unknown_app(reply: Reply) -> bool:
    """Of the many things that 40002 says."""
    return reply.at("code") == 40002 and "client" in str(reply.at("message", ""))


# --- the platform

_mentions = partial(Stream, "mentions", every=timedelta(minutes=30), scopes=("biz.brand.insights",), pager=PAGER)
_figures = partial(Stream, "engagement-metrics", every=timedelta(minutes=60))
TIKTOK = HttpConnector(
    platform="tiktok",
    title="TikTok",
    base_url={"": "https://business-api.tiktok.com", "www": "https://www.tiktok.com"},
    auth=OAuth2(
        authorize_path="/v2/auth/authorize/",
        authorize_host="www",
        token_path=f"{V}/tt_user/oauth2/token/",
        kind=Renewal.ROTATING,
        client_id="client_key",
        separator=",",
        margin=timedelta(minutes=30),
        exchange=calls.exchange,
        refresh=calls.refresh,
        unwrap="data",
        place=header("Access-Token"),
        dead=dead,
        misconfigured=unknown_app,
    ),
    extra_fields=(
        Field("ads_token", "Token of a TikTok advertiser (Marketing API), for ads and comments on them.", secret=True),
    ),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    before=prove,
    webhook=WEBHOOK,
    replies=REPLIES,
    streams=(
        Stream(
            "posts",
            "Videos and photo posts",
            every=timedelta(minutes=15),
            scopes=("video.list",),
            request=calls.posts,
            items="data.videos",
            pager=PAGER,
            page_size=20,
            cursor=back_walk(parse.created_at, overlap=timedelta(hours=1), reread=WATCHED),
            map=parse.post,
        ),
        Stream(
            "posts",
            "Posts that are not shown any more",
            every=timedelta(minutes=15),
            part="gone",
            scopes=("video.list",),
            partitions=known_videos,
            request=calls.named,
            items=calls.missing,
            page_size=20,
            cursor=Watermark(lambda _item: None, order=NONE),
            map=parse.vanished,
        ),
        Stream(
            "comments",
            "Comments on posts and replies to them",
            every=timedelta(minutes=15),
            scopes=("video.list", "comment.list"),
            partitions=commented,
            request=calls.comments,
            items="data.comments",
            pager=calls.ThreadPager(),
            page_size=30,
            cursor=back_walk(parse.commented_at, overlap=timedelta(days=2), reread=WATCHED),
            map=parse.comment,
        ),
        Stream(
            "comments",
            "Comments under ads",
            every=timedelta(minutes=15),
            part="ads",
            partitions=ad_groups,
            request=calls.ad_comments,
            items="data.comments",
            pager=NUMBERED,
            cursor=DateWindow(step=30, lookback=30, recent=3, first=30, reach=365),
            map=parse.ad_comment,
            verdicts=ADS_VERDICTS,
        ),
        Stream(
            "messages",
            "Direct messages",
            every=timedelta(seconds=60),
            scopes=("message.list.read",),
            partitions=conversations,
            request=calls.messages,
            items="data.messages",
            page_size=20,
            cursor=Watermark(parse.sent_at, order=NONE),
            map=parse.message,
        ),
        _mentions(
            "Videos that mention the account",
            part="videos",
            request=calls.mentions,
            items="data.videos",
            # They show hours after they happened.
            cursor=back_walk(parse.created_at, overlap=timedelta(hours=12), first=timedelta(days=30)),
            map=parse.mention,
        ),
        _mentions(
            "Comments that mention the account",
            part="comments",
            request=calls.comment_mentions,
            items="data.comments",
            cursor=back_walk(parse.said_at, overlap=timedelta(hours=12), first=timedelta(days=30)),
            map=parse.comment_mention,
        ),
        _figures(
            "Views and engagement of the account by day",
            part="days",
            scopes=("user.info.stats", "user.insights"),
            request=calls.account_days,
            items="data.metrics",
            cursor=DateWindow(step=30, lookback=5, recent=3, settle=timedelta(days=4), first=59, reach=59),
            map=parse.account_day,
        ),
        _figures(
            "Totals of posts",
            part="videos",
            scopes=("video.list", "video.insights"),
            partitions=insight_round,
            request=calls.insights,
            items="data.videos",
            pager=PAGER,
            page_size=20,
            cursor=back_walk(parse.created_at, overlap=WATCHED, first=WATCHED),
            map=parse.video_totals,
        ),
        Stream(
            "ads-metrics",
            "Results of ads by day",
            every=timedelta(minutes=60),
            partitions=advertisers,
            request=calls.report,
            items="data.list",
            pager=NUMBERED,
            page_size=1000,
            cursor=DateWindow(step=30, lookback=28, recent=2, settle=timedelta(days=28), first=90, reach=365),
            map=parse.ads_row,
            verdicts=ADS_VERDICTS,
        ),
        Stream(
            "profile",
            "The account and its followers",
            every=timedelta(hours=6),
            scopes=("user.info.basic", "user.info.username", "user.info.profile", "user.info.stats"),
            request=calls.profile,
            items="data",
            cursor=Snapshot(),
            map=parse.profile,
        ),
    ),
)
