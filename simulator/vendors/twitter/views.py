"""Arguments of v2 calls, and posts as they are shown: chosen fields, counters of the hour, expansions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator.dice import mix
from simulator.feed import Feed, Record, View
from simulator.http import Refusal, Request
from simulator.paging import feed_page, seal, unseal
from simulator.vendors.twitter import errors
from simulator.vendors.twitter.data import PRIVATE_S, Profile, choose, media_json, sent_at, snowflake, user_json

if TYPE_CHECKING:
    from simulator.vendors.twitter import Twitter

PRIVATE = {"non_public_metrics", "organic_metrics"}
WEEK = 7 * 86_400


def fields_arg(request: Request, what: str) -> set[str]:
    value = request.query.get(f"{what}.fields", "")
    return {name for name in value.split(",") if name}


def limit_arg(request: Request, low: int, high: int, default: int) -> int:
    value = request.query.get("max_results", str(default))
    if not value.isdigit() or not low <= int(value) <= high:
        text = f"The `max_results` query parameter value [{value}] is not between {low} and {high}"
        raise Refusal(errors.invalid("max_results", value, text))
    return int(value)


def ids_arg(request: Request, most: int = 100) -> list[str]:
    value = request.query.get("ids", "")
    ids = [found for found in value.split(",") if found]
    if not 1 <= len(ids) <= most or not all(found.isdigit() for found in ids):
        text = f"The number of values in the `ids` query parameter list [{len(ids)}] is not between 1 and {most}"
        raise Refusal(errors.invalid("ids", value, text))
    return ids


def time_arg(request: Request, name: str) -> float | None:
    value = request.query.get(name)
    if not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Refusal(errors.invalid(name, value, f"Invalid `{name}`: [{value}] is not a valid RFC3339 date-time."))
    return at.astimezone(UTC).timestamp()


def bounds(request: Request, *, window: float | None = None) -> tuple[int | None, int | None]:
    """The exclusive keys that since_id, until_id, start_time and end_time mean together."""
    low: list[int] = []
    high: list[int] = []
    oldest = request.now - window if window else None
    for name, store in (("since_id", low), ("until_id", high)):
        value = request.query.get(name, "")
        if value and not value.isdigit():
            raise Refusal(errors.invalid(name, value, f"The `{name}` query parameter value [{value}] is not valid"))
        if value:
            store.append(int(value))
            if oldest is not None and name == "since_id" and sent_at(int(value)) < oldest:
                text = f"'since_id' must be a tweet id created after {_minute(oldest)}"
                raise Refusal(errors.invalid(name, value, text))
    if (start := time_arg(request, "start_time")) is not None:
        if oldest is not None and start < oldest:
            value = request.query["start_time"]
            text = f"Invalid 'start_time':'{value}'. 'start_time' must be on or after {_minute(oldest)}"
            raise Refusal(errors.invalid("start_time", value, text))
        low.append(snowflake(start) - 1)
    if oldest is not None:
        low.append(snowflake(oldest))
    if (end := time_arg(request, "end_time")) is not None:
        high.append(snowflake(end))
    return max(low, default=None), min(high, default=None)


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")


def position_arg(request: Request, *names: str) -> int | None:
    for name in names or ("pagination_token",):
        value = request.query.get(name)
        if not value:
            continue
        found = unseal(value)
        if found is None:
            text = f"Invalid `{name}`: [{value}] is not a valid pagination token."
            raise Refusal(errors.invalid(name, value, text))
        return int(found[0])
    return None


# --- posts


def post_view(profile: Profile, request: Request, fields: set[str], *, drop_private: bool) -> View:
    """How a record is shown. A timeline leaves out posts whose private metrics cannot be shown."""
    now = request.now
    ours = request.account is profile

    def view(record: Record) -> Record | None:
        shown = choose(record, fields)
        if "public_metrics" in fields:
            shown["public_metrics"] = profile.counts(record, now)
        if wanted := PRIVATE & fields:
            if not (ours and may_see_private(profile, record, now)):
                return None if drop_private else shown
            shown |= {name: value for name, value in private_metrics(profile, record, now).items() if name in wanted}
        return shown

    return view


def may_see_private(profile: Profile, record: Record, now: float) -> bool:
    return record["author_id"] == profile.id and sent_at(int(record["id"])) > now - PRIVATE_S


def private_metrics(profile: Profile, record: Record, now: float) -> Record:
    counts = profile.counts(record, now)
    seen, clicks, visits = counts["impression_count"], counts["impression_count"] // 30, counts["like_count"] // 4
    kept = ("impression_count", "like_count", "reply_count", "retweet_count")
    both = {"url_link_clicks": clicks, "user_profile_clicks": visits}
    engaged = clicks + visits + counts["like_count"] + counts["retweet_count"] + counts["reply_count"]
    return {
        "non_public_metrics": {"impression_count": seen, **both, "engagements": engaged},
        "organic_metrics": {name: counts[name] for name in kept} | both,
    }


def posts_page(
    twitter: Twitter,
    request: Request,
    profile: Profile,
    feed: Feed,
    limit: int,
    *,
    above: int | None = None,
    below: int | None = None,
    without: frozenset[str] = frozenset(),
    token: tuple[str, ...] = ("pagination_token",),
) -> Record:
    """A page of a timeline, newest first."""
    profile.age(request.now)
    fields = fields_arg(request, "tweet")
    view = post_view(profile, request, fields, drop_private=True)

    def chosen(record: Record) -> Record | None:
        return None if without & kinds_of(record) else view(record)

    name = f"{','.join(sorted(fields))}|{','.join(sorted(without))}|{request.account is profile}"
    page = feed_page(
        twitter,
        request,
        feed,
        limit,
        position=position_arg(request, *token),
        above=above,
        below=below,
        view=chosen,
        view_name=name,
    )
    twitter.reads += len(page.items)
    meta: Record = {"result_count": len(page.items)}
    answer: Record = {}
    if page.items:
        shown = [key for key in page.keys if chosen(feed.get(key) or {}) is not None] if without else list(page.keys)
        meta |= {"newest_id": str(max(shown)), "oldest_id": str(min(shown))} if shown else {}
        answer["data"] = page.items
        records = map(feed.get, shown if "expansions" in request.query else ())
        if includes := expand(request, profile, filter(None, records)):
            answer["includes"] = includes
    if page.next is not None:
        meta["next_token"] = seal(page.next)
    return {**answer, "meta": meta}


def kinds_of(record: Record) -> set[str]:
    found = {reference["type"] for reference in record.get("referenced_tweets", ())}
    return {{"replied_to": "replies", "retweeted": "retweets"}.get(kind, kind) for kind in found}


def expand(request: Request, profile: Profile, records: Iterable[Record]) -> Record:
    """What `expansions` asks for beside the posts."""
    wanted = {name for name in request.query.get("expansions", "").split(",") if name}
    media: dict[str, Record] = {}
    users: dict[str, Record] = {}
    posts: dict[str, Record] = {}
    for record in records:
        if "attachments.media_keys" in wanted:
            media |= {k: _media(request, k) for k in record.get("attachments", {}).get("media_keys", ())}
        if "author_id" in wanted:
            users[record["author_id"]] = shown_user(request, record["author_id"], profile)
        if "referenced_tweets.id" in wanted:
            for reference in record.get("referenced_tweets", ()):
                found = record.get("_original") or (profile.find(int(reference["id"])) or (None, None))[1]
                if found is not None and found["id"] == reference["id"]:
                    posts[found["id"]] = choose(found, fields_arg(request, "tweet"))
    parts = {"media": media, "users": users, "tweets": posts}
    return {name: list(found.values()) for name, found in parts.items() if found}


def _media(request: Request, media_key: str) -> Record:
    fields = fields_arg(request, "media") | {"media_key", "type"}
    return {name: value for name, value in media_json(media_key).items() if name in fields}


def shown_user(request: Request, user: str, profile: Profile | None) -> Record:
    fields = fields_arg(request, "user") | {"id", "name", "username"}
    owner = profile if profile is not None and profile.id == user else None
    return {name: value for name, value in user_json(user, owner, request.now).items() if name in fields}


def window_metrics(profile: Profile, record: Record, start: float, end: float) -> dict[str, int]:
    """What a post gained between two instants, by the names of the analytics endpoint."""
    before, after = profile.counts(record, start), profile.counts(record, end)
    gained = {name: max(after[name] - before[name], 0) for name in after}
    clicks = gained["impression_count"] // 30
    return {
        "impressions": gained["impression_count"],
        "engagements": clicks + gained["like_count"] + gained["retweet_count"] + gained["reply_count"],
        "likes": gained["like_count"],
        "retweets": gained["retweet_count"],
        "replies": gained["reply_count"],
        "quote_tweets": gained["quote_count"],
        "bookmarks": gained["bookmark_count"],
        "url_clicks": clicks,
        "user_profile_clicks": gained["like_count"] // 4,
        "detail_expands": mix(record["id"]) % 5,
    }
