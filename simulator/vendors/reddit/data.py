"""Redditors, the subreddits they moderate, and what is written there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from simulator import numbers, text
from simulator.dice import LOWER, below, chance, letters, mix
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account
from simulator.vendors.reddit.things import (
    DAY,
    ELSEWHERE,
    MAIL,
    PLACES,
    at_key,
    comment,
    escaped,
    id36,
    key_at,
    mention,
    message,
    modmail_message,
    post,
    someone,
    user_id,
)

YOUNG_S = 8 * DAY
"""Scores of older things stand still."""


@dataclass(eq=False, kw_only=True)
class Subreddit:
    name: str
    id: str
    place: int
    seed: int
    brand: str
    """Who moderates it; about a third of the posts are theirs."""
    end: int
    subscribers: int
    created: int
    kind: str = "public"
    deep: bool = False
    """Spared the ceiling of a thousand."""
    posts: Feed = field(default_factory=Feed)
    comments: Feed = field(default_factory=Feed)
    """All comments of the subreddit, as they came."""
    gone: dict[str, Record] = field(default_factory=dict)
    """Deleted and removed things by fullname: a post and a comment of one millisecond have the same id."""
    modmail: dict[str, Conversation] = field(default_factory=dict)
    _slot: int = 0

    def free_key(self, feed: Feed, at: float) -> int:
        """A key for something that happens now and stays in this place."""
        key = feed.free_key(key_at(at, self.place))
        return key + (self.place - key) % PLACES

    def make_post(self, key: int, _index: int) -> Record:
        roll = mix(self.name, key)
        author = self.brand if roll % 3 == 0 else someone(roll)
        record = post(self, key, author, text.question(roll) if roll % 2 else text.statement(roll), roll)
        if roll >> 8 & 0xF == 0:
            record["edited"] = at_key(key) + 900.0
        return record

    def post(self, key: int) -> Record | None:
        return self.posts.get(key) or self.gone.get(f"t3_{id36(key)}")

    def comment(self, key: int) -> Record | None:
        return self.comments.get(key) or self.gone.get(f"t1_{id36(key)}")

    def comments_of(self, link: str) -> list[Record]:
        """Every comment below a post, oldest first; deleted ones while they have answers."""
        living = [record for record in self.comments.records() if record["link_id"] == link]
        answered = {record["parent_id"] for record in living}
        dead = [r for r in self.gone.values() if r.get("link_id") == link and r["name"] in answered]
        return sorted([*living, *dead], key=lambda record: int(record["id"], 36))

    def age(self, now: float) -> None:
        """Scores of young things have moved on since they were last shown."""
        slot = int(now // 3600)
        if slot != self._slot:
            since = min(self._slot * 3600 or now, now) - YOUNG_S
            self._slot = slot
            for feed in (self.posts, self.comments):
                for key in feed.slice(5000, above=key_at(since, 0), view=lambda _record: None).keys:
                    feed.touch(key)

    def shown_post(self, record: Record, now: float, *, raw: bool) -> Record:
        """A post with the counters of this hour."""
        score = record["_votes"] + numbers.growing(now - now % 3600, record["created_utc"], record["_fans"])
        shown = {name: value for name, value in record.items() if not name.startswith("_")}
        shown |= {
            "score": score,
            "ups": score,
            "upvote_ratio": round(0.6 + 0.4 * chance("ratio", record["id"]), 2),
            "num_comments": record["_comments"],
            "subreddit_subscribers": self.subscribers,
        }
        return shown if raw else escaped(shown)

    def shown_comment(self, record: Record, now: float, *, raw: bool) -> Record:
        score = 1 + record["_votes"] + numbers.growing(now - now % 3600, record["created_utc"], record["_fans"])
        hidden = now - record["created_utc"] < 3600
        shown = {name: value for name, value in record.items() if not name.startswith("_")}
        shown |= {"score": 1 if hidden else score, "ups": 1 if hidden else score, "score_hidden": hidden}
        return shown if raw else escaped(shown)


@dataclass(eq=False, kw_only=True)
class Conversation:
    """Modmail."""

    id: str
    sub: Subreddit
    subject: str
    participant: str
    messages: Feed = field(default_factory=Feed)
    state: int = 0
    """0 new, 1 in progress, 2 archived."""

    @property
    def updated(self) -> int:
        return self.messages.newest() or 0


@dataclass(eq=False, kw_only=True)
class Redditor(Account):
    subs: list[Subreddit] = field(default_factory=list)
    inbox: Feed = field(default_factory=Feed)
    """Private messages received (t4)."""
    sent: Feed = field(default_factory=Feed)
    mentions: Feed = field(default_factory=Feed)
    """Comments elsewhere that call u/name."""
    created: int = 0
    read: set[str] = field(default_factory=set)

    def replies(self) -> Iterator[Record]:
        """Comments of others below this person's posts and comments."""
        for sub in self.subs:
            own = {r["name"] for r in sub.comments.records() if r["author"] == self.name}
            for record in sub.comments.records():
                if record["author"] == self.name:
                    continue
                if record["parent_id"] in own:
                    yield record | {"_type": "comment_reply"}
                elif record["parent_id"].startswith("t3_") and record["_op"] == self.name:
                    yield record | {"_type": "post_reply"}


# --- making one


def redditor(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Redditor:
    key = ("reddit", seed, number)
    company = text.company(*key)
    name = "archive_keeper" if big else f"{company.lower().replace(' ', '_').replace('&', 'and')[:13]}{number or ''}"
    made = Redditor(id=user_id(name)[3:], name=name, big=bool(big), created=int(now) - 900 * DAY)
    for index in range(1 if big else 2):
        place = number * 2 + index if not big else MAIL - 1
        made.subs.append(_subreddit(made, (*key, index), place, now, days, big or days * per_day // 2, big=bool(big)))
    if not big:
        _write(made, key, now, days)
    return made


def _subreddit(made: Redditor, key: Any, place: int, now: float, days: int, count: int, *, big: bool) -> Subreddit:
    sub = Subreddit(
        name=f"{made.name[:14]}_{('fans', 'help')[key[-1]]}",
        id="t5_" + letters(5, LOWER, "sub", *key),
        place=place,
        seed=mix(*key),
        brand="" if big else made.name,
        end=key_at(now - 60, place),
        subscribers=1000 + below(60_000, "subscribers", *key),
        created=int(now) - 800 * DAY,
        deep=big,
    )
    start = key_at(now - days * DAY, 0)
    sub.posts = Feed(_Placed(count, start, sub.end, sub.make_post, sub.seed, place))
    if big:
        return sub
    _discuss(sub)
    for number in range(3):
        _modmail(sub, number, now - days * DAY, now - 3600)
    return sub


class _Placed(Past):
    """Keys that carry the place in their last digits."""

    __slots__ = ("place",)

    def __init__(
        self, count: int, start: int, end: int, make: Callable[[int, int], Record], seed: int, place: int
    ) -> None:
        super().__init__(count, start, end, make, seed)
        self.step -= self.step % PLACES
        self.place = place

    def key(self, index: int) -> int:
        key = super().key(index)
        return key - key % PLACES + self.place


def _discuss(sub: Subreddit) -> None:
    """Comments below past posts, some of them answers to others; in the order of time."""
    written: list[tuple[int, Record]] = []
    counts: dict[int, int] = {}
    for post_key in sub.posts:
        link = sub.posts.get(post_key)
        if link is None or chance("talk", sub.name, post_key) > 0.6:
            continue
        at, parents = at_key(post_key), [link["name"]]
        for turn in range(1 + below(6, "comments", post_key)):
            at += 60 + below(7200, "pause", post_key, turn)
            key = key_at(at, sub.place)
            if key >= sub.end:
                break
            parent = parents[below(len(parents), "parent", post_key, turn)]
            ours = parent != link["name"] and chance("ours", post_key, turn) < 0.3
            author = sub.brand if ours else someone("commenter", post_key, turn)
            depth = 0 if parent == link["name"] else 1
            record = comment(sub, key, author, text.reply(post_key, turn), parent, link, depth=depth)
            written.append((key, record))
            parents.append(record["name"])
            counts[post_key] = counts.get(post_key, 0) + 1
    for post_key, count in counts.items():
        sub.posts.edit(post_key, _comments=count)
    for key, record in sorted(written, key=lambda pair: pair[0]):
        if key == sub.comments.free_key(key):
            sub.comments.append(key, record)


def _modmail(sub: Subreddit, number: int, start: float, end: float) -> None:
    who = someone("modmail", sub.name, number)
    talk = Conversation(
        id=letters(4, LOWER, "modmail", sub.name, number),
        sub=sub,
        subject=text.question("subject", sub.name, number),
        participant=who,
        state=number % 2,
    )
    step = (end - start) / 10
    for turn in range(2 + below(3, "turns", sub.name, number)):
        at = start + step * (turn * 3 + number) + below(1000, "at", sub.name, number, turn)
        author = sub.brand if turn % 2 else who
        key = key_at(at, sub.place)
        talk.messages.append(key, modmail_message(key, author, text.message(sub.name, number, turn), sub))
    sub.modmail[talk.id] = talk


def _write(made: Redditor, key: Any, now: float, days: int) -> None:
    """Private messages in and out, and mentions elsewhere."""
    start = now - days * DAY
    step = (now - start - 7200) / 12
    other = Subreddit(
        name="helpdesk", id="t5_2qh33", place=ELSEWHERE, seed=0, brand="", end=0, subscribers=9, created=0
    )
    for turn in range(12):
        at = start + turn * step + below(int(step), "mail", turn, *key)
        who = someone("peer", turn % 4, *key)
        words = text.message("mail", turn, *key)
        if turn % 3 == 2:
            made.sent.append(key_at(at, MAIL), message(key_at(at, MAIL), made.name, who, "re: Order", words))
        else:
            made.inbox.append(key_at(at, MAIL), message(key_at(at, MAIL), who, made.name, "Order", words))
        if turn % 4 == 0:
            mention_key = key_at(at + 300, ELSEWHERE)
            made.mentions.append(mention_key, mention(made, mention_key, other, text.question("mention", turn, *key)))
