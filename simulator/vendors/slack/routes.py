"""Slack's Web API methods that a sync reads from, and `chat.postMessage`."""

from __future__ import annotations

from base64 import b64decode, b64encode
from html import unescape
from typing import TYPE_CHECKING, Any

from simulator.dice import chance
from simulator.feed import Record
from simulator.http import Request, Routes
from simulator.paging import feed_page, list_page
from simulator.vendors.slack.data import SCOPE_OF, Channel, channel_json, key_of

if TYPE_CHECKING:
    from simulator.vendors.slack import Slack

routes = Routes()
READ = "GET POST"


def fail(slack: Slack, error: str, **more: Any) -> Exception:
    return slack.refuse(200, {"ok": False, "error": error, **more})


# --- arguments


def channel_arg(slack: Slack, request: Request, action: str) -> Channel:
    """The conversation a call is about, seen with the scope its kind needs."""
    channel = slack.team(request).channels.get(str(request.args().get("channel", "")))
    if channel is None or (channel.kind != "public" and not channel.joined):
        raise fail(slack, "channel_not_found")
    slack.need(request, f"{SCOPE_OF[channel.kind]}:{action}")
    if action == "history" and not channel.joined:
        raise fail(slack, "not_in_channel")
    return channel


def limit_arg(slack: Slack, request: Request, default: int, most: int) -> int:
    value = str(request.args().get("limit", default))
    if not value.isdigit() or int(value) < 1:
        raise fail(slack, "invalid_limit")
    return min(int(value), most)


def cursor_arg(slack: Slack, request: Request, prefix: str) -> str | None:
    cursor = request.args().get("cursor")
    if not cursor:
        return None
    try:
        kind, _, value = b64decode(str(cursor), validate=True).decode().partition(":")
    except ValueError:
        kind, value = "", ""
    if kind != prefix:
        raise fail(slack, "invalid_cursor")
    return value


def cursor(prefix: str, value: object) -> str:
    return b64encode(f"{prefix}:{value}".encode()).decode()


def bounds(slack: Slack, request: Request) -> tuple[int | None, int | None]:
    """`oldest` and `latest` as exclusive feed keys."""
    args = request.args()
    inclusive = str(args.get("inclusive", "")).lower() in ("1", "true")
    out: list[int | None] = []
    for name, step in (("oldest", -1), ("latest", 1)):
        value = args.get(name)
        if value in (None, "", "0"):
            out.append(None)
            continue
        key = key_of(str(value))
        if key is None:
            raise fail(slack, f"invalid_ts_{name}")
        out.append(key + step if inclusive else key)
    return out[0], out[1]


def paged(answer: dict[str, Any], next_cursor: str | None) -> dict[str, Any]:
    return {**answer, "response_metadata": {"next_cursor": next_cursor or ""}}


# --- conversations


@routes.add(READ, "/api/conversations.list", limits=("tier2",))
def conversations_list(slack: Slack, request: Request) -> dict[str, Any]:
    return _channels(slack, request, joined_only=False)


@routes.add(READ, "/api/users.conversations", limits=("tier3",))
def users_conversations(slack: Slack, request: Request) -> dict[str, Any]:
    return _channels(slack, request, joined_only=True)


def _channels(slack: Slack, request: Request, *, joined_only: bool) -> dict[str, Any]:
    args = request.args()
    wanted = str(args.get("types") or "public_channel").replace("_channel", "").split(",")
    if any(kind not in SCOPE_OF for kind in wanted):
        raise fail(slack, "invalid_types")
    slack.need(request, *(f"{SCOPE_OF[kind]}:read" for kind in wanted))
    no_archived = str(args.get("exclude_archived", "")).lower() in ("1", "true")
    channels = [
        channel
        for channel in slack.team(request).channels.values()
        if channel.kind in wanted
        and not (no_archived and channel.archived)
        and (channel.joined or (channel.kind == "public" and not joined_only))
    ]
    first = cursor_arg(slack, request, "team")
    ids = [channel.id for channel in channels]
    if first is not None and first not in ids:
        raise fail(slack, "invalid_cursor")
    limit = limit_arg(slack, request, 100, 999)
    page = list_page(slack, request, channels, limit, position=ids.index(first) if first else None)
    shown = [channel_json(channel, members=not joined_only) for channel in page.items]
    return paged({"ok": True, "channels": shown}, None if page.next is None else cursor("team", ids[page.next]))


@routes.add(READ, "/api/conversations.info", limits=("tier3",))
def conversations_info(slack: Slack, request: Request) -> dict[str, Any]:
    channel = channel_arg(slack, request, "read")
    members = str(request.args().get("include_num_members", "")).lower() in ("1", "true")
    return {"ok": True, "channel": channel_json(channel, members=members)}


@routes.add(READ, "/api/conversations.members", limits=("tier4",))
def conversations_members(slack: Slack, request: Request) -> dict[str, Any]:
    channel = channel_arg(slack, request, "read")
    start = cursor_arg(slack, request, "user")
    page = list_page(slack, request, channel.members, limit_arg(slack, request, 100, 1000), position=int(start or 0))
    return paged({"ok": True, "members": list(page.items)}, None if page.next is None else cursor("user", page.next))


@routes.post("/api/conversations.join", limits=("tier3",), scopes=("channels:join",))
def conversations_join(slack: Slack, request: Request) -> dict[str, Any]:
    channel = slack.team(request).channels.get(str(request.args().get("channel", "")))
    if channel is None or channel.kind != "public":
        raise fail(slack, "channel_not_found")
    if channel.archived:
        raise fail(slack, "is_archived")
    channel.joined = True
    return {"ok": True, "channel": channel_json(channel, members=False)}


# --- messages


@routes.add(READ, "/api/conversations.history", limits=("tier3",))
def history(slack: Slack, request: Request) -> dict[str, Any]:
    channel = channel_arg(slack, request, "history")
    oldest, latest = bounds(slack, request)
    limit = limit_arg(slack, request, 100, slack.page_limit(request, 999))
    start = cursor_arg(slack, request, "next_ts")
    page = feed_page(
        slack, request, channel.feed, limit, position=int(start) if start else None, above=oldest, below=latest
    )
    answer: dict[str, Any] = {
        "ok": True,
        "messages": page.items,
        "has_more": page.next is not None,
        "pin_count": 0,
        "channel_actions_ts": None,
        "channel_actions_count": 0,
    }
    return answer if page.next is None else paged(answer, cursor("next_ts", page.next))


@routes.add(READ, "/api/conversations.replies", limits=("tier3",))
def replies(slack: Slack, request: Request) -> dict[str, Any]:
    channel = channel_arg(slack, request, "history")
    parent = key_of(str(request.args().get("ts", "")))
    if parent is None or parent not in channel.feed:
        raise fail(slack, "thread_not_found")
    first = channel.feed.encoded(parent)
    thread = channel.thread(parent)
    if thread is None:
        return {"ok": True, "messages": [first], "has_more": False}
    oldest, latest = bounds(slack, request)
    start = cursor_arg(slack, request, "next_ts")
    page = feed_page(
        slack,
        request,
        thread,
        limit_arg(slack, request, 1000, slack.page_limit(request, 1000)),
        position=int(start) if start else None,
        above=oldest,
        below=latest,
        newest_first=False,
    )
    answer = {"ok": True, "messages": [first, *page.items], "has_more": page.next is not None}
    return answer if page.next is None else paged(answer, cursor("next_ts", page.next))


@routes.add(READ, "/api/reactions.get", limits=("tier3",), scopes=("reactions:read",))
def reactions_get(slack: Slack, request: Request) -> dict[str, Any]:
    channel = channel_arg(slack, request, "history")
    found = slack.find(channel, str(request.args().get("timestamp", "")))
    if found is None:
        raise fail(slack, "message_not_found")
    feed, key = found
    shown = {**(feed.get(key) or {}), "permalink": slack.permalink(request, channel, key)}
    return {"ok": True, "type": "message", "channel": channel.id, "message": shown}


@routes.add(READ, "/api/chat.getPermalink", limits=("special",))
def permalink(slack: Slack, request: Request) -> dict[str, Any]:
    channel = channel_arg(slack, request, "read")
    found = slack.find(channel, str(request.args().get("message_ts", "")))
    if found is None:
        raise fail(slack, "message_not_found")
    return {"ok": True, "channel": channel.id, "permalink": slack.permalink(request, channel, found[1])}


@routes.add(READ, "/api/search.messages", limits=("tier2",), scopes=("search:read",))
def search(slack: Slack, request: Request) -> dict[str, Any]:
    args = request.args()
    words = [word for word in str(args.get("query", "")).split() if ":" not in word]
    hits: list[Record] = []
    for channel in slack.team(request).bots_channels():
        for record in channel.feed.records():
            if all(word.lower() in record["text"].lower() for word in words):
                hits.append({**record, "channel": {"id": channel.id, "name": channel.name}})
    hits.sort(key=lambda record: str(record["ts"]), reverse=args.get("sort_dir", "desc") == "desc")
    size, page = min(int(args.get("count", 20)), 100), int(args.get("page", 1))
    pages = max(-(-len(hits) // size), 1)
    return {
        "ok": True,
        "query": args.get("query", ""),
        "messages": {
            "total": len(hits),
            "matches": hits[(page - 1) * size : page * size],
            "paging": {"count": size, "total": len(hits), "page": page, "pages": pages},
        },
    }


@routes.post("/api/chat.postMessage", limits=("post",), scopes=("chat:write",))
def post_message(slack: Slack, request: Request) -> dict[str, Any]:
    args, team = request.args(), slack.team(request)
    channel = team.channels.get(str(args.get("channel", "")))
    if channel is None:
        raise fail(slack, "channel_not_found")
    if not args.get("text"):
        raise fail(slack, "no_text")
    made = slack.post(
        team, channel=channel.id, text=unescape(str(args["text"])), user=team.bot_user, thread=args.get("thread_ts")
    )
    found = slack.find(channel, made)
    return {"ok": True, "channel": channel.id, "ts": made, "message": found[0].get(found[1]) if found else None}


# --- people


@routes.add(READ, "/api/users.list", limits=("tier2",), scopes=("users:read",))
def users_list(slack: Slack, request: Request) -> dict[str, Any]:
    users = [slack.shown_user(request, user) for user in slack.team(request).users.values()]
    start = cursor_arg(slack, request, "user")
    page = list_page(slack, request, users, limit_arg(slack, request, 1000, 1000), position=int(start or 0))
    answer = {"ok": True, "members": list(page.items), "cache_ts": int(request.now)}
    return paged(answer, None if page.next is None else cursor("user", page.next))


@routes.add(READ, "/api/users.info", limits=("tier4",), scopes=("users:read",))
def users_info(slack: Slack, request: Request) -> dict[str, Any]:
    return {"ok": True, "user": slack.shown_user(request, _user(slack, request))}


@routes.add(READ, "/api/users.lookupByEmail", limits=("tier3",), scopes=("users:read.email",))
def users_by_email(slack: Slack, request: Request) -> dict[str, Any]:
    email = request.args().get("email")
    for user in slack.team(request).users.values():
        if user["profile"]["email"] == email:
            return {"ok": True, "user": slack.shown_user(request, user)}
    raise fail(slack, "users_not_found")


@routes.add(READ, "/api/users.getPresence", limits=("tier3",), scopes=("users:read",))
def presence(slack: Slack, request: Request) -> dict[str, Any]:
    user = _user(slack, request)
    slot = int(request.now // 600)
    return {"ok": True, "presence": "active" if chance("presence", user["id"], slot) < 0.5 else "away"}


def _user(slack: Slack, request: Request) -> Record:
    user = slack.team(request).users.get(str(request.args().get("user", "")))
    if user is None:
        raise fail(slack, "user_not_found")
    return user


@routes.add(READ, "/api/team.info", limits=("tier3",), scopes=("team:read",))
def team_info(slack: Slack, request: Request) -> dict[str, Any]:
    team = slack.team(request)
    shown = {"id": team.id, "name": team.name, "domain": team.domain, "email_domain": "", "url": team.url}
    return {"ok": True, "team": {**shown, "icon": {"image_default": True}}}


@routes.add(READ, "/api/bots.info", limits=("tier3",), scopes=("users:read",))
def bots_info(slack: Slack, request: Request) -> dict[str, Any]:
    team = slack.team(request)
    bot = {"id": team.bot_id, "deleted": False, "name": "Sync", "updated": 0, "app_id": slack.app.id}
    return {"ok": True, "bot": {**bot, "user_id": team.bot_user, "icons": {}}}
