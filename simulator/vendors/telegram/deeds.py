"""What happens in a bot's chats, and how it becomes updates."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from simulator import text as words
from simulator.feed import Record
from simulator.vendor import Vendor
from simulator.vendors.telegram import data
from simulator.vendors.telegram.data import Bot, Chat, worded

KINDS = (
    *("message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message"),
    *("edited_business_message", "deleted_business_messages", "guest_message", "message_reaction"),
    *("message_reaction_count", "inline_query", "chosen_inline_result", "callback_query", "shipping_query"),
    *("pre_checkout_query", "purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member"),
    *("chat_join_request", "chat_boost", "removed_chat_boost", "managed_bot"),
)
ON_REQUEST = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Sent only to who names them."""
EMOJI = ("❤", "👍", "🔥", "🎉", "😢")


class Deeds(Vendor[Bot]):
    """The part of the vendor that acts. Chats and messages are named by their numbers."""

    _past: float | None = None
    """The moment that counts while the past is made."""

    def deeds(self) -> dict[str, Callable[..., Any]]:
        return {
            "post": self.post,
            "album": self.album,
            "comment": self.comment,
            "message": self.message,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "count": self.count,
            "join": self.join,
            "kick": self.kick,
            "migrate": self.migrate,
            "vote": self.vote,
            "jump": self.jump,
        }

    def moment(self) -> float:
        return self.world.clock.now() if self._past is None else self._past

    # --- updates

    def publish(self, bot: Bot, kind: str, content: Record) -> int | None:
        """Queue an update, or send it where a webhook is set. None for one that nobody wants."""
        wanted = bot.allowed if bot.allowed is not None else frozenset(KINDS) - ON_REQUEST
        if kind not in wanted:
            return None
        number, bot.next_update = bot.next_update, bot.next_update + 1
        bot.updates.append(number, {"update_id": number, kind: content})
        for target in self.hooks.targets:
            if target.active and target.account is bot:
                self.push(bot, number)
                break
        bot.wake("update")
        return number

    def push(self, bot: Bot, number: int) -> None:
        record = bot.updates.get(number)
        for target in self.hooks.targets:
            if target.active and target.account is bot and record is not None:
                kind = next(name for name in record if name != "update_id")
                self.hooks.send(target, msgspec.json.encode(record), bot, topic=kind, event_id=str(number))

    def jump(self, bot: Bot, *, by: int = 1000) -> int:
        """Leave a gap in the update ids."""
        bot.next_update += by
        return bot.next_update

    # --- deeds

    def post(self, bot: Bot, *, text: str = "", chat: int | None = None, **content: Any) -> int:
        """A post of a channel, and its copy in the discussion group. Returns its message id."""
        place = self._chat(bot, chat) if chat else bot.first("channel")
        at, number = self.moment(), place.new_id()
        said = content or worded(text or words.statement(place.id, number))
        record = data.message(place, number, at, sender_chat=place.json(), **said)
        place.messages[number] = record
        self.publish(bot, "channel_post", record)
        if place.linked is not None:
            self._copy(bot, place, record, said)
        return number

    def _copy(self, bot: Bot, channel: Chat, post: Record, said: Record) -> None:
        group = bot.chats[channel.linked or 0]
        number = group.new_id()
        origin = {"type": "channel", "chat": channel.json(), "message_id": post["message_id"], "date": post["date"]}
        copy = {
            "message_id": number,
            "from": data.TELEGRAM,
            "sender_chat": channel.json(),
            "chat": group.json(),
            "date": post["date"],
            "forward_origin": origin,
            "is_automatic_forward": True,
            **said,
        }
        group.messages[number] = copy
        channel.copies[post["message_id"]] = number
        self.publish(bot, "message", copy)

    def album(self, bot: Bot, *, text: str = "Three of them", photos: int = 3) -> list[int]:
        """One post of several pictures: a message for each, the caption on the first."""
        channel = bot.first("channel")
        group = str(channel.next_id) + "00000"
        made = []
        for place in range(photos):
            caption = worded(text, caption=True) if place == 0 else {}
            content = {"media_group_id": group, "photo": data.photo(channel.id, channel.next_id), **caption}
            made.append(self.post(bot, **content))
        return made

    def comment(self, bot: Bot, *, post: int, text: str = "", user: int | None = None) -> int:
        """Below a post of the channel: an answer to its copy in the discussion group."""
        channel = bot.first("channel")
        root = channel.copies[post]
        group = bot.chats[channel.linked or 0]
        return self.message(bot, chat=group.id, text=text, user=user, reply_to=root, thread=root)

    def message(
        self,
        bot: Bot,
        *,
        chat: int,
        text: str = "",
        user: int | None = None,
        reply_to: int | None = None,
        thread: int | None = None,
        photo: bool = False,
    ) -> int:
        place = self._chat(bot, chat)
        who = self._who(bot, place, user)
        at, number = self.moment(), place.new_id()
        said = text or words.question(place.id, number)
        content: Record = {"from": who}
        if place.business:
            content["business_connection_id"] = place.business
        if thread is not None:
            content["message_thread_id"] = thread
        if reply_to is not None and (root := place.messages.get(reply_to)) is not None:
            content["reply_to_message"] = {k: v for k, v in root.items() if k != "reply_to_message"}
        content |= {"photo": data.photo(place.id, number)} if photo else {}
        record = data.message(place, number, at, **content, **worded(said, caption=photo))
        place.messages[number] = record
        ours = who["id"] == bot.user["id"]
        if not ours:
            self.publish(bot, "business_message" if place.business else "message", record)
        return number

    def edit(self, bot: Bot, *, chat: int, message: int, text: str) -> int:
        place = self._chat(bot, chat)
        record = place.messages[message]
        changed = worded(text, caption="photo" in record)
        kept = {k: v for k, v in record.items() if k not in ("entities", "caption_entities")}
        place.messages[message] = edited = {**kept, "edit_date": int(self.moment()), **changed}
        kind = "channel_post" if place.type == "channel" else "business_message" if place.business else "message"
        self.publish(bot, f"edited_{kind}", edited)
        if (copy := place.copies.get(message)) is not None and place.linked is not None:
            self.edit(bot, chat=place.linked, message=copy, text=text)
        return message

    def delete(self, bot: Bot, *, chat: int, message: int) -> bool:
        """Nobody is told, except about chats of a business connection."""
        place = self._chat(bot, chat)
        del place.messages[message]
        if place.business:
            told = {"business_connection_id": place.business, "chat": place.json(), "message_ids": [message]}
            self.publish(bot, "deleted_business_messages", told)
        return True

    def react(self, bot: Bot, *, chat: int, message: int, emoji: str = "👍", user: int | None = None) -> bool:
        """Somebody's reaction in a group; in a channel only totals are told (`count`)."""
        place = self._chat(bot, chat)
        who = self._who(bot, place, user)
        told = {
            "chat": place.json(),
            "message_id": message,
            "user": {k: v for k, v in who.items() if k in ("id", "is_bot", "first_name", "username")},
            "date": int(self.moment()),
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": emoji}],
        }
        return self.publish(bot, "message_reaction", told) is not None

    def count(self, bot: Bot, *, message: int, chat: int | None = None, emoji: str = "❤", by: int = 1) -> int:
        """Reactions to a post. The totals of all of them are told."""
        place = self._chat(bot, chat) if chat else bot.first("channel")
        counts = place.counts.setdefault(message, {})
        counts[emoji] = counts.get(emoji, 0) + by
        shown = [{"type": {"type": "emoji", "emoji": k}, "total_count": n} for k, n in counts.items() if n]
        told = {"chat": place.json(), "message_id": message, "date": int(self.moment()), "reactions": shown}
        self.publish(bot, "message_reaction_count", told)
        return counts[emoji]

    def join(self, bot: Bot, *, chat: int | None = None) -> int:
        """A new member: a service message in groups, and an update of its own for those who asked for it."""
        place = self._chat(bot, chat) if chat else bot.first("supergroup")
        place.members += 1
        who = data.person(6_000_000_000 + place.members)
        at = self.moment()
        if place.type != "channel":
            number = place.new_id()
            record = data.message(place, number, at, **{"from": who}, new_chat_members=[who])
            self.publish(bot, "message", record)
        old, new = {"user": who, "status": "left"}, {"user": who, "status": "member"}
        told = {"chat": place.json(), "from": who, "date": int(at), "old_chat_member": old, "new_chat_member": new}
        self.publish(bot, "chat_member", told)
        return place.members

    def kick(self, bot: Bot, *, chat: int | None = None, status: str = "kicked") -> str:
        """The bot is removed from a chat, or blocked by a person."""
        place = self._chat(bot, chat) if chat else bot.first("channel")
        old = {"user": bot.user, "status": place.status}
        place.status = status
        by = place.person or bot.people[0]
        new = {"user": bot.user, "status": status, **({"until_date": 0} if status == "kicked" else {})}
        told = {"chat": place.json(), "from": by, "date": int(self.moment())}
        self.publish(bot, "my_chat_member", {**told, "old_chat_member": old, "new_chat_member": new})
        return status

    def migrate(self, bot: Bot) -> int:
        """A basic group becomes a supergroup: another id."""
        old = bot.first("group", migrated_to=None)
        new = Chat(id=-1_000_000_000_000 + old.id, type="supergroup", title=old.title, members=old.members, next_id=2)
        bot.chats[new.id] = new
        old.migrated_to = new.id
        at, by = self.moment(), {"from": bot.people[0]}
        self.publish(bot, "message", data.message(old, old.new_id(), at, **by, migrate_to_chat_id=new.id))
        self.publish(bot, "message", data.message(new, 1, at, **by, migrate_from_chat_id=old.id))
        return new.id

    def vote(self, bot: Bot, *, votes: list[int]) -> int:
        """The state of a poll that the bot sent."""
        options = [{"text": f"Option {n + 1}", "voter_count": count} for n, count in enumerate(votes)]
        told = {
            "id": f"{bot.id}001",
            "question": "Which one?",
            "options": options,
            "total_voter_count": sum(votes),
            "is_closed": False,
            "is_anonymous": True,
            "type": "regular",
            "allows_multiple_answers": False,
        }
        self.publish(bot, "poll", told)
        return sum(votes)

    def _chat(self, bot: Bot, chat: int) -> Chat:
        found = bot.place(chat)
        if found is None:
            raise KeyError(chat)
        return found

    def _who(self, bot: Bot, place: Chat, user: int | None) -> Record:
        if user == bot.user["id"]:
            return bot.user
        if place.person is not None:
            return place.person
        found = next((who for who in bot.people if who["id"] == user), None)
        return found or self.random.choice(bot.people)

    # --- life

    def past(self, bot: Bot, now: float, events: int) -> None:
        """What waits for the bot when the world begins: nothing older than the updates' life of a day."""
        dice, self.random = self.random, Random(f"{self.seed}:{bot.id}")
        for place in range(events):
            self._past = float(int(now - 20 * 3600 + place * 19.9 * 3600 / events))
            self.grow(bot) if place else self.post(bot)
        self.random, self._past = dice, None

    def grow(self, account: Bot) -> str:
        dice = self.random
        kinds = ("post", "comment", "message", "direct", "edit", "count", "react", "join", "business")
        kind = dice.choices(kinds, (12, 22, 22, 16, 6, 10, 6, 3, 3))[0]
        channel, help_group = account.first("channel"), account.first("supergroup", linked=None)
        posts = list(channel.messages)[-10:]
        if kind in ("edit", "react") and self._past is not None:
            kind = "message"  # what waits at the beginning tells of nothing twice
        if kind == "post" or not posts:
            self.post(account, text=words.statement(dice.random().hex()))
            return "post"
        said = words.question(dice.random().hex())
        if kind == "comment":
            self.comment(account, post=dice.choice(posts), text=said)
        elif kind == "edit":
            self.edit(account, chat=channel.id, message=dice.choice(posts), text=words.statement(dice.random().hex()))
        elif kind == "count":
            self.count(account, message=dice.choice(posts), emoji=dice.choice(EMOJI), by=dice.randint(1, 5))
        elif kind == "react" and help_group.messages:
            number = dice.choice(list(help_group.messages)[-10:])
            self.react(account, chat=help_group.id, message=number, emoji=dice.choice(EMOJI))
        elif kind == "join":
            self.join(account, chat=help_group.id)
        elif kind in ("direct", "business"):
            private = [chat for chat in account.chats.values() if chat.type == "private" and chat.there]
            of_kind = [chat for chat in private if bool(chat.business) is (kind == "business")]
            self.message(account, chat=dice.choice(of_kind).id, text=said, photo=dice.random() < 0.2)
        else:
            call = f"@{account.user['username']} " if dice.random() < 0.15 else ""
            older = list(help_group.messages)[-5:]
            reply_to = dice.choice(older) if older and dice.random() < 0.4 else None
            self.message(account, chat=help_group.id, text=call + said, reply_to=reply_to)
        return kind
