"""Telegram: what comes to a bot.

There is no history: updates wait for a day in a queue that reading destroys. So one sync type, `messages`, reads the
queue and stores whatever it holds - posts, comments, direct messages, mentions, reactions; a second reader would take
updates away. Nothing tells views, presence or (but in business chats) deletions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.http import (
    AUTH_DEAD,
    BUG,
    CONFIG,
    GONE,
    RETRY,
    THROTTLED,
    Budget,
    Context,
    HttpConnector,
    Identity,
    Partition,
    Problem,
    Reply,
    Request,
    Snapshot,
    Static,
    Stream,
    get,
    in_path,
    on,
    sequence,
)
from connectors.http.pagers import Token, put
from connectors.telegram import parse
from connectors.telegram.replies import REPLIES
from connectors.telegram.webhook import WEBHOOK

if TYPE_CHECKING:
    from connectors.http.api import Api

ACTIVE = timedelta(days=60)
"""Chats in which something was said lately are asked about."""
ALLOWED = msgspec.json.encode(parse.UPDATES).decode()


def problem(reply: Reply) -> Problem | None:
    if not isinstance(reply.data, dict) or reply.data.get("ok") is not False:
        return None
    return Problem(str(reply.data.get("error_code", "")), str(reply.data.get("description", "")))


def wait_told(reply: Reply) -> float | None:
    found = reply.at("parameters.retry_after")
    return float(found) if found is not None else None


VERDICTS = (
    on(code=429, then=THROTTLED, after=wait_told),
    on(
        code=409,
        message="webhook is active",
        then=CONFIG,
        reason="This bot has a webhook, so its updates cannot be read: delete the webhook or point it to Sync.",
    ),
    on(code=409, message="terminated by other getupdates", then=RETRY, after=30.0),
    on(code=409, then=RETRY, after=5.0),
    on(code=401, then=AUTH_DEAD, reason="The bot's token was revoked, or the bot was deleted: enter the new token."),
    on(code=404, message="method not found", then=BUG),
    on(code=404, then=AUTH_DEAD, reason="Telegram knows no bot with this token."),
    on(code=400, message="^logged out", then=AUTH_DEAD, reason="The bot was moved to another Bot API server."),
    on(code=421, then=CONFIG),
    on(code=403, then=GONE),
    on(
        code=400,
        message="upgraded to a supergroup|chat not found|administrator rights|not enough rights|"
        "CHAT_ADMIN_REQUIRED|have no rights|user not found",
        then=GONE,
    ),
)


@dataclass(frozen=True, slots=True)
class Updates:
    """The next page begins behind the last update of this one, and asking for it confirms them. An empty one ends."""

    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        return max(map(parse.update_id, items)) + 1 if items else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", {"offset": token})


def method(name: str, **params: Any) -> Request:
    return get(f"/{name}", endpoint=name, **params)


async def identify(api: Api) -> Identity:
    found = (await api.call(method("getMe"))).at("result")
    facts = {"user_id": found["id"], "username": found.get("username")}
    return Identity(str(found["id"]), found.get("username") or found.get("first_name", ""), facts)


def updates(ctx: Context) -> Request:
    return method(
        "getUpdates",
        offset=ctx.since + 1 if ctx.since is not None else None,
        limit=ctx.size,
        timeout=0,
        allowed_updates=ALLOWED,
    )


def queue(reply: Reply) -> list[Any]:
    return parse.albums(reply.at("result", []))


async def chats(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Chats we have heard of lately; there is no list of them."""
    async for chat in _chats(api, ctx, private=True):
        yield Partition(chat)


async def groups(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for chat in _chats(api, ctx, private=False):
        yield Partition(chat)


async def _chats(api: Api, ctx: Context, *, private: bool) -> AsyncIterator[str]:
    """Ids of groups and channels are negative. Business chats are not ours to ask about."""
    seen: set[str] = set()
    async for ids in api.known(("post", "comment", "message"), ctx.now - ACTIVE):
        for vendor_id in ids:
            chat, _, rest = vendor_id.partition(":")
            if ":" in rest or chat in seen or not (private or chat.startswith("-")):
                continue
            seen.add(chat)
            yield chat


TELEGRAM = HttpConnector(
    platform="telegram",
    title="Telegram",
    base_url="https://api.telegram.org",
    auth=Static("token", "Token of the bot, from @BotFather.", place=in_path("/bot{token}")),
    budgets=(Budget("bot", limit=25, window=timedelta(seconds=1)),),
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    webhook=WEBHOOK,
    replies=REPLIES,
    streams=(
        Stream(
            "messages",
            "Everything that comes: messages, posts, comments, mentions, reactions",
            every=timedelta(seconds=10),
            request=updates,
            items=queue,
            pager=Updates(),
            cursor=sequence(parse.update_id),
            map=parse.update,
            destructive=True,
        ),
        Stream(
            "profile",
            "The bot",
            every=timedelta(hours=6),
            part="bot",
            request=lambda ctx: method("getMe"),
            items="result",
            cursor=Snapshot(),
            map=parse.bot_profile,
        ),
        Stream(
            "profile",
            "Its chats",
            every=timedelta(hours=6),
            part="chats",
            partitions=chats,
            request=lambda ctx: method("getChat", chat_id=ctx.partition.key),
            items="result",
            cursor=Snapshot(),
            map=parse.chat,
        ),
        Stream(
            "engagement-metrics",
            "Members of groups and subscribers of channels",
            every=timedelta(hours=1),
            partitions=groups,
            request=lambda ctx: method("getChatMemberCount", chat_id=ctx.partition.key),
            items="result",
            cursor=Snapshot(),
            map=parse.members,
        ),
    ),
)
