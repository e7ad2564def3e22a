"""What happens on Pages and Instagram accounts, and which webhooks tell of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulator import text as words
from simulator.feed import Feed, Record
from simulator.http import Request
from simulator.reports import Reports
from simulator.vendor import Vendor
from simulator.vendors.facebook import data, nodes
from simulator.vendors.facebook.data import MICRO, Owner, Page


def escaped(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


class Deeds(Vendor[Owner]):
    """The part of the vendor that acts."""

    reports: Reports

    def deeds(self) -> dict[str, Callable[..., Any]]:
        return {
            "post": self.post,
            "edit": self.edit,
            "delete": self.delete,
            "comment": self.comment,
            "react": self.react,
            "message": self.message,
        }

    def place(self, owner: Owner, place_id: str | None) -> Page | None:
        return next((place for place in owner.places() if place.id == place_id), None)

    def _tell(self, place: Page, topic: str, entry: Record) -> None:
        """Facebook escapes slashes and everything beyond ASCII, and signs those bytes."""
        page = place if place.kind == "page" else place.link
        if page is None or (place.kind == "page" and topic not in page.subscribed):
            return
        kind = "page" if place.kind == "page" else "instagram"
        self.hooks.emit(place.owner, escaped({"object": kind, "entry": [{"id": place.id, **entry}]}), topic=topic)

    def _tell_change(self, place: Page, topic: str, value: Record) -> None:
        self._tell(place, topic, {"time": int(self.now()), "changes": [{"field": topic, "value": value}]})

    def _tell_feed(self, place: Page, item: str, verb: str, key: int, **value: Any) -> None:
        if place.kind == "page":
            common = {"item": item, "verb": verb, "post_id": place.post_id(key), "created_time": int(self.now())}
            author = value.pop("author", {"id": place.id, "name": place.name})
            self._tell_change(place, "feed", {**common, "from": author, **value})

    def _place(self, account: Owner, place: str | None) -> Page:
        found = self.place(account, place) if place else account.pages[0]
        if found is None:
            raise KeyError(place)
        return found

    def _key(self, feed: Feed, place: Page) -> int:
        """A key for something that happens now; Instagram ids need whole milliseconds."""
        key = feed.free_key(int(self.world.clock.now() * MICRO))
        return key if place.kind == "page" else -(-key // 1000) * 1000

    def _post_key(self, account: Owner, post: str) -> tuple[Page, int]:
        asking = Request("GET", "/", "", {}, b"", "", account=account)
        kind, thing = nodes.find(self, asking, post)
        if kind not in ("post", "media"):
            raise KeyError(post)
        return thing  # type: ignore[no-any-return]

    def post(self, account: Owner, *, page: str | None = None, text: str = "") -> str:
        place = self._place(account, page)
        key = self._key(place.posts, place)
        message = text or words.statement(place.id, key)
        record = (
            data.page_post(place, key, message, 0) if place.kind == "page" else data.ig_media(place, key, message, 0)
        )
        place.posts.append(key, record)
        self._tell_feed(place, "status", "add", key, message=message)
        return place.post_id(key)

    def edit(self, account: Owner, *, post: str, text: str) -> str:
        place, key = self._post_key(account, post)
        changes = {"message": text, "updated_time": data.when(int(self.world.clock.now()) * MICRO)}
        place.posts.edit(key, **(changes if place.kind == "page" else {"caption": text}))
        self._tell_feed(place, "post", "edited", key, message=text)
        return post

    def delete(self, account: Owner, *, post: str) -> str:
        place, key = self._post_key(account, post)
        place.posts.delete(key)
        self._tell_feed(place, "post", "remove", key)
        return post

    def comment(self, account: Owner, *, post: str, text: str = "", parent: str | None = None) -> str:
        place, key = self._post_key(account, post)
        feed = place.comments_of(key)
        at = self._key(feed, place)
        above: int | None = None
        if parent:
            asking = Request("GET", "/", "", {}, b"", "", account=account)
            above = nodes.find(self, asking, parent)[1][2]
        return self._commented(place, key, at, text, data.someone(place.id, at), parent, above)

    def answer(self, place: Page, key: int, *, parent: str, text: str) -> str:
        """The owner's own comment below another."""
        feed = place.comments_of(key)
        asking = Request("GET", "/", "", {}, b"", "", account=place.owner)
        above = nodes.find(self, asking, parent)[1][2]
        us = {"name": place.name, "id": place.id}
        return self._commented(place, key, self._key(feed, place), text, us, parent, above)

    def _commented(
        self, place: Page, key: int, at: int, text: str, author: Record, parent: str | None, above: int | None
    ) -> str:
        post = place.post_id(key)
        message = text or words.reply(place.id, at)
        record = data.comment(place, key, at, message, author, above)
        place.comments_of(key).append(at, record)
        place.posts.touch(key)
        if place.kind == "page":
            self._tell_feed(
                place,
                "comment",
                "add",
                key,
                comment_id=record["id"],
                parent_id=parent or post,
                author=author,
                message=message,
            )
        else:
            value = {"id": record["id"], "from": record["from"], "text": message}
            value |= {"media": {"id": post, "media_product_type": "FEED"}} | ({"parent_id": parent} if parent else {})
            self._tell_change(place, "comments", value)
        return str(record["id"])

    def react(self, account: Owner, *, post: str, count: int = 1) -> int:
        place, key = self._post_key(account, post)
        record = place.posts.get(key) or {}
        name = "_fans" if place.kind == "page" else "like_count"
        place.posts.edit(key, **{name: record[name] + count})
        self._tell_feed(
            place, "reaction", "add", key, reaction_type="like", parent_id=post, author=data.someone(key, count)
        )
        return int(record[name]) + count

    def message(self, account: Owner, *, conversation: str | None = None, text: str = "", echo: bool = False) -> str:
        talks = {talk.id: talk for page in account.pages for talk in page.conversations.values()}
        talk = talks[conversation] if conversation else next(iter(talks.values()))
        key = self._key(talk.messages, talk.page)
        record = data.message(talk, key, text or words.question(talk.id, key), outgoing=echo)
        talk.messages.append(key, record)
        for older in talk.messages.slice(25, below=key).keys:
            talk.messages.touch(older)  # one more of them can no longer be read in full
        now_ms = int(self.now() * 1000)
        content = {"mid": record["id"], "text": record["message"], **({"is_echo": True} if echo else {})}
        ours, theirs = {"id": talk.page.id}, {"id": talk.person["id"]}
        event = {"sender": ours if echo else theirs, "recipient": theirs if echo else ours, "timestamp": key // 1000}
        topic = "message_echoes" if echo else "messages"
        self._tell(talk.page, topic, {"time": now_ms, "messaging": [{**event, "message": content}]})
        return str(record["id"])

    def grow(self, account: Owner) -> str:
        dice = self.random
        place = dice.choice(account.places())
        kind = dice.choices(("post", "comment", "react", "message", "edit", "delete"), (15, 40, 20, 15, 7, 3))[0]
        recent = [place.post_id(key) for key in place.posts.slice(10).keys]
        if kind == "message" and any(page.conversations for page in account.pages):
            talks = [talk.id for page in account.pages for talk in page.conversations.values()]
            self.message(account, conversation=dice.choice(talks), echo=dice.random() < 0.3)
            return kind
        if kind in ("post", "message") or not recent:
            self.post(account, page=place.id)
            return "post"
        post = dice.choice(recent)
        if kind == "comment":
            self.comment(account, post=post)
        elif kind == "react":
            self.react(account, post=post, count=1)
        elif kind == "edit":
            self.edit(account, post=post, text=words.statement(post, dice.random().hex()))
        else:
            self.delete(account, post=post)
        return kind
