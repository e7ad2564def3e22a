"""Twitch: videos, clips, people and figures of one channel by Helix; its chat as EventSub tells it.

Chat and whispers can be read nowhere: they are records of the webhook alone. Clips come by views and not by time, so
they are asked for day by day. Scope and token failures are both 401 and differ by their words only. An app must ask
`/oauth2/validate` every hour, which `profile` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from connectors.http import (
    OK,
    Context,
    CursorPager,
    DateWindow,
    Ephemeral,
    HttpConnector,
    Identity,
    Listed,
    OAuth2,
    Partition,
    Renewal,
    Reply,
    Request,
    Snapshot,
    Stream,
    back_walk,
    get,
    on,
)
from connectors.http.errors import ShrinkError
from connectors.http.pagers import Token, put
from connectors.http.times import zulu
from connectors.twitch import parse
from connectors.twitch.answers import BUDGETS, OPTIONAL, VERDICTS, problem, refused
from connectors.twitch.replies import REPLIES
from connectors.twitch.webhook import WEBHOOK

if TYPE_CHECKING:
    from connectors.http.api import Api

PAGER = CursorPager("pagination.cursor", "after")
WATCHED = timedelta(days=60)
"""How old a video or clip may be to be asked for its views again."""
EVERYTHING, DAILY = timedelta(days=7300), timedelta(hours=24)
CLIPS_MOST = 1000
"""Of one question."""


def helix(path: str, **params: Any) -> Request:
    return get(f"/helix/{path}", endpoint=path, **params)


def own(ctx: Context) -> str:
    return str(ctx.facts["user_id"])


async def identify(api: Api) -> Identity:
    """Whose token it is. Also the hourly look that Twitch demands."""
    found = (await api.call(get("/oauth2/validate", host="id", endpoint="validate"))).data
    return Identity(
        found["user_id"], found.get("login", ""), {"user_id": found["user_id"], "login": found.get("login")}
    )


@dataclass(frozen=True, slots=True)
class Clips:
    """Beyond a thousand clips Twitch repeats itself under new cursors: then less time has to be asked for."""

    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        cursor = reply.at("pagination.cursor")
        seen = (token["seen"] if isinstance(token, dict) else 0) + len(items)
        if cursor and seen >= CLIPS_MOST:
            raise ShrinkError(f"There are more than {CLIPS_MOST} clips in the time asked for.", code="clips")
        return {"cursor": cursor, "seen": seen} if cursor else None

    def apply(self, request: Request, token: Token) -> Request:
        assert isinstance(token, dict)
        return put(request, "params", {"after": token["cursor"]})


def clips(ctx: Context) -> Request:
    return helix(
        "clips",
        broadcaster_id=own(ctx),
        started_at=zulu(ctx.span.starts_at) if ctx.span.starts_at else None,
        ended_at=zulu(ctx.span.ends_at) if ctx.span.ends_at else None,
        first=ctx.size,
    )


async def channel(_api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """The channel as one part, which may be closed to us without closing the sync type."""
    yield Partition(own(ctx))


async def known(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Known videos and clips by the hundred. Numbers are videos, words are clips."""
    batches: dict[str, list[str]] = {"video": [], "clip": []}
    count = 0
    async for ids in api.known(("post",), ctx.now - WATCHED):
        for vendor_id in ids:
            batch = batches["video" if vendor_id.isdecimal() else "clip"]
            batch.append(vendor_id)
            if len(batch) == 100:
                count += 1
                yield _batch(count, batch)
                batch.clear()
    for batch in batches.values():
        if batch:
            count += 1
            yield _batch(count, batch)


def _batch(number: int, ids: list[str]) -> Partition:
    return Partition(f"batch{number}", {"kind": "video" if ids[0].isdecimal() else "clip", "ids": tuple(ids)})


def by_id(ctx: Context) -> Request:
    return helix(f"{ctx.vars['kind']}s", id=list(ctx.vars["ids"]))


def found_and_end(reply: Reply) -> list[Any]:
    """Of a hundred videos none may be left: that is a 404."""
    found = reply.at("data", []) if reply.status == 200 else []
    return [*found, parse.END]


@dataclass(frozen=True, slots=True)
class UntilFound:
    """One stream at most is looked for; an empty page with a cursor is not yet an answer."""

    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        return reply.at("pagination.cursor") or None if not items else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", {"after": token})


def live_or_not(reply: Reply) -> list[Any]:
    """The stream that runs; an empty object in the end if there is none."""
    return reply.at("data") or ([] if reply.at("pagination.cursor") else [{}])


TWITCH = HttpConnector(
    platform="twitch",
    title="Twitch",
    base_url={"": "https://api.twitch.tv", "id": "https://id.twitch.tv"},
    auth=OAuth2(
        authorize_path="/oauth2/authorize",
        token_path="/oauth2/token",
        authorize_host="id",
        token_host="id",
        kind=Renewal.REUSABLE,
        scopes=(
            "moderator:read:followers",
            "channel:read:subscriptions",
            "channel:read:polls",
            "channel:read:goals",
            "bits:read",
            "user:read:chat",
            "user:bot",
            "channel:bot",
            "user:read:whispers",
        ),
        margin=timedelta(minutes=1),
        dead=refused,
        misconfigured=lambda reply: "invalid client" in str(reply.at("message", "")),
    ),
    headers=lambda ctx: {"Client-Id": ctx.account.installation.client_id},
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    webhook=WEBHOOK,
    replies=REPLIES,
    streams=(
        Stream(
            "posts",
            "Videos and clips",
            every=timedelta(minutes=15),
            part="videos",
            request=lambda ctx: helix("videos", user_id=own(ctx), type="all", sort="time", first=ctx.size),
            pager=PAGER,
            cursor=back_walk(parse.created, overlap=timedelta(days=2)),
            map=parse.video,
        ),
        Stream(
            "posts",
            "Clips",
            every=timedelta(minutes=15),
            part="clips",
            request=clips,
            pager=Clips(),
            cursor=DateWindow(step=1, recent=2, lookback=7, first=30, finest=timedelta(hours=1)),
            map=parse.clip,
        ),
        Stream(
            "presence",
            "Whether the channel is live",
            every=timedelta(minutes=1),
            request=lambda ctx: helix("streams", user_id=own(ctx)),
            items=live_or_not,
            pager=UntilFound(),
            cursor=Ephemeral(),
            map=parse.presence,
        ),
        Stream(
            "profile",
            "The channel, its followers and subscribers",
            every=timedelta(hours=1),
            part="token",
            request=lambda ctx: get("/oauth2/validate", host="id", endpoint="validate"),
            items="",
            cursor=Ephemeral(),
            map=lambda item, ctx: None,
        ),
        Stream(
            "profile",
            "The broadcaster",
            every=timedelta(hours=1),
            part="user",
            request=lambda ctx: helix("users", id=own(ctx)),
            cursor=Snapshot(),
            map=parse.user,
        ),
        Stream(
            "profile",
            "The channel",
            every=timedelta(hours=1),
            part="channel",
            request=lambda ctx: helix("channels", broadcaster_id=own(ctx)),
            cursor=Snapshot(),
            map=parse.channel,
        ),
        Stream(
            "profile",
            "Followers",
            every=timedelta(hours=1),
            part="followers",
            request=lambda ctx: helix("channels/followers", broadcaster_id=own(ctx), first=ctx.size),
            pager=PAGER,
            # Now and then to the end, for those who have stopped.
            cursor=back_walk(parse.followed, overlap=timedelta(minutes=5), reread=EVERYTHING, reread_every=DAILY),
            map=parse.follower,
            listed=Listed("profile", lambda item, _ctx: f"follower:{item['user_id']}", prefix="follower:"),
        ),
        Stream(
            "profile",
            "Subscribers",
            every=timedelta(hours=1),
            part="subscribers",
            partitions=channel,
            request=lambda ctx: helix("subscriptions", broadcaster_id=own(ctx), first=ctx.size),
            pager=PAGER,
            cursor=Snapshot(),
            map=parse.subscriber,
            listed=Listed("profile", lambda item, _ctx: f"subscriber:{item['user_id']}", prefix="subscriber:"),
            verdicts=OPTIONAL,
        ),
        Stream(
            "engagement-metrics",
            "Views, followers, subscribers, viewers, goals and polls",
            every=timedelta(minutes=30),
            part="views",
            partitions=known,
            request=by_id,
            items=found_and_end,
            cursor=Snapshot(),
            map=parse.watched,
            verdicts=(on(status=404, endpoint="^videos$", then=OK),),
        ),
        Stream(
            "engagement-metrics",
            "Followers",
            every=timedelta(minutes=30),
            part="followers",
            request=lambda ctx: helix("channels/followers", broadcaster_id=own(ctx), first=1),
            items="",
            cursor=Snapshot(),
            map=parse.total("followers"),
        ),
        Stream(
            "engagement-metrics",
            "Subscribers",
            every=timedelta(minutes=30),
            part="subscribers",
            partitions=channel,
            request=lambda ctx: helix("subscriptions", broadcaster_id=own(ctx), first=1),
            items="",
            cursor=Snapshot(),
            map=parse.subscribers,
            verdicts=OPTIONAL,
        ),
        Stream(
            "engagement-metrics",
            "Viewers now",
            every=timedelta(minutes=30),
            part="viewers",
            request=lambda ctx: helix("streams", user_id=own(ctx)),
            pager=UntilFound(),
            cursor=Snapshot(),
            map=parse.viewers,
        ),
        Stream(
            "engagement-metrics",
            "Goals",
            every=timedelta(minutes=30),
            part="goals",
            partitions=channel,
            request=lambda ctx: helix("goals", broadcaster_id=own(ctx)),
            cursor=Snapshot(),
            map=parse.goal,
            verdicts=OPTIONAL,
        ),
        Stream(
            "engagement-metrics",
            "Polls",
            every=timedelta(minutes=30),
            part="polls",
            partitions=channel,
            request=lambda ctx: helix("polls", broadcaster_id=own(ctx), first=ctx.size),
            pager=PAGER,
            page_size=20,
            cursor=Snapshot(),
            map=parse.poll,
            verdicts=OPTIONAL,
        ),
    ),
)
