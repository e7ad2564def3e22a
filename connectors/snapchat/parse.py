"""Snap's elements to records. Each element of a list is wrapped and has a status of its own, which may be an error.

Money is in micros of the ad account's currency, days are the ad account's. Answers of the Public Profile API are
hardly documented: they are read leniently and kept raw.
Source: developers.snap.com, marketing-api/Ads-API (measurement) and marketing-api/Public-Profile-API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.http import Context, Reply
from connectors.http.times import iso, milliseconds
from connectors.records import ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]

DELIVERY = {
    "impressions": "impressions",
    "swipes": "clicks",
    "video_views": "video_views",
}
CONVERSIONS = (
    "conversion_purchases",
    "conversion_add_cart",
    "conversion_view_content",
    "conversion_sign_ups",
    "landing_page_views",
    "total_installs",
)
FIELDS = (*DELIVERY, "spend", *CONVERSIONS, "conversion_purchases_value")
LATE = timedelta(days=28)
"""The longest attribution window: conversions come in for as long."""
PARENTS = {"adsquad": "campaign_id", "ad": "ad_squad_id"}


def micros(value: Any) -> Decimal:
    return Decimal(str(value)).scaleb(-6)


def first_list(*names: str) -> Callable[[Reply], list[Raw]]:
    """Elements under whichever of these names the answer has."""

    def items(reply: Reply) -> list[Raw]:
        return next((found for name in names if isinstance(found := reply.at(name), list)), [])

    return items


def unwrap(item: Raw, *names: str) -> Raw:
    """The element itself. Errors: ValueError with what Snap says about it."""
    if str(item.get("sub_request_status", "SUCCESS")).upper() != "SUCCESS":
        raise ValueError(item.get("sub_request_error_reason") or "Snap could not answer for this element.")
    for name in names:
        if isinstance(found := item.get(name), dict):
            return found
    return item


# --- ads


def changed_at(item: Raw) -> datetime | None:
    """Of a wrapped entity."""
    inner = next((value for value in item.values() if isinstance(value, dict)), item)
    return iso(inner.get("updated_at"))


def entity(item: Raw, ctx: Context) -> ActivityRecord | None:
    """An ad account, campaign, ad squad or ad that has changed since the last time: lists have no filter for it."""
    kind = str(ctx.vars["kind"])
    found = unwrap(item, kind)
    changed = iso(found.get("updated_at"))
    if changed is not None and ctx.since is not None and changed < ctx.since:
        return None
    budget = found.get("daily_budget_micro")
    facts = {
        "kind": kind,
        "status": found.get("status"),
        "delivery": found.get("delivery_status"),
        "objective": found.get("objective") or found.get("optimization_goal"),
        "review": found.get("review_status"),
        "daily_budget": None if budget is None else str(micros(budget)),
        "currency": ctx.vars.get("currency"),
        "zone": found.get("timezone"),
        "starts": found.get("start_time"),
        "ends": found.get("end_time"),
    }
    return ActivityRecord(
        kind="profile",
        vendor_id=found["id"],
        occurred_at=iso(found.get("created_at")),
        parent_id=None if kind == "adaccount" else found.get(PARENTS.get(kind, "ad_account_id")),
        place=str(ctx.vars["id"]),
        author=Author(id=str(ctx.vars["id"]), name=ctx.vars.get("name")),
        direction="out",
        title=found.get("name"),
        edited_at=changed if changed and found.get("updated_at") != found.get("created_at") else None,
        deleted=bool(found.get("deleted")),
        version=milliseconds(changed) if changed else 0,
        data={key: value for key, value in facts.items() if value is not None},
    )


def stat_rows(reply: Reply) -> list[Raw]:
    """A row for each entity and day; elements that failed come as they are."""
    rows: list[Raw] = []
    for element in reply.at("timeseries_stats", []):
        stat = element.get("timeseries_stat")
        if not isinstance(stat, dict) or str(element.get("sub_request_status", "SUCCESS")).upper() != "SUCCESS":
            rows.append(element)
            continue
        common = {name: value for name, value in stat.items() if name not in ("breakdown_stats", "timeseries")}
        for row in stat.get("timeseries") or ():
            rows.append({**common, **row, "stat": common})
        for level, entities in (stat.get("breakdown_stats") or {}).items():
            for found in entities if isinstance(entities, list) else ():
                for row in found.get("timeseries") or ():
                    rows.append({**row, "id": found["id"], "level": level, "stat": common})
    return rows


def ads_day(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    found = unwrap(item)
    start, end = iso(found["start_time"]), iso(found["end_time"])
    assert start is not None and end is not None
    stats, stat = found["stats"], found["stat"]
    delivered, converted = iso(stat.get("finalized_data_end_time")), iso(stat.get("conversion_data_processed_end_time"))
    final = delivered is not None and end <= delivered
    late_final = converted is not None and end <= converted and end <= ctx.now - LATE
    windows = stat.get("swipe_up_attribution_window"), stat.get("view_attribution_window")
    attribution = {"attribution": f"swipe {windows[0]}, view {windows[1]}"} if all(windows) else None

    def number(metric: str, value: Decimal | int, *, late: bool = False, money: bool = False) -> MetricRecord:
        return MetricRecord(
            entity=str(found["id"]),
            entity_kind=str(found["level"]),
            metric=metric,
            value=value,
            start=start,
            end=end,
            dimensions=attribution if late else None,
            currency=ctx.vars.get("currency") if money else None,
            is_final=late_final if late else final,
            place=str(ctx.vars["id"]),
        )

    for field, metric in DELIVERY.items():
        if stats.get(field) is not None:
            yield number(metric, int(stats[field]))
    if stats.get("spend") is not None:
        yield number("spend", micros(stats["spend"]), money=True)
    for field in CONVERSIONS:
        if stats.get(field) is not None:
            yield number(field, int(stats[field]), late=True)
    if stats.get("conversion_purchases_value") is not None:
        yield number("conversion_purchases_value", micros(stats["conversion_purchases_value"]), late=True, money=True)


# --- public profiles


def public_profile(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    found = unwrap(item, "public_profile")
    key, handle = str(found["id"]), found.get("snap_user_name")
    logo = (found.get("logo_urls") or {}).get("original_logo_url")
    yield ActivityRecord(
        kind="profile",
        vendor_id=key,
        occurred_at=None,
        place=key,
        author=Author(id=key, name=found.get("display_name"), handle=handle),
        direction="out",
        title=found.get("display_name"),
        permalink=f"https://www.snapchat.com/add/{handle}" if handle else None,
        attachments=(Attachment("image", url=logo),) if logo else (),
        data={"kind": "public_profile", "tier": found.get("profile_tier"), "type": found.get("profile_type")},
        raw=item,
    )
    if found.get("subscriber_count") is not None:
        start, end = ctx.today()
        yield MetricRecord(
            entity=key,
            entity_kind="account",
            metric="subscribers",
            value=int(found["subscriber_count"]),
            start=start,
            end=end,
            place=key,
        )


def content(item: Raw, ctx: Context) -> ActivityRecord:
    """A story, saved story or Spotlight."""
    kind = str(ctx.vars["kind"])
    found = unwrap(item, kind, "public_profile_story")
    media = found.get("media_id")
    changed = iso(found.get("updated_at"))
    return ActivityRecord(
        kind="post",
        vendor_id=str(found["id"]),
        occurred_at=iso(found.get("created_at")),
        place=str(ctx.vars["id"]),
        author=Author(id=str(ctx.vars["id"]), name=ctx.vars.get("name"), handle=ctx.vars.get("handle")),
        direction="out",
        text=found.get("description") or None,
        title=found.get("title"),
        attachments=(Attachment("media", id=str(media)),) if media else (),
        version=milliseconds(changed) if changed else 0,
        data={"kind": kind, **({"status": found["status"]} if found.get("status") else {})},
    )


def profile_day(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """Which figures there are is not documented: every number is one."""
    found = unwrap(item)
    start, end = iso(found["start_time"]), iso(found["end_time"])
    assert start is not None and end is not None
    for name, value in (found.get("stats") or {}).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            exact = value if isinstance(value, int) else Decimal(str(value))
            yield MetricRecord(
                entity=str(ctx.vars["id"]),
                entity_kind="account",
                metric=name,
                value=exact,
                start=start,
                end=end,
                place=str(ctx.vars["id"]),
            )
