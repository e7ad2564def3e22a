"""Guilds: channels, threads and the talk of the past in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator import text
from simulator.dice import below, chance, mix
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account
from simulator.vendors.discord.records import (
    CATEGORY,
    DAY,
    EMOJI,
    FORUM,
    NEWS,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    STARTER,
    TEXT,
    VOICE,
    attachment,
    instant,
    message,
    pointer,
    reaction,
    reference,
    snowflake,
    stamp,
    user,
)

GUILD_AGE = 400 * DAY


@dataclass(eq=False, kw_only=True)
class Channel:
    """A channel; `feed` is empty where the type holds no messages of its own."""

    id: int
    name: str
    type: int
    guild: Guild
    parent: int | None = None
    position: int = 0
    topic: str | None = None
    readable: bool = True
    """Whether the bot may see it."""
    feed: Feed = field(default_factory=Feed)
    past: Past | None = None
    attached: bool = True
    """Whether some messages carry files (not those of the huge archive)."""

    def fill(self, count: int, start: int, end: int) -> None:
        self.past = Past(count, start, end, self.make, mix("feed", self.id))
        self.feed = Feed(self.past)

    def make(self, key: int, index: int) -> Record:
        """A message of the past; one roll of the dice decides all of it."""
        roll = mix(self.id, key)
        guild = self.guild
        words = text.message(roll)
        if roll & 0xFF < 10:
            words = f"<@{guild.bot['id']}> {words}"
        record = message(self, key, guild.people[(roll >> 8) % len(guild.people)], words)
        if roll >> 16 & 0xFF < 13:
            record["edited_timestamp"] = stamp(instant(key) + 90)
        if roll >> 24 & 0xFF < 64:
            record["reactions"] = [reaction(EMOJI[(roll >> 40) % len(EMOJI)], 1 + (roll >> 44) % 9)]
        if roll >> 32 & 0xFF < 40 and index > 0 and self.past is not None:
            record |= reference(self, self.past.key(index - 1))
        elif self.attached and roll >> 48 & 0xFF < 20:
            record["attachments"] = [attachment(self, key)]
        return record

    def json(self) -> Record:
        shown: Record = {
            "id": str(self.id),
            "guild_id": self.guild.id,
            "name": self.name,
            "type": self.type,
            "position": self.position,
            "flags": 0,
            "permission_overwrites": [],
            "parent_id": str(self.parent) if self.parent else None,
        }
        if self.type != CATEGORY:
            shown |= {
                "nsfw": False,
                "topic": self.topic,
                "last_message_id": self.last_message(),
                "rate_limit_per_user": 0,
                "default_auto_archive_duration": 1440,
            }
        if self.type == FORUM:
            tag = {"id": str(self.id), "name": "help", "moderated": False, "emoji_id": None, "emoji_name": None}
            shown |= {"available_tags": [tag], "default_sort_order": None, "default_forum_layout": 0}
        return shown

    def last_message(self) -> str | None:
        """Of a forum: the newest thread."""
        if self.type == FORUM:
            newest = max((thread.id for thread in self.guild.threads_of(self)), default=None)
        else:
            newest = self.feed.newest()
        return str(newest) if newest else None


@dataclass(eq=False, kw_only=True)
class Thread(Channel):
    owner: str
    created: float
    sent: int = 0
    """Messages ever sent besides the first; never goes down."""
    locked: bool = False
    closed_at: float | None = None
    """When somebody archived it by hand."""

    def starts(self) -> float:
        return instant(self.id)

    def make(self, key: int, index: int) -> Record:
        if index > 0:
            return super().make(key, index)
        if self.forum:
            return message(self, key, self.guild.user(self.owner), text.question("post", key))
        first = message(self, key, self.guild.user(self.owner), "", kind=STARTER)
        return first | {"message_reference": {"type": 0, **pointer(self.parent, self.id, self.guild)}}

    @property
    def forum(self) -> bool:
        return self.guild.channels[self.parent or 0].type == FORUM

    def last_active(self) -> float:
        newest = self.feed.newest()
        return instant(newest) if newest else self.created

    def archived_at(self, now: float) -> float | None:
        """When it was archived, by hand or after a day of silence; None while it is active."""
        quiet_since = self.last_active() + DAY
        if self.closed_at is not None and self.closed_at >= self.last_active():
            return self.closed_at
        return quiet_since if quiet_since <= now else None

    def thread_json(self, now: float) -> Record:
        archived = self.archived_at(now)
        return {
            "id": str(self.id),
            "guild_id": self.guild.id,
            "parent_id": str(self.parent),
            "owner_id": self.owner,
            "name": self.name,
            "type": self.type,
            "last_message_id": self.last_message(),
            "message_count": max(len(self.feed) - 1, 0),
            "member_count": min(3 + self.sent, 50),
            "total_message_sent": self.sent,
            "rate_limit_per_user": 0,
            "flags": 0,
            "applied_tags": [str(self.parent)] if self.forum else [],
            "thread_metadata": {
                "archived": archived is not None,
                "auto_archive_duration": 1440,
                "archive_timestamp": stamp(archived or self.created),
                "locked": self.locked,
                "create_timestamp": stamp(self.created),
            },
        }


@dataclass(eq=False, kw_only=True)
class Guild(Account):
    bot: Record
    people: list[Record]
    created: int
    channels: dict[int, Channel] = field(default_factory=dict)
    threads: dict[int, Thread] = field(default_factory=dict)
    audit: Feed = field(default_factory=Feed)
    events: list[Record] = field(default_factory=list)
    widget: bool = True
    joined: dict[str, float] = field(default_factory=dict)
    by_id: dict[str, Record] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    """Former members: what they wrote stays."""

    def user(self, user: str) -> Record:
        return self.by_id[user]

    def add(self, channel: Channel) -> None:
        place: dict[int, Any] = self.threads if isinstance(channel, Thread) else self.channels
        place[channel.id] = channel

    def threads_of(self, channel: Channel) -> list[Thread]:
        return [thread for thread in self.threads.values() if thread.parent == channel.id]

    def find(self, channel: int) -> Channel | None:
        return self.channels.get(channel) or self.threads.get(channel)

    def readable(self, channel: Channel) -> bool:
        parent = self.channels.get(channel.parent or 0) if isinstance(channel, Thread) else None
        return channel.readable and (parent is None or parent.readable)

    def online(self, now: float) -> int:
        return 1 + int(len(self.by_id) * (0.3 + 0.6 * chance("online", self.id, int(now // 60))))


def guild(seed: int, number: int, now: float, days: int, per_day: int, bot: Record, *, big: int = 0) -> Guild:
    """A guild. With `big`, one channel holds that many messages and there is nothing else."""
    origin = snowflake(now - GUILD_AGE) + (number << 12)
    made = Guild(
        id=str(origin),
        name="Archive" if big else text.company("discord", seed, number),
        big=bool(big),
        bot=bot,
        people=[user(origin + ((n + 1) << 30)) for n in range(8)],
        created=origin,
    )
    made.by_id = {person["id"]: person for person in (*made.people, bot)}
    made.joined = {who: now - GUILD_AGE + 100 * n for n, who in enumerate(made.by_id)}
    start, end = snowflake(now - days * DAY), snowflake(now - 60)

    def channel(place: int, name: str, kind: int, count: int = 0, **options: Any) -> Channel:
        one = Channel(id=origin + (place << 22), name=name, type=kind, guild=made, position=place, **options)
        if count:
            one.fill(count, start, end)
        made.add(one)
        return one

    if big:
        channel(1, "archive", TEXT, big, attached=False)
        return made
    category = channel(1, "Community", CATEGORY)
    channel(2, "news", NEWS, days * per_day // 4, parent=category.id, topic="What is new")
    general = channel(3, "general", TEXT, days * per_day, parent=category.id, topic="Everything else")
    channel(4, "support", TEXT, days * per_day, parent=category.id, topic="Ask us")
    channel(5, "staff", TEXT, days, readable=False)
    channel(6, "voice", VOICE, days // 2)
    forum = channel(7, "questions", FORUM, parent=category.id, topic="One post, one question")
    for n in range(min(days * per_day // 5, 60)):
        _past_thread(made, forum, snowflake(now - DAY * days * (1 - n / min(days * per_day // 5, 60))), end)
    keys = [key for key in general.feed if key < end - (6 * 3_600_000 << 22)]
    for n, key in enumerate(keys[:: max(len(keys) // 6, 1)]):
        _past_thread(made, general, key, end, private=n % 4 == 1)
    made.events = [_event(made, now, n) for n in range(2)]
    return made


def _past_thread(made: Guild, parent: Channel, at: int, end: int, *, private: bool = False) -> Thread:
    """Some hours of talk: in a forum from a first message of its own, else from a message of the parent."""
    roll = mix("thread", parent.id, at)
    owner = made.people[roll % len(made.people)]["id"]
    thread = Thread(
        id=at,
        name=text.question("thread", at)[:90],
        type=PRIVATE_THREAD if private else PUBLIC_THREAD,
        guild=made,
        parent=parent.id,
        owner=owner,
        created=instant(at),
    )
    count = 2 + (roll >> 20) % 5
    thread.fill(count, at if parent.type == FORUM else at + (1000 << 22), min(at + (5 * 3_600_000 << 22), end))
    thread.sent = count - 1
    if parent.type == FORUM:
        assert thread.past is not None
        thread.id = thread.past.key(0)
        thread.created = instant(thread.id)
    made.add(thread)
    return thread


def _event(made: Guild, now: float, number: int) -> Record:
    return {
        "id": str(made.created + (50 + number << 22)),
        "guild_id": made.id,
        "channel_id": None,
        "creator_id": made.people[0]["id"],
        "name": text.statement("event", made.id, number)[:90],
        "description": None,
        "scheduled_start_time": stamp(now + (3 + number) * DAY),
        "scheduled_end_time": stamp(now + (3 + number) * DAY + 7200),
        "privacy_level": 2,
        "status": 1,
        "entity_type": 3,
        "entity_id": None,
        "entity_metadata": {"location": "https://example.com/live"},
        "image": None,
        "user_count": 5 + below(20, "event", made.id, number),
    }
