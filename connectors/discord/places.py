"""Where a server holds what we pull, and the requests that pull it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from connectors.discord import parse
from connectors.discord.answers import LOST
from connectors.http import Context, Identity, Partition, Reply, Request, get
from connectors.http.pagers import Token, put
from connectors.http.times import iso
from connectors.records import ActivityKind
from sync.base.errors import ConfigurationError, IntegrationRevoked

if TYPE_CHECKING:
    from connectors.http.api import Api

V = "/api/v10"
TALK, NEWS, FORUMS = (0, 2, 13), (5,), (15, 16)
FIRST = timedelta(days=90)
WATCHED = timedelta(days=7)
"""How old a message may be to be looked at again for edits, deletions and reactions."""
KNOWN = 20_000
"""Messages of ours at most that are compared with what is still there."""
MANAGE_THREADS = 1 << 34
QUIET = 100
"""Archived threads in a row without news after which older ones have none either."""


def guild(ctx: Context, path: str = "", endpoint: str = "guild", **params: Any) -> Request:
    return get(f"{V}/guilds/{ctx.account.account}{path}", endpoint=endpoint, **params)


@dataclass(frozen=True, slots=True)
class Onward:
    """Towards newer messages: the next page follows the highest id of this one, and ends where a backfill does."""

    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        ids = [int(item["id"]) for item in items]
        if len(ids) < ctx.size or (isinstance(ctx.until, int) and max(ids) > ctx.until):
            return None
        return str(max(ids))

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", {"after": token})


@dataclass(frozen=True, slots=True)
class Search:
    """Towards older hits. A page may hold fewer than asked for, so only an empty one is the end."""

    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        return str(min(int(item["id"]) for item in items)) if items else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", {"max_id": token})


async def identify(api: Api) -> Identity:
    """Our bot, and what it may in the server. Errors: IntegrationRevoked if it is not there, ConfigurationError."""
    account = api.account.account
    if not account.isdecimal():
        raise ConfigurationError("A Discord account is named by the id of its server (guild), a number.")
    bot = (await api.call(get(f"{V}/users/@me", endpoint="me"))).data
    listing = get(f"{V}/users/@me/guilds", endpoint="guilds", after=str(int(account) - 1), limit=1)
    found: dict[str, Any] = next(iter((await api.call(listing)).data or ()), {})
    if found.get("id") != account:
        raise IntegrationRevoked(LOST, code="not_in_guild")
    private = bool(int(found.get("permissions") or 0) & MANAGE_THREADS)
    return Identity(account, found["name"], {"bot_id": bot["id"], "name": found["name"], "private_threads": private})


# --- parts


async def _channels(api: Api, ctx: Context, kinds: Sequence[int]) -> AsyncIterator[dict[str, Any]]:
    async for found in api.walk(guild(ctx, "/channels"), ""):
        if found["type"] in kinds:
            yield found


async def talk(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for found in _channels(api, ctx, TALK):
        yield Partition(found["id"], {"kind": "message"}, mark=found.get("last_message_id") or "none")


async def news(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for found in _channels(api, ctx, NEWS):
        yield Partition(found["id"], {"kind": "post"}, mark=found.get("last_message_id") or "none")


async def forum_posts(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Threads of forums: each is read once, and again when it is renamed."""
    async for thread in _threads(api, ctx):
        if thread["forum"]:
            yield Partition(thread["id"], {"thread": thread}, mark=thread.get("name") or "none")


async def threads(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    async for thread in _threads(api, ctx):
        yield Partition(thread["id"], {"kind": "comment", "thread": thread}, mark=thread.get("last_message_id"))


async def _threads(api: Api, ctx: Context) -> AsyncIterator[dict[str, Any]]:
    """Active threads, then those archived, newest first. An archived thread with news is active again."""
    parents = {found["id"]: found async for found in _channels(api, ctx, (0, *NEWS, *FORUMS))}
    async for thread in _active(api, ctx, parents):
        yield thread
    for parent in parents.values():
        ctx.unchanged = 0
        kinds = ["public", *(["private"] if parent["type"] == 0 and ctx.facts.get("private_threads") else [])]
        for kind in kinds:
            async for thread in _archive(api, ctx, parent, kind):
                yield thread


async def _active(api: Api, ctx: Context, parents: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async for thread in api.walk(guild(ctx, "/threads/active"), "threads"):
        parent = parents.get(thread.get("parent_id"))
        if parent is not None:
            yield _of(thread, parent)


def _of(thread: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    kept = {name: thread.get(name) for name in ("id", "name", "parent_id", "last_message_id")}
    return {**kept, "forum": parent["type"] in FORUMS}


async def _archive(api: Api, ctx: Context, parent: dict[str, Any], kind: str) -> AsyncIterator[dict[str, Any]]:
    from connectors.http.errors import GoneError

    before, oldest = None, ctx.back_to(FIRST)
    while True:
        listing = _archived(parent, kind, limit=100, before=before)
        try:
            page = (await api.call(listing, ctx.at(Partition(parent["id"])))).data
        except GoneError:
            return
        for thread in page["threads"]:
            before = thread["thread_metadata"]["archive_timestamp"]
            closed = iso(before)
            if (closed is not None and closed < oldest) or ctx.unchanged >= QUIET:
                return
            yield _of(thread, parent)
        if not page.get("has_more") or not page["threads"]:
            return


def _archived(parent: dict[str, Any], kind: str, **params: Any) -> Request:
    return get(f"{V}/channels/{parent['id']}/threads/archived/{kind}", endpoint="archived", **params)


async def watched(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Places where something was said lately, with what we know of it."""
    known = await _known(api, ctx)
    places: dict[str, dict[str, Any]] = {}
    parents: dict[str, Any] = {}
    async for found in _channels(api, ctx, (*TALK, *NEWS, *FORUMS)):
        parents[found["id"]] = found
        if found["type"] not in FORUMS:
            places[found["id"]] = {"kind": "post" if found["type"] in NEWS else "message"}
    async for thread in _active(api, ctx, parents):
        places[thread["id"]] = {"kind": "comment", "thread": thread}
    for key, details in places.items():
        if key in known:
            yield Partition(key, {**details, "known": known[key]})


async def _known(api: Api, ctx: Context) -> dict[str, dict[int, ActivityKind]]:
    found: dict[str, dict[int, ActivityKind]] = defaultdict(dict)
    kinds: tuple[ActivityKind, ...] = ("message", "post", "comment")
    for kind in kinds:
        count = 0
        async for ids in api.known((kind,), ctx.now - WATCHED):
            for vendor_id in ids:
                channel, _, number = vendor_id.partition(":")
                found[channel][int(number)] = kind
            count += len(ids)
            if count >= KNOWN:
                break
    return found


async def whole(_api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """The server as one part, which may be closed to us without closing the sync type."""
    yield Partition(ctx.account.account)


# --- requests


def history(ctx: Context) -> Request:
    return get(
        f"{V}/channels/{ctx.partition.key}/messages",
        endpoint="messages",
        after=str(ctx.since) if ctx.since is not None else "0",
        limit=ctx.size,
    )


def newest(ctx: Context) -> Request:
    return get(f"{V}/channels/{ctx.partition.key}/messages", endpoint="messages", limit=ctx.size)


def first_message(ctx: Context) -> Request:
    key = ctx.partition.key
    return get(f"{V}/channels/{key}/messages/{key}", endpoint="message")


def search(ctx: Context) -> Request:
    return guild(
        ctx,
        "/messages/search",
        "search",
        mentions=[ctx.facts["bot_id"]],
        min_id=str(ctx.since) if ctx.since is not None else None,
        max_id=str(ctx.until + 1) if ctx.until is not None else None,
        sort_by="timestamp",
        sort_order="desc",
        limit=ctx.size,
    )


def hits(reply: Reply) -> list[Any]:
    """Each hit is a list, whose first message matched."""
    return [found[0] for found in reply.at("messages", []) if found]


def page_and_end(reply: Reply) -> list[Any]:
    return [*(reply.data or ()), parse.GONE]
