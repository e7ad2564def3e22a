"""X's objects to our records. Pure.

Ids are snowflakes, texts of 64 bits that hold their time. An edited post is a new one, so a post goes by the id of its
first version, and the newest id is its version. X is renaming tweets to posts: both dialects are read.
Source: docs.x.com, API v2 (OpenAPI 2.159 and 2.167): posts, dm_events, users, tweets/analytics.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from connectors.http import Context, dig
from connectors.http.times import EPOCH, iso, milliseconds
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]

EPOCH_MS = 1_288_834_974_657
SETTLED = timedelta(days=2)
"""How old a day of a post's analytics is when it no longer moves."""


def floor(moment: datetime) -> int:
    """The smallest id of an instant."""
    return max(milliseconds(moment) - EPOCH_MS, 0) << 22


def time_of(id_text: str | int) -> datetime:
    return EPOCH + timedelta(milliseconds=(int(id_text) >> 22) + EPOCH_MS)


def key_of(item: Raw) -> int:
    return int(item["id"])


def history(item: Raw) -> list[str]:
    """Ids of all versions, the first one first."""
    found = item.get("edit_history_tweet_ids") or item.get("edit_history_post_ids") or [item["id"]]
    return [str(version) for version in found]


def references(item: Raw) -> dict[str, str]:
    """What a post refers to: {"replied_to": id, "quoted": id, "retweeted": id}."""
    found = item.get("referenced_tweets") or item.get("referenced_posts") or ()
    return {{"reposted": "retweeted"}.get(one["type"], one["type"]): str(one["id"]) for one in found}


# --- posts


def post(item: Raw, ctx: Context) -> ActivityRecord:
    return activity(item, "post", str(ctx.facts["user_id"]), ctx.body)


def mention(item: Raw, ctx: Context) -> ActivityRecord:
    return activity(item, "mention", str(ctx.facts["user_id"]), ctx.body)


def comment(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A reply of a conversation; its first post is one of its posts, too, and is left out."""
    if "replied_to" not in references(item):
        return None
    return activity(item, "comment", str(ctx.facts["user_id"]), ctx.body)


def activity(item: Raw, kind: ActivityKind, me: str, body: Any) -> ActivityRecord:
    versions, referred = history(item), references(item)
    author_id = str(item.get("author_id") or me)
    created_at = iso(item.get("created_at")) or time_of(item["id"])
    parent = referred.get("replied_to")
    quoted = {name: other for name, other in referred.items() if name != "replied_to"}
    return ActivityRecord(
        kind=kind,
        vendor_id=versions[0],
        parent_id=_first_version(parent, body) if parent else None,
        thread_id=str(item.get("conversation_id") or versions[0]),
        occurred_at=time_of(versions[0]),
        edited_at=created_at if len(versions) > 1 else None,
        author=_author(author_id, body),
        direction="out" if author_id == me else "in",
        text=_text(item, referred, body),
        permalink=f"https://x.com/i/web/status/{versions[0]}",
        attachments=tuple(_attachment(str(key), body) for key in dig(item, "attachments.media_keys", ())),
        version=int(versions[-1]),
        counters=_counters(item),
        data={"lang": item.get("lang"), "sensitive": bool(item.get("possibly_sensitive")), **quoted},
        raw=item,
    )


def _included(body: Any, *names: str) -> Iterator[Raw]:
    for name in names:
        for found in dig(body, f"includes.{name}", ()):
            # Some webhooks wrap each object once more.
            yield found["data"] if set(found) == {"data"} else found


def _first_version(post_id: str, body: Any) -> str:
    for found in _included(body, "tweets", "posts"):
        if post_id in history(found):
            return history(found)[0]
    return post_id


def _author(user_id: str, body: Any) -> Author:
    for user in _included(body, "users"):
        if str(user.get("id")) == user_id:
            handle = user.get("username")
            return Author(id=user_id, name=user.get("name"), handle=handle, url=f"https://x.com/{handle}")
    return Author(id=user_id)


def _text(item: Raw, referred: dict[str, str], body: Any) -> str:
    """The whole text: long posts and reposts are cut in `text`."""
    whole = dig(item, "note_tweet.text") or dig(item, "note_post.text") or item.get("text", "")
    if original := referred.get("retweeted"):
        for found in _included(body, "tweets", "posts"):
            if found["id"] == original:
                whole = f"{whole.partition(': ')[0]}: {_text(found, {}, None)}"
                return unescape(whole)
    return unescape(whole)


def _attachment(media_key: str, body: Any) -> Attachment:
    for media in _included(body, "media"):
        if media.get("media_key") == media_key:
            said = str(media.get("type") or "file")
            kind = {"photo": "image", "animated_gif": "video"}.get(said, said)
            url = media.get("url") or media.get("preview_image_url")
            return Attachment(kind, url=url, id=media_key, alt=media.get("alt_text"))
    return Attachment("image" if media_key.startswith("3_") else "video", id=media_key)


COUNTERS = {
    "likes": ("like_count",),
    "replies": ("reply_count",),
    "reposts": ("retweet_count", "repost_count"),
    "quotes": ("quote_count",),
    "bookmarks": ("bookmark_count",),
    "views": ("impression_count",),
}


def _counters(item: Raw) -> dict[str, int] | None:
    metrics = item.get("public_metrics") or {}
    found = {name: metrics[key] for name, keys in COUNTERS.items() for key in keys if key in metrics}
    return found or None


def gone(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A post that a look-up by id did not find; other problems of a look-up say nothing about the post."""
    if not str(item.get("type", "")).endswith("/resource-not-found") or not item.get("resource_id"):
        return None
    return deleted("post", str(item["resource_id"]), floor(ctx.now))


def deleted(kind: ActivityKind, post_id: str, version: int) -> ActivityRecord:
    return ActivityRecord(kind=kind, vendor_id=post_id, occurred_at=None, deleted=True, version=version)


# --- direct messages


def message(item: Raw, ctx: Context) -> ActivityRecord | None:
    if item.get("event_type") != "MessageCreate":
        return None
    sender = str(item.get("sender_id", ""))
    return ActivityRecord(
        kind="message",
        vendor_id=item["id"],
        thread_id=item.get("dm_conversation_id"),
        occurred_at=iso(item.get("created_at")) or time_of(item["id"]),
        author=_author(sender, ctx.body),
        direction="out" if sender == ctx.facts["user_id"] else "in",
        text=unescape(item.get("text", "")),
        attachments=tuple(_attachment(str(key), ctx.body) for key in dig(item, "attachments.media_keys", ())),
        raw=item,
    )


# --- profile and figures


def profile(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    handle = item["username"]
    yield ActivityRecord(
        kind="profile",
        vendor_id=item["id"],
        occurred_at=None,
        author=Author(id=item["id"], name=item.get("name"), handle=handle, url=f"https://x.com/{handle}"),
        direction="out",
        text=item.get("description"),
        data={name: item.get(name) for name in ("location", "url", "verified_type", "protected", "profile_image_url")},
        raw=item,
    )
    for name, value in counts(item.get("public_metrics")):
        yield _today(ctx, item["id"], "account", name, value)


def measured_post(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    """A young post of our own with its counters as they stand today, those that only its author sees included."""
    yield post(item, ctx)
    entity = history(item)[0]
    for group, prefix in (("public_metrics", ""), ("non_public_metrics", "lifetime_"), ("organic_metrics", "organic_")):
        for name, value in counts(item.get(group)):
            yield _today(ctx, entity, "post", prefix + {"repost_count": "retweet_count"}.get(name, name), value)


def post_days(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """What a post gained on each day (UTC)."""
    for point in item.get("timestamped_metrics") or ():
        start = iso(point["timestamp"])
        assert start is not None
        end = start + timedelta(days=1)
        for name, value in counts(point.get("metrics")):
            yield MetricRecord(
                entity=item["id"],
                entity_kind="post",
                metric=name,
                value=value,
                start=start,
                end=end,
                is_final=end + SETTLED <= ctx.now,
            )


def counts(found: Raw | None) -> Iterator[tuple[str, int]]:
    """Whole numbers of an object of metrics; the API grows, and what else there may be is none of ours."""
    for name, value in (found or {}).items():
        if isinstance(value, int):
            yield name, value


def _today(ctx: Context, entity: str, kind: str, metric: str, value: int) -> MetricRecord:
    start, end = ctx.today()
    return MetricRecord(entity=entity, entity_kind=kind, metric=metric, value=value, start=start, end=end)
