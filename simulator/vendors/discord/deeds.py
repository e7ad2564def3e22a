"""What people do in a guild."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from simulator import text as words
from simulator.dice import ALNUM, letters
from simulator.vendor import Vendor
from simulator.vendors.discord import records
from simulator.vendors.discord.data import Channel, Guild, Thread
from simulator.vendors.discord.records import EMOJI, FORUM, PUBLIC_THREAD, TEXT, snowflake, stamp

_NEIGHBOURS = 60


class Deeds(Vendor[Guild]):
    """The part of the vendor that acts. Ids are texts, as the API gives them."""

    _last = 0

    def fresh(self) -> int:
        """An id of now that nothing else has."""
        self._last = max(self._last + 1, snowflake(self.world.clock.now()))
        return self._last

    def deeds(self) -> dict[str, Callable[..., Any]]:
        return {
            "post": self.post,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "unreact": self.unreact,
            "poll": self.poll,
            "thread": self.thread,
            "archive": self.archive,
            "hide": self.hide,
            "join": self.join,
            "leave": self.leave,
            "intents": self.intents,
            "command": self.command,
            "deauthorize": self.deauthorize,
        }

    def post(
        self,
        guild: Guild,
        *,
        channel: str,
        text: str,
        user: str | None = None,
        reply_to: str | None = None,
    ) -> str:
        """A message, in a thread too. Returns its id."""
        place = self.place(guild, channel)
        author = guild.user(user) if user else self.random.choice(guild.people)
        key = place.feed.free_key(self.fresh())
        record = records.message(place, key, author, text)
        if reply_to:
            record |= records.reference(place, int(reply_to))
        place.feed.append(key, record)
        if isinstance(place, Thread):
            place.sent += 1
            self._touch_root(guild, place)
        return str(key)

    def edit(self, guild: Guild, *, channel: str, message: str, text: str) -> str:
        place, key = self.place(guild, channel), int(message)
        now = stamp(self.world.clock.now())
        mentions = [guild.bot] if f"<@{guild.bot['id']}>" in text else []
        place.feed.edit(key, content=text, edited_timestamp=now, mentions=mentions)
        self._touch_replies(place, key)
        return message

    def delete(self, guild: Guild, *, channel: str, message: str, by: str | None = None) -> str:
        """Gone without a trace, unless a moderator (`by`) did it: then the audit log has it, but no message id."""
        place, key = self.place(guild, channel), int(message)
        record = place.feed.get(key)
        if record is None or not place.feed.delete(key):
            raise KeyError(message)
        self._touch_replies(place, key)
        if isinstance(place, Thread):
            self._touch_root(guild, place)
        if by:
            entry = guild.audit.free_key(self.fresh())
            shown = {
                "id": str(entry),
                "user_id": by,
                "target_id": record["author"]["id"],
                "action_type": 72,
                "options": {"channel_id": str(place.id), "count": "1"},
            }
            guild.audit.append(entry, shown)
        return message

    def react(self, guild: Guild, *, channel: str, message: str, emoji: str = EMOJI[0], by: int = 1) -> int:
        """Returns how many of this emoji the message has now."""
        place, key = self.place(guild, channel), int(message)
        record = place.feed.get(key)
        if record is None:
            raise KeyError(message)
        counts = {found["emoji"]["name"]: found["count"] for found in record.get("reactions", ())}
        counts[emoji] = max(counts.get(emoji, 0) + by, 0)
        place.feed.edit(key, reactions=[records.reaction(name, count) for name, count in counts.items() if count])
        return int(counts[emoji])

    def unreact(self, guild: Guild, *, channel: str, message: str, emoji: str = EMOJI[0]) -> int:
        return self.react(guild, channel=channel, message=message, emoji=emoji, by=-1)

    def poll(
        self, guild: Guild, *, channel: str, question: str, answers: list[str], votes: list[int] | None = None
    ) -> str:
        """A message with a poll of one day."""
        key = int(self.post(guild, channel=channel, text=""))
        ends = self.world.clock.now() + records.DAY
        counted = votes or [0] * len(answers)
        self.place(guild, channel).feed.edit(key, poll=records.poll(question, answers, counted, ends))
        return str(key)

    def thread(self, guild: Guild, *, channel: str, name: str, text: str = "", message: str | None = None) -> str:
        """A forum post (its first message has its id), or a thread on a message of a text channel."""
        parent = guild.channels[int(channel)]
        now = self.world.clock.now()
        owner = self.random.choice(guild.people)
        key = int(message) if message else self.fresh()
        made = Thread(
            id=key, name=name, type=PUBLIC_THREAD, guild=guild, parent=parent.id, owner=owner["id"], created=now
        )
        guild.add(made)
        if parent.type == FORUM:
            made.feed.append(key, records.message(made, key, owner, text or words.question(key)))
        else:
            first = self.fresh()
            made.feed.append(first, made.make(first, 0))
            parent.feed.touch(key)
            if text:
                self.post(guild, channel=str(key), text=text)
        return str(key)

    def archive(self, guild: Guild, *, thread: str) -> str:
        guild.threads[int(thread)].closed_at = self.world.clock.now()
        return thread

    def hide(self, guild: Guild, *, channel: str, hidden: bool = True) -> bool:
        """Take the bot's sight of a channel."""
        self.place(guild, channel).readable = not hidden
        return hidden

    def join(self, guild: Guild) -> str:
        """A new member."""
        key = max(int(member) for member in guild.by_id) + (1 << 24)
        who = records.user(key)
        guild.by_id[who["id"]] = who
        guild.joined[who["id"]] = self.world.clock.now()
        return str(who["id"])

    def leave(self, guild: Guild, *, member: str) -> str:
        """Only the Gateway tells; the list of members just lacks them."""
        guild.left.add(member)
        return member

    def intents(self, _guild: Guild, *, on: list[str]) -> list[str]:
        """Set the app's privileged intents (MESSAGE_CONTENT, GUILD_MEMBERS)."""
        self.app.options["intents"] = set(on)
        return sorted(on)

    def command(self, guild: Guild, *, name: str = "ask", value: str = "Hello") -> str:
        """Somebody uses a slash command of ours: an interaction goes to the interactions endpoint."""
        key = str(self.fresh())
        member = self.random.choice(guild.people)
        payload = {
            "type": 2,
            "token": letters(60, ALNUM, "interaction", key),
            "id": key,
            "application_id": self.app.id,
            "guild_id": guild.id,
            "channel_id": str(next(c.id for c in guild.channels.values() if c.type == TEXT)),
            "app_permissions": "442368",
            "guild_locale": "en-US",
            "locale": "en-US",
            "member": {**records.member_json(guild, member), "permissions": "2147483647", "is_pending": False},
            "data": {
                "id": str(int(self.app.id) + 1),
                "name": name,
                "type": 1,
                "options": [{"type": 3, "name": "text", "value": value}],
            },
        }
        for target in self.hooks.targets:
            if target.active and target.extra.get("kind") == "interactions":
                self.hooks.send(target, msgspec.json.encode(payload), guild, topic="interaction")
        return key

    def deauthorize(self, guild: Guild) -> int:
        """The person who connected the guild removes the app from their account; the bot stays in the guild."""
        ended = 0
        for grant in self.auth.grants:
            if grant.account is guild and grant.dead is None and "bot" not in grant.scopes:
                grant.dead = "user"
                ended += 1
        self.tell(guild, "APPLICATION_DEAUTHORIZED", {"user": guild.people[0]})
        return ended

    def grow(self, account: Guild) -> str:
        dice = self.random
        kinds = ("post", "reply", "thread", "comment", "edit", "delete", "react", "join")
        kind = dice.choices(kinds, (36, 12, 4, 16, 8, 3, 18, 3))[0]
        places = [c for c in account.channels.values() if c.readable and c.type != FORUM and (c.past or len(c.feed))]
        place = dice.choice(places)
        threads = list(account.threads.values())
        if kind == "join":
            self.join(account)
            return kind
        if kind == "thread":
            forum = next((c for c in account.channels.values() if c.type == FORUM), None)
            if forum is not None:
                self.thread(account, channel=str(forum.id), name=words.question(dice.random().hex()))
                return kind
        if kind == "comment" and threads:
            thread = dice.choice(threads[-20:])
            self.post(account, channel=str(thread.id), text=words.reply(dice.random().hex()))
            return kind
        recent = place.feed.slice(20).keys
        if kind in ("post", "thread", "comment") or not recent:
            call = f"<@{account.bot['id']}> " if dice.random() < 0.08 else ""
            self.post(account, channel=str(place.id), text=call + words.message(dice.random().hex()))
            return "post"
        self._change(account, place, kind, str(dice.choice(recent)))
        return kind

    def _change(self, account: Guild, place: Channel, kind: str, message: str) -> None:
        channel, dice = str(place.id), self.random
        if kind == "reply":
            self.post(account, channel=channel, text=words.reply(dice.random().hex()), reply_to=message)
        elif kind == "edit":
            self.edit(account, channel=channel, message=message, text=words.statement(dice.random().hex()))
        elif kind == "delete":
            self.delete(account, channel=channel, message=message)
        else:
            self.react(account, channel=channel, message=message, emoji=dice.choice(EMOJI))

    # --- what a change shows elsewhere

    def tell(self, guild: Guild, kind: str, body: dict[str, Any]) -> None:
        """One webhook event about the app."""
        event = {"type": kind, "timestamp": stamp(self.now()).removesuffix("+00:00"), "data": body}
        payload = {"version": 1, "application_id": self.app.id, "type": 1, "event": event}
        for target in self.hooks.targets:
            if target.active and target.account in (None, guild) and target.extra.get("kind") != "interactions":
                self.hooks.send(target, msgspec.json.encode(payload), guild, topic=kind)

    def place(self, guild: Guild, channel: str) -> Channel:
        found = guild.find(int(channel))
        if found is None:
            raise KeyError(channel)
        return found

    def _touch_replies(self, place: Channel, key: int) -> None:
        """Replies show the message they answer."""
        for later in place.feed.slice(_NEIGHBOURS, above=key, newest_first=False).keys:
            place.feed.touch(later)
        for later in place.feed.slice(_NEIGHBOURS).keys:
            place.feed.touch(later)

    def _touch_root(self, guild: Guild, thread: Thread) -> None:
        """The message that a thread hangs on shows the thread."""
        parent = guild.channels[thread.parent or 0]
        if thread.id in parent.feed:
            parent.feed.touch(thread.id)
