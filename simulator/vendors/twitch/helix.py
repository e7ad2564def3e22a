"""Helix: what a sync reads of a channel."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulator.dice import mix
from simulator.feed import Record
from simulator.http import Request, Routes
from simulator.numbers import iso
from simulator.paging import Page, feed_page, list_page, seal, unseal
from simulator.vendors.twitch.data import DAY, MS, Channel, person, uuid

if TYPE_CHECKING:
    from simulator.vendors.twitch import Twitch

routes = Routes()
POINTS = ("points",)
CLIPS_MOST = 1000
WIDE_S = 35 * DAY
BAD_CURSOR = "The cursor specified in the before or after query parameter is not valid."
NOT_OURS = "The ID in broadcaster_id must match the user ID found in the request's OAuth token."


def fail(twitch: Twitch, status: int, message: str) -> Exception:
    from simulator.http import Refusal
    from simulator.vendors.twitch import failed

    return Refusal(failed(status, message))


# --- arguments


def first(twitch: Twitch, request: Request, usual: int = 20, most: int = 100) -> int:
    value = request.query.get("first", str(usual))
    if not value.isdigit() or not 1 <= int(value) <= most:
        raise fail(twitch, 400, f'The parameter "first" was malformed: the value must be less than or equal to {most}')
    return int(value)


def position(twitch: Twitch, request: Request) -> int | None:
    """Where the cursor leads; it is good for the same question only."""
    cursor = request.query.get("after")
    if not cursor:
        return None
    found = unseal(cursor)
    if found is None or len(found) != 2 or found[1] != _question(request):
        raise fail(twitch, 400, BAD_CURSOR)
    return int(found[0])


def _question(request: Request) -> int:
    pairs = sorted(pair for pair in request.query_pairs if pair[0] not in ("after", "before", "first"))
    return mix(request.path, str(pairs)) % 1_000_000


def paged(request: Request, page: Page, items: Any = None, **more: Any) -> dict[str, Any]:
    pagination = {} if page.next is None else {"cursor": seal(page.next, _question(request))}
    return {**more, "data": page.items if items is None else items, "pagination": pagination}


def needed(twitch: Twitch, request: Request, *names: str) -> str:
    """The value of the one parameter of these that is there."""
    for name in names:
        if request.query.get(name):
            return request.query[name]
    raise fail(twitch, 400, f'Missing required parameter "{names[0]}"')


def channel_arg(twitch: Twitch, request: Request, name: str = "broadcaster_id") -> Channel:
    found = twitch.accounts.get(needed(twitch, request, name))
    if found is None or found.gone:
        raise fail(twitch, 404, "The broadcaster was not found.")
    return found


def own_channel(twitch: Twitch, request: Request) -> Channel:
    """The channel asked about, which must be the one of the token."""
    wanted = needed(twitch, request, "broadcaster_id")
    if request.account is None or request.account.id != wanted:
        raise fail(twitch, 401, NOT_OURS)
    return channel_arg(twitch, request)


def instant(twitch: Twitch, request: Request, name: str) -> float | None:
    value = request.query.get(name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        raise fail(twitch, 400, f'The parameter "{name}" was malformed: not RFC3339') from None


# --- users, channels, streams


@routes.get("/helix/users", limits=POINTS)
def users(twitch: Twitch, request: Request) -> dict[str, Any]:
    ids, logins = request.query_list("id"), request.query_list("login")
    if not ids and not logins:
        if request.account is None:
            raise fail(twitch, 400, 'The parameter "id" or "login" is required')
        ids = [request.account.id]
    if len(ids) + len(logins) > 100:
        raise fail(twitch, 400, "The number of IDs and login names must be less than or equal to 100")
    found = [c for c in twitch.accounts.values() if (c.id in ids or c.login in logins) and not c.gone]
    email = request.token is not None and "user:read:email" in request.token.scopes
    return {
        "data": [
            c.user_json() | ({"email": f"{c.login}@example.com"} if email and c is request.account else {})
            for c in found
        ]
    }


@routes.get("/helix/channels", limits=POINTS)
def channels(twitch: Twitch, request: Request) -> dict[str, Any]:
    needed(twitch, request, "broadcaster_id")
    ids = request.query_list("broadcaster_id")
    return {"data": [c.channel_json() for c in twitch.accounts.values() if c.id in ids and not c.gone]}


@routes.get("/helix/streams", limits=POINTS)
def streams(twitch: Twitch, request: Request) -> dict[str, Any]:
    """Live ones only, by viewers."""
    ids, logins = request.query_list("user_id"), request.query_list("user_login")
    live: list[Record] = []
    for channel in twitch.accounts.values():
        asked = (not ids and not logins) or channel.id in ids or channel.login in logins
        if asked and not channel.gone and (shown := channel.stream_json(request.now)) is not None:
            live.append(shown)
    live.sort(key=lambda stream: -stream["viewer_count"])
    page = list_page(twitch, request, live, first(twitch, request), position=position(twitch, request))
    return paged(request, page)


# --- videos and clips


@routes.get("/helix/videos", limits=POINTS)
def videos(twitch: Twitch, request: Request) -> dict[str, Any]:
    ids, now = request.query_list("id"), request.now
    if ids:
        found = [shown for video in ids if (shown := _video(twitch, video, now)) is not None]
        if not found:
            raise fail(twitch, 404, "The videos specified in the ID query parameter were not found.")
        return {"data": found, "pagination": {}}
    channel = channel_arg(twitch, request, "user_id")
    kind = request.query.get("type", "all")
    if kind not in ("all", "archive", "highlight", "upload"):
        raise fail(twitch, 400, 'The parameter "type" was malformed')
    page = feed_page(twitch, request, channel.videos, first(twitch, request), position=position(twitch, request))
    found = [shown for key in page.keys if (shown := channel.video_json(key, now)) is not None]
    return paged(request, page, [video for video in found if kind in ("all", video["type"])])


def _video(twitch: Twitch, video: str, now: float) -> Record | None:
    if not video.isdigit():
        raise fail(twitch, 400, "The ID in the ID query parameter is not valid.")
    for channel in twitch.accounts.values():
        if int(video) in channel.videos:
            return channel.video_json(int(video), now)
    return None


@routes.get("/helix/clips", limits=POINTS)
def clips(twitch: Twitch, request: Request) -> dict[str, Any]:
    """By views, most first. After about a thousand the same ones come again under new cursors, without an end."""
    if ids := request.query_list("id"):
        return {"data": _clips_by_id(twitch, set(ids), request.now), "pagination": {}}
    if request.query.get("before"):
        raise fail(twitch, 400, BAD_CURSOR)
    channel = channel_arg(twitch, request)
    since, until = instant(twitch, request, "started_at"), instant(twitch, request, "ended_at")
    if since is not None and until is None:
        until = since + 7 * DAY
    found = _clips(channel, since, until, request.now)
    at, size = position(twitch, request) or 0, first(twitch, request)
    if at >= CLIPS_MOST:
        start = (at - CLIPS_MOST) % CLIPS_MOST
        return paged(request, Page(found[:CLIPS_MOST][::-1][start : start + size], at + size))
    page = list_page(twitch, request, found, size, position=at)
    return paged(request, page, page.items)


def _clips(channel: Channel, since: float | None, until: float | None, now: float) -> list[Record]:
    above = None if since is None else int(since * MS) - 1
    below = None if until is None else int(until * MS)
    wide = since is None or until is None or until - since > WIDE_S
    found: list[Record] = []
    for key in channel.clips:
        if (above is not None and key <= above) or (below is not None and key >= below):
            continue
        if wide and mix("omitted", key) % 8 == 0:
            continue  # wide windows leave some out
        if (shown := channel.clip_json(key, now)) is not None:
            found.append(shown)
    return sorted(found, key=lambda clip: (-clip["view_count"], clip["id"]))


def _clips_by_id(twitch: Twitch, ids: set[str], now: float) -> list[Record]:
    return [
        shown
        for channel in twitch.accounts.values()
        for key in channel.clips
        if (channel.clips.get(key) or {}).get("id") in ids and (shown := channel.clip_json(key, now)) is not None
    ]


# --- people


@routes.get("/helix/channels/followers", limits=POINTS)
def followers(twitch: Twitch, request: Request) -> dict[str, Any]:
    """Newest first; without the scope, or about somebody else's channel, only how many."""
    channel = channel_arg(twitch, request)
    total = len(channel.followers)
    token = request.token
    if token is None or request.account is not channel or "moderator:read:followers" not in token.scopes:
        return {"total": total, "data": [], "pagination": {}}
    page = feed_page(twitch, request, channel.followers, first(twitch, request), position=position(twitch, request))
    return paged(request, page, total=total)


@routes.get("/helix/subscriptions", limits=POINTS, scopes=("channel:read:subscriptions",))
def subscriptions(twitch: Twitch, request: Request) -> dict[str, Any]:
    channel = own_channel(twitch, request)
    page = list_page(twitch, request, channel.subscribers, first(twitch, request), position=position(twitch, request))
    points = sum({"1000": 1, "2000": 2, "3000": 6}[sub["tier"]] for sub in channel.subscribers)
    return paged(request, page, total=len(channel.subscribers), points=points)


@routes.get("/helix/chat/chatters", limits=POINTS, scopes=("moderator:read:chatters",))
def chatters(twitch: Twitch, request: Request) -> dict[str, Any]:
    channel = own_channel(twitch, request)
    if needed(twitch, request, "moderator_id") != channel.id:
        raise fail(twitch, 403, "The user is not a moderator.")
    page = list_page(
        twitch, request, channel.chatters, first(twitch, request, 100, 1000), position=position(twitch, request)
    )
    return paged(request, page, total=len(channel.chatters))


@routes.get("/helix/moderation/banned", limits=POINTS, scopes=("moderation:read",))
def banned(twitch: Twitch, request: Request) -> dict[str, Any]:
    own_channel(twitch, request)
    return {"data": [], "pagination": {}}


@routes.get("/helix/bits/leaderboard", limits=POINTS, scopes=("bits:read",))
def leaderboard(twitch: Twitch, request: Request) -> dict[str, Any]:
    channel = twitch.account(request.account)  # type: ignore[arg-type]
    ranked = sorted(channel.bits.items(), key=lambda pair: -pair[1])[: int(request.query.get("count", 10))]
    shown = [
        {"user_id": user, "user_login": f"user{user}", "user_name": f"User{user}", "rank": n + 1, "score": bits}
        for n, (user, bits) in enumerate(ranked)
    ]
    return {"data": shown, "date_range": {"started_at": "", "ended_at": ""}, "total": len(shown)}


# --- the rest of a channel


@routes.get("/helix/polls", limits=POINTS, scopes=("channel:read:polls",))
def polls(twitch: Twitch, request: Request) -> dict[str, Any]:
    channel = own_channel(twitch, request)
    size = first(twitch, request, 20, 20)
    return paged(request, list_page(twitch, request, channel.polls, size, position=position(twitch, request)))


@routes.get("/helix/goals", limits=POINTS, scopes=("channel:read:goals",))
def goals(twitch: Twitch, request: Request) -> dict[str, Any]:
    channel = own_channel(twitch, request)
    goal = {
        "id": uuid("goal", channel.id),
        "broadcaster_id": channel.id,
        "broadcaster_name": channel.name,
        "broadcaster_login": channel.login,
        "type": "follower",
        "description": "Follow for more",
        "current_amount": len(channel.followers),
        "target_amount": len(channel.followers) // 100 * 100 + 200,
        "created_at": iso(channel.created),
    }
    return {"data": [goal]}


@routes.get("/helix/schedule", limits=POINTS)
def schedule(twitch: Twitch, request: Request) -> dict[str, Any]:
    channel = channel_arg(twitch, request)
    if not channel.schedule:
        raise fail(twitch, 404, "segments were not found")
    page = list_page(
        twitch, request, channel.schedule, first(twitch, request, 20, 25), position=position(twitch, request)
    )
    shown = {
        "segments": page.items,
        "broadcaster_id": channel.id,
        "broadcaster_name": channel.name,
        "broadcaster_login": channel.login,
        "vacation": None,
    }
    return paged(request, page, shown)


@routes.get("/helix/channels/ads", limits=POINTS, scopes=("channel:read:ads",))
def ads(twitch: Twitch, request: Request) -> dict[str, Any]:
    own_channel(twitch, request)
    hour = request.now - request.now % 3600

    def at(shift: float) -> str:
        return iso(hour + shift, "%Y-%m-%dT%H:%M:%S+00:00")

    shown = {
        "next_ad_at": at(3600),
        "last_ad_at": at(0),
        "duration": 60,
        "preroll_free_time": 90,
        "snooze_count": 1,
        "snooze_refresh_at": at(7200),
    }
    return {"data": [shown]}


@routes.post("/helix/chat/messages", limits=POINTS, scopes=("user:write:chat",))
def send_chat(twitch: Twitch, request: Request) -> dict[str, Any]:
    body = request.json if isinstance(request.json, dict) else {}
    channel = twitch.accounts.get(str(body.get("broadcaster_id", "")))
    if channel is None or not body.get("sender_id"):
        raise fail(twitch, 400, 'Missing required parameter "broadcaster_id"')
    if len(str(body.get("message", ""))) > 500:
        raise fail(twitch, 422, "The message is too large.")
    if not body.get("message"):
        dropped = {"code": "msg_empty", "message": "Your message is empty."}
        return {"data": [{"message_id": "", "is_sent": False, "drop_reason": dropped}]}
    sender = twitch.accounts.get(str(body["sender_id"]))
    who = person(0) if sender is None else {"user_id": sender.id, "user_login": sender.login, "user_name": sender.name}
    made = twitch.chat(channel, text=str(body["message"]), reply_to=body.get("reply_parent_message_id"), user=who)
    return {"data": [{"message_id": made, "is_sent": True}]}
