"""X for one account: its posts, the conversations below them, mentions, direct messages, figures, ads.

There is no list of a post's comments: conversations of the last week are searched for by their id, and replies to us in
all others by our name. Reading costs money for each new thing, so pulls ask for what is newer than an id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from connectors.base import Field
from connectors.http import (
    NONE,
    Context,
    CursorPager,
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
    get,
    token_error,
)
from connectors.http.times import zulu
from connectors.twitter import ads, oauth1, parse
from connectors.twitter.answers import BUDGETS, LOOKUP, VERDICTS, problem
from connectors.twitter.replies import REPLIES
from connectors.twitter.webhook import WEBHOOK
from sync.base.errors import RateLimited, ScopeMissing

if TYPE_CHECKING:
    from connectors.http.api import Api

READ = ("tweet.read", "users.read")
PAGER = CursorPager("meta.next_token", "pagination_token")
WATCHED = timedelta(days=30)
"""How long private metrics can be read, and how long we look whether a post is still there."""
SEARCHED = timedelta(days=7) - timedelta(minutes=5)
"""How far back the usual search reaches."""
BUSY = timedelta(days=2)
"""A conversation so young is searched at every pull; an older one when its post has more replies than before."""
ANALYSED = timedelta(days=3)

POST_FIELDS = (
    "created_at,author_id,conversation_id,in_reply_to_user_id,referenced_tweets,entities,attachments,"
    "edit_history_tweet_ids,lang,note_tweet,possibly_sensitive,public_metrics"
)
PRIVATE_FIELDS = f"{POST_FIELDS},non_public_metrics,organic_metrics"
MEDIA_FIELDS = "url,preview_image_url,type,width,height,duration_ms,alt_text"
USER_FIELDS = "created_at,description,profile_image_url,public_metrics,verified,verified_type,protected,url,location"
SHOWN = {
    "tweet.fields": POST_FIELDS,
    "expansions": "attachments.media_keys,referenced_tweets.id,author_id",
    "media.fields": MEDIA_FIELDS,
    "user.fields": "name,username",
}
DM_FIELDS = "id,text,event_type,created_at,dm_conversation_id,sender_id,attachments"
ANALYTICS_FIELDS = (
    "impressions,engagements,likes,retweets,replies,quote_tweets,bookmarks,url_clicks,user_profile_clicks,timestamp"
)


# --- requests


def timeline(api_or_ctx: Api | Context, **params: Any) -> Request:
    return get(f"/2/users/{api_or_ctx.facts['user_id']}/tweets", endpoint="user_tweets", **SHOWN | params)


def _newer(ctx: Context) -> dict[str, Any]:
    """Ids of the walk's span. Both are exclusive, and what has the first one is known."""
    return {"since_id": ctx.since, "until_id": ctx.until}


def posts(ctx: Context) -> Request:
    return timeline(ctx, max_results=max(ctx.size, 5), **_newer(ctx))


def mentions(ctx: Context) -> Request:
    path = f"/2/users/{ctx.facts['user_id']}/mentions"
    return get(path, endpoint="mentions", max_results=max(ctx.size, 5), **SHOWN, **_newer(ctx))


def conversation(ctx: Context) -> Request:
    return _search(ctx, f"conversation_id:{ctx.partition.key}")


def answers_to_us(ctx: Context) -> Request:
    name = ctx.facts["username"]
    return _search(ctx, f"to:{name} -from:{name} is:reply")


def _search(ctx: Context, query: str) -> Request:
    """Of the last week, or of all times for a backfill that goes back further."""
    oldest, found = parse.floor(ctx.now - SEARCHED), _newer(ctx)
    whole = ctx.since is not None and ctx.until is not None and ctx.since < oldest
    if not whole and (ctx.since or 0) < oldest:
        found["since_id"] = oldest
    name = "all" if whole else "recent"
    size = max(ctx.size, 10)
    return get(f"/2/tweets/search/{name}", endpoint=f"search_{name}", query=query, max_results=size, **SHOWN, **found)


def messages(ctx: Context) -> Request:
    return get(
        "/2/dm_events",
        endpoint="dm_events",
        max_results=ctx.size,
        event_types="MessageCreate",
        expansions="sender_id,attachments.media_keys",
        **{"dm_event.fields": DM_FIELDS, "media.fields": MEDIA_FIELDS, "user.fields": "name,username"},
    )


def young_posts(ctx: Context) -> Request:
    start = zulu(ctx.now - WATCHED + timedelta(hours=1))
    return timeline(ctx, max_results=max(ctx.size, 5), start_time=start, **{"tweet.fields": PRIVATE_FIELDS})


def lookup(ctx: Context) -> Request:
    return get("/2/tweets", endpoint=LOOKUP, ids=ctx.vars["ids"])


def analytics(ctx: Context) -> Request:
    start, end = ctx.today()
    return get(
        "/2/tweets/analytics",
        endpoint="analytics",
        ids=ctx.vars["ids"],
        start_time=zulu(start - ANALYSED),
        end_time=zulu(end),
        granularity="daily",
        **{"analytics.fields": ANALYTICS_FIELDS},
    )


# --- parts


async def conversations(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Posts of our own that began a conversation and were answered."""
    since = ctx.back_to(SEARCHED)
    listing = timeline(api, max_results=100, start_time=zulu(since), exclude="retweets")
    async for found in api.walk(listing, pager=PAGER, ctx=ctx):
        first = parse.history(found)[0]
        replies = (found.get("public_metrics") or {}).get("reply_count", 0)
        if replies and found.get("conversation_id") in (None, first):
            old = parse.time_of(first) < ctx.now - BUSY
            yield Partition(first, mark=replies if old else None)


async def _known(api: Api, since: datetime, mark: str) -> AsyncIterator[Partition]:
    """Posts that we hold, a hundred at a time; looked at again when `mark` has changed."""
    number = 0
    async for ids in api.known(("post",), since):
        yield Partition(str(number), {"ids": ",".join(ids)}, mark=mark)
        number += 1


async def stored_posts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for partition in _known(api, ctx.back_to(WATCHED), f"{ctx.now:%Y-%m-%dT%H}"):
        yield partition


async def analysed_posts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for partition in _known(api, ctx.now - WATCHED + timedelta(hours=1), f"{ctx.now:%Y-%m-%dT%H}"):
        yield partition


# --- access


async def identify(api: Api) -> Identity:
    found = (await api.call(get("/2/users/me", endpoint="me"))).data["data"]
    facts: dict[str, Any] = {"user_id": found["id"], "username": found["username"]}
    with suppress(ScopeMissing, RateLimited):  # said again when ads are pulled
        facts["ad_accounts"] = await ads.accounts(api)
    return Identity(found["id"], f"@{found['username']}", facts)


async def sign_ads(request: Request, ctx: Context) -> Request:
    """The Ads API knows no bearer tokens: its calls are signed with keys of their own."""
    if request.host != "ads":
        return request
    given, secrets = ctx.account.credentials, ctx.account.installation.secrets
    consumer = (secrets.get("consumer_key", ""), secrets.get("consumer_secret", ""))
    token = (given.get("ads_token", ""), given.get("ads_token_secret", ""))
    if not all((*consumer, *token)):
        raise ScopeMissing("Ads of X need OAuth 1.0a keys, which this account does not have.", code="no_ads_keys")
    header = oauth1.authorization(
        request.method,
        TWITTER.urls(ctx.account)["ads"] + request.path,
        oauth1.pairs(request.params),
        consumer=consumer,
        token=token,
        nonce=token_hex(16),
        timestamp=int(ctx.now.timestamp()),
    )
    return replace(request, headers={**request.headers, "Authorization": header})


AUTH = OAuth2(
    authorize_path="/i/oauth2/authorize",
    authorize_host="www",
    token_path="/2/oauth2/token",
    kind=Renewal.ROTATING,
    client_auth="basic",
    pkce=True,
    scopes=(*READ, "offline.access"),
    margin=timedelta(minutes=5),
    dead=lambda reply: reply.status == 400 and token_error(reply) in {"invalid_request", "invalid_grant"},
    misconfigured=lambda reply: reply.status in (401, 403),
)

IDS: dict[str, Any] = {"ids": True, "floor": parse.floor, "stop": False}
MINUTES = timedelta(minutes=1)

TWITTER = HttpConnector(
    platform="twitter",
    title="Twitter / X",
    base_url={"": "https://api.x.com", "www": "https://x.com", "ads": "https://ads-api.x.com"},
    auth=AUTH,
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    before=sign_ads,
    webhook=WEBHOOK,
    replies=REPLIES,
    extra_fields=(
        Field("ads_token", "OAuth 1.0a token for the Ads API, if ads are wanted.", secret=True),
        Field("ads_token_secret", "Its secret.", secret=True),
    ),
    streams=(
        Stream(
            "posts",
            "Posts, replies and reposts of the account",
            every=15 * MINUTES,
            scopes=READ,
            request=posts,
            pager=PAGER,
            min_page_size=5,
            cursor=back_walk(parse.key_of, first=timedelta(days=365), **IDS),
            map=parse.post,
        ),
        Stream(
            "posts",
            "Posts that were deleted",
            every=15 * MINUTES,
            part="gone",
            scopes=READ,
            partitions=stored_posts,
            request=lookup,
            items="errors",
            # Without an order; it can be asked of any days, as a backfill does.
            cursor=Watermark(lambda _item: None, order=NONE),
            map=parse.gone,
        ),
        Stream(
            "comments",
            "Replies below the account's posts",
            every=15 * MINUTES,
            part="threads",
            scopes=READ,
            partitions=conversations,
            request=conversation,
            pager=CursorPager("meta.next_token", "next_token"),
            min_page_size=10,
            cursor=back_walk(parse.key_of, **IDS),
            map=parse.comment,
        ),
        Stream(
            "comments",
            "Replies to the account elsewhere",
            every=15 * MINUTES,
            part="direct",
            scopes=READ,
            request=answers_to_us,
            pager=CursorPager("meta.next_token", "next_token"),
            min_page_size=10,
            cursor=back_walk(parse.key_of, first=SEARCHED, **IDS),
            map=parse.comment,
        ),
        Stream(
            "mentions",
            "Posts that name the account",
            every=15 * MINUTES,
            scopes=READ,
            request=mentions,
            pager=PAGER,
            min_page_size=5,
            cursor=back_walk(parse.key_of, first=timedelta(days=365), **IDS),
            map=parse.mention,
        ),
        Stream(
            "messages",
            "Direct messages",
            # 15 calls in 15 minutes; webhooks bring them at once.
            every=MINUTES,
            scopes=("dm.read", *READ),
            request=messages,
            pager=PAGER,
            cursor=back_walk(parse.key_of, first=timedelta(days=30), ids=True, floor=parse.floor),
            map=parse.message,
        ),
        Stream(
            "engagement-metrics",
            "Counters of posts, as their author sees them",
            every=60 * MINUTES,
            part="posts",
            scopes=READ,
            request=young_posts,
            pager=PAGER,
            min_page_size=5,
            cursor=Snapshot(),
            map=parse.measured_post,
        ),
        Stream(
            "engagement-metrics",
            "What posts gained by day",
            every=60 * MINUTES,
            part="days",
            scopes=READ,
            partitions=analysed_posts,
            request=analytics,
            cursor=Snapshot(),
            map=parse.post_days,
        ),
        *ads.STREAMS,
        Stream(
            "profile",
            "The profile and its followers",
            every=60 * MINUTES,
            scopes=READ,
            request=lambda _ctx: get("/2/users/me", endpoint="me", **{"user.fields": USER_FIELDS}),
            cursor=Snapshot(),
            map=parse.profile,
        ),
    ),
)
