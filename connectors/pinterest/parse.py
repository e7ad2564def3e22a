"""Pinterest's objects to our records. Pure.

Ids are numeric texts. Times have no offset and are UTC, and so are all days. `*_MICRO_DOLLAR` is in the currency of the
ad account, whatever its name says.
Source: pinterest/api-description v5.23 (pins, user_account, analytics, ad_accounts).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from connectors.http import Context, Reply, dig
from connectors.http.times import day_span, iso
from connectors.records import ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]
SITE = "https://www.pinterest.com"
WINDOWS = "30/30/1"
"""Days after a click, an engagement, a view within which conversions count. Other windows are other numbers."""


def created_at(item: Raw) -> datetime | None:
    return iso(item.get("created_at"))


# --- Pins


def pin(item: Raw, ctx: Context) -> ActivityRecord:
    username = dig(item, "board_owner.username") or ctx.facts.get("username")
    return ActivityRecord(
        kind="post",
        vendor_id=item["id"],
        thread_id=item["id"],
        place=item.get("board_id"),
        occurred_at=created_at(item),
        author=Author(handle=username, url=f"{SITE}/{username}/"),
        direction="out" if item.get("is_owner", True) else "in",
        title=item.get("title"),
        text=item.get("description"),
        permalink=f"{SITE}/pin/{item['id']}/",
        attachments=tuple(_attachments(item)),
        counters=_counters(item),
        data={
            "section": item.get("board_section_id"),
            "creative_type": item.get("creative_type"),
            "promoted": bool(item.get("has_been_promoted")),
            "saved_from": item.get("parent_pin_id"),
        },
        raw=item,
    )


def _attachments(item: Raw) -> Iterator[Attachment]:
    media = item.get("media") or {}
    images = media.get("images") or {}
    if media.get("media_type") == "video":
        yield Attachment("video", url=media.get("video_url") or media.get("cover_image_url"), alt=item.get("alt_text"))
    elif images:
        best = max(images.values(), key=lambda image: image.get("width") or 0)
        yield Attachment("image", url=best.get("url"), alt=item.get("alt_text"))
    if item.get("link"):
        yield Attachment("link", url=item["link"])


_COUNTERS = {
    "views": "impression",
    "clicks": "pin_click",
    "link_clicks": "clickthrough",
    "likes": "reaction",
    "comments": "comment",
}


def _counters(item: Raw) -> dict[str, int] | None:
    totals = dig(item, "pin_metrics.lifetime_metrics", {})
    return {name: totals[key] for name, key in _COUNTERS.items() if totals.get(key) is not None} or None


def measured_pin(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    """A Pin, and its totals as they stand today."""
    yield pin(item, ctx)
    for name, value in dig(item, "pin_metrics.lifetime_metrics", {}).items():
        if isinstance(value, int):
            yield _today(ctx, item["id"], "post", f"lifetime_{name}", value)


def looked_up(reply: Reply) -> list[Raw]:
    """A Pin by its id, or the news that there is none."""
    return [{"gone": reply.status == 404, "pin": reply.data}]


def gone(item: Raw, ctx: Context) -> ActivityRecord | None:
    if not item["gone"]:
        return None
    return ActivityRecord(kind="post", vendor_id=ctx.partition.key, occurred_at=None, deleted=True)


# --- figures by day


def days(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """A row of daily figures. Those that are still being counted come again, some days never have any."""
    status = item.get("data_status")
    if status not in ("READY", "ESTIMATE"):
        return
    entity = str(ctx.vars.get("pin") or ctx.facts["user_id"])
    start, end = day_span(item["date"])
    for name, value in (item.get("metrics") or {}).items():
        if not isinstance(value, int | float):
            continue
        yield MetricRecord(
            entity=entity,
            entity_kind="post" if ctx.vars.get("pin") else "account",
            metric=name.lower(),
            value=_exact(value),
            start=start,
            end=end,
            is_final=status == "READY",
        )


def profile(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    username = item["username"]
    yield ActivityRecord(
        kind="profile",
        vendor_id=item["id"],
        occurred_at=None,
        author=Author(id=item["id"], name=item.get("business_name"), handle=username, url=f"{SITE}/{username}/"),
        direction="out",
        text=item.get("about"),
        data={name: item.get(name) for name in ("account_type", "website_url", "profile_image")},
        raw=item,
    )
    for name in ("follower_count", "following_count", "pin_count", "board_count", "monthly_views"):
        if item.get(name) is not None:
            yield _today(ctx, item["id"], "account", name, item[name])


def _today(ctx: Context, entity: str, kind: str, metric: str, value: int) -> MetricRecord:
    start, end = ctx.today()
    return MetricRecord(entity=entity, entity_kind=kind, metric=metric, value=value, start=start, end=end)


def _exact(value: Any) -> Decimal | int:
    return value if isinstance(value, int) else Decimal(str(value))


# --- ads

IDS = {"AD_ID": "ad", "AD_GROUP_ID": "ad_group", "CAMPAIGN_ID": "campaign", "AD_ACCOUNT_ID": "account"}
PARENTS = {"ad": "AD_GROUP_ID", "ad_group": "CAMPAIGN_ID", "campaign": "AD_ACCOUNT_ID"}
MONEY = {"SPEND_IN_MICRO_DOLLAR": "spend", "TOTAL_CHECKOUT_VALUE_IN_MICRO_DOLLAR": "checkout_value"}
ATTRIBUTED = ("TOTAL_CONVERSIONS", "TOTAL_CHECKOUT", "TOTAL_SIGNUP", "TOTAL_LEAD")
COUNTS = (
    *("PAID_IMPRESSION", "TOTAL_IMPRESSION", "IMPRESSION_1", "CLICKTHROUGH_1", "OUTBOUND_CLICK_1"),
    *("TOTAL_CLICKTHROUGH", "TOTAL_ENGAGEMENT", "REPIN_1", "TOTAL_VIDEO_MRC_VIEWS"),
)
NAMED = ("CAMPAIGN_ID", "CAMPAIGN_NAME", "AD_GROUP_ID", "AD_ID", "AD_ACCOUNT_ID")


def ads_row(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """An entity's day. Rows and columns without a value are missing, not 0; ids are texts or numbers."""
    column = next(name for name in IDS if IDS[name] == ctx.vars["kind"])
    kind = IDS[column]
    parent = item.get(PARENTS[kind])
    start, end = day_span(item["DATE"][:10])

    def number(metric: str, value: Any, **more: Any) -> MetricRecord:
        return MetricRecord(
            entity=str(item[column]),
            entity_kind=kind,
            metric=metric,
            value=value,
            start=start,
            end=end,
            place=ctx.vars["account"],
            parent=None if parent is None else str(parent),
            **more,
        )

    for name, value in item.items():
        if value is None:
            continue
        conversions = {"windows": WINDOWS} if name in ATTRIBUTED or name.startswith("TOTAL_CHECKOUT") else None
        if name in MONEY:
            exact = Decimal(str(value)) / 1_000_000
            yield number(MONEY[name], exact, currency=ctx.vars["currency"], dimensions=conversions)
        elif name in COUNTS or name in ATTRIBUTED:
            yield number(name.lower(), _exact(value), dimensions=conversions)
