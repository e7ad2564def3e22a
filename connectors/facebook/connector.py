"""Facebook Pages, Messenger, Instagram and ads for one person's grant.

An account is the person who connected; their Pages, Instagram accounts and ad accounts are partitions. Pages are asked
with their own tokens, which `me/accounts` gives and which are never stored. Comment lists know no `since`: posts of a
trailing window are looked at again when their number of comments changes.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.base import Credentials, Installation
from connectors.facebook import parse
from connectors.facebook.answers import BUDGETS, VERDICTS, problem, unknown_app
from connectors.facebook.replies import replies_from
from connectors.facebook.subscriptions import registration
from connectors.facebook.webhook import WEBHOOK
from connectors.http import (
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
    back_walk,
    dig,
    get,
    post,
)
from connectors.http.times import seconds
from sync.base.errors import ScopeMissing

if TYPE_CHECKING:
    from connectors.http.api import Api

V = "/v25.0"
PACIFIC = "America/Los_Angeles"
PAGER = CursorPager("paging.cursors.after", "after", more="paging.next")
WATCHED = timedelta(days=30)
"""How long a post is watched for new comments and changing totals."""
QUIET = 100
"""Conversations in a row without news after which older ones have none either: the newest come first."""

PAGE_FIELDS = "id,name,access_token,instagram_business_account{id,username}"
POST_FIELDS = (
    "id,message,story,created_time,updated_time,permalink_url,full_picture,status_type,is_published,is_hidden,from,"
    "shares,attachments{media_type,media,url,target,subattachments},reactions.summary(total_count).limit(0),"
    "comments.summary(total_count).limit(0)"
)
MEDIA_FIELDS = (
    "id,caption,media_type,media_product_type,media_url,thumbnail_url,permalink,timestamp,like_count,comments_count,"
    "is_comment_enabled,username"
)
COMMENT_FIELDS = "id,message,created_time,from,parent{id},like_count,comment_count,is_hidden,attachment,permalink_url"
REPLY_FIELDS = "id,text,timestamp,username,from,like_count,hidden,parent_id,media"
MESSAGE_FIELDS = "id,created_time,from,to,message,attachments,sticker,tags,shares"
PROFILE_FIELDS = {
    "page": "id,name,username,about,category,fan_count,followers_count,link,picture,verification_status",
    "ig": "id,username,name,biography,followers_count,follows_count,media_count,profile_picture_url,website",
}
PAGE_METRICS = "page_media_view,page_total_media_view_unique,page_post_engagements,page_follows,page_daily_follows"
POST_METRICS = "post_media_view,post_total_media_view_unique,post_clicks,post_reactions_by_type_total,post_video_views"
IG_METRICS = "views,reach,accounts_engaged,likes,comments,shares,saves,replies,total_interactions"
MEDIA_METRICS = "views,reach,saved,likes,comments,shares,total_interactions"
ADS_FIELDS = (
    "account_currency,campaign_id,campaign_name,adset_id,ad_id,ad_name,impressions,clicks,spend,reach,actions,"
    "action_values,conversions"
)


# --- places


async def pages(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    async for found in api.walk(get(f"{V}/me/accounts", fields=PAGE_FIELDS, limit=100), pager=PAGER):
        place = {"kind": "page", "id": found["id"], "name": found.get("name"), "token": found.get("access_token")}
        instagram = dig(found, "instagram_business_account.id")
        shared = {"budget_key": found["id"], "instagram": instagram}
        yield Partition(found["id"], place | shared, zone=PACIFIC)


async def places(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Pages and the Instagram accounts that are linked to them."""
    async for page in pages(api, ctx):
        yield page
        if instagram := page.vars["instagram"]:
            place = {**page.vars, "kind": "ig", "id": instagram, "budget_key": instagram}
            yield Partition(instagram, place, zone=PACIFIC)


async def _of_kind(api: Api, ctx: Context, kind: str) -> AsyncIterator[Partition]:
    async for place in places(api, ctx):
        if place.vars["kind"] == kind:
            yield place


async def instagrams(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for place in _of_kind(api, ctx, "ig"):
        yield place


async def _watched(api: Api, ctx: Context, kind: str) -> AsyncIterator[tuple[Partition, dict[str, Any]]]:
    """Posts of the trailing window with their place."""
    since = seconds(ctx.back_to(WATCHED))
    async for place in _of_kind(api, ctx, kind):
        fields = "id,created_time,comments.summary(total_count).limit(0)"
        listing = _listing(place, fields if kind == "page" else "id,timestamp,comments_count", since=since)
        async for found in api.walk(listing, pager=PAGER, ctx=ctx.at(place)):
            yield place, found


async def _commented(api: Api, ctx: Context, kind: str) -> AsyncIterator[Partition]:
    async for place, found in _watched(api, ctx, kind):
        count = found.get("comments_count", dig(found, "comments.summary.total_count", 0))
        if count:
            yield Partition(found["id"], {**place.vars, "post": found["id"]}, mark=count)


async def commented_posts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for partition in _commented(api, ctx, "page"):
        yield partition


async def commented_media(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for partition in _commented(api, ctx, "ig"):
        yield partition


async def watched_posts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    for kind in ("page", "ig"):
        async for place, found in _watched(api, ctx, kind):
            yield Partition(found["id"], {**place.vars, "post": found["id"]})


async def conversations(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for page in pages(api, ctx):
        for platform in ("messenger", "instagram") if page.vars["instagram"] else ("messenger",):
            ctx.unchanged = 0
            fields = "id,updated_time,message_count"
            listing = _graph(page.vars, "conversations", "conversations", platform=platform, fields=fields, limit=100)
            async for found in api.walk(listing, pager=PAGER, ctx=ctx.at(page)):
                details = {**page.vars, "conversation": found["id"], "platform": platform}
                yield Partition(found["id"], details, mark=f"{found['updated_time']}/{found.get('message_count')}")
                if ctx.unchanged >= QUIET:
                    break


async def ad_accounts(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    fields = "id,account_id,name,currency,timezone_name,account_status"
    async for found in api.walk(get(f"{V}/me/adaccounts", fields=fields, limit=100), pager=PAGER):
        facts = {"id": found["id"], "currency": found.get("currency"), "budget_key": found.get("account_id")}
        yield Partition(found["id"], facts, zone=found.get("timezone_name") or "UTC")


# --- requests


def _graph(place: Any, edge: str, endpoint: str, **params: Any) -> Request:
    return get(f"{V}/{place['id']}/{edge}".rstrip("/"), endpoint=endpoint, with_token=place["token"], **params)


def _listing(place: Partition, fields: str, limit: int = 100, **params: Any) -> Request:
    edge = "media" if place.vars["kind"] == "ig" else "published_posts"
    return _graph(place.vars, edge, "posts", fields=fields, limit=limit, **params)


def _bounds(ctx: Context) -> dict[str, int | None]:
    # `until` is exclusive in seconds: a fraction of a second more would be cut off.
    return {
        "since": seconds(ctx.since) if ctx.since else None,
        "until": seconds(ctx.until) + 1 if ctx.until else None,
    }


def posts(ctx: Context) -> Request:
    fields = MEDIA_FIELDS if ctx.vars["kind"] == "ig" else POST_FIELDS
    return _listing(ctx.partition, fields, limit=ctx.size, **_bounds(ctx))


def comments(ctx: Context) -> Request:
    return get(
        f"{V}/{ctx.vars['post']}/comments",
        endpoint="comments",
        with_token=ctx.vars["token"],
        filter="stream",
        order="reverse_chronological",
        fields=COMMENT_FIELDS,
        limit=ctx.size,
    )


def media_comments(ctx: Context) -> Request:
    fields = f"{REPLY_FIELDS},replies{{{REPLY_FIELDS}}}"
    return get(
        f"{V}/{ctx.vars['post']}/comments",
        endpoint="comments",
        with_token=ctx.vars["token"],
        fields=fields,
        limit=ctx.size,
    )


def messages(ctx: Context) -> Request:
    path = f"{V}/{ctx.vars['conversation']}/messages"
    return get(path, endpoint="messages", with_token=ctx.vars["token"], fields=MESSAGE_FIELDS, limit=ctx.size)


def mentions(ctx: Context) -> Request:
    edge, fields = ("tags", MEDIA_FIELDS) if ctx.vars["kind"] == "ig" else ("tagged", POST_FIELDS)
    return _graph(ctx.vars, edge, "mentions", fields=fields, limit=ctx.size, **_bounds(ctx))


def page_insights(ctx: Context) -> Request:
    return _graph(ctx.vars, "insights", "insights", metric=PAGE_METRICS, period="day", **_days(ctx))


def instagram_insights(ctx: Context) -> Request:
    metric = {"metric": IG_METRICS, "metric_type": "total_value"}
    return _graph(ctx.vars, "insights", "insights", **metric, period="day", **_days(ctx))


def _days(ctx: Context) -> dict[str, int]:
    span = ctx.span
    assert span.starts_at is not None and span.ends_at is not None
    return {"since": seconds(span.starts_at), "until": seconds(span.ends_at)}


def post_insights(ctx: Context) -> Request:
    metric = MEDIA_METRICS if ctx.vars["kind"] == "ig" else POST_METRICS
    return get(f"{V}/{ctx.vars['post']}/insights", endpoint="insights", with_token=ctx.vars["token"], metric=metric)


def ads_report(ctx: Context) -> Request:
    days = {"since": str(ctx.span.first_day), "until": str(ctx.span.last_day)}
    form = {
        "level": "ad",
        "time_increment": 1,
        "time_range": msgspec.json.encode(days).decode(),
        "fields": ADS_FIELDS,
        "action_attribution_windows": '["7d_click","1d_view"]',
    }
    return post(f"{V}/{ctx.partition.key}/insights", form=form, endpoint="ads_report")


def report_ready(reply: Reply) -> bool | None:
    status = reply.at("async_status")
    if status in ("Job Failed", "Job Skipped"):
        return False
    return True if status == "Job Completed" and reply.at("async_percent_completion") == 100 else None


ADS_REPORT = Report(
    create=ads_report,
    job_id="report_run_id",
    poll=lambda _ctx, job: get(f"{V}/{job}", endpoint="ads_report"),
    ready=report_ready,
    download=lambda _ctx, job, _reply: get(f"{V}/{job}/insights", endpoint="ads_rows", limit=100),
)


# --- auth


async def identify(api: Api) -> Identity:
    found = (await api.call(get(f"{V}/me", fields="id,name", endpoint="me"))).data
    try:
        owned = [place.key async for place in places(api, api.context())]
    except ScopeMissing:
        owned = []
    return Identity(found["id"], found.get("name", ""), {"user_id": found["id"], "places": owned})


async def prove(request: Request, ctx: Context) -> Request:
    """appsecret_proof: that the token is used by our app and nobody else."""
    secret = ctx.account.installation.client_secret
    if not secret or not request.token:
        return request
    proof = hmac.new(secret.encode(), request.token.encode(), sha256).hexdigest()
    return replace(request, params={**request.params, "appsecret_proof": proof})


def extend(credentials: Credentials, installation: Installation) -> Request:
    """There is no refresh token: a living token is exchanged for one of 60 days."""
    form = {
        "grant_type": "fb_exchange_token",
        "client_id": installation.client_id,
        "client_secret": installation.client_secret,
        "fb_exchange_token": credentials["access_token"],
    }
    return Request("POST", f"{V}/oauth/access_token", form=form, endpoint="token", signed=False)


FACEBOOK = HttpConnector(
    platform="facebook",
    title="Facebook",
    replies=replies_from(places, V),
    base_url={"": "https://graph.facebook.com", "www": "https://www.facebook.com"},
    auth=OAuth2(
        authorize_path=f"{V}/dialog/oauth",
        authorize_host="www",
        token_path=f"{V}/oauth/access_token",
        kind=Renewal.EXTEND,
        separator=",",
        scopes=("pages_show_list", "business_management", "pages_manage_metadata"),
        margin=timedelta(days=7),
        refresh=extend,
        dead=lambda reply: dig(reply.data, "error.code") in (190, 102),
        misconfigured=unknown_app,
    ),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    before=prove,
    webhook=replace(WEBHOOK, register=registration(pages, V)),
    streams=(
        Stream(
            "posts",
            "Posts of Pages and Instagram accounts",
            every=timedelta(minutes=15),
            scopes=("pages_read_engagement", "instagram_basic"),
            partitions=places,
            request=posts,
            pager=PAGER,
            # Approximately newest first and filtered by `since`: the walk ends with the list, not at an old post.
            cursor=back_walk(
                parse.created_at, stop=False, overlap=timedelta(hours=1), first=timedelta(days=730), reread=WATCHED
            ),
            map=parse.post,
        ),
        Stream(
            "comments",
            "Comments on posts",
            every=timedelta(minutes=15),
            part="page",
            scopes=("pages_read_user_content",),
            partitions=commented_posts,
            request=comments,
            pager=PAGER,
            cursor=back_walk(parse.created_at, overlap=timedelta(hours=1)),
            map=parse.comment,
        ),
        Stream(
            "comments",
            "Comments on Instagram media",
            every=timedelta(minutes=15),
            part="ig",
            scopes=("instagram_manage_comments",),
            partitions=commented_media,
            request=media_comments,
            pager=PAGER,
            page_size=50,
            cursor=back_walk(parse.created_at, stop=False),
            map=parse.comment,
        ),
        Stream(
            "messages",
            "Messenger and Instagram messages",
            every=timedelta(seconds=60),
            scopes=("pages_messaging", "instagram_manage_messages"),
            partitions=conversations,
            request=messages,
            pager=PAGER,
            page_size=20,
            # Of older ones nothing but the id can be read.
            max_pages=1000,
            cursor=back_walk(parse.created_at, overlap=timedelta(minutes=5)),
            map=parse.message,
        ),
        Stream(
            "mentions",
            "Posts that tag the account",
            every=timedelta(minutes=30),
            scopes=("pages_read_user_content",),
            partitions=places,
            request=mentions,
            pager=PAGER,
            cursor=back_walk(parse.created_at, stop=False, overlap=timedelta(hours=1), first=timedelta(days=365)),
            map=parse.mention,
        ),
        Stream(
            "engagement-metrics",
            "Reach and engagement of accounts and posts",
            every=timedelta(minutes=60),
            part="page",
            scopes=("read_insights",),
            partitions=pages,
            request=page_insights,
            cursor=DateWindow(step=30, lookback=4, recent=2, settle=timedelta(days=4), first=90, reach=730),
            map=parse.page_days,
        ),
        Stream(
            "engagement-metrics",
            "Reach and engagement of Instagram accounts",
            every=timedelta(minutes=60),
            part="ig",
            scopes=("instagram_manage_insights",),
            partitions=instagrams,
            request=instagram_insights,
            cursor=DateWindow(step=1, lookback=4, recent=2, settle=timedelta(days=4), first=30, reach=90),
            map=parse.instagram_day,
        ),
        Stream(
            "engagement-metrics",
            "Totals of posts",
            every=timedelta(minutes=60),
            part="posts",
            partitions=watched_posts,
            request=post_insights,
            cursor=Snapshot(),
            map=parse.post_totals,
        ),
        Stream(
            "ads-metrics",
            "Results of ads by day",
            every=timedelta(minutes=60),
            scopes=("ads_read",),
            partitions=ad_accounts,
            report=ADS_REPORT,
            pager=PAGER,
            cursor=DateWindow(step=30, lookback=28, recent=2, settle=timedelta(days=28), first=90, reach=1110),
            map=parse.ads_row,
        ),
        Stream(
            "profile",
            "Profiles and followers",
            every=timedelta(hours=6),
            scopes=("pages_read_engagement", "instagram_basic"),
            partitions=places,
            request=lambda ctx: _graph(ctx.vars, "", "profile", fields=PROFILE_FIELDS[ctx.vars["kind"]]),
            items="",
            cursor=Snapshot(),
            map=parse.profile,
        ),
    ),
)
