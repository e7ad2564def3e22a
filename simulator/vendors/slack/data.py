"""Workspaces: people, conversations, messages and threads, with ids and texts as Slack has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simulator import text
from simulator.dice import UPPER, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account

MICRO = 1_000_000
DAY = 86_400
_SPECIAL = re.compile("[&<>]")
REPLY_SPAN = 3 * 3600 * MICRO
SCOPE_OF = {"public": "channels", "private": "groups", "im": "im", "mpim": "mpim"}


def ts(key: int) -> str:
    return f"{key // MICRO}.{key % MICRO:06d}"


def key_of(value: str) -> int | None:
    """A ts or epoch seconds as a feed key; None if it is neither."""
    whole, _, part = value.partition(".")
    if not whole.isdigit() or (part and not part.isdigit()):
        return None
    return int(whole) * MICRO + int((part + "000000")[:6])


def escaped(words: str) -> str:
    """As Slack stores text: three characters escaped, mentions kept."""
    if not _SPECIAL.search(words):
        return words
    plain = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"&lt;(@\w+)&gt;", r"<\1>", plain)


@dataclass(eq=False, kw_only=True)
class Channel:
    id: str
    kind: str
    """public, private, mpim or im"""
    name: str
    created: int
    members: list[str]
    team: str
    seed: int
    end: int
    """Nothing generated is later than this key."""
    joined: bool = True
    archived: bool = False
    general: bool = False
    threaded: float = 0.2
    """Share of the past messages that have replies."""
    updated_ms: int = 0
    feed: Feed = field(default_factory=Feed)
    threads: dict[int, Feed] = field(default_factory=dict)

    def past(self, count: int, start: int) -> None:
        self.feed = Feed(Past(count, start, self.end - 60 * MICRO, self.make, mix(self.seed, self.id)))

    def make(self, key: int, _index: int) -> Record:
        """A top-level message of the past; one roll of the dice decides all of it."""
        roll = mix(self.id, key)
        user = self.members[roll % len(self.members)]
        if _joins(roll):
            return {
                "type": "message",
                "subtype": "channel_join",
                "user": user,
                "text": f"<@{user}> has joined the channel",
                "ts": ts(key),
            }
        record = message(key, user, text.message(roll), self.team)
        if roll >> 8 & 0xFF < 13:
            record["edited"] = {"user": user, "ts": f"{key // MICRO + 90}.000000"}
        if roll >> 16 & 0xFF < 64:
            users = self.members[: 1 + (roll >> 40) % min(3, len(self.members))]
            record["reactions"] = [{"name": pick(text.EMOJI, roll), "users": users, "count": len(users)}]
        if (replies := self._past_replies(key, roll)) is not None:
            record |= thread_fields(key, replies, [self._reply_author(key, n) for n in range(replies.count)])
        return record

    def thread(self, parent: int) -> Feed | None:
        """The replies to a message, without the message itself."""
        found = self.threads.get(parent)
        if (
            found is None
            and parent in self.feed
            and (past := self._past_replies(parent, mix(self.id, parent))) is not None
        ):
            found = self.threads[parent] = Feed(past)
        return found

    def threads_around(self, reply_key: int) -> Iterator[Feed]:
        """Threads that may hold a reply of this key."""
        yield from self.threads.values()
        for parent in self.feed.slice(500, above=reply_key - REPLY_SPAN, below=reply_key).keys:
            if (found := self.thread(parent)) is not None:
                yield found

    def all_threads(self) -> Iterator[tuple[int, Feed]]:
        for key in self.feed:
            if (found := self.thread(key)) is not None:
                yield key, found

    def _past_replies(self, parent: int, roll: int) -> Past | None:
        if (roll >> 24 & 0xFF) >= self.threaded * 256 or self.kind == "im" or parent >= self.end or _joins(roll):
            return None
        end = min(parent + REPLY_SPAN, self.end)
        count = 1 + (roll >> 32) % 4
        if end - parent < 600 * MICRO:
            return None

        def make(key: int, index: int) -> Record:
            return reply(
                key, parent, self._reply_author(parent, index), text.reply(self.id, key), self.team, self.author(parent)
            )

        return Past(count, parent + 30 * MICRO, end, make, parent)

    def author(self, key: int) -> str:
        record = self.feed.get(key)
        return str(record.get("user", "")) if record else ""

    def _reply_author(self, parent: int, index: int) -> str:
        return pick(self.members, "reply", self.id, parent, index)


@dataclass(eq=False, kw_only=True)
class Team(Account):
    domain: str
    bot_user: str
    bot_id: str
    users: dict[str, Record]
    channels: dict[str, Channel]

    @property
    def url(self) -> str:
        return f"https://{self.domain}.slack.com/"

    def people(self) -> list[str]:
        return [user for user, record in self.users.items() if not record["is_bot"]]

    def bots_channels(self) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.joined]


def _joins(roll: int) -> bool:
    return roll & 0xFF < 5


def message(key: int, user: str, words: str, team: str) -> Record:
    return {
        "type": "message",
        "user": user,
        "text": escaped(words),
        "client_msg_id": _uuid(key),
        "ts": ts(key),
        "team": team,
        "blocks": [
            {
                "type": "rich_text",
                "block_id": f"{key % 0xFFFFF:05x}",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": words}]}],
            }
        ],
    }


def reply(key: int, parent: int, user: str, words: str, team: str, parent_user: str) -> Record:
    return {
        **message(key, user, words, team),
        "thread_ts": ts(parent),
        "parent_user_id": parent_user,
    }


def thread_fields(parent: int, replies: Past, authors: list[str]) -> Record:
    users = list(dict.fromkeys(authors))
    return {
        "thread_ts": ts(parent),
        "reply_count": replies.count,
        "reply_users_count": len(users),
        "latest_reply": ts(replies.key(replies.count - 1)),
        "reply_users": users,
        "is_locked": False,
        "subscribed": False,
    }


def _uuid(key: int) -> str:
    digits = f"{mix('uuid', key):016x}{key:016x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def channel_json(channel: Channel, *, members: bool = True) -> Record:
    if channel.kind == "im":
        return {
            "id": channel.id,
            "created": channel.created,
            "is_im": True,
            "is_org_shared": False,
            "user": channel.members[0],
            "is_user_deleted": False,
            "priority": 0,
        }
    private = channel.kind != "public"
    shown = {
        "id": channel.id,
        "name": channel.name,
        "is_channel": channel.kind == "public" or channel.id.startswith("C"),
        "is_group": channel.kind == "private",
        "is_im": False,
        "is_mpim": channel.kind == "mpim",
        "is_private": private,
        "created": channel.created,
        "creator": channel.members[0],
        "is_archived": channel.archived,
        "is_general": channel.general,
        "name_normalized": channel.name,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "is_member": channel.joined,
        "updated": channel.updated_ms,
        "topic": {"value": f"About {channel.name}", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "previous_names": [],
    }
    return {**shown, "num_members": len(channel.members)} if members else shown


def user_json(user: str, team: str, *, bot: bool = False, updated: int = 0) -> Record:
    who = text.person(user)
    name = "sync" if bot else who.handle
    return {
        "id": user,
        "team_id": team,
        "name": name,
        "deleted": False,
        "real_name": "Sync" if bot else who.name,
        "tz": "Europe/Berlin",
        "tz_offset": 3600,
        "profile": {
            "status_text": "" if bot else pick(("", "On holiday", "In a meeting"), "status", user),
            "status_emoji": "",
            "status_expiration": 0,
            "real_name": "Sync" if bot else who.name,
            "display_name": name,
            "email": who.email,
            "image_72": f"https://avatars.slack-edge.com/{user}_72.jpg",
            "team": team,
        },
        "is_bot": bot,
        "is_app_user": bot,
        "updated": updated,
    }


def team(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Team:
    """A workspace. With `big`, its first channel holds that many messages and nothing else."""
    key = ("slack", seed, number)
    team_id = "T" + letters(10, UPPER, "team", *key)
    name = "Archive Ltd" if big else text.company(*key)
    created = int(now) - 400 * DAY
    people = ["U" + letters(10, UPPER, "user", n, *key) for n in range(8)]
    bot = "U" + letters(10, UPPER, "bot", *key)
    users = {user: user_json(user, team_id, bot=user == bot, updated=created) for user in (*people, bot)}
    start, end = int((now - days * DAY) * MICRO), int(now * MICRO)

    def channel(name: str, kind: str, count: int, **options: Any) -> Channel:
        prefix = {"im": "D", "mpim": "C"}.get(kind, "C")
        made = Channel(
            id=prefix + letters(10, UPPER, name, *key),
            kind=kind,
            name=name,
            created=created,
            members=options.pop("members", [*people, bot]),
            team=team_id,
            seed=seed,
            end=end,
            updated_ms=int(now) * 1000,
            **options,
        )
        made.past(count, start)
        return made

    if big:
        rooms = [channel("archive", "public", big, general=True, threaded=0)]
    else:
        rooms = [
            channel("general", "public", days * per_day, general=True),
            channel("support", "public", days * per_day),
            channel("random", "public", days * per_day // 2, joined=False),
            channel("old-project", "public", 5, archived=True),
            channel("team-leads", "private", days * per_day // 2, members=[*people[:3], bot]),
            channel(f"mpdm-{people[0].lower()}", "mpim", days, members=[*people[:3], bot]),
            *(channel(f"im-{user}", "im", days, members=[user, bot]) for user in people[:2]),
        ]
    return Team(
        id=team_id,
        name=name,
        big=bool(big),
        domain=name.lower().replace(" ", "-").replace("&", "and"),
        bot_user=bot,
        bot_id="B" + letters(10, UPPER, "botid", *key),
        users=users,
        channels={room.id: room for room in rooms},
    )
