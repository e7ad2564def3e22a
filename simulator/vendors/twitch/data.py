"""Channels: their videos, clips, followers, subscribers and live streams, as Helix shows them.

Feeds are keyed by milliseconds. Views grow for ever, so records hold a ceiling and are finished when they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator import text
from simulator.dice import ALNUM, HEX, UPPER, below, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.numbers import growing, iso
from simulator.vendor import Account

DAY = 86_400
MS = 1000
GAMES = (("509658", "Just Chatting"), ("33214", "Fortnite"), ("494131", "Little Nightmares"), ("26936", "Music"))
_KINDS = ("archive", "highlight", "upload")


@dataclass(eq=False, kw_only=True)
class Channel(Account):
    """A broadcaster, who is also a user."""

    login: str
    created: float
    title: str
    game: tuple[str, str]
    videos: Feed = field(default_factory=Feed)
    recorded: Past = field(default_factory=lambda: Past(0, 0, 0, lambda _key, _index: {}))
    """The videos of the past."""
    clips: Feed = field(default_factory=Feed)
    followers: Feed = field(default_factory=Feed)
    subscribers: list[Record] = field(default_factory=list)
    polls: list[Record] = field(default_factory=list)
    chatters: list[Record] = field(default_factory=list)
    schedule: list[Record] = field(default_factory=list)
    live: Record | None = None
    """The stream that runs now: {id, started, video}."""
    bits: dict[str, int] = field(default_factory=dict)
    gone: bool = False
    """Deleted or suspended: look-ups find nobody."""

    def user_json(self) -> Record:
        return {
            "id": self.id,
            "login": self.login,
            "display_name": self.name,
            "type": "",
            "broadcaster_type": "partner",
            "description": f"This is {self.name}.",
            "profile_image_url": f"https://static-cdn.jtvnw.net/jtv_user_pictures/{self.id}-profile_image-300x300.png",
            "offline_image_url": "",
            "view_count": 0,
            "created_at": iso(self.created),
        }

    def channel_json(self) -> Record:
        return {
            "broadcaster_id": self.id,
            "broadcaster_login": self.login,
            "broadcaster_name": self.name,
            "broadcaster_language": "en",
            "game_id": self.game[0],
            "game_name": self.game[1],
            "title": self.title,
            "delay": 0,
            "tags": ["English"],
            "content_classification_labels": [],
            "is_branded_content": False,
        }

    def stream_json(self, now: float) -> Record | None:
        if self.live is None:
            return None
        return {
            "id": self.live["id"],
            "user_id": self.id,
            "user_login": self.login,
            "user_name": self.name,
            "game_id": self.game[0],
            "game_name": self.game[1],
            "type": "live",
            "title": self.title,
            "tags": ["English"],
            "viewer_count": self.viewers(now),
            "started_at": iso(self.live["started"]),
            "language": "en",
            "thumbnail_url": f"https://static-cdn.jtvnw.net/previews-ttv/live_user_{self.login}-{{width}}x{{height}}.jpg",
            "tag_ids": [],
            "is_mature": False,
        }

    def viewers(self, now: float) -> int:
        return 150 + below(100, "viewers", self.id, int(now // 60))

    def video_json(self, key: int, now: float) -> Record | None:
        record = self.videos.get(key)
        if record is None:
            return None
        shown = {name: value for name, value in record.items() if not name.startswith("_")}
        length = record["_length"]
        if self.live is not None and self.live["video"] == key:
            length = int(now - self.live["started"])
        views = growing(now, key / MS, record["_ceiling"])
        return {**shown, "view_count": views, "duration": go_duration(length)}

    def clip_json(self, key: int, now: float) -> Record | None:
        record = self.clips.get(key)
        if record is None:
            return None
        shown = {name: value for name, value in record.items() if not name.startswith("_")}
        video = record["_video"]
        known = video is not None and video in self.videos
        views = growing(now, key / MS, record["_ceiling"], half_life_s=5 * DAY)
        return {
            **shown,
            "view_count": views,
            "video_id": str(video) if known else "",
            "vod_offset": 1957 if known else None,
        }

    # --- records of the past

    def make_video(self, key: int, index: int) -> Record:
        return self.video(key, pick(_KINDS, "kind", self.id, key), text.statement(self.id, "video", key))

    def video(self, key: int, kind: str, title: str, stream: str | None = None) -> Record:
        at = iso(key / MS)
        archive = kind == "archive"
        thumb = (
            f"https://static-cdn.jtvnw.net/cf_vods/d2nvs/{self.login}/{key}/thumb/index-0-%{{width}}x%{{height}}.jpg"
        )
        return {
            "id": str(key),
            "stream_id": stream or (letters(11, "0123456789", "stream", self.id, key) if archive else None),
            "user_id": self.id,
            "user_login": self.login,
            "user_name": self.name,
            "title": title,
            "description": "" if archive else "About this video",
            "created_at": at,
            "published_at": at,
            "url": f"https://www.twitch.tv/videos/{key}",
            "thumbnail_url": "" if stream else thumb,
            "viewable": "public",
            "view_count": 0,
            "language": "en",
            "type": kind,
            "duration": "",
            "muted_segments": [{"duration": 30, "offset": 120}] if mix(key) % 7 == 0 else None,
            "_length": 45 + below(20_000, "length", self.id, key),
            "_ceiling": 50 + below(5_000, "views", self.id, key),
        }

    def make_clip(self, key: int, index: int) -> Record:
        place = self.recorded.first_from(key) - 1
        video = self.recorded.key(place) if place >= 0 else None
        return self.clip(key, text.reply(self.id, "clip", key), person(mix(self.id, key) % 500), video)

    def clip(self, key: int, title: str, creator: Record, video: int | None) -> Record:
        """`video`: the recording it was cut from."""
        slug = f"{text.COLOURS[key % 6].title()}{letters(12, ALNUM, 'clip', self.id, key)}-{letters(16, ALNUM, key)}"
        return {
            "id": slug,
            "url": f"https://clips.twitch.tv/{slug}",
            "embed_url": f"https://clips.twitch.tv/embed?clip={slug}",
            "broadcaster_id": self.id,
            "broadcaster_name": self.name,
            "creator_id": creator["user_id"],
            "creator_name": creator["user_name"],
            "video_id": "",
            "game_id": self.game[0],
            "language": "en",
            "title": title,
            "view_count": 0,
            "created_at": iso(key / MS),
            "thumbnail_url": f"https://clips-media-assets.twitch.tv/{slug}-preview-480x272.jpg",
            "duration": 5 + below(550, "clip", key) / 10,
            "vod_offset": None,
            "is_featured": chance("featured", key) < 0.1,
            "_video": video if chance("vod", key) < 0.7 else None,
            "_ceiling": 5 + below(900, "clip views", self.id, key),
        }

    def make_follower(self, key: int, index: int) -> Record:
        return {**person(mix(self.id, "follower", key)), "followed_at": iso(key / MS)}


def person(number: int) -> Record:
    who = text.person("twitch", number)
    login = f"{who.handle.replace('.', '_')}{number % 1000}"
    return {"user_id": str(100_000_000 + number % 800_000_000), "user_login": login, "user_name": login.title()}


def go_duration(seconds: int) -> str:
    """`1h2m3s`, `3m21s`, `45s`"""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    shown = f"{hours}h{minutes}m{left}s" if hours else f"{minutes}m{left}s" if minutes else f"{left}s"
    return shown


def nano(at: float) -> str:
    """RFC 3339 with nine digits, as EventSub writes times."""
    whole = int(at * 1_000_000)
    return f"{iso(whole // 1_000_000)[:-1]}.{whole % 1_000_000:06d}000Z"


def poll(channel: Channel, at: float, question: str, choices: list[str]) -> Record:
    votes = [below(40, "votes", channel.id, int(at), n) for n in range(len(choices))]
    return {
        "id": uuid("poll", channel.id, int(at)),
        "broadcaster_id": channel.id,
        "broadcaster_name": channel.name,
        "broadcaster_login": channel.login,
        "title": question,
        "choices": [
            {
                "id": uuid("choice", channel.id, int(at), n),
                "title": words,
                "votes": votes[n],
                "channel_points_votes": 0,
                "bits_votes": 0,
            }
            for n, words in enumerate(choices)
        ],
        "bits_voting_enabled": False,
        "bits_per_vote": 0,
        "channel_points_voting_enabled": False,
        "channel_points_per_vote": 0,
        "status": "COMPLETED",
        "duration": 300,
        "started_at": iso(at),
        "ended_at": iso(at + 300),
    }


def uuid(*key: int | str) -> str:
    digits = letters(32, HEX, *key)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def subscriber(channel: Channel, number: int) -> Record:
    who = person(mix(channel.id, "sub", number))
    return {
        "broadcaster_id": channel.id,
        "broadcaster_login": channel.login,
        "broadcaster_name": channel.name,
        "gifter_id": "",
        "gifter_login": "",
        "gifter_name": "",
        "is_gift": False,
        "tier": ("1000", "1000", "1000", "2000", "3000")[number % 5],
        "plan_name": f"Channel Subscription ({channel.login})",
        **who,
    }


def channel(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Channel:
    """A channel. With `big`, that many followers and nothing else."""
    name = "ArchiveTV" if big else text.company("twitch", seed, number).replace(" ", "").replace("&", "And")
    made = Channel(
        id=str(20_000_000 + mix("twitch", seed, number) % 80_000_000),
        name=name,
        big=bool(big),
        login=name.lower(),
        created=now - 900 * DAY,
        title=text.statement("title", seed, number),
        game=pick(GAMES, seed, number),
    )
    start, end = int((now - days * DAY) * MS), int((now - 120) * MS)
    if big:
        made.followers = Feed(Past(big, start, end, made.make_follower, mix("f", made.id)))
        return made
    made.recorded = Past(days * per_day // 3, start, end - 3 * 3_600_000, made.make_video, mix("v", made.id))
    made.videos = Feed(made.recorded)
    made.clips = Feed(Past(days * per_day, start, end, made.make_clip, mix("c", made.id)))
    made.followers = Feed(Past(days * per_day * 2, start, end, made.make_follower, mix("f", made.id)))
    made.subscribers = [subscriber(made, n) for n in range(5 + days)]
    made.chatters = [person(mix(made.id, "chatter", n)) for n in range(12)]
    for n in range(2):
        made.polls.insert(0, poll(made, now - (2 - n) * DAY, "Next game?", ["Chess", "Go", "Tetris"]))
    if number == 0:
        made.schedule = [_segment(made, now, n) for n in range(2)]
    return made


def _segment(made: Channel, now: float, number: int) -> Record:
    start = now - now % 3600 + (1 + number) * DAY
    return {
        "id": letters(24, UPPER, "segment", made.id, number),
        "start_time": iso(start),
        "end_time": iso(start + 7200),
        "title": f"{made.title} ({number + 1})",
        "canceled_until": None,
        "category": {"id": made.game[0], "name": made.game[1]},
        "is_recurring": False,
    }
