"""Reddit for an account: what it wrote, what happens in the subreddits it moderates, its mail.

Listings know no dates and end after about a thousand things. Edits, votes and deletions move nothing in them, so things
of the last week are looked up again by their ids. All accounts of our app share a thousand calls in ten minutes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from connectors.base import Credentials, Installation
from connectors.http import (
    NONE,
    CodeGrant,
    Context,
    CursorPager,
    HttpConnector,
    Identity,
    OAuth2,
    Partition,
    Renewal,
    Reply,
    Request,
    Snapshot,
    Stream,
    Watermark,
    back_walk,
    get,
    on,
    post,
)
from connectors.http.pagers import Token
from connectors.http.times import iso
from connectors.http.verdicts import GONE
from connectors.reddit import parse
from connectors.reddit.answers import BUDGETS, VERDICTS, problem
from connectors.reddit.replies import REPLIES

if TYPE_CHECKING:
    from connectors.http.api import Api

PAGER = CursorPager("data.after", "after")
WATCHED = timedelta(days=7)
"""How long things are looked up again for edits, votes and deletions."""
DISCUSSED = timedelta(days=14)
"""How long posts of our own are watched for new comments."""
QUIET = 100
MORE = 100
"""Children of a tree in one call."""


def listing(path: str, ctx: Context, **params: Any) -> Request:
    return get(path, endpoint="listing", limit=ctx.size, raw_json=1, **params)


# --- parts


async def moderated(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    """Subreddits of ours."""
    request = get("/subreddits/mine/moderator", endpoint="listing", limit=100, raw_json=1)
    async for found in api.walk(request, "data.children", PAGER):
        data = found["data"]
        yield Partition(data["name"], {"name": data["display_name"]})


async def discussed(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Posts of our own with comments, wherever they are."""
    since = ctx.back_to(DISCUSSED)
    request = _submitted(api.facts["name"], 100)
    async for found in api.walk(request, "data.children", PAGER):
        at = parse.created_at(found)
        if at is not None and at < since:
            return
        data = found["data"]
        if data.get("num_comments"):
            yield Partition(data["name"], {"post": data["id"]}, mark=data["num_comments"])


async def conversations(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Modmail, what changed last first."""
    since, after = ctx.back_to(timedelta(days=180)), None
    while True:
        request = get("/api/mod/conversations", endpoint="modmail", sort="recent", state="all", limit=100, after=after)
        reply = await api.call(request)
        ids = reply.at("conversationIds", [])
        for talk in ids:
            found = reply.data["conversations"][talk]
            updated = iso(found.get("lastUpdated"))
            if ctx.unchanged >= QUIET or updated is None or updated < since:
                return
            yield Partition(talk, mark=f"{found['lastUpdated']}/{found.get('numMessages')}")
        if not ids or ids[-1] == after:
            return
        after = ids[-1]


async def stored(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Posts and comments that we hold, a hundred at a time, once an hour."""
    number = 0
    async for ids in api.known(("post", "comment"), ctx.back_to(WATCHED)):
        yield Partition(str(number), {"ids": ",".join(ids)}, mark=f"{ctx.now:%Y-%m-%dT%H}")
        number += 1


# --- requests


def _submitted(name: str, limit: int) -> Request:
    return get(f"/user/{name}/submitted", endpoint="listing", sort="new", limit=limit, raw_json=1)


def _own(what: str, ctx: Context) -> Request:
    return listing(f"/user/{ctx.facts['name']}/{what}", ctx, sort="new")


def tree(ctx: Context) -> Request:
    path = f"/comments/{ctx.vars['post']}"
    return get(path, endpoint="tree", sort="new", limit=500, depth=10, raw_json=1)


@dataclass(frozen=True, slots=True)
class TreePager:
    """Goes to the ends of a tree: `more` has children that were left out, `deep` has where it was too deep to show."""

    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        old = token if isinstance(token, dict) else {"more": [], "deep": []}
        # What this page was about is done.
        more, deep = (old["more"][MORE:], old["deep"]) if old["more"] else ([], old["deep"][1:])
        done = old.get("done", 0) + 1 if token is not None else 0
        for stub in parse.stubs(reply):
            if stub.get("children"):
                more = [*more, *stub["children"]]
            elif stub.get("parent_id", "").startswith("t1_"):
                deep = [*deep, stub["parent_id"].removeprefix("t1_")]
        return {"more": more, "deep": deep, "done": done} if more or deep else None

    def apply(self, request: Request, token: Token) -> Request:
        assert isinstance(token, dict)
        if not token["more"]:
            return replace(request, params={**request.params, "comment": token["deep"][0]})
        link = "t3_" + request.path.rpartition("/")[2]
        children = ",".join(token["more"][:MORE])
        form = {"api_type": "json", "link_id": link, "children": children, "sort": "new", "raw_json": 1}
        return post("/api/morechildren", endpoint="tree", form=form)


def talk(ctx: Context) -> Request:
    return get(f"/api/mod/conversations/{ctx.partition.key}", endpoint="modmail", markRead="false")


def talk_messages(reply: Reply) -> list[Any]:
    return [found for found in reply.at("messages", {}).values() if isinstance(found, dict) and "id" in found]


def info(ctx: Context) -> Request:
    return get("/api/info", endpoint="info", id=ctx.vars["ids"], raw_json=1)


# --- access


def agent(installation: Installation) -> str:
    """Reddit wants to know who calls, and blocks those who do not say so."""
    return f"web:{installation.client_id or 'sync'}:v1 (by /u/{installation.secrets.get('username', 'unknown')})"


BASIC = OAuth2(
    authorize_path="/api/v1/authorize",
    authorize_host="www",
    authorize_params={"duration": "permanent"},
    token_path="/api/v1/access_token",
    token_host="www",
    kind=Renewal.REUSABLE,
    client_auth="basic",
    scopes=("identity", "mysubreddits", "modtraffic"),
    dead=lambda reply: reply.status == 400,
    misconfigured=lambda reply: reply.status == 401,
)


def _named(request: Request, installation: Installation) -> Request:
    return replace(request, headers={**request.headers, "User-Agent": agent(installation)})


def refresh(credentials: Credentials, installation: Installation) -> Request:
    return _named(BASIC.refresh_request(credentials, installation), installation)


def exchange(grant: CodeGrant, installation: Installation) -> Request:
    return _named(BASIC.code_request(grant, installation), installation)


async def identify(api: Api) -> Identity:
    found = (await api.call(get("/api/v1/me", endpoint="me", raw_json=1))).data
    names = [part.vars["name"] async for part in moderated(api, api.context())]
    return Identity(found["id"], f"u/{found['name']}", {"name": found["name"], "moderates": names})


MINUTES = timedelta(minutes=1)
CHILDREN: dict[str, Any] = {"items": "data.children", "pager": PAGER}
HISTORY = timedelta(days=365)
UNORDERED = Watermark(parse.created_at, order=NONE)


def _newest(overlap: timedelta, **options: Any) -> Watermark:
    return back_walk(parse.created_at, overlap=overlap, first=HISTORY, **options)


REDDIT = HttpConnector(
    platform="reddit",
    title="Reddit",
    base_url={"": "https://oauth.reddit.com", "www": "https://www.reddit.com"},
    auth=replace(BASIC, refresh=refresh, exchange=exchange),
    budgets=BUDGETS,
    verdicts=VERDICTS,
    problem=problem,
    identify=identify,
    replies=REPLIES,
    headers=lambda ctx: {"User-Agent": agent(ctx.account.installation)},
    streams=(
        Stream(
            "posts",
            "Posts of the subreddits we moderate",
            every=15 * MINUTES,
            part="subs",
            scopes=("read", "mysubreddits"),
            partitions=moderated,
            request=lambda ctx: listing(f"/r/{ctx.vars['name']}/new", ctx, show="all"),
            **CHILDREN,
            # Posts that are approved late appear in their old place.
            cursor=_newest(timedelta(hours=6), reread=timedelta(days=3)),
            map=parse.thing,
        ),
        Stream(
            "posts",
            "Posts of the account",
            every=15 * MINUTES,
            part="own",
            scopes=("history",),
            request=lambda ctx: _own("submitted", ctx),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1)),
            map=parse.thing,
        ),
        Stream(
            "comments",
            "Comments in the subreddits we moderate",
            every=10 * MINUTES,
            part="subs",
            scopes=("read", "mysubreddits"),
            partitions=moderated,
            request=lambda ctx: listing(f"/r/{ctx.vars['name']}/comments", ctx),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1), reread=timedelta(days=1)),
            map=parse.thing,
        ),
        Stream(
            "comments",
            "Comments of the account",
            every=10 * MINUTES,
            part="own",
            scopes=("history",),
            request=lambda ctx: _own("comments", ctx),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1)),
            map=parse.thing,
        ),
        Stream(
            "comments",
            "Comments below the account's posts",
            every=10 * MINUTES,
            part="threads",
            scopes=("read", "history"),
            partitions=discussed,
            request=tree,
            items=parse.tree,
            pager=TreePager(),
            cursor=UNORDERED,
            map=parse.thing,
        ),
        Stream(
            "comments",
            "Replies to the account's comments elsewhere",
            every=10 * MINUTES,
            part="replies",
            scopes=("privatemessages",),
            request=lambda ctx: listing("/message/comments", ctx, mark="false"),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1)),
            map=parse.reply_elsewhere,
        ),
        Stream(
            "mentions",
            "Comments that name the account",
            every=5 * MINUTES,
            scopes=("privatemessages",),
            request=lambda ctx: listing("/message/mentions", ctx, mark="false"),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1)),
            map=parse.mention,
        ),
        Stream(
            "messages",
            "Private messages",
            every=5 * MINUTES,
            part="inbox",
            scopes=("privatemessages",),
            request=lambda ctx: listing("/message/messages", ctx, mark="false"),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1)),
            map=parse.messages,
        ),
        Stream(
            "messages",
            "Private messages that were sent",
            every=5 * MINUTES,
            part="sent",
            scopes=("privatemessages",),
            request=lambda ctx: listing("/message/sent", ctx),
            **CHILDREN,
            cursor=_newest(timedelta(hours=1)),
            map=parse.messages,
        ),
        Stream(
            "messages",
            "Modmail",
            every=5 * MINUTES,
            part="modmail",
            scopes=("modmail",),
            partitions=conversations,
            request=talk,
            items=talk_messages,
            cursor=Watermark(parse.modmail_date, order=NONE),
            map=parse.modmail,
        ),
        Stream(
            "engagement-metrics",
            "Scores of posts and comments; edits and deletions",
            every=60 * MINUTES,
            part="things",
            scopes=("read",),
            partitions=stored,
            request=info,
            items="data.children",
            cursor=Snapshot(),
            map=parse.measured,
        ),
        Stream(
            "engagement-metrics",
            "Subscribers",
            every=60 * MINUTES,
            part="subs",
            scopes=("read", "mysubreddits"),
            partitions=moderated,
            request=lambda ctx: get(f"/r/{ctx.vars['name']}/about", endpoint="about", raw_json=1),
            items="",
            cursor=Snapshot(),
            map=parse.subreddit,
        ),
        Stream(
            "engagement-metrics",
            "Visitors by day",
            every=360 * MINUTES,
            part="traffic",
            partitions=moderated,
            request=lambda ctx: get(f"/r/{ctx.vars['name']}/about/traffic", endpoint="traffic"),
            items="day",
            cursor=Snapshot(),
            # Whoever may not see visitors still gets the rest.
            verdicts=(on(status={403, 404}, then=GONE),),
            map=parse.traffic_day,
        ),
        Stream(
            "profile",
            "The profile and its karma",
            every=360 * MINUTES,
            scopes=("identity",),
            request=lambda _ctx: get("/api/v1/me", endpoint="me", raw_json=1),
            items="",
            cursor=Snapshot(),
            map=parse.profile,
        ),
    ),
)
