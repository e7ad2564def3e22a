"""Discord's guilds, channels, threads, members and what else belongs to the guild as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from simulator.feed import Record
from simulator.http import Request, Routes
from simulator.vendors.discord.data import Channel, Guild, Thread
from simulator.vendors.discord.records import FORUM, NEWS, PRIVATE_THREAD, STARTER, TEXT, member_json, stamp
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendors.discord import Discord

routes = Routes()
API = "/api/v10"


# --- arguments


def invalid(discord: Discord, name: str, code: str = "NUMBER_TYPE_COERCE", text: str = "Not a number.") -> Exception:
    errors = {name: {"_errors": [{"code": code, "message": text}]}}
    return discord.refuse(400, {"code": 50035, "message": "Invalid Form Body", "errors": errors})


def id_arg(discord: Discord, request: Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    if not value.isdigit():
        raise invalid(discord, name, text=f'Value "{value}" is not snowflake.')
    return int(value)


def limit_arg(discord: Discord, request: Request, default: int, most: int, least: int = 1) -> int:
    value = request.query.get("limit", str(default))
    if not value.isdigit() or not least <= int(value) <= most:
        raise invalid(discord, "limit", "NUMBER_TYPE_MAX", f"int value should be between {least} and {most}.")
    return int(value)


def flag(request: Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("1", "true")


def guild_arg(discord: Discord, request: Request) -> Guild:
    found = discord.accounts.get(request.params["guild"])
    if found is None:
        raise discord.refuse(404, {"message": "Unknown Guild", "code": 10004})
    return found


def channel_arg(discord: Discord, request: Request) -> Channel:
    """The channel or thread of the path, if the bot may see it."""
    number = request.params["channel"]
    if not number.isdigit():
        raise invalid(discord, "channel_id", text=f'Value "{number}" is not snowflake.')
    guild = discord.guild_of(request)
    found = guild.find(int(number)) if guild else None
    if guild is None or found is None:
        raise discord.refuse(404, {"message": "Unknown Channel", "code": 10003})
    if not guild.readable(found):
        raise discord.refuse(403, {"message": "Missing Access", "code": 50001})
    discord.need(request, "VIEW_CHANNEL")
    return found


# --- who we are, and where


@routes.get(f"{API}/users/@me", limits=("user",))
def me(discord: Discord, request: Request) -> dict[str, Any]:
    assert request.token is not None
    if request.token.kind == "bot":
        return {**discord.bot, "verified": True, "mfa_enabled": True, "locale": "en-US", "flags": 0, "email": None}
    discord.need(request, "identify")
    return discord.account(request.account).people[0]  # type: ignore[arg-type]


@routes.get(f"{API}/users/@me/guilds", limits=("user",))
def my_guilds(discord: Discord, request: Request) -> list[Any]:
    assert request.token is not None
    before, after = id_arg(discord, request, "before"), id_arg(discord, request, "after")
    limit = limit_arg(discord, request, 200, 200)
    if request.token.kind == "bot":
        found = [guild for guild in discord.accounts.values() if discord.bot_grant(guild) is not None]
    else:
        discord.need(request, "guilds")
        found = [discord.account(request.account)]  # type: ignore[arg-type]
    found = [g for g in found if (before is None or int(g.id) < before) and (after is None or int(g.id) > after)]
    found.sort(key=lambda guild: int(guild.id))
    counts = flag(request, "with_counts")
    return [
        {
            "id": guild.id,
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": request.token.kind != "bot",
            "permissions": str(discord.permissions(guild)),
            "features": ["COMMUNITY", "NEWS"],
            **(_counts(guild, request.now) if counts else {}),
        }
        for guild in (found[-limit:] if before is not None else found[:limit])
    ]


@routes.get(f"{API}/gateway/bot", limits=("user",))
def gateway(discord: Discord, _request: Request) -> dict[str, Any]:
    limit = {"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1}
    return {"url": "wss://gateway.discord.gg/", "shards": 1, "session_start_limit": limit}


@routes.add("GET PATCH", f"{API}/applications/@me", limits=("user",))
async def application(discord: Discord, request: Request) -> dict[str, Any]:
    """Also sets the two webhook addresses, each after a handshake."""
    wanted = request.json if isinstance(request.json, dict) else {}
    for name, kind in (("event_webhooks_url", "events"), ("interactions_endpoint_url", "interactions")):
        if wanted.get(name):
            topics = frozenset(wanted.get("event_webhooks_types", ())) if kind == "events" else frozenset[str]()
            if not await discord.hooks.subscribe(Target(wanted[name], topics=topics, extra={"kind": kind})):
                text = "The specified interactions endpoint url could not be verified."
                raise invalid(discord, name, "APPLICATION_INTERACTIONS_ENDPOINT_INVALID", text)
    urls = {target.extra.get("kind", "events"): target.url for target in discord.hooks.targets}
    return {
        "id": discord.app.id,
        "name": "Sync",
        "bot": discord.bot,
        "verify_key": discord.app.secrets["public_key"],
        "interactions_endpoint_url": urls.get("interactions"),
        "event_webhooks_url": urls.get("events"),
        "event_webhooks_status": 2 if "events" in urls else 1,
    }


# --- a guild


def _counts(guild: Guild, now: float) -> Record:
    return {"approximate_member_count": len(guild.by_id), "approximate_presence_count": guild.online(now)}


def guild_json(guild: Guild, now: float, *, counts: bool = False) -> Record:
    return {
        "id": guild.id,
        "name": guild.name,
        "icon": None,
        "description": None,
        "owner_id": guild.people[0]["id"],
        "features": ["COMMUNITY", "NEWS"],
        "preferred_locale": "en-US",
        "nsfw_level": 0,
        "verification_level": 1,
        "premium_tier": 0,
        "roles": [],
        "emojis": [],
        "widget_enabled": guild.widget,
        **(_counts(guild, now) if counts else {}),
    }


@routes.get(f"{API}/guilds/{{guild}}", limits=("guild",))
def guild_info(discord: Discord, request: Request) -> dict[str, Any]:
    return guild_json(guild_arg(discord, request), request.now, counts=flag(request, "with_counts"))


@routes.get(f"{API}/guilds/{{guild}}/channels", limits=("guild",))
def channels(discord: Discord, request: Request) -> list[Any]:
    """All of them, those the bot cannot see included; no threads."""
    return [channel.json() for channel in guild_arg(discord, request).channels.values()]


@routes.get(f"{API}/channels/{{channel}}", limits=("channel",))
def channel_info(discord: Discord, request: Request) -> dict[str, Any]:
    found = channel_arg(discord, request)
    return found.thread_json(request.now) if isinstance(found, Thread) else found.json()


@routes.get(f"{API}/guilds/{{guild}}/members", limits=("guild",))
def members(discord: Discord, request: Request) -> list[Any]:
    guild = guild_arg(discord, request)
    if "GUILD_MEMBERS" not in discord.app.options["intents"]:
        raise discord.refuse(403, {"message": "Missing Access", "code": 50001})
    after, limit = id_arg(discord, request, "after") or 0, limit_arg(discord, request, 1, 1000)
    there = (who for who in guild.by_id.values() if who["id"] not in guild.left)
    found = sorted((who for who in there if int(who["id"]) > after), key=lambda who: int(who["id"]))
    return [member_json(guild, who) for who in found[:limit]]


@routes.get(f"{API}/guilds/{{guild}}/widget.json", auth=False)
def widget(discord: Discord, request: Request) -> dict[str, Any]:
    guild = guild_arg(discord, request)
    if not guild.widget:
        raise discord.refuse(403, {"message": "Widget Disabled", "code": 50004})
    online = guild.online(request.now)
    shown = [
        {"id": str(n), "username": who["username"], "discriminator": "0000", "avatar": None, "status": "online"}
        for n, who in enumerate(list(guild.by_id.values())[: min(online, 100)])
    ]
    return {
        "id": guild.id,
        "name": guild.name,
        "instant_invite": None,
        "channels": [],
        "members": shown,
        "presence_count": online,
    }


@routes.get(f"{API}/guilds/{{guild}}/roles/member-counts", limits=("guild",))
def role_counts(discord: Discord, request: Request) -> dict[str, Any]:
    guild = guild_arg(discord, request)
    return {str(guild.created + 1): 1, str(guild.created + 2): max(len(guild.by_id) - 2, 0)}


@routes.get(f"{API}/guilds/{{guild}}/scheduled-events", limits=("guild",))
def scheduled_events(discord: Discord, request: Request) -> list[Any]:
    counted = flag(request, "with_user_count")
    events = guild_arg(discord, request).events
    return [{k: v for k, v in event.items() if counted or k != "user_count"} for event in events]


@routes.get(f"{API}/guilds/{{guild}}/audit-logs", limits=("guild",), scopes=("VIEW_AUDIT_LOG",))
def audit_log(discord: Discord, request: Request) -> dict[str, Any]:
    guild = guild_arg(discord, request)
    after, before = id_arg(discord, request, "after"), id_arg(discord, request, "before")
    found = guild.audit.slice(
        limit_arg(discord, request, 50, 100), above=after, below=before, newest_first=after is None
    )
    wanted = request.query.get("action_type")
    entries = [entry for key in found.keys if (entry := guild.audit.get(key))]
    return {
        "audit_log_entries": [e for e in entries if wanted in (None, str(e["action_type"]))],
        "users": [],
        "threads": [],
        "webhooks": [],
    }


# --- threads


@routes.get(f"{API}/guilds/{{guild}}/threads/active", limits=("guild",))
def active_threads(discord: Discord, request: Request) -> dict[str, Any]:
    guild, now = guild_arg(discord, request), request.now
    found = [
        thread
        for thread in guild.threads.values()
        if thread.archived_at(now) is None and guild.readable(thread) and thread.type != PRIVATE_THREAD
    ]
    found.sort(key=lambda thread: -thread.id)
    return {"threads": [thread.thread_json(now) for thread in found], "members": []}


@routes.get(f"{API}/channels/{{channel}}/threads/archived/public", limits=("channel",))
def archived_public(discord: Discord, request: Request) -> dict[str, Any]:
    return _archived(discord, request, private=False)


@routes.get(f"{API}/channels/{{channel}}/threads/archived/private", limits=("channel",), scopes=("MANAGE_THREADS",))
def archived_private(discord: Discord, request: Request) -> dict[str, Any]:
    return _archived(discord, request, private=True)


def _archived(discord: Discord, request: Request, *, private: bool) -> dict[str, Any]:
    """By the time they were archived, newest first."""
    channel = channel_arg(discord, request)
    if channel.type not in (TEXT, NEWS, FORUM) or (private and channel.type != TEXT):
        raise discord.refuse(400, {"message": "Cannot execute action on this channel type", "code": 50024})
    discord.need(request, "READ_MESSAGE_HISTORY")
    limit, before = limit_arg(discord, request, 50, 100, least=2), request.query.get("before")
    found: list[tuple[float, Thread]] = []
    for thread in channel.guild.threads_of(channel):
        archived = thread.archived_at(request.now)
        if archived is not None and (thread.type == PRIVATE_THREAD) is private:
            found.append((archived, thread))
    found.sort(key=lambda pair: (-pair[0], -pair[1].id))
    if before is not None:
        found = [pair for pair in found if stamp(pair[0]) < _utc(discord, before)]
    shown = [thread.thread_json(request.now) for _, thread in found[:limit]]
    return {"threads": shown, "members": [], "has_more": len(found) > limit}


def _utc(discord: Discord, value: str) -> str:
    from datetime import UTC, datetime

    try:
        return stamp(datetime.fromisoformat(value).astimezone(UTC).timestamp())
    except ValueError:
        raise invalid(discord, "before", "DATETIME_TYPE_PARSE", "Could not parse this as an ISO8601 date.") from None


@routes.get(f"{API}/channels/{{channel}}/users/@me/threads/archived/private", limits=("channel",))
def joined_private(discord: Discord, request: Request) -> dict[str, Any]:
    """The bot never joined one."""
    channel_arg(discord, request)
    id_arg(discord, request, "before")
    return {"threads": [], "members": [], "has_more": False}


@routes.get(f"{API}/channels/{{channel}}/threads/search", limits=("search",))
def search_threads(discord: Discord, request: Request) -> dict[str, Any]:
    channel, limit = channel_arg(discord, request), limit_arg(discord, request, 25, 25)
    low, high = id_arg(discord, request, "min_id"), id_arg(discord, request, "max_id")
    offset = int(request.query.get("offset", 0))
    found = sorted(channel.guild.threads_of(channel), key=lambda thread: -thread.id)
    found = [t for t in found if (low is None or t.id > low) and (high is None or t.id < high)]
    part = found[offset : offset + limit]
    firsts = [record for thread in part if (record := _first_message(thread)) is not None]
    return {
        "threads": [thread.thread_json(request.now) for thread in part],
        "members": [],
        "has_more": len(found) > offset + limit,
        "first_messages": firsts,
        "total_results": len(found),
    }


def _first_message(thread: Thread) -> msgspec.Raw | None:
    oldest = thread.feed.slice(1, newest_first=False).keys
    record = thread.feed.get(oldest[0]) if oldest else None
    if record is None or record["type"] == STARTER:
        return None
    return thread.feed.encoded(oldest[0])
