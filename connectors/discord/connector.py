"""Discord: channels, forums, threads and people of one server, as our bot sees them over REST.

One bot serves all servers; an account is a server, named by its guild id. Nothing of ordinary messages is pushed over
HTTP, so everything is polled: the list of channels says by `last_message_id` where something is new. An id cursor sees
neither edits nor deletions nor reactions: `engagement-metrics` reads the newest messages of each place again.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from connectors.discord import parse, places
from connectors.discord.answers import BUDGETS, VERDICTS, problem
from connectors.discord.places import FIRST, Onward, Search, guild
from connectors.discord.replies import REPLIES
from connectors.discord.webhook import WEBHOOK
from connectors.http import (
    ASC,
    DESC,
    GONE,
    Ephemeral,
    HttpConnector,
    Listed,
    SinceIdPager,
    Snapshot,
    Static,
    Stream,
    Watermark,
    header,
    on,
)

ONWARD = Watermark(parse.number, order=ASC, ids=True, floor=parse.floor, first=FIRST)

_history = partial(Stream, request=places.history, items="", pager=Onward(), cursor=ONWARD)
_figures = partial(Stream, "engagement-metrics", every=timedelta(hours=1), cursor=Snapshot())
_profile = partial(Stream, "profile", every=timedelta(hours=6), cursor=Snapshot())
DISCORD = HttpConnector(
    platform="discord",
    title="Discord",
    base_url="https://discord.com",
    auth=Static(
        "bot_token",
        "Token of the bot; the one of this installation's app if left out.",
        place=header("Authorization", "Bot"),
        shared=True,
    ),
    headers={"User-Agent": "DiscordBot (https://appengine.example/sync, 1.0)"},
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=places.identify,
    webhook=WEBHOOK,
    replies=REPLIES,
    streams=(
        _history(
            "messages",
            "Messages of text channels",
            every=timedelta(seconds=10),
            partitions=places.talk,
            map=parse.message,
        ),
        _history(
            "posts",
            "Announcements, posts of forums",
            every=timedelta(minutes=5),
            part="news",
            partitions=places.news,
            map=parse.news,
        ),
        Stream(
            "posts",
            "Posts of forums",
            every=timedelta(minutes=5),
            part="forum",
            partitions=places.forum_posts,
            request=places.first_message,
            items="",
            cursor=Snapshot(backfills=True),
            map=parse.forum_post,
        ),
        _history(
            "comments",
            "Messages of threads",
            every=timedelta(minutes=5),
            partitions=places.threads,
            map=parse.comment,
        ),
        Stream(
            "mentions",
            "Messages that mention our bot",
            every=timedelta(minutes=5),
            request=places.search,
            items=places.hits,
            pager=Search(),
            page_size=25,
            cursor=Watermark(parse.number, order=DESC, ids=True, floor=parse.floor, first=FIRST),
            map=parse.mention,
        ),
        Stream(
            "presence",
            "How many people are online",
            every=timedelta(minutes=1),
            request=lambda ctx: guild(ctx, with_counts="true"),
            items="",
            cursor=Ephemeral(),
            map=parse.presence,
        ),
        _profile(
            "The server and its members",
            part="guild",
            request=lambda ctx: guild(ctx, with_counts="true"),
            items="",
            map=parse.guild,
        ),
        _profile(
            "Members",
            part="members",
            partitions=places.whole,
            request=lambda ctx: guild(ctx, "/members", "members", limit=ctx.size),
            items="",
            pager=SinceIdPager("after", lambda item: item["user"]["id"]),
            page_size=1000,
            map=parse.member,
            listed=Listed("profile", lambda item, _ctx: item["user"]["id"], data={"what": "member"}),
            verdicts=(on(code=50001, then=GONE),),  # without the members intent the rest goes on
        ),
        _figures(
            "Reactions, polls, edits and deletions of recent messages",
            part="messages",
            partitions=places.watched,
            request=places.newest,
            items=places.page_and_end,
            map=parse.recent,
        ),
        _figures(
            "Threads",
            part="threads",
            request=lambda ctx: guild(ctx, "/threads/active"),
            items="threads",
            map=parse.thread_figures,
        ),
        _figures(
            "Members",
            part="guild",
            request=lambda ctx: guild(ctx, with_counts="true"),
            items="",
            map=parse.guild_figures,
        ),
        _figures(
            "Events",
            part="events",
            partitions=places.whole,
            request=lambda ctx: guild(ctx, "/scheduled-events", "events", with_user_count="true"),
            items="",
            map=parse.event_figures,
            verdicts=(on(code=50001, then=GONE),),
        ),
    ),
)
