"""TikTok accounts with videos, comments and direct messages, and the ad accounts beside them.

Ids are 19 digits whose upper half is the second of creation; the lower half keeps the order within it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator import text
from simulator.dice import ALNUM, DIGITS, HEX, UPPER, below, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.numbers import iso
from simulator.vendor import Account

DAY = 86_400
SPAN_MS = 6 * 3_600_000
"""Generated comments come at most this long after their video."""
OPEN_MS = 5 * 3_600_000
"""Videos younger than that at the start of the world have no generated comments."""


def key_at(ms: float) -> int:
    """The smallest id of a millisecond."""
    return -(-(int(ms) << 32) // 1000)


def ms_of(key: int) -> int:
    return key * 1000 >> 32


def image_url(now_or_key: int, *name: int | str) -> str:
    """Signed and soon dead, as all of TikTok's media addresses are."""
    return f"https://p16-sign.tiktokcdn.com/obj/{letters(16, HEX, *name)}.jpeg?x-expires={now_or_key}"


def identifier(*key: int | str) -> str:
    """A person's `unique_identifier`: the same in all of API for Business."""
    return f"+{letters(6, ALNUM, 'who', *key)}/{letters(16, ALNUM, 'is', *key)}"


@dataclass(eq=False, kw_only=True)
class Talk:
    """A conversation. STRANGER until the business has answered for the first time."""

    id: str
    who: text.Person
    person: str
    kind: str
    messages: Feed = field(default_factory=Feed)
    """By milliseconds."""


@dataclass(eq=False, kw_only=True)
class Advertiser:
    id: str
    name: str
    currency: str
    zone: str
    campaigns: list[Record]
    adgroups: list[Record]
    ads: list[Record]
    comments: Feed = field(default_factory=Feed)


@dataclass(eq=False, kw_only=True)
class Creator(Account):
    """A TikTok account; its id is the `open_id`, which the other APIs call `business_id`."""

    username: str
    end: int
    """Where the generated past ends."""
    videos: Feed = field(default_factory=Feed)
    comments: dict[int, Feed] = field(default_factory=dict)
    filtered: set[int] = field(default_factory=set)
    """Videos that are not shown for now."""
    talkative: float = 0.7
    talks: dict[str, Talk] = field(default_factory=dict)
    mentions: Feed = field(default_factory=Feed)
    """Videos of others that mention the brand."""
    comment_mentions: Feed = field(default_factory=Feed)
    advertisers: list[Advertiser] = field(default_factory=list)
    business: bool = True
    """Whether it is a business account; a personal one gets nothing from these APIs."""

    def make_video(self, key: int, _index: int) -> Record:
        roll = mix(self.id, key)
        return self.video(key, f"{text.statement(roll)} #{pick(('newin', 'fyp', 'howto'), roll)}", roll % 300)

    def video(self, key: int, caption: str, fans: int = 0) -> Record:
        return {
            "item_id": str(key),
            "create_time": str(ms_of(key) // 1000),
            "caption": caption,
            "share_url": f"https://www.tiktok.com/@{self.username}/video/{key}",
            "embed_url": f"https://www.tiktok.com/player/v1/{key}",
            "media_type": "PHOTO" if mix("media", key) % 5 == 0 else "VIDEO",
            "is_ad": False,
            "_fans": fans,
        }

    def comments_of(self, video: int) -> Feed:
        if (found := self.comments.get(video)) is None:
            found = self.comments[video] = Feed(self._past_comments(video))
        return found

    def _past_comments(self, video: int) -> Past | None:
        if video >= self.end - key_at(OPEN_MS) or chance("talk", self.id, video) >= self.talkative:
            return None
        count = 1 + below(7, "comments", self.id, video)

        def make(key: int, index: int) -> Record:
            nested = index > 0 and chance("nested", video, index) < 0.3
            return self.comment(video, key, text.reply(video, key), past.key(0) if nested else None)

        past = Past(count, video + key_at(60_000), min(video + key_at(SPAN_MS), self.end), make, video)
        return past

    def comment(self, video: int, key: int, words: str, parent: int | None, *, ours: bool = False) -> Record:
        who = text.person(video, key)
        record: Record = {
            "comment_id": str(key),
            "video_id": str(video),
            "create_time": str(ms_of(key) // 1000),
            "text": words,
            "likes": below(9, "likes", key),
            "liked": False,
            "pinned": False,
            "owner": ours,
            "status": "PUBLIC",
            "username": self.username if ours else who.handle,
            "display_name": self.name if ours else who.name,
            "profile_image": image_url(ms_of(key) // 1000 + DAY, "face", key),
            "user_id": letters(32, HEX, "user", video, key),
            "unique_identifier": identifier(self.id) if ours else identifier(video, key),
            "_parent": parent,
        }
        if parent is not None:
            record["parent_comment_id"] = str(parent)
        return record

    def message(self, talk: Talk, ms: int, words: str, *, ours: bool, plain: bool = False) -> Record:
        business = {"role": "BUSINESS_ACCOUNT", "id": self.id, "display_name": self.name}
        person = {"role": "PERSONAL_ACCOUNT", "id": talk.person, "display_name": talk.who.name, "is_follower": True}
        source = "APP" if not ours or mix("source", ms) % 2 else "API"
        record: Record = {
            "sender": self.username if ours else talk.who.handle,
            "recipient": talk.who.handle if ours else self.username,
            "conversation_id": talk.id,
            "message_id": letters(20, DIGITS, "message", talk.id, ms),
            "timestamp": ms,
            "message_tag": {"source": source},
            "from_user": business if ours else person,
            "to_user": person if ours else business,
        }
        if not (ours or plain) and mix("picture", ms) % 7 == 0:
            return record | {"message_type": "IMAGE", "image": {"media_id": letters(24, ALNUM, "media", ms)}}
        return record | {"message_type": "TEXT", "text": {"body": words}}

    def mention(self, key: int, caption: str) -> Record:
        who = text.person("mention", key)
        return {
            "item_id": str(key),
            "create_time": str(ms_of(key) // 1000),
            "video_link": f"https://www.tiktok.com/@{who.handle}/video/{key}",
            "caption": f"{caption} @{self.username}",
            "likes": below(500, "likes", key),
            "comments": below(40, "replies", key),
            "shares": below(20, "shares", key),
            "thumbnail_url": image_url(ms_of(key) // 1000 + DAY, "thumb", key),
            "views": None if mix("views", key) % 4 == 0 else below(9_000, "views", key),
            "reach": None,
            "creator_handle_name": who.handle,
            "_key": key,
        }

    def comment_mention(self, key: int, words: str) -> Record:
        who, item = text.person("commenter", key), key - key_at(3_600_000)
        return {
            "item_id": str(item),
            "video_link": f"https://www.tiktok.com/@{who.handle}/video/{item}",
            "caption": text.statement(item),
            "video_likes": below(500, "likes", item),
            "thumbnail_url": image_url(ms_of(key) // 1000 + DAY, "thumb", item),
            "commenter_display_name": who.name,
            "comment_id": str(key),
            "comment_type": pick(("COMMENT", "REPLY"), key),
            "comment_text": f"@{self.username} {words}",
            "comment_create_time": str(ms_of(key) // 1000),
            "comment_likes": below(30, "likes", key),
            "_key": key,
        }


def creator(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Creator:
    """A business account with an advertiser. `big`: one that has so many videos and nothing else."""
    key = ("tiktok", seed, number)
    name = text.company(*key)
    made = Creator(
        id="000" + letters(24, ALNUM, "open_id", *key),
        name=name,
        username=name.lower().replace(" ", "_").replace("&", "and"),
        end=key_at(now * 1000),
        big=bool(big),
        talkative=0 if big else 0.7,
    )
    start = key_at((now - days * DAY) * 1000)
    count = big or days * per_day
    made.videos = Feed(Past(count, start, made.end - key_at(600_000), made.make_video, mix(made.id)))
    if not big:
        _talks(made, key, int(now * 1000), days)
        for index in range(3):
            at = start + (index + 1) * (made.end - start) // 5
            made.mentions.append(at, made.mention(at, text.question("mention", index, *key)))
            at += key_at(3_600_000)
            made.comment_mentions.append(at, made.comment_mention(at, text.question("said", index, *key)))
        made.advertisers.append(_advertiser(made, key, number, now))
    return made


def _talks(made: Creator, key: Any, now_ms: int, days: int) -> None:
    for number in range(4):
        talk = Talk(
            id=f"{letters(30, ALNUM, 'talk', number, *key)}+{letters(8, ALNUM, 'tail', number, *key)}==",
            who=text.person("guest", number, *key),
            person=identifier("guest", number, *key),
            kind="STRANGER" if number == 3 else "SINGLE",
        )
        made.talks[talk.id] = talk
        step = days * DAY * 1000 // 12
        for turn in range(1 if number == 3 else 3 + below(6, "turns", number, *key)):
            at = now_ms - days * DAY * 1000 + (turn + 1) * step + below(step, "at", number, turn, *key)
            words = text.question(talk.id, turn) if turn % 2 == 0 else text.reply(talk.id, turn)
            free = talk.messages.free_key(at)
            talk.messages.append(free, made.message(talk, free, words, ours=turn % 2 == 1))


def _advertiser(made: Creator, key: Any, number: int, now: float) -> Advertiser:
    currency, zone = (("EUR", "Europe/Berlin"), ("USD", "America/New_York"), ("JPY", "Asia/Tokyo"))[number % 3]
    found = Advertiser(
        id="70" + letters(17, DIGITS, "advertiser", *key),
        name=f"{made.name} Ads",
        currency=currency,
        zone=zone,
        campaigns=[],
        adgroups=[],
        ads=[],
    )
    stamp = iso(now - 40 * DAY, "%Y-%m-%d %H:%M:%S")
    common = {"advertiser_id": found.id, "create_time": stamp, "modify_time": stamp}

    def entity(kind: str, *place: int, deleted: bool) -> Record:
        status = "DELETE" if deleted else "ENABLE"
        secondary = f"{kind.upper()}_STATUS_{'DELETE' if deleted else 'ENABLE'}"
        names = {f"{kind}_id": "17" + letters(14, DIGITS, kind, *place, *key), f"{kind}_name": f"{kind} {place}"}
        return {**common, **names, "operation_status": status, "secondary_status": secondary}

    for c in range(3):
        campaign = entity("campaign", c, deleted=c == 2) | {"objective_type": "TRAFFIC", "budget": 50.0}
        found.campaigns.append(campaign)
        for g in range(2):
            group = entity("adgroup", c, g, deleted=c == 2) | {"campaign_id": campaign["campaign_id"]}
            found.adgroups.append(group)
            for a in range(2):
                above = {"campaign_id": campaign["campaign_id"], "adgroup_id": group["adgroup_id"]}
                found.ads.append(entity("ad", c, g, a, deleted=c == 2) | above | {"ad_text": text.statement(c, g, a)})
    for index, group in enumerate(found.adgroups[:3]):
        at = key_at((now - (9 - index) * DAY) * 1000)
        found.comments.append(at, ad_comment(found, group, at, text.question("ad", index, *key)))
    return found


def ad_comment(advertiser: Advertiser, group: Record, key: int, words: str) -> Record:
    who = text.person("ad", key)
    ad = next(ad for ad in advertiser.ads if ad["adgroup_id"] == group["adgroup_id"])
    return {
        "comment_id": str(key),
        "app_id": "1233",
        "content": words,
        "likes": below(9, "likes", key),
        "replies": 0,
        "comment_type": "COMMENT",
        "comment_status": "PUBLIC",
        "create_time": str(ms_of(key) // 1000),
        "campaign_id": ad["campaign_id"],
        "adgroup_id": ad["adgroup_id"],
        "ad_id": ad["ad_id"],
        "ad_name": ad["ad_name"],
        "ad_text": ad["ad_text"],
        "tiktok_item_id": str(key - key_at(3_600_000)),
        "user_name": who.name,
        "user_id": letters(20, UPPER, "user", key),
        "user_avatar_url": image_url(ms_of(key) // 1000 + DAY, "face", key),
    }
