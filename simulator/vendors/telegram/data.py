"""Bots, and the chats they are in: people, channels with their discussion group, groups, direct and business chats."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from simulator import text
from simulator.dice import ALNUM, letters, mix
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account

DAY = 86_400
TELEGRAM = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
_ENTITY = re.compile(r"@\w+|https://\S+|(?<!\S)/\w+")


@dataclass(eq=False, kw_only=True)
class Chat:
    id: int
    type: str
    """private, group, supergroup or channel"""
    title: str = ""
    username: str = ""
    person: Record | None = None
    linked: int | None = None
    """Of a channel its discussion group, of a discussion group its channel."""
    business: str = ""
    """The business connection through which the bot sees this chat."""
    status: str = "member"
    """What the bot is here: member, administrator, left, kicked. In a private chat kicked means blocked."""
    members: int = 2
    deleted: bool = False
    migrated_to: int | None = None
    messages: dict[int, Record] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    """Of a channel: which message of the discussion group stands for which post."""
    counts: dict[int, dict[str, int]] = field(default_factory=dict)
    next_id: int = 1

    def json(self) -> Record:
        if self.person is not None:
            shown = {k: v for k, v in self.person.items() if k in ("id", "first_name", "last_name", "username")}
            return {**shown, "type": "private"}
        named = {"username": self.username} if self.username else {}
        return {"id": self.id, "title": self.title, **named, "type": self.type}

    @property
    def there(self) -> bool:
        return self.status in ("member", "administrator", "creator") and not self.deleted

    def new_id(self) -> int:
        found, self.next_id = self.next_id, self.next_id + 1
        return found


@dataclass(eq=False, kw_only=True)
class Bot(Account):
    user: Record
    people: list[Record]
    seed: int
    chats: dict[int, Chat] = field(default_factory=dict)
    updates: Feed = field(default_factory=Feed)
    next_update: int = 0
    confirmed: int = 0
    """Updates below this are gone."""
    delivered: set[int] = field(default_factory=set)
    """Updates that the webhook took."""
    allowed: frozenset[str] | None = None
    """Kinds of updates wanted; None stands for the default."""
    webhook: Record = field(default_factory=dict)
    """What setWebhook was told, and how it went."""
    asked: tuple[int, float] = (0, -1e9)
    """Offset and time of the last getUpdates."""
    waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[str]] | None = None
    logged_out: bool = False

    def place(self, chat: int | str | None) -> Chat | None:
        """By id, or by @username."""
        if isinstance(chat, str) and chat.startswith("@"):
            return next((found for found in self.chats.values() if found.username == chat[1:]), None)
        try:
            return self.chats.get(int(chat or 0))
        except ValueError:
            return None

    def first(self, kind: str, **match: Any) -> Chat:
        """The first chat of that type."""
        for chat in self.chats.values():
            if chat.type == kind and all(getattr(chat, name) == value for name, value in match.items()):
                return chat
        raise KeyError(kind)

    def wake(self, why: str) -> None:
        """End a long poll, from any thread."""
        if self.waiting is None:
            return
        loop, future = self.waiting
        self.waiting = None
        loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(why))


# --- records


def entities(words: str) -> list[Record]:
    """Mentions, links and commands, counted in UTF-16 units as Telegram does."""
    found = []
    for match in _ENTITY.finditer(words):
        kind = {"@": "mention", "/": "bot_command"}.get(match[0][0], "url")
        found.append({"offset": _units(words[: match.start()]), "length": _units(match[0]), "type": kind})
    return found


def _units(words: str) -> int:
    return len(words.encode("utf-16-le")) // 2


def worded(words: str, *, caption: bool = False) -> Record:
    marks = entities(words)
    if caption:
        return {"caption": words, **({"caption_entities": marks} if marks else {})}
    return {"text": words, **({"entities": marks} if marks else {})}


def message(chat: Chat, number: int, at: float, **content: Any) -> Record:
    return {"message_id": number, "chat": chat.json(), "date": int(at), **content}


def photo(*key: int | str) -> list[Record]:
    """The same picture in two sizes."""
    return [
        {
            "file_id": "AgACAgIAAxkBAAI" + letters(40, ALNUM, "file", width, *key),
            "file_unique_id": "AQAD" + letters(10, ALNUM, "unique", width, *key),
            "width": width,
            "height": height,
            "file_size": width * 77,
        }
        for width, height in ((90, 67), (1280, 960))
    ]


def person(key: int) -> Record:
    who = text.person("telegram", key)
    return {
        "id": key,
        "is_bot": False,
        "first_name": who.first,
        "last_name": who.last,
        "username": who.handle.replace(".", "_"),
        "language_code": "de" if key % 3 == 0 else "en",
    }


def sent_at(update: Record) -> float | None:
    """When an update came about, if it says so."""
    inner: Record = next((value for name, value in update.items() if name != "update_id"), {})
    found = inner.get("edit_date") or inner.get("date")
    return float(found) if found else None


# --- a bot


def bot(seed: int, number: int, now: float, *, big: int = 0) -> Bot:
    """A bot with its chats. With `big`, that many messages of one group wait for it."""
    key = 100_000_000 + mix("bot", seed, number) % 800_000_000
    name = "Archive" if big else text.company("telegram", seed, number)
    handle = re.sub(r"\W", "", name).lower() + "_bot"
    user = {"id": key, "is_bot": True, "first_name": name, "username": handle}
    people = [person(5_000_000_000 + mix(seed, number, n) % 900_000_000 + n) for n in range(8)]
    made = Bot(id=str(key), name=name, big=bool(big), user=user, people=people, seed=seed)
    made.next_update = 100_000_000 + mix("update", seed, number) % 700_000_000

    def chat(kind: str, title: str = "", **options: Any) -> Chat:
        place = -1_000_000_000_000 - (1_000_000_000 + mix(title, key) % 900_000_000)
        if kind == "group":
            place = -(400_000_000 + mix(title, key) % 90_000_000)
        one = Chat(id=place, type=kind, title=title, **options)
        one.next_id = 10 + mix("first", one.id) % 500
        made.chats[one.id] = one
        return one

    if big:
        group = chat("supergroup", "Archive", members=900)
        start = now - 20 * 3600

        def make(update: int, index: int) -> Record:
            who = people[index % len(people)]
            content = {"from": who, "text": text.message(key, index)}
            one = message(group, group.next_id + index, start + index * 68_400 / big, **content)
            return {"update_id": update, "message": one}

        made.updates = Feed(Past(big, made.next_update, made.next_update + big, make))
        made.next_update += big
        return made
    slug = handle.removesuffix("_bot")
    news = chat("channel", f"{name} news", username=slug, status="administrator", members=60_814)
    talk = chat("supergroup", f"{name} news chat", linked=news.id, members=411, status="administrator")
    news.linked = talk.id
    chat("supergroup", f"{name} help", username=f"{slug}_help", members=96, status="administrator")
    chat("group", f"{name} team", members=5)
    for who in people[:3]:
        made.chats[who["id"]] = Chat(id=who["id"], type="private", person=who, next_id=70)
    other = people[4]
    made.chats[other["id"]] = Chat(id=other["id"], type="private", person=other, business="bc" + slug, next_id=30)
    return made
