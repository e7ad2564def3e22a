"""LinkedIn's objects to our records. Pure.

Everything is a URN and stays one. A post has a share or ugcPost URN; the activity URN that its comments name is kept in
their data. People are URNs without names. Times are milliseconds, money is decimal text in the ad account's currency,
days are UTC.
Source: learn.microsoft.com/linkedin marketing APIs 202607: posts-api, comments-api, share-statistics,
organization-social-action-notifications, ads-reporting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connectors.http import Context, dig
from connectors.http.times import day_span, epoch_ms
from connectors.records import ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]
_LITTLE = re.compile(r"\{hashtag\|\\?#\|([^}]*)\}|@\[((?:\\.|[^\]\\])*)\]\([^)]*\)|\\(.)", re.DOTALL)


def plain(text: str | None) -> str | None:
    """Little text format as people read it: hashtags and mentions by name, escapes undone."""
    return None if text is None else _LITTLE.sub(_read, text)


def _read(found: re.Match[str]) -> str:
    tag, name, char = found.groups()
    if tag is not None:
        return f"#{plain(tag)}"
    return f"@{plain(name)}" if name is not None else str(char)


def moment(value: Any) -> datetime:
    found = epoch_ms(value)
    if found is None:
        raise ValueError("A time is missing.")
    return found


# --- posts


def changed_at(item: Raw) -> datetime | None:
    return epoch_ms(item.get("lastModifiedAt"))


def post(item: Raw, ctx: Context) -> ActivityRecord:
    edited = dig(item, "lifecycleStateInfo.isEditedByAuthor") is True
    return ActivityRecord(
        kind="post",
        vendor_id=item["id"],
        thread_id=item["id"],
        place=ctx.partition.key,
        occurred_at=epoch_ms(item.get("publishedAt") or item.get("createdAt")),
        edited_at=epoch_ms(item["lastModifiedAt"]) if edited else None,
        author=Author(id=item["author"]),
        direction="out",
        text=plain(item.get("commentary")),
        title=dig(item, "content.article.title") or dig(item, "content.media.title"),
        permalink=f"https://www.linkedin.com/feed/update/{item['id']}/",
        attachments=tuple(_attachments(item.get("content") or {})),
        version=int(item.get("lastModifiedAt") or 0),
        data={"visibility": item.get("visibility"), "state": item.get("lifecycleState")},
    )


def _attachments(content: Raw) -> Iterator[Attachment]:
    for media in (content.get("media"), *dig(content, "multiImage.images", ())):
        if media:
            kind = str(media["id"]).removeprefix("urn:li:").partition(":")[0]
            yield Attachment(kind, id=media["id"], name=media.get("title"), alt=media.get("altText"))
    if article := content.get("article"):
        yield Attachment("link", url=article.get("source"), name=article.get("title"))


def vanished(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A post of ours that a batch did not find any more."""
    if item["status"] != 404:
        return None
    version = int(ctx.now.timestamp() * 1000)
    return ActivityRecord(kind="post", vendor_id=item["urn"], occurred_at=None, deleted=True, version=version)


# --- comments


def commented_at(item: Raw) -> datetime | None:
    return epoch_ms(dig(item, "created.time"))


def comment(item: Raw, ctx: Context) -> ActivityRecord:
    post_urn, org = str(ctx.vars["post"]), str(ctx.vars["urn"])
    created, changed = dig(item, "created.time"), dig(item, "lastModified.time", 0)
    likes, replies = dig(item, "likesSummary.totalLikes"), dig(item, "commentsSummary.totalFirstLevelComments")
    return ActivityRecord(
        kind="comment",
        vendor_id=item["commentUrn"],
        parent_id=item.get("parentComment") or post_urn,
        thread_id=post_urn,
        place=org,
        occurred_at=epoch_ms(created),
        edited_at=epoch_ms(changed) if changed > created else None,
        author=Author(id=item["actor"]),
        direction="out" if item["actor"] == org else "in",
        text=dig(item, "message.text"),
        attachments=tuple(Attachment(_kind(found), url=found.get("url")) for found in item.get("content") or ()),
        version=int(changed),
        counters={"likes": likes or 0, "replies": replies or 0},
        data={"activity": item.get("object")},
    )


def _kind(found: Raw) -> str:
    return str(found.get("type") or "file").lower()


# --- notifications


def told_at(item: Raw) -> datetime | None:
    return epoch_ms(item.get("lastModifiedAt"))


def deleted_comment(item: Raw, _ctx: Context | None = None) -> ActivityRecord:
    """Of the comment itself nothing is told but that it is gone."""
    return ActivityRecord(
        kind="comment",
        vendor_id=item["generatedActivity"],
        thread_id=item.get("sourcePost"),
        place=item.get("organizationalEntity"),
        occurred_at=None,
        deleted=True,
        version=int(item["lastModifiedAt"]),
        raw=item,
    )


def mention(item: Raw, _ctx: Context | None = None) -> ActivityRecord:
    """A post of somebody else that names the page. What it says may be hidden from us."""
    urn = item["generatedActivity"]
    share = dig(item, "decoratedGeneratedActivity.share", {})
    return ActivityRecord(
        kind="mention",
        vendor_id=urn,
        thread_id=item.get("sourcePost") or urn,
        place=item.get("organizationalEntity"),
        occurred_at=epoch_ms(item.get("lastModifiedAt")),
        author=Author(id=share["owner"]) if share.get("owner") else None,
        text=plain(share.get("text")),
        permalink=f"https://www.linkedin.com/feed/update/{urn}/",
        raw=item,
    )


# --- profiles


def profile(item: Raw, ctx: Context) -> ActivityRecord:
    urn = ctx.partition.key
    vanity = item.get("vanityName")
    return ActivityRecord(
        kind="profile",
        vendor_id=urn,
        place=urn,
        occurred_at=None,
        author=Author(
            id=urn,
            name=item.get("localizedName"),
            handle=vanity,
            url=f"https://www.linkedin.com/company/{vanity or item['id']}/",
        ),
        direction="out",
        text=item.get("localizedDescription"),
        data={
            "website": item.get("localizedWebsite"),
            "size": item.get("staffCountRange"),
            "role": ctx.vars.get("role"),
        },
    )


def followers(item: Raw, ctx: Context) -> MetricRecord:
    return _today(ctx, ctx.partition.key, "account", "followers", item["firstDegreeSize"])


# --- organic statistics

SHARE_NUMBERS = {
    "impressionCount": "impressions",
    "uniqueImpressionsCount": "unique_impressions",
    "clickCount": "clicks",
    "likeCount": "likes",
    "commentCount": "comments",
    "shareCount": "shares",
    "shareMentionsCount": "share_mentions",
    "commentMentionsCount": "comment_mentions",
    "engagement": "engagement",
}


def post_totals(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """Lifetime totals of a post as they stand today."""
    urn = item.get("share") or item.get("ugcPost")
    for name, value in _share_numbers(item):
        yield _today(ctx, str(urn), "post", name, value)


def reaction_totals(item: tuple[str, Raw], ctx: Context) -> Iterator[MetricRecord]:
    """Reactions of a post by type."""
    urn, totals = item
    for kind, found in (totals.get("reactionSummaries") or {}).items():
        if "count" not in found:
            continue
        record = _today(ctx, urn, "post", "reactions", found["count"])
        record.dimensions = {"type": kind}
        yield record


def page_day(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    for name, value in _share_numbers(item):
        yield _day(item, ctx, name, value)


def follower_day(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    for field, metric in (("organicFollowerGain", "new_followers"), ("paidFollowerGain", "new_paid_followers")):
        if (value := dig(item, f"followerGains.{field}")) is not None:
            yield _day(item, ctx, metric, value)


def view_day(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    views = dig(item, "totalPageStatistics.views.allPageViews", {})
    for field, metric in (("pageViews", "page_views"), ("uniquePageViews", "unique_page_views")):
        if views.get(field) is not None:
            yield _day(item, ctx, metric, views[field])


def _share_numbers(item: Raw) -> Iterator[tuple[str, int | Decimal]]:
    totals = item["totalShareStatistics"]
    for field, name in SHARE_NUMBERS.items():
        if (value := totals.get(field)) is not None:
            yield name, value if isinstance(value, int) else Decimal(str(value))


def _day(item: Raw, ctx: Context, metric: str, value: int | Decimal) -> MetricRecord:
    span = item["timeRange"]
    return MetricRecord(
        entity=ctx.partition.key,
        entity_kind="account",
        metric=metric,
        value=value,
        start=moment(span["start"]),
        end=moment(span["end"]),
        place=ctx.partition.key,
    )


def _today(ctx: Context, entity: str, kind: str, metric: str, value: int | Decimal) -> MetricRecord:
    start, end = ctx.today()
    place = str(ctx.vars["urn"])
    return MetricRecord(entity=entity, entity_kind=kind, metric=metric, value=value, start=start, end=end, place=place)


# --- ads

MONEY = {"costInLocalCurrency": "spend", "costInUsd": "spend_usd"}
ADS_NUMBERS = {
    "impressions": "impressions",
    "clicks": "clicks",
    "landingPageClicks": "landing_page_clicks",
    "externalWebsiteConversions": "conversions",
    "oneClickLeads": "leads",
    "likes": "likes",
    "comments": "comments",
    "shares": "shares",
    "follows": "follows",
    "videoViews": "video_views",
    "totalEngagements": "engagements",
}


def ads_row(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """A campaign's day."""
    campaign = item["pivotValues"][0]
    start, end = day_span(_date(item["dateRange"]["start"]))
    account, currency = ctx.partition.key, ctx.vars.get("currency")

    def number(metric: str, value: int | Decimal, of: str | None = None) -> MetricRecord:
        return MetricRecord(
            entity=campaign,
            entity_kind="campaign",
            metric=metric,
            value=value,
            start=start,
            end=end,
            currency=of,
            place=account,
            parent=account,
        )

    for field, metric in ADS_NUMBERS.items():
        if item.get(field) is not None:
            yield number(metric, item[field])
    for field, metric in MONEY.items():
        if item.get(field) is not None:
            yield number(metric, Decimal(str(item[field])), "USD" if field == "costInUsd" else currency)


def _date(found: Raw) -> date:
    return date(found["year"], found["month"], found["day"])
