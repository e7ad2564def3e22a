"""Businesses with their boards and Pins. A key is (milliseconds, number), and is the Pin's id."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from simulator import numbers, text
from simulator.dice import DIGITS, below, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account
from simulator.vendors.pinterest.ads import AdAccount, ad_account

DAY = 86_400
TAIL = 100_000
YOUNG_S = 40 * DAY
"""Counters of older Pins stand still."""
DAILY = ("IMPRESSION", "PIN_CLICK", "OUTBOUND_CLICK", "SAVE", "USER_FOLLOW", "PROFILE_VISIT")
LIFETIME = ("TOTAL_COMMENTS", "TOTAL_REACTIONS")
VIDEO = ("VIDEO_MRC_VIEW", "VIDEO_10S_VIEW", "QUARTILE_95_PERCENT_VIEW", "VIDEO_V50_WATCH_TIME", "VIDEO_START")
_SHARE = {
    "IMPRESSION": 1.0,
    "PIN_CLICK": 0.12,
    "OUTBOUND_CLICK": 0.05,
    "SAVE": 0.06,
    "USER_FOLLOW": 0.01,
    "PROFILE_VISIT": 0.02,
    "ENGAGEMENT": 0.25,
    "VIDEO_MRC_VIEW": 0.4,
    "VIDEO_10S_VIEW": 0.15,
    "QUARTILE_95_PERCENT_VIEW": 0.08,
    "VIDEO_V50_WATCH_TIME": 900.0,
    "VIDEO_START": 0.6,
}
_RATES = {"SAVE_RATE": "SAVE", "ENGAGEMENT_RATE": "ENGAGEMENT", "PIN_CLICK_RATE": "PIN_CLICK"}
_RATES |= {"OUTBOUND_CLICK_RATE": "OUTBOUND_CLICK"}


def key_at(at: float) -> int:
    return int(at * 1000) * TAIL


def at_key(key: int) -> float:
    return (key // TAIL) / 1000


def created_at(key: int) -> str:
    """Without an offset; it is UTC."""
    return numbers.iso(at_key(key))[:-1]


@dataclass(eq=False, kw_only=True)
class Business(Account):
    username: str
    boards: list[Record] = field(default_factory=list)
    pins: Feed = field(default_factory=Feed)
    ad_accounts: list[AdAccount] = field(default_factory=list)
    followers: int = 1000
    kind: str = "BUSINESS"
    _slot: int = 0

    def age(self, now: float) -> None:
        """Counters of young Pins have moved on since they were last shown."""
        slot = int(now // 3600)
        if slot != self._slot:
            since = min(self._slot * 3600 or now, now) - YOUNG_S
            self._slot = slot
            for key in self.pins.slice(5000, above=key_at(since), view=lambda _record: None).keys:
                self.pins.touch(key)

    def make_pin(self, key: int, _index: int) -> Record:
        return pin(self, key, text.statement(mix(self.id, key)))

    def lifetime(self, record: Record, now: float) -> Record:
        """Absolute counters at this hour, and of the last 90 days."""
        key = int(record["id"])
        seen = numbers.growing(now - now % 3600, at_key(key), record["_fans"] * 40)
        counts = {"impression": seen, "pin_click": seen // 40, "clickthrough": seen // 120}
        talk = {"reaction": seen // 90 + record["_likes"], "comment": seen // 400 + record["_comments"]}
        return {"90d": counts, "lifetime_metrics": counts | talk}

    def shown(self, record: Record, now: float, *, metrics: bool) -> Record:
        out = {name: value for name, value in record.items() if not name.startswith("_")}
        if metrics:
            out["pin_metrics"] = self.lifetime(record, now)
        return out


def pin(owner: Business, key: int, words: str, *, board: str = "") -> Record:
    roll = mix(owner.id, key)
    video = roll % 10 == 0
    image = f"https://i.pinimg.com/{{}}/{roll & 0xFF:02x}/{roll >> 8 & 0xFF:02x}/{roll >> 16 & 0xFFFFFF:06x}.jpg"
    sizes = {"150x150": (150, 150), "400x300": (400, 300), "600x": (600, 359), "1200x": (1200, 718)}
    images = {name: {"width": w, "height": h, "url": image.format(name)} for name, (w, h) in sizes.items()}
    media: Record = {"media_type": "image", "images": images}
    if video:
        media = {
            "media_type": "video",
            "cover_image_url": image.format("videos"),
            "duration": 15_000,
            "height": 1024,
            "width": 576,
            "video_url": None,
            "images": {},
        }
    return {
        "id": str(key),
        "created_at": created_at(key),
        "link": None if roll % 7 == 0 else f"https://shop.example.com/{roll % 1000}",
        "title": words[:100],
        "description": None if roll % 9 == 0 else words,
        "dominant_color": "#cacafe",
        "alt_text": None,
        "creative_type": "VIDEO" if video else "REGULAR",
        "board_id": board or pick([found["id"] for found in owner.boards], key),
        "board_section_id": None,
        "board_owner": {"username": owner.username},
        "is_owner": True,
        "is_standard": not video,
        "has_been_promoted": roll % 6 == 0,
        "parent_pin_id": str(key - 10**15) if roll % 12 == 5 else None,
        "product_tags": [],
        "media": media,
        "pin_metrics": None,
        "_fans": roll >> 24 & 0xFF,
        "_likes": 0,
        "_comments": 0,
    }


def figures(
    now: float, days: list[date], names: list[str], mean: float, *key: int | str, born: date | None = None
) -> Record:
    """Rows by day, with how final they are, and the sums."""
    today = numbers.today(now)
    rows: list[Record] = []
    sums: dict[str, float] = {}
    for day in days:
        status = "READY" if (today - day).days > 2 else "ESTIMATE" if day < today else "PROCESSING"
        metrics: dict[str, float] = {}
        if born is not None and day < born:
            status = "BEFORE_PIN_CREATED"
        elif status != "PROCESSING":
            metrics = {name: _figure(now, day, mean, name, *key) for name in names if name in _SHARE}
            shown = metrics.get("IMPRESSION") or _figure(now, day, mean, "IMPRESSION", *key)
            for name, part in _RATES.items():
                if name in names:
                    metrics[name] = round(_figure(now, day, mean, part, *key) / shown, 6) if shown else 0
        rows.append({"date": day.isoformat(), "data_status": status, "metrics": metrics})
        for name, value in metrics.items():
            if name not in _RATES:
                sums[name] = sums.get(name, 0) + value
    return {"daily_metrics": rows, "summary_metrics": sums}


def _figure(now: float, day: date, mean: float, name: str, *key: int | str) -> int:
    seen = numbers.daily(now, day, mean, *key, settle_days=2)
    return int(seen * _SHARE[name] * (0.8 + 0.4 * chance(name, *key)))


def business(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Business:
    key = ("pinterest", seed, number)
    name = "Archive Boards" if big else text.company(*key)
    made = Business(
        id="38379" + letters(13, DIGITS, "user", *key),
        name=name,
        big=bool(big),
        username=f"{name.lower().replace(' ', '').replace('&', 'and')[:18]}{number}",
        followers=1000 + below(90_000, "followers", *key),
    )
    for index, title in enumerate(("Spring", "At home", "Workshop")):
        made.boards.append(_board(made, index, title, now, key))
    start, end = key_at(now - days * DAY), key_at(now - 60)
    made.pins = Feed(Past(big or days * per_day, start, end, made.make_pin, mix(*key)))
    if not big:
        currency = ("EUR", "USD", "JPY")[number % 3]
        made.ad_accounts.append(ad_account(key, made.id, made.username, name, currency, int(now)))
    return made


def _board(made: Business, index: int, title: str, now: float, key: Any) -> Record:
    return {
        "id": "66674" + letters(13, DIGITS, "board", index, *key),
        "created_at": numbers.iso(now - 500 * DAY)[:-1],
        "board_pins_modified_at": numbers.iso(now)[:-1],
        "name": title,
        "description": f"{title} at {made.name}",
        "collaborator_count": 0,
        "pin_count": 0,
        "follower_count": below(900, "fans", index, *key),
        "media": {"image_cover_url": None, "pin_thumbnail_urls": []},
        "owner": {"username": made.username},
        "privacy": "PUBLIC",
        "is_ads_only": False,
    }
