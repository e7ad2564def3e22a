"""Slack: conversations, threads, mentions, people and their presence, as a bot sees them.

Answers are HTTP 200 whatever they say, so `ok` and `error` decide. Limits count per method and workspace. History does
not show thread replies: `comments` looks through a trailing window for threads that have newer ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.http import (
    ASC,
    AUTH_DEAD,
    CONFIG,
    GONE,
    REFRESH,
    RESET_CURSOR,
    RETRY,
    SCOPE_MISSING,
    THROTTLED,
    Budget,
    Context,
    CursorPager,
    Ephemeral,
    HttpConnector,
    Identity,
    OAuth2,
    PagePager,
    Partition,
    Problem,
    Reply,
    Request,
    Snapshot,
    Stream,
    Watermark,
    back_walk,
    get,
    on,
    token_error,
)
from connectors.slack import parse
from connectors.slack.replies import REPLIES
from connectors.slack.webhook import WEBHOOK

if TYPE_CHECKING:
    from connectors.http.api import Api

PAGER = CursorPager("response_metadata.next_cursor", "cursor")
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
LISTING = ("channels:read", "groups:read", "im:read", "mpim:read")
THREADS = timedelta(days=14)
"""How long a thread is watched for new replies after its parent was posted."""


def problem(reply: Reply) -> Problem | None:
    if not isinstance(reply.data, dict) or reply.data.get("ok") is not False:
        return None
    return Problem(str(reply.data.get("error", "")), str(reply.data.get("needed") or reply.data.get("error", "")))


VERDICTS = (
    on(code={"ratelimited", "rate_limited"}, then=THROTTLED),
    on(status=429, then=THROTTLED),
    on(code="token_expired", then=REFRESH),
    on(code={"invalid_auth", "not_authed"}, then=REFRESH, reason="Slack no longer accepts our token."),
    on(
        code={"token_revoked", "account_inactive"},
        then=AUTH_DEAD,
        reason="The app was removed from the Slack workspace, or its token was revoked.",
    ),
    on(code={"bad_client_secret", "invalid_client_id"}, then=CONFIG),
    on(code="missing_scope", then=SCOPE_MISSING, reason="Slack has not granted a permission this sync needs."),
    on(
        code={"no_permission", "not_allowed_token_type", "is_bot", "access_denied", "team_access_not_granted"}
        | {"user_removed_from_team", "two_factor_setup_required", "enterprise_is_restricted", "accesslimited"}
        | {"ekm_access_denied"},
        then=SCOPE_MISSING,
    ),
    on(
        code={"not_in_channel", "channel_not_found", "channel_is_limited_access", "is_archived", "thread_not_found"}
        | {"message_not_found", "user_not_found", "user_not_visible", "method_not_supported_for_channel_type"},
        then=GONE,
    ),
    on(code="invalid_cursor", then=RESET_CURSOR),
    on(
        code={"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
        | {"org_login_required"},
        then=RETRY,
    ),
)

BUDGETS = (
    Budget("tier2", limit=20, per_endpoint=True, endpoints=("users.list", "conversations.list", "search.messages")),
    Budget(
        "tier3",
        limit=50,
        per_endpoint=True,
        endpoints=("conversations.history", "conversations.replies", "users.conversations", "users.getPresence"),
    ),
    Budget("special", limit=200, per_endpoint=True, endpoints=("auth.test",)),
    Budget("post", limit=1, window=timedelta(seconds=1), per_part=True, endpoints=("chat.postMessage",)),
)


def method(name: str, **params: Any) -> Request:
    return get(f"/api/{name}", endpoint=name, **params)


async def identify(api: Api) -> Identity:
    found = (await api.call(method("auth.test"))).data
    facts = {name: found.get(name) for name in ("team_id", "user_id", "bot_id", "url")}
    return Identity(found["team_id"], found.get("team", ""), facts)


async def channels(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    """Conversations the bot is in."""
    kinds = "public_channel,private_channel,mpim,im"
    listing = method("users.conversations", types=kinds, exclude_archived="true", limit=200)
    async for found in api.walk(listing, "channels", PAGER, size=200):
        yield Partition(found["id"], {"channel": found["id"]})


async def threads(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Threads of the trailing window; one whose newest reply is known is passed over."""
    oldest, latest = parse.slack_ts(ctx.back_to(THREADS)), parse.slack_ts(ctx.until)
    async for channel in channels(api, ctx):
        listing = method("conversations.history", channel=channel.key, oldest=oldest, latest=latest, limit=200)
        async for found in api.walk(listing, "messages", PAGER, size=200):
            if found.get("reply_count"):
                mark = f"{found.get('latest_reply')}/{found['reply_count']}"
                yield Partition(f"{channel.key}:{found['ts']}", {"channel": channel.key, "ts": found["ts"]}, mark)


async def people(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    async for found in api.walk(method("users.list", limit=200), "members", PAGER, size=200):
        if not found.get("is_bot") and not found.get("deleted") and found["id"] != "USLACKBOT":
            yield Partition(found["id"])


def history(ctx: Context) -> Request:
    return method(
        "conversations.history",
        channel=ctx.partition.key,
        oldest=parse.slack_ts(ctx.since),
        latest=parse.slack_ts(ctx.until),
        limit=ctx.size,
    )


def recent_history(ctx: Context) -> Request:
    oldest = parse.slack_ts(ctx.now - timedelta(days=7))
    return method("conversations.history", channel=ctx.vars["channel"], oldest=oldest, limit=ctx.size)


def replies(ctx: Context) -> Request:
    oldest, latest = parse.slack_ts(ctx.since), parse.slack_ts(ctx.until)
    return method(
        "conversations.replies",
        channel=ctx.vars["channel"],
        ts=ctx.vars["ts"],
        oldest=oldest,
        latest=latest,
        limit=ctx.size,
    )


def mentions(ctx: Context) -> Request:
    words = [f"<@{ctx.facts['user_id']}>"]
    if ctx.since is not None:
        words.append(f"after:{(ctx.since - timedelta(days=1)).date()}")
    return method("search.messages", query=" ".join(words), sort="timestamp", sort_dir="desc", count=ctx.size)


_listing = partial(Stream, pager=PAGER, page_size=200)
_talk = partial(Stream, scopes=LISTING + HISTORY, items="messages", pager=PAGER, page_size=200)
SLACK = HttpConnector(
    platform="slack",
    title="Slack",
    base_url="https://slack.com",
    auth=OAuth2(
        authorize_path="/oauth/v2/authorize",
        token_path="/api/oauth.v2.access",
        separator=",",
        client_auth="basic",
        scopes=("users:read", "team:read"),
        margin=timedelta(hours=2),
        dead=lambda reply: token_error(reply) in {"invalid_refresh_token", "token_revoked", "account_inactive"},
        misconfigured=lambda reply: token_error(reply) in {"bad_client_secret", "invalid_client_id"},
    ),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    webhook=WEBHOOK,
    replies=REPLIES,
    streams=(
        _talk(
            "messages",
            "Messages of channels and direct messages",
            every=timedelta(seconds=10),
            partitions=channels,
            request=history,
            cursor=back_walk(parse.sent_at, stop=False, first=timedelta(days=90), reread=timedelta(days=7)),
            map=parse.top_level,
        ),
        _talk(
            "comments",
            "Replies in threads",
            every=timedelta(minutes=5),
            partitions=threads,
            request=replies,
            cursor=Watermark(parse.sent_at, order=ASC),
            map=parse.thread_reply,
        ),
        Stream(
            "mentions",
            "Messages that mention us",
            every=timedelta(minutes=5),
            scopes=("search:read",),
            request=mentions,
            items="messages.matches",
            pager=PagePager("page", pages="messages.paging.pages"),
            cursor=back_walk(parse.sent_at, overlap=timedelta(minutes=5), first=timedelta(days=90)),
            map=parse.found_mention,
        ),
        Stream(
            "presence",
            "Who is active",
            every=timedelta(minutes=5),
            scopes=("users:read",),
            partitions=people,
            request=lambda ctx: method("users.getPresence", user=ctx.partition.key),
            items="",
            cursor=Ephemeral(),
            map=parse.presence,
        ),
        _listing(
            "profile",
            "People and their status",
            every=timedelta(hours=1),
            scopes=("users:read",),
            request=lambda ctx: method("users.list", limit=ctx.size),
            items="members",
            cursor=Snapshot(),
            map=parse.person,
        ),
        _talk(
            "engagement-metrics",
            "Reactions and replies, members of channels",
            every=timedelta(minutes=60),
            part="messages",
            partitions=channels,
            request=recent_history,
            cursor=Snapshot(),
            map=parse.message_metrics,
        ),
        _listing(
            "engagement-metrics",
            "Members of channels",
            every=timedelta(minutes=60),
            part="channels",
            scopes=("channels:read",),
            request=lambda ctx: method("conversations.list", types="public_channel", limit=ctx.size),
            items="channels",
            cursor=Snapshot(),
            map=parse.channel_metrics,
        ),
    ),
)
