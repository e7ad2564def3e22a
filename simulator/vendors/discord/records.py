"""Discord's objects as JSON, and its ids.

Ids are snowflakes: milliseconds since 2015 above 22 bits that only tell ids of one millisecond apart. They are the keys
of all feeds here, and texts in JSON.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator import text
from simulator.dice import HEX, letters
from simulator.feed import Record

if TYPE_CHECKING:
    from simulator.vendors.discord.data import Channel, Guild

EPOCH_MS = 1_420_070_400_000
DAY = 86_400
TEXT, VOICE, CATEGORY, NEWS, FORUM = 0, 2, 4, 5, 15
PUBLIC_THREAD, PRIVATE_THREAD = 11, 12
DEFAULT, REPLY, STARTER = 0, 19, 21
EMOJI = ("🔥", "👍", "❤️", "😂", "🎉")


def snowflake(at: float) -> int:
    return (int(at * 1000) - EPOCH_MS) << 22


def instant(key: int) -> float:
    return ((key >> 22) + EPOCH_MS) / 1000


def stamp(at: float) -> str:
    """`2017-07-11T17:27:07.299000+00:00`"""
    whole, part = divmod(round(at * 1000), 1000)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat()[:19]}.{part:03d}000+00:00"


def message(place: Channel, key: int, author: Record, words: str, *, kind: int = DEFAULT) -> Record:
    bot = place.guild.bot
    return {
        "id": str(key),
        "type": kind,
        "channel_id": str(place.id),
        "content": words,
        "author": author,
        "timestamp": stamp(instant(key)),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": "@everyone" in words,
        "mentions": [bot] if f"<@{bot['id']}>" in words else [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "components": [],
        "pinned": False,
        "flags": 0,
    }


def reference(place: Channel, key: int) -> Record:
    return {"type": REPLY, "message_reference": {"type": 0, **pointer(place.id, key, place.guild)}}


def pointer(channel: int | None, key: int, guild: Guild) -> Record:
    return {"message_id": str(key), "channel_id": str(channel), "guild_id": guild.id}


def reaction(emoji: str, count: int) -> Record:
    return {
        "emoji": {"id": None, "name": emoji},
        "count": count,
        "count_details": {"burst": 0, "normal": count},
        "me": False,
        "me_burst": False,
        "burst_colors": [],
    }


def attachment(place: Channel, key: int) -> Record:
    return {
        "id": str(key + 1),
        "filename": "photo.png",
        "size": 20_000 + key % 90_000,
        "content_type": "image/png",
        "width": 640,
        "height": 480,
        "url": f"https://cdn.discordapp.com/attachments/{place.id}/{key + 1}/photo.png",
        "proxy_url": f"https://media.discordapp.net/attachments/{place.id}/{key + 1}/photo.png",
    }


def signed(found: Record, day: int) -> Record:
    """Its address as handed out on that day: good until the end of the next."""
    query = f"?ex={(day + 2) * DAY:x}&is={day * DAY:x}&hm={letters(64, HEX, found['id'], day)}&"
    return {**found, "url": found["url"] + query, "proxy_url": found["proxy_url"] + query}


def poll(question: str, answers: list[str], votes: list[int], ends_at: float, *, closed: bool = False) -> Record:
    return {
        "question": {"text": question},
        "answers": [{"answer_id": n + 1, "poll_media": {"text": words}} for n, words in enumerate(answers)],
        "expiry": stamp(ends_at),
        "allow_multiselect": False,
        "layout_type": 1,
        "results": {
            "is_finalized": closed,
            "answer_counts": [{"id": n + 1, "count": count, "me_voted": False} for n, count in enumerate(votes)],
        },
    }


def user(key: int, *, bot: str = "") -> Record:
    who = text.person("discord", key)
    return {
        "id": str(key),
        "username": bot.lower() or who.handle.replace(".", "_"),
        "discriminator": "0",
        "global_name": None if bot else who.name,
        "avatar": letters(32, HEX, "avatar", key),
        **({"bot": True} if bot else {"public_flags": 0}),
    }


def member_json(guild: Guild, who: Record) -> Record:
    return {
        "user": who,
        "nick": None,
        "avatar": None,
        "banner": None,
        "roles": [],
        "joined_at": stamp(guild.joined[who["id"]]),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
    }
