"""What people do on X, and what the Activity API tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator import text as words
from simulator.feed import Feed, Record
from simulator.vendor import Vendor
from simulator.vendors.twitter import data
from simulator.vendors.twitter.activity import Activity
from simulator.vendors.twitter.data import Profile, snowflake, user_json


class Deeds(Vendor[Profile]):
    """The part of the vendor that acts."""

    activity: Activity

    def deeds(self) -> dict[str, Callable[..., Any]]:
        return {
            "post": self.post,
            "reply": self.reply,
            "mention": self.mention,
            "edit": self.edit,
            "delete": self.delete,
            "like": self.like,
            "message": self.message,
        }

    def _key(self, feed: Feed) -> int:
        return feed.free_key(snowflake(self.world.clock.now()) + len(feed) % 4096)

    def _about_user(self, user: str, profile: Profile) -> Record:
        return user_json(user, profile if user == profile.id else None, self.now())

    def _payload(self, profile: Profile, record: Record) -> Record:
        counts = profile.counts(record, self.now())
        text_too = counts | {f"{name}_str": str(value) for name, value in counts.items()}
        shown = {name: value for name, value in record.items() if not name.startswith("_")}
        if shown.get("referenced_tweets"):
            shown["in_reply_to_tweet_id"] = shown["referenced_tweets"][0]["id"]
        return {**shown, "public_metrics": text_too, "paid_partnership": False}

    def post(self, account: Profile, *, text: str = "") -> str:
        key = self._key(account.posts)
        record = data.post(account.id, key, text or words.statement(account.id, key), fans=20 + key % 80)
        account.posts.append(key, record)
        self.activity.tell(account, "post.create", self._payload(account, record), includes={})
        return str(key)

    def reply(self, account: Profile, *, post: str, text: str = "", ours: bool = False) -> str:
        """Somebody (or the account itself) answers a post or a reply of a conversation."""
        found = account.find(int(post))
        if found is None:
            raise KeyError(post)
        to = found[1]
        root = int(to["conversation_id"])
        talk = account.conversation(root)
        key = max(self._key(talk), self._key(account.mentions), self._key(account.posts))
        author = account.id if ours else str(900_000_000 + key % 90_000_000)
        handle = self._about_user(to["author_id"], account)["username"]
        said = f"@{handle} {text or words.reply(account.id, key)}"
        record = data.reply(author, key, said, to["id"], to["author_id"], to["conversation_id"])
        talk.append(key, record)
        if ours:
            account.posts.append(key, record)
        elif to["author_id"] == account.id:
            account.mentions.append(key, record)
            self.activity.tell(account, "post.reply.create", self._payload(account, record), includes={})
            self.activity.tell(account, "post.mention.create", self._payload(account, record), includes={})
        self._touch(account, to["id"])
        return str(key)

    def mention(self, account: Profile, *, text: str = "") -> str:
        key = self._key(account.mentions)
        record = data.mention(account, key, text or words.question(account.id, key))
        account.mentions.append(key, record)
        self.activity.tell(account, "post.mention.create", self._payload(account, record), includes={})
        return str(key)

    def edit(self, account: Profile, *, post: str, text: str) -> str:
        """An edited post is a new one, with the ids of all its versions. Returns the new id."""
        before = account.posts.get(int(post))
        if before is None:
            raise KeyError(post)
        key = self._key(account.posts)
        made = data.post(account.id, key, text, fans=before["_fans"])
        kept = {"conversation_id": before["conversation_id"], "_before": before["text"]}
        record = {**before, **made, **kept, "edit_history_tweet_ids": [*before["edit_history_tweet_ids"], str(key)]}
        account.posts.delete(int(post))
        account.posts.append(key, record)
        self.activity.tell(account, "post.create", self._payload(account, record), includes={})
        return str(key)

    def delete(self, account: Profile, *, post: str) -> str:
        key = int(post)
        found = account.find(key)
        if found is None:
            raise KeyError(post)
        for feed in (account.posts, account.mentions, *account.conversations.values()):
            feed.delete(key)
        if (answered := found[1].get("_to")) is not None:
            self._touch(account, answered)
        if found[1]["author_id"] == account.id:
            gone = {"id": post, "author_id": account.id}
            users = {account.id: {"data": user_json(account.id, account)}}
            self.activity.tell(account, "post.delete", gone, includes={"users": users})
        return post

    def _touch(self, account: Profile, post: str) -> None:
        """The counters of a post have changed."""
        for feed in (account.posts, account.mentions, *account.conversations.values()):
            feed.touch(int(post))

    def like(self, account: Profile, *, post: str, count: int = 1) -> int:
        record = account.posts.get(int(post))
        if record is None:
            raise KeyError(post)
        likes = int(record.get("_likes", 0)) + count
        account.posts.edit(int(post), _likes=likes)
        fan = str(900_000_000 + likes)
        payload = {"id": str(self._key(Feed())), "liked_tweet_id": post, "author_id": fan, "direction": "inbound"}
        self.activity.tell(account, "like.create", payload)
        return likes

    def message(self, account: Profile, *, peer: str | None = None, text: str = "", ours: bool = False) -> str:
        other = peer or account.peers[0]
        key = self._key(account.dms)
        sender, receiver = (account.id, other) if ours else (other, account.id)
        record = data.dm(key, sender, text or words.question(account.id, key), data.pair_id(account.id, other))
        account.dms.append(key, record)
        self.activity.tell(account, "dm.sent" if ours else "dm.received", self._dm_payload(account, record, receiver))
        return str(key)

    def _dm_payload(self, account: Profile, record: Record, receiver: str) -> Record:
        """Direct messages come in the shape of v1.1."""
        content = {"text": record["text"], "entities": {"hashtags": [], "symbols": [], "user_mentions": [], "urls": []}}
        event = {
            "type": "message_create",
            "id": record["id"],
            "created_timestamp": str(int(data.sent_at(int(record["id"])) * 1000)),
            "message_create": {
                "target": {"recipient_id": receiver},
                "sender_id": record["sender_id"],
                "message_data": content,
            },
        }
        users = {user: {"data": self._about_user(user, account)} for user in (record["sender_id"], receiver)}
        return {"direct_message_events": [event], "users": users}

    def grow(self, account: Profile) -> str:
        dice = self.random
        kinds = ("post", "reply", "mention", "message", "like", "edit", "delete")
        kind = dice.choices(kinds, (18, 30, 12, 18, 14, 5, 3))[0]
        recent = [str(key) for key in account.posts.slice(10, view=lambda _record: None).keys]
        if kind == "mention":
            self.mention(account)
        elif kind == "message":
            self.message(account, peer=dice.choice(account.peers[:3]), ours=dice.random() < 0.3)
        elif kind == "post" or not recent:
            self.post(account)
            return "post"
        else:
            post = dice.choice(recent)
            if kind == "reply":
                self.reply(account, post=post)
            elif kind == "like":
                self.like(account, post=post)
            elif kind == "edit":
                self.edit(account, post=post, text=words.statement(post, dice.random().hex()))
            else:
                self.delete(account, post=post)
        return kind
