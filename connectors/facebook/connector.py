"""Facebook Pages, Messenger, Instagram and ads for one person's grant.

An account is the person who connected; their Pages, Instagram accounts and ad accounts are partitions. Pages are asked
with their own tokens, which `me/accounts` gives and which are never stored. Comment lists know no `since`: posts of a
trailing window are looked at again when their number of comments changes.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from connectors.base import Credentials, Installation
from connectors.facebook import calls, parse, places
from connectors.facebook.answers import BUDGETS, VERDICTS, problem, unknown_app
from connectors.facebook.calls import PAGER, V
from connectors.facebook.replies import replies_from
from connectors.facebook.subscriptions import registration
from connectors.facebook.webhook import WEBHOOK
from connectors.http import (
    Context,
    DateWindow,
    HttpConnector,
    Identity,
    OAuth2,
    Renewal,
    Request,
    Snapshot,
    Stream,
    back_walk,
    dig,
    get,
)
from sync.base.errors import ScopeMissing

if TYPE_CHECKING:
    from connectors.http.api import Api


async def identify(api: Api) -> Identity:
    found = (await api.call(get(f"{V}/me", fields="id,name", endpoint="me"))).data
    try:
        owned = [place.key async for place in places.places(api, api.context())]
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


_figures = partial(Stream, "engagement-metrics", every=timedelta(minutes=60))
_comments = partial(Stream, "comments", every=timedelta(minutes=15), pager=PAGER)
FACEBOOK = HttpConnector(
    platform="facebook",
    title="Facebook",
    replies=replies_from(places.places, V),
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
    webhook=replace(WEBHOOK, register=registration(places.pages, V)),
    streams=(
        Stream(
            "posts",
            "Posts of Pages and Instagram accounts",
            every=timedelta(minutes=15),
            scopes=("pages_read_engagement", "instagram_basic"),
            partitions=places.places,
            request=calls.posts,
            pager=PAGER,
            # Approximately newest first and filtered by `since`: the walk ends with the list, not at an old post.
            cursor=back_walk(
                parse.created_at,
                stop=False,
                overlap=timedelta(hours=1),
                first=timedelta(days=730),
                reread=places.WATCHED,
            ),
            map=parse.post,
        ),
        _comments(
            "Comments on posts",
            part="page",
            scopes=("pages_read_user_content",),
            partitions=places.commented_posts,
            request=calls.comments,
            cursor=back_walk(parse.created_at, overlap=timedelta(hours=1)),
            map=parse.comment,
        ),
        _comments(
            "Comments on Instagram media",
            part="ig",
            scopes=("instagram_manage_comments",),
            partitions=places.commented_media,
            request=calls.media_comments,
            page_size=50,
            cursor=back_walk(parse.created_at, stop=False),
            map=parse.comment,
        ),
        Stream(
            "messages",
            "Messenger and Instagram messages",
            every=timedelta(seconds=60),
            scopes=("pages_messaging", "instagram_manage_messages"),
            partitions=places.conversations,
            request=calls.messages,
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
            partitions=places.places,
            request=calls.mentions,
            pager=PAGER,
            cursor=back_walk(parse.created_at, stop=False, overlap=timedelta(hours=1), first=timedelta(days=365)),
            map=parse.mention,
        ),
        _figures(
            "Reach and engagement of accounts and posts",
            part="page",
            scopes=("read_insights",),
            partitions=places.pages,
            request=calls.page_insights,
            cursor=DateWindow(step=30, lookback=4, recent=2, settle=timedelta(days=4), first=90, reach=730),
            map=parse.page_days,
        ),
        _figures(
            "Reach and engagement of Instagram accounts",
            part="ig",
            scopes=("instagram_manage_insights",),
            partitions=places.instagrams,
            request=calls.instagram_insights,
            cursor=DateWindow(step=1, lookback=4, recent=2, settle=timedelta(days=4), first=30, reach=90),
            map=parse.instagram_day,
        ),
        _figures(
            "Totals of posts",
            part="posts",
            partitions=places.watched_posts,
            request=calls.post_insights,
            cursor=Snapshot(),
            map=parse.post_totals,
        ),
        Stream(
            "ads-metrics",
            "Results of ads by day",
            every=timedelta(minutes=60),
            scopes=("ads_read",),
            partitions=places.ad_accounts,
            report=calls.ADS_REPORT,
            pager=PAGER,
            cursor=DateWindow(step=30, lookback=28, recent=2, settle=timedelta(days=28), first=90, reach=1110),
            map=parse.ads_row,
        ),
        Stream(
            "profile",
            "Profiles and followers",
            every=timedelta(hours=6),
            scopes=("pages_read_engagement", "instagram_basic"),
            partitions=places.places,
            request=calls.profile,
            items="",
            cursor=Snapshot(),
            map=parse.profile,
        ),
    ),
)
