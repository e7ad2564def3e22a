"""What happens on a channel, and which EventSub notification tells of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from simulator import text as words
from simulator.dice import letters
from simulator.feed import Record
from simulator.numbers import iso
from simulator.vendor import Vendor
from simulator.vendors.twitch import data
from simulator.vendors.twitch.data import MS, Channel, nano


class Deeds(Vendor[Channel]):
    """The part of the vendor that acts."""

    def notify(self, channel: Channel, kind: str, event: Record) -> None:
        """Tell every subscription of this type about this channel (see `eventsub`)."""
        raise NotImplementedError

    def deeds(self) -> dict[str, Callable[..., Any]]:
        return {
            "upload": self.upload,
            "retitle": self.retitle,
            "remove_video": self.remove_video,
            "clip": self.clip,
            "follow": self.follow,
            "unfollow": self.unfollow,
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
            "online": self.online,
            "offline": self.offline,
            "chat": self.chat,
            "unchat": self.unchat,
            "cheer": self.cheer,
            "raid": self.raid,
            "whisper": self.whisper,
            "update": self.update,
            "suspend": self.suspend,
        }

    def _key(self, feed: Any) -> int:
        return int(feed.free_key(int(self.world.clock.now() * MS)))

    def _broadcaster(self, channel: Channel) -> Record:
        return {
            "broadcaster_user_id": channel.id,
            "broadcaster_user_login": channel.login,
            "broadcaster_user_name": channel.name,
        }

    def _someone(self) -> Record:
        return data.person(self.random.randrange(10**8))

    # --- videos and clips: nobody is told

    def upload(self, channel: Channel, *, title: str = "", kind: str = "upload") -> str:
        key = self._key(channel.videos)
        channel.videos.append(key, channel.video(key, kind, title or words.statement(channel.id, key)))
        return str(key)

    def retitle(self, channel: Channel, *, video: str, title: str) -> str:
        channel.videos.edit(int(video), title=title)
        return video

    def remove_video(self, channel: Channel, *, video: str) -> bool:
        return channel.videos.delete(int(video))

    def clip(self, channel: Channel, *, title: str = "") -> str:
        key = self._key(channel.clips)
        record = channel.clip(key, title or words.reply(channel.id, key), self._someone(), channel.videos.newest())
        channel.clips.append(key, record)
        return str(record["id"])

    # --- people

    def follow(self, channel: Channel) -> str:
        key = self._key(channel.followers)
        who = self._someone()
        record = {**who, "followed_at": iso(key / MS)}
        channel.followers.append(key, record)
        event = {**who, **self._broadcaster(channel), "followed_at": nano(key / MS)}
        self.notify(channel, "channel.follow", event)
        return str(who["user_id"])

    def unfollow(self, channel: Channel, *, user: str) -> bool:
        """Told nowhere; the list just lacks them."""
        for key in channel.followers.slice(1000).keys:
            if (channel.followers.get(key) or {}).get("user_id") == user:
                return channel.followers.delete(key)
        return False

    def subscribe(self, channel: Channel, *, tier: str = "1000") -> str:
        there = {found["user_id"] for found in channel.subscribers}
        fresh = (data.subscriber(channel, number) for number in count(len(there)))
        made = {**next(found for found in fresh if found["user_id"] not in there), "tier": tier}
        channel.subscribers.append(made)
        who = {name: made[name] for name in ("user_id", "user_login", "user_name")}
        self.notify(channel, "channel.subscribe", {**who, **self._broadcaster(channel), "tier": tier, "is_gift": False})
        return str(made["user_id"])

    def unsubscribe(self, channel: Channel, *, user: str) -> bool:
        before = len(channel.subscribers)
        channel.subscribers = [made for made in channel.subscribers if made["user_id"] != user]
        return len(channel.subscribers) < before

    def cheer(self, channel: Channel, *, bits: int = 100, text: str = "Cheer100", anonymous: bool = False) -> int:
        who = self._someone()
        channel.bits[who["user_id"]] = channel.bits.get(who["user_id"], 0) + bits
        shown = dict.fromkeys(who) if anonymous else who
        event = {"is_anonymous": anonymous, **shown, **self._broadcaster(channel), "message": text, "bits": bits}
        self.notify(channel, "channel.cheer", event)
        return bits

    def raid(self, channel: Channel, *, viewers: int = 50) -> int:
        who = self._someone()
        source = {f"from_broadcaster_{name}": value for name, value in who.items()}
        target = {f"to_{name}": value for name, value in self._broadcaster(channel).items()}
        self.notify(channel, "channel.raid", {**source, **target, "viewers": viewers})
        return viewers

    # --- the stream

    def online(self, channel: Channel) -> str:
        """The stream begins; its recording exists from now on."""
        now = self.world.clock.now()
        if channel.live is not None:
            return str(channel.live["id"])
        stream = letters(11, "0123456789", "stream", channel.id, int(now * MS))
        key = self._key(channel.videos)
        channel.videos.append(key, channel.video(key, "archive", channel.title, stream))
        channel.live = {"id": stream, "started": now, "video": key}
        event = {"id": stream, **self._broadcaster(channel), "type": "live", "started_at": iso(now)}
        self.notify(channel, "stream.online", event)
        return stream

    def offline(self, channel: Channel) -> bool:
        if channel.live is None:
            return False
        length = int(self.world.clock.now() - channel.live["started"])
        if channel.live["video"] in channel.videos:
            channel.videos.edit(channel.live["video"], _length=max(length, 1))
        channel.live = None
        self.notify(channel, "stream.offline", self._broadcaster(channel))
        return True

    def update(self, channel: Channel, *, title: str) -> str:
        channel.title = title
        event = {
            **self._broadcaster(channel),
            "title": title,
            "language": "en",
            "category_id": channel.game[0],
            "category_name": channel.game[1],
            "content_classification_labels": [],
        }
        self.notify(channel, "channel.update", event)
        return title

    # --- talk: told once, kept nowhere

    def chat(
        self,
        channel: Channel,
        *,
        text: str = "",
        reply_to: str | None = None,
        mention: bool = False,
        user: Record | None = None,
        source: str | None = None,
    ) -> str:
        """A chat message. `source`: the channel it was written in, in a shared chat."""
        who = user or self.random.choice(channel.chatters)
        self._messages += 1
        number = data.uuid("chat", channel.id, self._messages)
        said = text or words.message(channel.id, self._messages)
        fragments = [_fragment("text", said)]
        if mention:
            name = {"user_id": channel.id, "user_login": channel.login, "user_name": channel.name}
            fragments.insert(0, {**_fragment("mention", f"@{channel.name}"), "mention": name})
            said = f"@{channel.name} {said}"
        told = {
            **self._broadcaster(channel),
            **{f"chatter_{name}": value for name, value in who.items()},
            "message_id": number,
            "message": {"text": said, "fragments": fragments},
            "color": "#00FF7F",
            "badges": [{"set_id": "subscriber", "id": "12", "info": "16"}],
            "message_type": "text",
            "cheer": None,
            "reply": _reply(reply_to, who) if reply_to else None,
            "channel_points_custom_reward_id": None,
            "source_broadcaster_user_id": source,
            "source_broadcaster_user_login": "other" if source else None,
            "source_broadcaster_user_name": "Other" if source else None,
            "source_message_id": data.uuid("source", number) if source else None,
            "source_badges": [] if source else None,
        }
        self.notify(channel, "channel.chat.message", told)
        return number

    _messages = 0

    def unchat(self, channel: Channel, *, message: str) -> str:
        """A moderator removes a message."""
        who = {f"target_{name}": value for name, value in self.random.choice(channel.chatters).items()}
        self.notify(
            channel, "channel.chat.message_delete", {**self._broadcaster(channel), **who, "message_id": message}
        )
        return message

    def whisper(self, channel: Channel, *, text: str = "a secret") -> str:
        who = {f"from_{name}": value for name, value in self._someone().items()}
        ours = {"to_user_id": channel.id, "to_user_login": channel.login, "to_user_name": channel.name}
        self._messages += 1
        number = data.uuid("whisper", channel.id, self._messages)
        told = {**who, **ours, "whisper_id": number, "whisper": {"text": text}}
        self.notify(channel, "user.whisper.message", told)
        return number

    def suspend(self, channel: Channel) -> int:
        """The account is gone: nobody finds it, and its consents end."""
        channel.gone = True
        return self.revoke(channel, "user_removed")

    def grow(self, account: Channel) -> str:
        dice = self.random
        kinds = ("chat", "follow", "clip", "upload", "retitle", "subscribe", "cheer", "stream", "unfollow", "raid")
        kind = dice.choices(kinds, (45, 18, 12, 4, 3, 4, 4, 5, 3, 2))[0]
        recent = account.videos.slice(10).keys
        if kind == "chat":
            self.chat(account, text=words.message(dice.random().hex()), mention=dice.random() < 0.1)
        elif kind == "follow":
            self.follow(account)
        elif kind == "clip":
            self.clip(account, title=words.reply(dice.random().hex()))
        elif kind == "retitle" and recent:
            self.retitle(account, video=str(dice.choice(recent)), title=words.statement(dice.random().hex()))
        elif kind == "subscribe":
            self.subscribe(account)
        elif kind == "cheer":
            self.cheer(account, bits=dice.choice((100, 500)))
        elif kind == "stream":
            self.offline(account) if account.live else self.online(account)
        elif kind == "unfollow":
            newest = account.followers.newest()
            self.unfollow(account, user=str((account.followers.get(newest or 0) or {}).get("user_id")))
        elif kind == "raid":
            self.raid(account, viewers=dice.randint(5, 500))
        else:
            self.upload(account, title=words.statement(dice.random().hex()))
            return "upload"
        return kind


def _fragment(kind: str, words: str) -> Record:
    return {"type": kind, "text": words, "cheermote": None, "emote": None, "mention": None}


def _reply(parent: str, who: Record) -> Record:
    thread = {f"thread_{name}": value for name, value in who.items()}
    above = {f"parent_{name}": value for name, value in who.items()}
    return {
        "parent_message_id": parent,
        "parent_message_body": "earlier",
        **above,
        "thread_message_id": parent,
        **thread,
    }
