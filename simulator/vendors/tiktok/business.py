"""Organic API: the account, its videos with insights, comments, and who mentions it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.dice import chance, mix
from simulator.feed import Feed, Record
from simulator.http import Refusal, Request, Routes
from simulator.paging import feed_page, list_page
from simulator.vendors.tiktok import errors
from simulator.vendors.tiktok.args import bad, date_arg, json_arg, list_arg, number_arg, shown
from simulator.vendors.tiktok.data import Creator, image_url, key_at, ms_of
from simulator.vendors.tiktok.oauth import V

if TYPE_CHECKING:
    from simulator.vendors.tiktok import TikTok

routes = Routes()
DAY_S = numbers.DAY_S

# --- the account

_PROFILE = {
    "is_business_account": "user.account.type",
    "profile_image": "user.info.basic",
    "display_name": "user.info.basic",
    "username": "user.info.username",
    "profile_deep_link": "user.info.profile",
    "bio_description": "user.info.profile",
    "is_verified": "user.info.profile",
    "following_count": "user.info.stats",
    "followers_count": "user.info.stats",
    "total_likes": "user.info.stats",
    "videos_count": "user.info.stats",
}
_DAILY = {
    "video_views": 4_000.0,
    "unique_video_views": 3_100.0,
    "profile_views": 90.0,
    "likes": 150.0,
    "comments": 25.0,
    "shares": 18.0,
    "daily_new_followers": 14.0,
    "daily_lost_followers": 4.0,
    "engaged_audience": 170.0,
    "bio_link_clicks": 6.0,
}


@routes.get(f"{V}/business/get/")
def account(tiktok: TikTok, request: Request) -> Record:
    """Profile fields as they are, daily ones of up to 60 days back, a day or two late."""
    creator = tiktok.business(request)
    known = (*_PROFILE, *_DAILY, "audience_activity", "audience_countries")
    fields = list_arg(request, "fields", known) or ["display_name", "profile_image"]
    tiktok.need(request, *(_PROFILE.get(name, "user.insights") for name in fields))
    profile = {
        "is_business_account": creator.business,
        "profile_image": image_url(int(request.now) + DAY_S, "profile", creator.id),
        "display_name": creator.name,
        "username": creator.username,
        "profile_deep_link": f"https://vm.tiktok.com/{creator.username}/",
        "bio_description": "We answer every question.",
        "is_verified": True,
        "following_count": 12,
        "followers_count": followers(creator, request.now),
        "total_likes": 40_000 + numbers.growing(request.now, ms_of(creator.end) / 1000 - 90 * DAY_S, 9_000),
        "videos_count": len(creator.videos),
    }
    answer: Record = {name: profile[name] for name in fields if name in profile}
    if "audience_countries" in fields:
        answer["audience_countries"] = [{"country": "DE", "percentage": 0.61}, {"country": "AT", "percentage": 0.2}]
    if daily := [name for name in fields if name not in profile and name != "audience_countries"]:
        wanted = [*daily, *(["followers_count"] if "followers_count" in fields else [])]
        answer["metrics"] = [_day(creator, day, wanted, request.now) for day in _window(request)]
    return errors.fine(request, answer)


def followers(creator: Creator, now: float) -> int:
    start = ms_of(creator.end) / 1000 - 300 * DAY_S
    return 9_000 + numbers.growing(now, start, 6_000, 100 * DAY_S)


def _window(request: Request) -> list[date]:
    today = numbers.today(request.now)
    first = date_arg(request, request.query.get("start_date", today - timedelta(days=7)), "start_date")
    last = date_arg(request, request.query.get("end_date", today - timedelta(days=1)), "end_date")
    if first < today - timedelta(days=60) or last < first:
        raise bad(request, "start_date: The maximum look-back period is 60 days.")
    return numbers.days(first, min(last, today - timedelta(days=1)))


def _day(creator: Creator, day: date, fields: Sequence[str], now: float) -> Record:
    found: Record = {"date": day.isoformat()}
    for name in fields:
        if name == "audience_activity":
            hours = ({"hour": str(hour), "count": 40 + mix(hour, creator.id) % 60} for hour in range(24))
            found[name] = list(hours)
        elif name == "followers_count":
            found[name] = followers(creator, min(now, _start(day)))
        else:
            found[name] = numbers.daily(now, day, _DAILY[name], name, creator.id, settle_days=1.5)
    return found


def _start(day: date) -> float:
    return (day - date(1970, 1, 1)).days * DAY_S


# --- videos

_REAL_TIME = ("item_id", "create_time", "caption", "share_url", "embed_url", "thumbnail_url", "media_type", "is_ad")
_INSIGHTS = {
    "video_views": 6_000.0,
    "reach": 5_100.0,
    "likes": 0.0,
    "comments": 0.0,
    "shares": 40.0,
    "favorites": 30.0,
    "new_followers": 20.0,
    "profile_views": 60.0,
}
_RATES = ("total_time_watched", "average_time_watched", "full_video_watched_rate", "video_duration")
_SHARES = ("impression_sources", "audience_countries")
FIELDS = (*_REAL_TIME, *_INSIGHTS, *_RATES, *_SHARES)


@routes.get(f"{V}/business/video/list/", scopes=("video.list",))
def videos(tiktok: TikTok, request: Request) -> Record:
    """Newest first from `cursor` (ms) on. Filters make pages shorter than they could be."""
    creator = tiktok.business(request)
    fields = list_arg(request, "fields", FIELDS)
    if "item_id" not in fields:
        raise bad(request, "fields: item_id must be included.")
    if set(fields) - {*_REAL_TIME}:
        tiktok.need(request, "video.insights")
    count = number_arg(request, "max_count", 10, 1, 20)

    def show(record: Record) -> Record | None:
        if int(record["item_id"]) in creator.filtered:
            return None
        return video_json(creator, record, fields, request.now)

    wanted = (json_arg(request, "filters", {}) or {}).get("video_ids")
    if wanted is not None:
        if not isinstance(wanted, list) or len(wanted) > 20:
            raise bad(request, "filters: video_ids must be an array of at most 20.")
        records = [creator.videos.get(int(item)) for item in wanted if str(item).isdigit()]
        found = [seen for record in records if record and (seen := show(record))]
        return errors.fine(request, {"videos": found, "has_more": False, "cursor": 0})
    position = request.query.get("cursor")
    if position is not None and not position.isdigit():
        raise bad(request, "cursor: Must be an integer.")
    start = key_at(int(position)) if position and int(position) else None
    cut = count - 1 if count > 1 and mix("filtered", start or 0) % 3 == 0 else count
    name = f"{int(request.now // DAY_S)}:{','.join(sorted(fields))}"
    page = feed_page(tiktok, request, creator.videos, cut, position=start, view=show, view_name=name)
    last = page.next if page.next is not None else page.keys[-1] if page.keys else 0
    cursor = ms_of(last) + (not page.keys and start is None)
    return errors.fine(request, {"videos": page.items, "cursor": cursor, "has_more": page.next is not None})


def video_json(creator: Creator, record: Record, fields: Sequence[str], now: float) -> Record:
    key = int(record["item_id"])
    known_at = (now // DAY_S - 1) * DAY_S
    born = ms_of(key) / 1000
    views = numbers.growing(known_at, born, _INSIGHTS["video_views"] * (0.3 + chance("views", key)))
    told: Record = {**record, "thumbnail_url": image_url(int(born) + 6 * 3600, "thumb", key)}
    for name, ceiling in _INSIGHTS.items():
        told[name] = numbers.growing(known_at, born, ceiling * (0.3 + chance(name, key)))
    fresh = known_at <= born
    told["likes"] = 0 if fresh else record["_fans"]
    told["comments"] = 0 if fresh else len(creator.comments_of(key))
    told["video_views"] = views
    told["video_duration"] = round(8 + chance("length", key) * 50, 3)
    told["average_time_watched"] = round(2 + chance("watched", key) * 6, 3)
    told["total_time_watched"] = round(told["average_time_watched"] * views, 3)
    told["full_video_watched_rate"] = round(chance("full", key) * 0.3, 4)
    told["impression_sources"] = [
        {"impression_source": "For You", "percentage": 0.75},
        {"impression_source": "Follow", "percentage": 0.25},
    ]
    told["audience_countries"] = [{"country": "DE", "percentage": 0.7}, {"country": "AT", "percentage": 0.3}]
    return shown(told, fields)


# --- comments


@routes.get(f"{V}/business/comment/list/", scopes=("comment.list",))
def comments(tiktok: TikTok, request: Request) -> Record:
    """In an order of its own unless asked otherwise; after 500 by likes, and some come twice."""
    creator = tiktok.business(request)
    _, feed = _video(creator, request)
    wanted = list_arg(request, "comment_ids")
    if len(wanted) > 30:
        raise bad(request, "comment_ids: At most 30.")
    status = request.query.get("status", "ALL")
    listed = [record for record in feed.records() if record["_parent"] is None]
    if status == "PUBLIC":
        listed = [record for record in listed if record["status"] == "PUBLIC"]
    if wanted:
        listed = [record for record in feed.records() if record["comment_id"] in wanted]
    ordered = _beyond(_sorted(request, listed))
    with_replies = request.query.get("include_replies", "").lower() in ("true", "1")
    return _comment_page(tiktok, request, ordered, lambda record: comment_json(feed, record, replies=with_replies))


@routes.get(f"{V}/business/comment/reply/list/", scopes=("comment.list",))
def replies(tiktok: TikTok, request: Request) -> Record:
    creator = tiktok.business(request)
    _, feed = _video(creator, request)
    parent = request.query.get("comment_id", "")
    if not parent.isdigit() or int(parent) not in feed:
        raise Refusal(errors.response(request, 40007, "The comment does not exist."))
    listed = [record for record in feed.records() if record["_parent"] == int(parent)]
    return _comment_page(tiktok, request, _sorted(request, listed), lambda record: comment_json(feed, record))


def _video(creator: Creator, request: Request) -> tuple[int, Feed]:
    item = request.query.get("video_id", "")
    if not item:
        raise bad(request, "video_id: Missing data for required field.")
    if not item.isdigit() or int(item) not in creator.videos:
        raise Refusal(errors.response(request, 40007, "The video does not exist."))
    return int(item), creator.comments_of(int(item))


def _sorted(request: Request, records: list[Record]) -> list[Record]:
    by, order = request.query.get("sort_field", "smart"), request.query.get("sort_order", "desc")
    keys = {"create_time": lambda r: int(r["comment_id"]), "likes": lambda r: r["likes"]}
    return sorted(records, key=keys.get(by, lambda r: mix(r["comment_id"])), reverse=order != "asc")


def _beyond(records: list[Record], steady: int = 500) -> list[Record]:
    """After so many, by likes, and every tenth place has one that came before."""
    rest = sorted(records[steady:], key=lambda record: -record["likes"])
    again: list[Record] = []
    for place, record in enumerate(rest):
        if place % 10 == 0:
            again.append(records[place % steady])
        again.append(record)
    return records[:steady] + again


def _comment_page(tiktok: TikTok, request: Request, listed: list[Record], show: Any) -> Record:
    start = number_arg(request, "cursor", 0, 0, 10_000_000)
    count = number_arg(request, "max_count", 20, 1, 30)
    page = list_page(tiktok, request, listed, count, position=start or None)
    data = {"comments": [show(record) for record in page.items], "has_more": page.next is not None}
    return errors.fine(request, {**data, "cursor": start + len(page.items) if page.next is None else page.next})


def comment_json(feed: Feed, record: Record, *, replies: bool = False) -> Record:
    below = [other for other in feed.records() if other["_parent"] == int(record["comment_id"])]
    told = {**shown(record), "replies": len(below)}
    if replies and below:
        told["reply_list"] = [{**shown(other), "replies": 0} for other in below[-3:]]
    return told


# --- mentions


@routes.get(f"{V}/business/mention/video/list/", scopes=("biz.brand.insights",))
def mentions(tiktok: TikTok, request: Request) -> Record:
    return _mention_page(tiktok, request, tiktok.business(request).mentions, "videos")


@routes.get(f"{V}/business/mention/comment/list/", scopes=("biz.brand.insights",))
def comment_mentions(tiktok: TikTok, request: Request) -> Record:
    return _mention_page(tiktok, request, tiktok.business(request).comment_mentions, "comments")


def _mention_page(tiktok: TikTok, request: Request, feed: Feed, name: str) -> Record:
    """The top thousand of the last days, hours after they happened."""
    days = number_arg(request, "number_of_days", 30, 1, 90)
    fields = list_arg(request, "fields") or None
    late = key_at((request.now - 2 * 3600) * 1000 + 1)
    oldest = key_at((request.now - days * DAY_S) * 1000)
    listed = [record for record in feed.records() if oldest <= record["_key"] <= late][-1000:]
    if request.query.get("sort_type", "DESC") == "DESC":
        listed.reverse()
    start = number_arg(request, "cursor", 0, 0, 1000)
    count = number_arg(request, "max_count", 20, 1, 100)
    page = list_page(tiktok, request, listed, count, position=start or None)
    data = {name: [shown(record, fields) for record in page.items], "has_more": page.next is not None}
    return errors.fine(request, {**data, "cursor": page.next if page.next is not None else len(listed)})
