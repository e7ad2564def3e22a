"""Profiles with their posts, replies, mentions and direct messages. Ids are snowflakes, so a key is an id is a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from simulator import numbers, text
from simulator.dice import ALNUM, below, chance, letters, mix
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account
from simulator.vendors.twitter.ads import AdAccount, ad_account

EPOCH_MS = 1_288_834_974_657
DAY = 86_400
PRIVATE_S = 30 * DAY
"""How old a post may be for its private metrics to be read."""
YOUNG_S = 31 * DAY
"""Counters of older posts stand still."""


def snowflake(at: float) -> int:
    return (int(at * 1000) - EPOCH_MS) << 22


def sent_at(key: int) -> float:
    return ((key >> 22) + EPOCH_MS) / 1000


def when(key: int) -> str:
    """The time in an id, as v2 writes times."""
    ms = (key >> 22) + EPOCH_MS
    return f"{numbers.iso(ms // 1000)[:-1]}.{ms % 1000:03d}Z"


@dataclass(eq=False, kw_only=True)
class Profile(Account):
    """Somebody with an X account."""

    username: str
    born: int
    end: int
    """Nothing generated is later than this key."""
    followers: int = 1000
    posts: Feed = field(default_factory=Feed)
    """What the account wrote: posts, replies to others, reposts."""
    conversations: dict[int, Feed] = field(default_factory=dict)
    """Replies below each post of the account, its own answers included."""
    mentions: Feed = field(default_factory=Feed)
    """Posts of others that name the account; direct replies do."""
    dms: Feed = field(default_factory=Feed)
    peers: list[str] = field(default_factory=list)
    ad_accounts: list[AdAccount] = field(default_factory=list)
    description: str = "Good things for good days. Questions? Write to us."
    _slot: int = 0

    def conversation(self, root: int) -> Feed:
        """By its conversation_id, the first version's id of the post it began with."""
        return self.conversations.setdefault(root, Feed())

    def find(self, key: int) -> tuple[Feed, Record] | None:
        """The post of that id among all that this account has to do with."""
        for feed in (self.posts, self.mentions):
            if (record := feed.get(key)) is not None:
                return feed, record
        for feed in self.conversations.values():
            if (record := feed.get(key)) is not None:
                return feed, record
        return None

    def older_version(self, key: int) -> Record | None:
        """An earlier version of a post that was edited since."""
        later = self.posts.slice(200, above=key, below=key + (DAY * 1000 << 22), newest_first=False).keys
        for record in filter(None, map(self.posts.get, later)):
            if str(key) in record["edit_history_tweet_ids"]:
                return {
                    **record,
                    "id": str(key),
                    "text": record.get("_before", record["text"]),
                    "created_at": when(key),
                }
        return None

    def age(self, now: float) -> None:
        """Counters of young posts have moved on since they were last shown."""
        slot = int(now // 3600)
        if slot != self._slot:
            since = min(self._slot * 3600 or now, now) - YOUNG_S
            self._slot = slot
            for feed in (self.posts, self.mentions, *self.conversations.values()):
                for key in feed.slice(5000, above=snowflake(since), view=lambda _record: None).keys:
                    feed.touch(key)

    def counts(self, record: Record, now: float) -> dict[str, int]:
        """The public metrics of a post at an hour."""
        key, fans = int(record["id"]), record["_fans"]
        born, at = sent_at(key), now - now % 3600

        def count(share: float, extra: int = 0) -> int:
            return numbers.growing(at, born, fans * share) + extra

        versions = record["edit_history_tweet_ids"]
        talk = self.conversations.get(int(record["conversation_id"]))
        return {
            "retweet_count": count(0.12),
            "reply_count": sum(found.get("_to") in versions for found in talk.records()) if talk else 0,
            "like_count": count(1, record.get("_likes", 0)),
            "quote_count": count(0.02),
            "bookmark_count": count(0.06),
            "impression_count": count(41, 5 if at > born else 0),
        }

    def make_post(self, key: int, _index: int) -> Record:
        roll = mix(self.id, key)
        kind, who = roll % 100, str(_person_id(roll))
        if kind < 8:
            return repost(self, key, who, str(key - (1 << 34)), text.statement(roll, 1))
        if kind < 22:
            words = f"@{text.person(who).handle.replace('.', '_')} {text.reply(roll)}"
            return reply(self.id, key, words, str(key - (1 << 33)), who, str(key - (1 << 34)), fans=roll % 20)
        record = post(self.id, key, text.statement(roll), fans=roll >> 8 & 0xFF)
        if kind < 45:
            record["attachments"] = {"media_keys": [f"{3 if kind % 2 else 7}_{key}"]}
        elif kind < 48:
            whole = " ".join(text.statement(roll, part) for part in range(9))
            record |= {"text": whole[:270] + "…", "note_tweet": {"text": whole}}
        elif kind < 53:
            first = str(key - (600_000 << 22))
            record |= {"edit_history_tweet_ids": [first, str(key)], "conversation_id": first}
        return record


def _person_id(roll: int) -> int:
    return 900_000_000 + roll % 90_000_000


def post(author: str, key: int, words: str, *, fans: int = 0) -> Record:
    """A post of its own; every field there is, views choose."""
    record: Record = {
        "id": str(key),
        "text": escape(words, quote=False),
        "edit_history_tweet_ids": [str(key)],
        "author_id": author,
        "created_at": when(key),
        "conversation_id": str(key),
        "lang": "en",
        "possibly_sensitive": False,
        "reply_settings": "everyone",
        "edit_controls": {
            "edits_remaining": 5,
            "is_edit_eligible": True,
            "editable_until": when(key + (3_600_000 << 22)),
        },
        "_fans": fans,
    }
    if "#" in words or "http" in words:
        record["entities"] = {"urls": [{"start": 0, "end": 23, "url": "https://t.co/x", "expanded_url": "https://x"}]}
    return record


def reply(author: str, key: int, words: str, to: str, to_user: str, conversation: str, *, fans: int = 0) -> Record:
    handle = words[1:].split(" ", 1)[0] if words.startswith("@") else ""
    mention = {"start": 0, "end": len(handle) + 1, "username": handle, "id": to_user}
    return post(author, key, words, fans=fans) | {
        "conversation_id": conversation,
        "in_reply_to_user_id": to_user,
        "referenced_tweets": [{"type": "replied_to", "id": to}],
        "entities": {"mentions": [mention]} if handle else {},
        "_to": to,
    }


def repost(profile: Profile, key: int, author: str, original: str, words: str) -> Record:
    """`text` of a repost is cut; the whole is in `includes` under the original's id."""
    cut = f"RT @{handle_of(author)}: {words}"[:40] + "…"
    return post(profile.id, key, cut) | {
        "referenced_tweets": [{"type": "retweeted", "id": original}],
        "_original": post(author, int(original), words, fans=50),
    }


def handle_of(user: str) -> str:
    return text.person(user).handle.replace(".", "_")


def user_json(user: str, profile: Profile | None = None, now: float = 0) -> Record:
    """A user as v2 shows one, with every field."""
    who = text.person(user)
    roll = mix("user", user)
    followers = profile.followers if profile else roll % 5000
    return {
        "id": user,
        "name": profile.name if profile else who.name,
        "username": profile.username if profile else handle_of(user),
        "created_at": when(profile.born) if profile else "2013-12-14T04:35:55.000Z",
        "description": profile.description if profile else "",
        "profile_image_url": f"https://pbs.twimg.com/profile_images/{roll % 10**12}/x_normal.jpg",
        "public_metrics": {
            "followers_count": followers,
            "following_count": roll % 700,
            "tweet_count": len(profile.posts) if profile else roll % 9000,
            "listed_count": roll % 40,
            "like_count": roll % 8000,
            "media_count": roll % 600,
        },
        "verified": False,
        "verified_type": "none",
        "protected": False,
        "url": "https://t.co/" + letters(10, ALNUM, user),
        "location": "Berlin",
    }


def media_json(media_key: str) -> Record:
    video = media_key.startswith("7_")
    shown: Record = {"media_key": media_key, "type": "video" if video else "photo", "width": 1200, "height": 675}
    if video:
        shown |= {"preview_image_url": f"https://pbs.twimg.com/media/{media_key}.jpg", "duration_ms": 15_000}
        return shown | {"public_metrics": {"view_count": mix(media_key) % 9000}}
    return shown | {"url": f"https://pbs.twimg.com/media/{media_key}.jpg", "alt_text": "A product on a table"}


def dm(key: int, sender: str, words: str, conversation: str) -> Record:
    return {
        "id": str(key),
        "event_type": "MessageCreate",
        "text": words,
        "sender_id": sender,
        "dm_conversation_id": conversation,
        "created_at": when(key),
        "participant_ids": [],
    }


def pair_id(one: str, other: str) -> str:
    """The conversation of two people: the smaller id first, as numbers."""
    return "-".join(sorted((one, other), key=int))


# --- making one


def profile(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Profile:
    key = ("twitter", seed, number)
    start, end = snowflake(now - days * DAY), snowflake(now - 60)
    name = "Archive Weekly" if big else text.company(*key)
    made = Profile(
        id=str(2_244_000_000 + below(900_000, "id", *key)),
        name=name,
        big=bool(big),
        username=name.replace(" ", "").replace("&", "And")[:15],
        born=snowflake(now - 2000 * DAY),
        end=end,
        followers=1000 + below(50_000, "followers", *key),
    )
    made.posts = Feed(Past(big or days * per_day, start, end, made.make_post, mix(*key)))
    made.peers = [str(_person_id(mix("peer", n, *key))) for n in range(4)]
    if big:
        return made
    _talk(made)
    _write(made, start, end)
    zones = (("EUR", "Europe/Berlin"), ("USD", "America/Los_Angeles"), ("JPY", "Asia/Tokyo"))
    made.ad_accounts.append(ad_account((*key, 0), name, *zones[number % 3], now))
    return made


def _talk(made: Profile) -> None:
    """Replies to past posts, and mentions elsewhere; both in the order of time."""
    naming: dict[int, Record] = {}
    for root in made.posts:
        if (record := made.posts.get(root)) is None or record.get("referenced_tweets"):
            continue
        if chance("talk", made.id, root) < 0.5:
            for key, reply_record in _replies(made, root, int(record["conversation_id"])):
                made.conversation(int(record["conversation_id"])).append(key, reply_record)
                if reply_record.get("in_reply_to_user_id") == made.id and reply_record["author_id"] != made.id:
                    naming[key] = reply_record
        if chance("named", made.id, root) < 0.3:
            key = min(root + (below(3_600_000, "named", root) << 22), made.end)
            naming.setdefault(key, mention(made, key, text.question("mention", root)))
    for key in sorted(naming):
        made.mentions.append(key, naming[key])


def _replies(made: Profile, root: int, thread: int) -> Iterator[tuple[int, Record]]:
    """Some people answer a post; some answer each other; now and then the account answers."""
    key, first, author = root, str(root), ""
    for turn in range(1 + below(4, "replies", root)):
        key += 60_000 + below(5_000_000, "pause", root, turn) << 22
        if key >= made.end:
            return
        ours = turn > 0 and chance("ours", root, turn) < 0.3
        nested = bool(author) and (ours or chance("nested", root, turn) < 0.4)
        to, to_user = (first, author) if nested else (str(root), made.id)
        writer = made.id if ours else str(_person_id(mix("writer", root, turn)))
        handle = made.username if to_user == made.id else handle_of(to_user)
        words = f"@{handle} {text.reply(root, turn)}"
        yield key, reply(writer, key, words, to, to_user, str(thread), fans=below(9, "fans", key))
        if not ours:
            first, author = str(key), writer


def mention(made: Profile, key: int, words: str, author: str = "") -> Record:
    record = post(author or str(_person_id(mix("namer", key))), key, f"@{made.username} {words}", fans=below(30, key))
    who = {"start": 0, "end": len(made.username) + 1, "username": made.username, "id": made.id}
    return record | {"entities": {"mentions": [who]}}


def _write(made: Profile, start: int, end: int) -> None:
    """Direct messages: with single people, and in a group."""
    group = str(start - 12345)
    step = (end - start) // 40
    for turn in range(39):
        key = start + turn * step + below(step, "dm", made.id, turn)
        peer = made.peers[turn % 3]
        if turn == 4:
            joined = {"event_type": "ParticipantsJoin", "participant_ids": [made.peers[3]]}
            made.dms.append(key, {**dm(key, made.id, "", group), **joined})
        elif turn % 5 == 4:
            made.dms.append(key, dm(key, made.peers[3], text.message("group", key), group))
        else:
            sender = made.id if turn % 4 == 3 else peer
            made.dms.append(key, dm(key, sender, text.message("dm", key), pair_id(made.id, peer)))


def shown_dm(record: Record, fields: set[str]) -> Record:
    """Fields that do not belong to an event are absent, not null."""
    meant = {"MessageCreate": {"participant_ids"}}.get(record["event_type"], {"text"})
    always = {"id", "event_type", "text"}
    return {k: v for k, v in record.items() if k in always | fields and k not in meant and not k.startswith("_")}


def choose(record: Record, fields: set[str]) -> Record:
    always = {"id", "text", "edit_history_tweet_ids"}
    return {name: value for name, value in record.items() if name in always or name in fields}
