"""Owners with their Pages, Instagram accounts and ad accounts, and the ids by which everything is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simulator import text
from simulator.dice import ALNUM, DIGITS, below, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account

MICRO = 1_000_000
DAY = 86_400
_STATUS_TYPES = ("added_photos", "mobile_status_update", "added_video")
SPAN = 6 * 3600 * MICRO
"""Generated comments come at most this long after their post."""


def exact(feed: Feed, key: int, kind: str) -> int | None:
    """The feed key behind an id: Instagram ids say milliseconds only."""
    if kind == "page":
        return key if key in feed else None
    return next(iter(feed.slice(1, above=key * 1000 - 1, below=key * 1000 + 1000).keys), None)


def when(key: int) -> str:
    return datetime.fromtimestamp(key // MICRO, UTC).isoformat()[:19] + "+0000"


def someone(*key: int | str) -> Record:
    return {"name": text.person(*key).name, "id": str(2_000_000_000_000_000 + mix("psid", *key) % 900_000_000_000_000)}


@dataclass(eq=False, kw_only=True)
class Page:
    """A Page with its posts, or an Instagram account with its media: `kind` page or ig."""

    id: str
    kind: str
    name: str
    owner: Owner
    number: int
    end: int
    posts: Feed
    link: Page | None = None
    """The Instagram account of a Page, the Page of an Instagram account."""
    comments: dict[int, Feed] = field(default_factory=dict)
    talkative: float = 0.6
    """Share of the past posts that have comments."""
    tagged: Feed = field(default_factory=Feed)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    subscribed: set[str] = field(default_factory=set)

    @property
    def username(self) -> str:
        return self.name.lower().replace(" ", "").replace("&", "and")

    def post_id(self, key: int) -> str:
        return f"{self.id}_{key}" if self.kind == "page" else f"18{key // 1000:013d}{self.number:02d}"

    def comment_id(self, post: int, key: int) -> str:
        return f"{post}_{key}" if self.kind == "page" else f"17{key // 1000:013d}{self.number:02d}"

    def make_post(self, key: int, _index: int) -> Record:
        roll = mix(self.id, key)
        words, fans = text.statement(roll), roll % 200
        if self.kind == "ig":
            return ig_media(self, key, words, fans)
        record = page_post(self, key, words, fans)
        if roll >> 8 & 0xFF < 100:
            record["shares"] = {"count": 1 + (roll >> 16) % 9}
        return record

    def comments_of(self, post: int) -> Feed:
        found = self.comments.get(post)
        if found is None:
            found = self.comments[post] = Feed(self._past_comments(post))
        return found

    def comment_count(self, post: int) -> int:
        if (found := self.comments.get(post)) is not None:
            return len(found)
        past = self._past_comments(post)
        return past.count if past else 0

    def _past_comments(self, post: int) -> Past | None:
        if not self.talkative or post >= self.end - 3600 * MICRO or chance("talk", self.id, post) >= self.talkative:
            return None
        count = 1 + below(6, "comments", self.id, post)

        def make(key: int, index: int) -> Record:
            nested = index > 0 and chance("nested", post, index) < 0.3
            return comment(
                self, post, key, text.reply(post, key), someone(post, index), past.key(0) if nested else None
            )

        past = Past(count, post + 60 * MICRO, min(post + SPAN, self.end), make, post)
        return past


@dataclass(eq=False, kw_only=True)
class Conversation:
    id: str
    page: Page
    platform: str
    person: Record
    messages: Feed = field(default_factory=Feed)


@dataclass(eq=False, kw_only=True)
class AdAccount:
    id: str
    """Without `act_`."""
    name: str
    owner: Owner
    currency: str
    zone: str
    campaigns: list[Record]
    adsets: list[Record]
    ads: list[Record]


@dataclass(eq=False, kw_only=True)
class Owner(Account):
    """The person who connects: everything hangs on their grant."""

    pages: list[Page] = field(default_factory=list)
    ad_accounts: list[AdAccount] = field(default_factory=list)

    def places(self) -> list[Page]:
        """Pages and Instagram accounts."""
        return [place for page in self.pages for place in (page, page.link) if place is not None]


def page_post(page: Page, key: int, words: str, fans: int) -> Record:
    created = when(key)
    return {
        "id": page.post_id(key),
        "message": words,
        "created_time": created,
        "updated_time": created,
        "permalink_url": f"https://www.facebook.com/{page.id}/posts/{key}",
        "full_picture": f"https://scontent.xx.fbcdn.net/v/{key}.jpg",
        "status_type": _STATUS_TYPES[key % 3],
        "is_published": True,
        "is_hidden": False,
        "from": {"name": page.name, "id": page.id},
        "attachments": {
            "data": [
                {
                    "media_type": "photo",
                    "media": {
                        "image": {"height": 720, "src": f"https://scontent.xx.fbcdn.net/v/{key}.jpg", "width": 720}
                    },
                    "url": f"https://www.facebook.com/photo/?fbid={key}",
                    "target": {"id": str(key), "url": f"https://www.facebook.com/photo/?fbid={key}"},
                }
            ]
        },
        "_key": key,
        "_fans": fans,
    }


def ig_media(page: Page, key: int, words: str, fans: int) -> Record:
    kind = pick(("IMAGE", "VIDEO", "CAROUSEL_ALBUM"), "media", page.id, key)
    return {
        "id": page.post_id(key),
        "caption": words,
        "media_type": kind,
        "media_product_type": "REELS" if kind == "VIDEO" else "FEED",
        "media_url": f"https://scontent.cdninstagram.com/v/{key}.jpg",
        "permalink": f"https://www.instagram.com/p/{letters(11, ALNUM, page.id, key)}/",
        "timestamp": when(key),
        "like_count": fans,
        "is_comment_enabled": True,
        "username": page.username,
        "_key": key,
    }


def comment(page: Page, post: int, key: int, words: str, author: Record, parent: int | None) -> Record:
    comment_id = page.comment_id(post, key)
    if page.kind == "ig":
        record: Record = {
            "id": comment_id,
            "text": words,
            "timestamp": when(key),
            "username": author["name"].lower().replace(" ", "."),
            "from": {"id": author["id"], "username": author["name"].lower().replace(" ", ".")},
            "like_count": 0,
            "hidden": False,
            "media": {"id": page.post_id(post)},
        }
        if parent is not None:
            record["parent_id"] = page.comment_id(post, parent)
    else:
        record = {
            "id": comment_id,
            "message": words,
            "created_time": when(key),
            "from": author,
            "like_count": below(5, "likes", comment_id),
            "comment_count": 0,
            "is_hidden": False,
            "permalink_url": f"https://www.facebook.com/{page.id}/posts/{post}/?comment_id={key}",
            "can_reply_privately": True,
        }
        if parent is not None:
            record["parent"] = {"id": page.comment_id(post, parent)}
    return record | {"_key": key, "_parent": parent}


def message(conversation: Conversation, key: int, words: str, *, outgoing: bool) -> Record:
    page = conversation.page
    ours = {"name": page.name, "email": f"{page.id}@facebook.com", "id": page.id}
    theirs = {**conversation.person, "email": f"{conversation.person['id']}@facebook.com"}
    sender, receiver = (ours, theirs) if outgoing else (theirs, ours)
    return {
        "id": "m_" + letters(60, ALNUM, conversation.id, key),
        "created_time": when(key),
        "from": sender,
        "to": {"data": [receiver]},
        "message": words,
        "_key": key,
    }


def owner(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Owner:
    """A person with two Pages (one has an Instagram account) and an ad account. `big`: one Page of so many posts."""
    key = ("facebook", seed, number)
    made = Owner(id="1015" + letters(13, DIGITS, "owner", *key), name=text.person(*key).name, big=bool(big))
    start, end = int((now - days * DAY) * MICRO), int(now * MICRO)
    for index in range(1 if big else 2):
        page = _place(made, "page", (*key, index), number * 2 + index, start, end, big or days * per_day // 2)
        made.pages.append(page)
        if big:
            page.talkative = 0
        elif index == 0:
            page.link = _place(made, "ig", (*key, index), number * 2 + index, start, end, days * per_day // 2)
            page.link.link = page
        if not big:
            _talk(page, (*key, index), start, end)
    if not big:
        currency, zone = (("EUR", "Europe/Berlin"), ("USD", "America/Los_Angeles"), ("JPY", "Asia/Tokyo"))[number % 3]
        made.ad_accounts.append(_ad_account(made, key, currency, zone, int(now)))
    return made


def _place(made: Owner, kind: str, key: Any, number: int, start: int, end: int, count: int) -> Page:
    prefix = "2121" if kind == "page" else "178414"
    place = Page(
        id=prefix + letters(12 if kind == "page" else 11, DIGITS, kind, *key),
        kind=kind,
        name=text.company(*key),
        owner=made,
        number=number % 100,
        end=end,
        posts=Feed(),
        subscribed={"feed", "mention", "messages", "message_echoes", "comments", "mentions"},
    )
    place.posts = Feed(Past(count, start, end - 600 * MICRO, place.make_post, mix(place.id)))
    return place


def _talk(page: Page, key: Any, start: int, end: int) -> None:
    for number in range(5):
        platform = "instagram" if number == 4 and page.link else "messenger"
        person = someone("guest", number, *key)
        talk = Conversation(
            id="t_" + letters(15, DIGITS, "talk", number, *key), page=page, platform=platform, person=person
        )
        page.conversations[talk.id] = talk
        step = (end - start) // 12
        for turn in range(3 + below(6, "turns", number, *key)):
            at = start + (turn + 1) * step + below(step, "at", number, turn, *key)
            words = text.question(talk.id, turn) if turn % 2 == 0 else text.reply(talk.id, turn)
            free = talk.messages.free_key(at)
            talk.messages.append(free, message(talk, free, words, outgoing=turn % 2 == 1))
    for number in range(3):
        at = page.tagged.free_key(start + (number + 1) * (end - start) // 5)
        record = page_post(page, at, f"@{page.name} {text.question('tag', number, *key)}", below(20, number, *key))
        page.tagged.append(at, record | {"id": f"{someone(number, *key)['id']}_{at}", "from": someone(number, *key)})


def _ad_account(made: Owner, key: Any, currency: str, zone: str, now: int) -> AdAccount:
    account = AdAccount(
        id=letters(9, "123456789", "act", *key),
        name=f"{made.name} Ads",
        owner=made,
        currency=currency,
        zone=zone,
        campaigns=[],
        adsets=[],
        ads=[],
    )
    stamp = when((now - 30 * DAY) * MICRO)

    def entity(kind: str, *place: int, **more: str) -> Record:
        entity_id = "2384" + letters(13, DIGITS, kind, *place, *key)
        status = "PAUSED" if chance("paused", entity_id) < 0.2 else "ACTIVE"
        base = {"id": entity_id, "name": f"{kind} {'.'.join(map(str, place))}", "status": status}
        return {**base, "effective_status": status, "created_time": stamp, "updated_time": stamp, **more}

    for c in range(3):
        campaign = entity("Campaign", c, objective=pick(("OUTCOME_TRAFFIC", "OUTCOME_SALES"), c, *key))
        account.campaigns.append(campaign | {"account_id": account.id, "daily_budget": "5000"})
        for s in range(2):
            adset = entity("Set", c, s, campaign_id=campaign["id"])
            account.adsets.append(adset | {"account_id": account.id, "daily_budget": "2500"})
            for a in range(2):
                ad = entity("Ad", c, s, a, campaign_id=campaign["id"], adset_id=adset["id"])
                account.ads.append(ad | {"account_id": account.id})
    return account
