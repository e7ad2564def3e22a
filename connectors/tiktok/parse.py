"""TikTok's objects to our records. Pure.

Ids are texts of 19 digits (bare numbers in webhooks). Times are seconds, often as text, in comments and videos,
milliseconds in messages; report days are the advertiser's, account days UTC. Metrics are texts, "-" is no number.
Media addresses run out. Insights are a day or two late, so they are never final here.
Source: business-api.tiktok.com v1.3: business/video/list, business/comment/list, business/message/content/list,
business/mention, report/integrated/get, comment/list.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from connectors.http import Context
from connectors.http.times import day_span, epoch, epoch_ms
from connectors.records import ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]
NO_NUMBER = "-"

POST_FIELDS = ("item_id", "create_time", "caption", "share_url", "embed_url", "thumbnail_url", "media_type", "is_ad")


def created_at(item: Raw) -> datetime | None:
    return epoch(item.get("create_time"))


# --- videos


def post(item: Raw, ctx: Context) -> ActivityRecord:
    account = str(ctx.facts["business_id"])
    kind = "image" if item.get("media_type") == "PHOTO" else "video"
    return ActivityRecord(
        kind="post",
        vendor_id=item["item_id"],
        thread_id=item["item_id"],
        place=account,
        occurred_at=created_at(item),
        author=Author(id=account, handle=ctx.facts.get("username")),
        direction="out",
        text=item.get("caption"),
        permalink=item.get("share_url"),
        attachments=(Attachment(kind, url=item.get("thumbnail_url"), id=item["item_id"]),),
        data={"media_type": item.get("media_type"), "is_ad": bool(item.get("is_ad"))},
    )


def vanished(item: str, _ctx: Context | None = None) -> ActivityRecord:
    """A video of ours that is not shown any more. Without a version, so that it may come back."""
    return ActivityRecord(kind="post", vendor_id=item, thread_id=item, occurred_at=None, deleted=True)


# --- comments


def commented_at(item: Raw) -> datetime | None:
    """Replies say nothing about the order of their comments."""
    return None if item.get("parent_comment_id") else created_at(item)


def comment(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A comment, and the replies that came along."""
    video = str(ctx.vars["video"])
    yield ActivityRecord(
        kind="comment",
        vendor_id=item["comment_id"],
        parent_id=item.get("parent_comment_id") or video,
        thread_id=video,
        place=str(ctx.facts["business_id"]),
        occurred_at=created_at(item),
        author=Author(
            id=item.get("unique_identifier") or item.get("user_id"),
            name=item.get("display_name"),
            handle=item.get("username"),
        ),
        direction="out" if item.get("owner") else "in",
        text=item.get("text"),
        counters={"likes": int(item.get("likes") or 0), "replies": int(item.get("replies") or 0)},
        data={"status": item.get("status"), "pinned": bool(item.get("pinned"))},
        raw={name: value for name, value in item.items() if name != "reply_list"},
    )
    for reply in item.get("reply_list") or ():
        yield from comment({"parent_comment_id": item["comment_id"], **reply}, ctx)


def ad_comment(item: Raw, ctx: Context) -> ActivityRecord:
    """A comment under an ad, whose post may be nobody's we know."""
    video = item.get("tiktok_item_id") or item.get("ad_id")
    return ActivityRecord(
        kind="comment",
        vendor_id=item["comment_id"],
        parent_id=item.get("original_comment_id") or video,
        thread_id=video,
        place=str(ctx.vars["advertiser"]),
        occurred_at=created_at(item),
        author=Author(id=item.get("user_id"), name=item.get("user_name")),
        text=item.get("content"),
        counters={"likes": int(item.get("likes") or 0), "replies": int(item.get("replies") or 0)},
        data={"status": item.get("comment_status"), "ad": item.get("ad_id"), "campaign": item.get("campaign_id")},
    )


def deleted_comment(comment_id: object) -> ActivityRecord:
    return ActivityRecord(kind="comment", vendor_id=str(comment_id), occurred_at=None, deleted=True)


# --- mentions

MENTION_FIELDS = (
    *("item_id", "create_time", "video_link", "caption", "likes", "comments", "shares", "thumbnail_url"),
    *("views", "creator_handle_name"),
)
COMMENT_MENTION_FIELDS = (
    *("item_id", "video_link", "comment_id", "comment_type", "comment_text"),
    *("comment_create_time", "comment_likes", "commenter_display_name"),
)


def mention(item: Raw, ctx: Context) -> ActivityRecord:
    counts = {name: item.get(name) for name in ("likes", "comments", "shares", "views")}
    return ActivityRecord(
        kind="mention",
        vendor_id=item["item_id"],
        thread_id=item["item_id"],
        place=str(ctx.facts["business_id"]),
        occurred_at=created_at(item),
        author=Author(handle=item.get("creator_handle_name")),
        text=item.get("caption"),
        permalink=item.get("video_link"),
        attachments=(Attachment("video", url=item.get("thumbnail_url"), id=item["item_id"]),),
        counters={name: int(count) for name, count in counts.items() if count is not None} or None,
    )


def said_at(item: Raw) -> datetime | None:
    return epoch(item.get("comment_create_time"))


def comment_mention(item: Raw, ctx: Context) -> ActivityRecord:
    return ActivityRecord(
        kind="mention",
        vendor_id=item["comment_id"],
        parent_id=item.get("item_id"),
        thread_id=item.get("item_id"),
        place=str(ctx.facts["business_id"]),
        occurred_at=said_at(item),
        author=Author(name=item.get("commenter_display_name")),
        text=item.get("comment_text"),
        permalink=item.get("video_link"),
        counters={"likes": int(item.get("comment_likes") or 0)},
        data={"type": item.get("comment_type")},
    )


# --- messages


def sent_at(item: Raw) -> datetime | None:
    return epoch_ms(item.get("timestamp"))


def message(item: Raw, ctx: Context | None = None) -> ActivityRecord:
    """From a conversation's list, or from a webhook: there the words for types and roles are in lower case."""
    sender, receiver = item.get("from_user") or {}, item.get("to_user") or {}
    ours = str(sender.get("role", "")).lower() == "business_account"
    kind = str(item.get("message_type") or item.get("type") or "").lower()
    return ActivityRecord(
        kind="message",
        vendor_id=str(item["message_id"]),
        thread_id=item["conversation_id"],
        place=str((sender if ours else receiver).get("id") or "") or None,
        occurred_at=sent_at(item),
        author=Author(id=sender.get("id"), handle=item.get("sender") or item.get("from")),
        direction="out" if ours else "in",
        text=(item.get("text") or {}).get("body"),
        attachments=tuple(_media(item, kind)),
        data={"type": kind, "source": (item.get("message_tag") or {}).get("source")},
        raw=item,
    )


def _media(item: Raw, kind: str) -> Iterator[Attachment]:
    found = item.get(kind)
    if kind in ("image", "video", "sticker", "emoji") and isinstance(found, dict):
        yield Attachment(kind, id=found.get("media_id"), url=found.get("url"))
    elif kind == "share_post" and isinstance(found, dict):
        yield Attachment("post", id=found.get("item_id"), url=found.get("embed_url"))


# --- the account

PROFILE_FIELDS = (
    *("username", "display_name", "profile_image", "profile_deep_link", "bio_description", "is_verified"),
    *("followers_count", "following_count", "total_likes", "videos_count"),
)
TOTALS = {
    "followers_count": "followers",
    "following_count": "following",
    "total_likes": "total_likes",
    "videos_count": "videos",
}


def profile(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    account = str(ctx.facts["business_id"])
    name = item.get("username")
    yield ActivityRecord(
        kind="profile",
        vendor_id=account,
        place=account,
        occurred_at=None,
        author=Author(
            id=account,
            name=item.get("display_name"),
            handle=name,
            url=f"https://www.tiktok.com/@{name}" if name else item.get("profile_deep_link"),
        ),
        direction="out",
        text=item.get("bio_description"),
        attachments=(Attachment("image", url=item.get("profile_image")),) if item.get("profile_image") else (),
        data={"verified": item.get("is_verified")},
        raw={key: value for key, value in item.items() if key not in TOTALS},
    )
    start, end = ctx.today()
    for field, metric in TOTALS.items():
        if item.get(field) is not None:
            yield _metric(ctx, account, "account", metric, item[field], start, end)


DAILY = (
    *("video_views", "unique_video_views", "profile_views", "likes", "comments", "shares", "daily_new_followers"),
    *("daily_lost_followers", "engaged_audience", "bio_link_clicks"),
)


def account_day(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    start, end = day_span(item["date"])
    for name in (*DAILY, "followers_count"):
        if item.get(name) is not None:
            yield _metric(ctx, str(ctx.facts["business_id"]), "account", name, item[name], start, end)


VIDEO_NUMBERS = (
    *("video_views", "reach", "likes", "comments", "shares", "favorites", "new_followers", "profile_views"),
    *("total_time_watched", "average_time_watched", "full_video_watched_rate"),
)
SHARES = {"impression_sources": "impression_source", "audience_countries": "country"}
INSIGHT_FIELDS = ("item_id", "create_time", *VIDEO_NUMBERS, *SHARES)


def video_totals(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """Lifetime totals of a video as known today, and how its audience divides."""
    start, end = ctx.today()
    for name in VIDEO_NUMBERS:
        if item.get(name) is not None:
            yield _metric(ctx, item["item_id"], "post", name, item[name], start, end)
    for name, key in SHARES.items():
        for part in item.get(name) or ():
            found = _metric(ctx, item["item_id"], "post", name, part["percentage"], start, end)
            found.dimensions = {key: str(part[key])}
            yield found


def _metric(
    ctx: Context, entity: str, kind: str, metric: str, value: int | float, start: datetime, end: datetime
) -> MetricRecord:
    exact = value if isinstance(value, int) else Decimal(str(value))
    place = str(ctx.facts["business_id"])
    return MetricRecord(entity=entity, entity_kind=kind, metric=metric, value=exact, start=start, end=end, place=place)


# --- ads

ADS_NUMBERS = (
    *("impressions", "clicks", "reach", "conversion", "video_play_actions", "likes", "comments", "shares"),
    *("follows",),
)


def ads_row(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """An ad's day, in the advertiser's zone and currency."""
    ad, metrics = item["dimensions"]["ad_id"], item["metrics"]
    start, end = day_span(item["dimensions"]["stat_time_day"][:10], ctx.partition.zone)
    campaign = metrics.get("campaign_id")

    for name in (*ADS_NUMBERS, "spend"):
        if (value := metrics.get(name, NO_NUMBER)) == NO_NUMBER:
            continue
        yield MetricRecord(
            entity=ad,
            entity_kind="ad",
            metric=name,
            value=Decimal(value),
            start=start,
            end=end,
            currency=ctx.vars.get("currency") if name == "spend" else None,
            place=ctx.partition.key,
            parent=campaign if campaign != NO_NUMBER else None,
        )
