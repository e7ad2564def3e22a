"""Where there is something to pull: Pages, Instagram accounts, their posts and conversations, ad accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from connectors.facebook.calls import PAGER, V, graph, listing
from connectors.http import Context, Partition, dig, get
from connectors.http.times import seconds

if TYPE_CHECKING:
    from connectors.http.api import Api

PACIFIC = "America/Los_Angeles"
WATCHED = timedelta(days=30)
"""How long a post is watched for new comments and changing totals."""
QUIET = 100
"""Conversations in a row without news after which older ones have none either: the newest come first."""
PAGE_FIELDS = "id,name,access_token,instagram_business_account{id,username}"


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
        posts = listing(place, fields if kind == "page" else "id,timestamp,comments_count", since=since)
        async for found in api.walk(posts, pager=PAGER, ctx=ctx.at(place)):
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
            talks = graph(page.vars, "conversations", "conversations", platform=platform, fields=fields, limit=100)
            async for found in api.walk(talks, pager=PAGER, ctx=ctx.at(page)):
                details = {**page.vars, "conversation": found["id"], "platform": platform}
                yield Partition(found["id"], details, mark=f"{found['updated_time']}/{found.get('message_count')}")
                if ctx.unchanged >= QUIET:
                    break


async def ad_accounts(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    fields = "id,account_id,name,currency,timezone_name,account_status"
    async for found in api.walk(get(f"{V}/me/adaccounts", fields=fields, limit=100), pager=PAGER):
        facts = {"id": found["id"], "currency": found.get("currency"), "budget_key": found.get("account_id")}
        yield Partition(found["id"], facts, zone=found.get("timezone_name") or "UTC")
