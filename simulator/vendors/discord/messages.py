"""Discord's messages: history, single ones, pins, search, who reacted, who voted, and a bot's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from simulator.dice import mix
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.vendors.discord import records
from simulator.vendors.discord.data import Channel, Guild
from simulator.vendors.discord.records import CATEGORY, DAY, FORUM, STARTER, instant, stamp
from simulator.vendors.discord.routes import API, channel_arg, flag, guild_arg, id_arg, invalid, limit_arg

if TYPE_CHECKING:
    from simulator.vendors.discord import Discord

routes = Routes()
PATH = f"{API}/channels/{{channel}}/messages"
NO_MESSAGE = {"message": "Unknown Message", "code": 10008}
_CONTENT = ("embeds", "attachments", "components")


class Shower:
    """How a message looks to our bot today: with or without its content, with addresses that will run out."""

    def __init__(self, discord: Discord, place: Channel, now: float) -> None:
        self._place, self._bot = place, discord.bot["id"]
        self._content = "MESSAGE_CONTENT" in discord.app.options["intents"]
        self._now, self._day = now, int(now // DAY)
        self.name = f"{self._content}:{self._day}"

    def __call__(self, record: Record) -> Record:
        shown = self._one(record)
        if (pointer := record.get("message_reference")) is not None and record["type"] != STARTER:
            other = self._place.feed.get(int(pointer["message_id"]))
            shown["referenced_message"] = self._one(other) if other is not None else None
        thread = self._place.guild.threads.get(int(record["id"]))
        if thread is not None and thread is not self._place:
            shown |= {"flags": record["flags"] | 1 << 5, "thread": thread.thread_json(self._now)}
        return shown

    def _one(self, record: Record) -> Record:
        ours = record["author"]["id"] == self._bot or any(who["id"] == self._bot for who in record["mentions"])
        if not self._content and not ours:
            empty = {"content": "", **dict.fromkeys(_CONTENT, ())}
            return {name: value for name, value in {**record, **empty}.items() if name != "poll"}
        if not record["attachments"]:
            return dict(record)
        return {**record, "attachments": [records.signed(found, self._day) for found in record["attachments"]]}

    def raw(self, key: int) -> msgspec.Raw | None:
        return self._place.feed.encoded(key, self, self.name)


def readable(discord: Discord, request: Request) -> Channel:
    found = channel_arg(discord, request)
    if found.type in (CATEGORY, FORUM):
        raise discord.refuse(400, {"message": "Cannot execute action on this channel type", "code": 50024})
    return found


def may_read_history(request: Request) -> bool:
    """Without it there are no errors, only empty answers."""
    return request.token is not None and "READ_MESSAGE_HISTORY" in request.token.scopes


def message_arg(discord: Discord, request: Request) -> tuple[Channel, int, Record]:
    place = readable(discord, request)
    number = request.params["message"]
    record = place.feed.get(int(number)) if number.isdigit() and may_read_history(request) else None
    if record is None:
        raise discord.refuse(404, NO_MESSAGE)
    return place, int(number), record


@routes.get(PATH, limits=("messages",))
def history(discord: Discord, request: Request) -> list[Any]:
    """Newest first, whichever way one walks: `after` gives the messages next to it, newest of them first."""
    place, limit = readable(discord, request), limit_arg(discord, request, 50, 100)
    bounds = {name: found for name in ("around", "before", "after") if (found := id_arg(discord, request, name))}
    if len(bounds) > 1:
        raise invalid(discord, "_root", "MUTUALLY_EXCLUSIVE", "Only one of around, before, after may be given.")
    if not may_read_history(request):
        return []
    show, feed = Shower(discord, place, request.now), place.feed
    if (around := bounds.get("around")) is not None:
        newer = feed.slice(limit // 2, above=around, newest_first=False).keys[::-1]
        older = feed.slice(limit - len(newer), below=around + 1).keys
        return [raw for key in (*newer, *older) if (raw := show.raw(key)) is not None]
    if request.query.get("after") is not None:
        part = feed.slice(limit, above=bounds.get("after", 0), newest_first=False, view=show, view_name=show.name)
        return part.items[::-1]
    return feed.slice(limit, below=bounds.get("before"), view=show, view_name=show.name).items


@routes.get(f"{PATH}/pins", limits=("channel",))
def pins(discord: Discord, request: Request) -> dict[str, Any]:
    place, limit = readable(discord, request), limit_arg(discord, request, 50, 50)
    show = Shower(discord, place, request.now)
    pinned = [key for key in place.feed.slice(1000).keys if (place.feed.get(key) or {}).get("pinned")]
    items = [{"pinned_at": stamp(instant(key)), "message": show.raw(key)} for key in pinned[:limit]]
    return {"items": items, "has_more": len(pinned) > limit}


@routes.get(f"{PATH}/{{message}}", limits=("messages",))
def one(discord: Discord, request: Request) -> Response:
    place, key, _ = message_arg(discord, request)
    return Response(Shower(discord, place, request.now).raw(key))


@routes.post(PATH, limits=("channel",), scopes=("SEND_MESSAGES",))
def send(discord: Discord, request: Request) -> Response:
    place = readable(discord, request)
    body = request.json if isinstance(request.json, dict) else None
    if body is None:
        raise invalid(discord, "content", "BASE_TYPE_REQUIRED", "This field is required")
    if not body.get("content"):
        raise discord.refuse(400, {"message": "Cannot send an empty message", "code": 50006})
    nonce = (place.id, str(body["nonce"])) if body.get("enforce_nonce") and body.get("nonce") else None
    made = discord.nonces.get(nonce) if nonce else None
    if made is None:
        reply_to = (body.get("message_reference") or {}).get("message_id")
        made = discord.post(
            place.guild, channel=str(place.id), text=str(body["content"]), user=discord.bot["id"], reply_to=reply_to
        )
        if nonce:
            discord.nonces[nonce] = made
    return Response(Shower(discord, place, request.now).raw(int(made)))


@routes.get(f"{PATH}/{{message}}/reactions/{{emoji}}", limits=("channel",))
def reactors(discord: Discord, request: Request) -> list[Any]:
    place, _, record = message_arg(discord, request)
    emoji = unquote(request.params["emoji"])
    found = next((r for r in record.get("reactions", ()) if r["emoji"]["name"] == emoji), None)
    if found is None:
        raise discord.refuse(404, {"message": "Unknown Emoji", "code": 10014})
    return _some_people(discord, request, place.guild, found["count"])


@routes.get(f"{API}/channels/{{channel}}/polls/{{message}}/answers/{{answer}}", limits=("channel",))
def voters(discord: Discord, request: Request) -> dict[str, Any]:
    place, _, record = message_arg(discord, request)
    counts = record.get("poll", {}).get("results", {}).get("answer_counts", ())
    found = next((c for c in counts if str(c["id"]) == request.params["answer"]), None)
    if found is None:
        raise discord.refuse(400, {"message": "Non-existent poll answer", "code": 520000})
    return {"users": _some_people(discord, request, place.guild, found["count"])}


def _some_people(discord: Discord, request: Request, guild: Guild, count: int) -> list[Record]:
    after, limit = id_arg(discord, request, "after") or 0, limit_arg(discord, request, 25, 100)
    people = sorted(guild.people, key=lambda who: mix(who["id"], request.path))[:count]
    return sorted((who for who in people if int(who["id"]) > after), key=lambda who: int(who["id"]))[:limit]


# --- search


@routes.get(f"{API}/guilds/{{guild}}/messages/search", limits=("search",), scopes=("READ_MESSAGE_HISTORY",))
def search(discord: Discord, request: Request) -> Response | dict[str, Any]:
    """Matches as lists of one. The index of a guild is not ready when it is asked for the first time."""
    guild = guild_arg(discord, request)
    if "MESSAGE_CONTENT" not in discord.app.options["intents"]:
        raise discord.refuse(403, {"message": "Missing Access", "code": 50001})
    limit = limit_arg(discord, request, 25, 25)
    offset = request.query.get("offset", "0")
    if not offset.isdigit() or int(offset) > 9975:
        raise invalid(discord, "offset", "NUMBER_TYPE_MAX", "int value should be less than or equal to 9975.")
    if guild.id not in discord.indexed:
        discord.indexed.add(guild.id)
        text = "Index not yet available. Try again later"
        return Response({"message": text, "code": 110000, "documents_indexed": 0, "retry_after": 1}, 202)
    found = _matches(discord, request, guild)
    found.sort(key=lambda hit: hit[1], reverse=request.query.get("sort_order", "desc") == "desc")
    part = found[int(offset) : int(offset) + limit]
    shown = []
    for place, key in part:
        record = Shower(discord, place, request.now)(place.feed.get(key) or {})
        shown.append([{name: value for name, value in record.items() if name != "reactions"}])
    return {"doing_deep_historical_index": False, "total_results": len(found), "messages": shown}


def _matches(discord: Discord, request: Request, guild: Guild) -> list[tuple[Channel, int]]:
    low, high = id_arg(discord, request, "min_id"), id_arg(discord, request, "max_id")
    people, authors = set(request.query_list("mentions")), set(request.query_list("author_id"))
    words, everyone = request.query.get("content", "").lower(), flag(request, "mention_everyone")
    places = set(request.query_list("channel_id"))
    hits: list[tuple[Channel, int]] = []
    for place in (*guild.channels.values(), *guild.threads.values()):
        if not guild.readable(place) or (places and str(place.id) not in places):
            continue
        for key in place.feed.slice(len(place.feed), above=low, below=high).keys:
            record = place.feed.get(key)
            if record is None or record["type"] == STARTER:
                continue
            if people and not people & {who["id"] for who in record["mentions"]}:
                continue
            if authors and record["author"]["id"] not in authors:
                continue
            if words not in record["content"].lower() or (everyone and not record["mention_everyone"]):
                continue
            hits.append((place, key))
    return hits
