"""Graph API objects to our records. Pure.

Ids are numeric texts beyond 2^53. Ads numbers are texts, money decimal in the ad account's currency; ads days are the
ad account's, Page days end at Pacific midnight.
Source: developers.facebook.com/docs/graph-api, facebook-python-business-sdk v25.0.2 `adobjects/` for field names.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.http import Context, dig
from connectors.http.times import day_span, iso, milliseconds
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]


def created_at(item: Raw) -> datetime | None:
    return iso(item.get("created_time") or item.get("timestamp"))


def post(item: Raw, ctx: Context) -> ActivityRecord:
    return _media(item, ctx) if ctx.vars["kind"] == "ig" else _post(item, ctx, "post")


def mention(item: Raw, ctx: Context) -> ActivityRecord:
    found = _media(item, ctx) if ctx.vars["kind"] == "ig" else _post(item, ctx, "mention")
    found.kind, found.direction = "mention", "in"
    return found


def _post(item: Raw, ctx: Context, kind: ActivityKind) -> ActivityRecord:
    updated_at, place = iso(item.get("updated_time")), str(ctx.vars["id"])
    return ActivityRecord(
        kind=kind,
        vendor_id=item["id"],
        thread_id=item["id"],
        place=place,
        occurred_at=created_at(item),
        edited_at=updated_at if updated_at != created_at(item) else None,
        author=_author(item.get("from")) or Author(id=place, name=ctx.vars.get("name")),
        direction="out" if dig(item, "from.id", place) == place else "in",
        text=item.get("message") or item.get("story"),
        permalink=item.get("permalink_url"),
        attachments=tuple(_attachment(found) for found in dig(item, "attachments.data", ())),
        version=milliseconds(updated_at) if updated_at else 0,
        counters=_counters(item),
        data={"status_type": item.get("status_type"), "hidden": bool(item.get("is_hidden"))},
        raw=item,
    )


def _media(item: Raw, ctx: Context) -> ActivityRecord:
    place = str(ctx.vars["id"])
    return ActivityRecord(
        kind="post",
        vendor_id=item["id"],
        thread_id=item["id"],
        place=place,
        occurred_at=created_at(item),
        author=Author(id=place, handle=item.get("username")),
        direction="out",
        text=item.get("caption"),
        permalink=item.get("permalink"),
        attachments=(Attachment(str(item.get("media_type", "image")).lower(), url=item.get("media_url")),),
        counters=_counters(item),
        data={"product": item.get("media_product_type")},
        raw=item,
    )


def _counters(item: Raw) -> dict[str, int] | None:
    found = {
        "likes": item.get("like_count"),
        "reactions": dig(item, "reactions.summary.total_count"),
        "comments": item.get("comments_count", dig(item, "comments.summary.total_count")),
        "shares": dig(item, "shares.count"),
    }
    return {name: count for name, count in found.items() if count is not None} or None


def comment(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A comment of a Page post or of Instagram media, and the replies that came inside it."""
    page, post_id = str(ctx.vars["id"]), str(ctx.vars["post"])
    parent = dig(item, "parent.id") or item.get("parent_id") or post_id
    author = _author(item.get("from")) or Author(handle=item.get("username"))
    yield ActivityRecord(
        kind="comment",
        vendor_id=item["id"],
        parent_id=parent,
        thread_id=post_id,
        place=page,
        occurred_at=created_at(item),
        author=author,
        direction="out" if author.id == page else "in",
        text=item.get("message") or item.get("text"),
        permalink=item.get("permalink_url"),
        attachments=(_attachment(item["attachment"]),) if item.get("attachment") else (),
        counters={"likes": item.get("like_count", 0), "replies": item.get("comment_count", 0)},
        data={"hidden": bool(item.get("is_hidden") or item.get("hidden"))},
        raw={name: value for name, value in item.items() if name != "replies"},
    )
    for reply in dig(item, "replies.data", ()):
        yield from comment({"parent_id": item["id"], **reply}, ctx)


def message(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A direct message; None for the old ones of which only the id can be read."""
    if "from" not in item:
        return None
    author, page = _author(item["from"]), str(ctx.vars["id"])
    found = [*dig(item, "attachments.data", ()), *dig(item, "shares.data", ())]
    return ActivityRecord(
        kind="message",
        vendor_id=item["id"],
        thread_id=str(ctx.vars["conversation"]),
        place=page,
        occurred_at=created_at(item),
        author=author,
        direction="out" if author and author.id == page else "in",
        text=item.get("message"),
        attachments=tuple(_attachment(part) for part in found),
        data={"platform": ctx.vars["platform"], "sticker": item.get("sticker")},
        raw=item,
    )


def profile(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    link = item.get("link") or (f"https://www.instagram.com/{item['username']}/" if item.get("username") else None)
    yield ActivityRecord(
        kind="profile",
        vendor_id=item["id"],
        place=item["id"],
        occurred_at=None,
        author=Author(id=item["id"], name=item.get("name"), handle=item.get("username"), url=link),
        direction="out",
        text=item.get("about") or item.get("biography"),
        data={"kind": ctx.vars["kind"], "category": item.get("category"), "website": item.get("website")},
        raw=item,
    )
    for metric, name in (("followers", "followers_count"), ("media", "media_count")):
        if item.get(name) is not None:
            yield _today(ctx, item["id"], "account", metric, item[name])


def page_days(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """A daily Page metric; a value belongs to the Pacific day that ends at `end_time`."""
    for found in item["values"]:
        if not isinstance(found.get("value"), int):
            continue
        end = iso(found["end_time"])
        assert end is not None
        start, end = day_span((end - timedelta(hours=12)).date(), ctx.partition.zone)
        yield _metric(ctx, str(ctx.vars["id"]), "account", item["name"], found["value"], start, end)


def instagram_day(item: Raw, ctx: Context) -> MetricRecord:
    span = ctx.span
    assert span.starts_at is not None and span.ends_at is not None
    value = item["total_value"]["value"]
    return _metric(ctx, str(ctx.vars["id"]), "account", item["name"], value, span.starts_at, span.ends_at)


def post_totals(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """A lifetime metric of a post as it stands today; those by type become one number for each."""
    value, post_id = item["values"][0]["value"], str(ctx.vars["post"])
    if not isinstance(value, dict):
        yield _today(ctx, post_id, "post", item["name"], value)
        return
    for kind, count in value.items():
        if isinstance(count, int):
            yield _today(ctx, post_id, "post", item["name"], count, {"type": kind})


ADS_NUMBERS = ("impressions", "clicks", "reach")


def ads_row(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """An ad's day: counts, spend, and one number for each kind of action."""
    account, zone = str(ctx.vars["id"]), ctx.partition.zone
    start, end = day_span(item["date_start"], zone)

    def number(metric: str, value: str, **more: Any) -> MetricRecord:
        return MetricRecord(
            entity=item["ad_id"],
            entity_kind="ad",
            metric=metric,
            value=Decimal(value),
            start=start,
            end=end,
            place=account,
            parent=item.get("campaign_id"),
            **more,
        )

    for metric in ADS_NUMBERS:
        if item.get(metric) is not None:
            yield number(metric, item[metric])
    if item.get("spend") is not None:
        yield number("spend", item["spend"], currency=item.get("account_currency") or ctx.vars.get("currency"))
    for field in ("actions", "action_values", "conversions"):
        for action in item.get(field) or ():
            yield number(field, action["value"], dimensions={"action_type": action["action_type"]})


def _today(
    ctx: Context, entity: str, kind: str, metric: str, value: int, dimensions: dict[str, str] | None = None
) -> MetricRecord:
    start, end = ctx.today()
    found = _metric(ctx, entity, kind, metric, value, start, end)
    found.dimensions = dimensions
    return found


def _metric(
    ctx: Context, entity: str, kind: str, metric: str, value: int | float, start: datetime, end: datetime
) -> MetricRecord:
    exact = value if isinstance(value, int) else Decimal(str(value))
    place = str(ctx.vars["id"])
    return MetricRecord(entity=entity, entity_kind=kind, metric=metric, value=exact, start=start, end=end, place=place)


def _author(found: Raw | None) -> Author | None:
    if not found:
        return None
    return Author(id=found.get("id"), name=found.get("name"), handle=found.get("username"))


def _attachment(found: Raw) -> Attachment:
    return Attachment(
        kind=found.get("media_type") or found.get("type") or str(found.get("mime_type") or "file").partition("/")[0],
        url=dig(found, "media.image.src") or dig(found, "image_data.url") or found.get("file_url") or found.get("url"),
        id=dig(found, "target.id") or found.get("id"),
        name=found.get("name") or found.get("title"),
        content_type=found.get("mime_type"),
        size=found.get("size"),
    )
