"""Rows of the Google Ads API v26 to records.

Answers are in camel case, int64 come as text, unset fields are missing, money is in micros of the account's currency.
Source: developers.google.com/google-ads/api, fields/v26 of campaign, ad_group, ad_group_ad, customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from connectors.http import Context, dig
from connectors.http.times import day_span
from connectors.records import ActivityRecord, Author, MetricRecord

Raw = dict[str, Any]

COUNTS = {"impressions": "impressions", "clicks": "clicks", "viewThroughConversions": "view_through_conversions"}
FRACTIONS = {"conversions": "conversions", "allConversions": "all_conversions"}
"""Conversions are shared out among clicks, so they have fractions."""


def micros(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value)).scaleb(-6)


def daily(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """One row of a campaign, an ad, or a campaign's conversions of one action."""
    figures, segments = item.get("metrics") or {}, item["segments"]
    start, end = day_span(segments["date"], ctx.partition.zone)
    campaign = str(item["campaign"]["id"])
    entity, kind, parent = campaign, "campaign", str(ctx.vars["id"])
    if ad := dig(item, "adGroupAd.ad.id"):
        entity, kind, parent = f"{item['adGroup']['id']}~{ad}", "ad", campaign
    dimensions = None
    if action := segments.get("conversionAction"):
        # By its number: with its name, a renamed action would count twice.
        dimensions = {"conversion_action": str(action).rpartition("/")[2]}
    currency = dig(item, "customer.currencyCode") or ctx.vars.get("currency")

    def number(metric: str, value: Decimal | int, money: str | None = None) -> MetricRecord:
        return MetricRecord(
            entity=entity,
            entity_kind=kind,
            metric=metric,
            value=value,
            start=start,
            end=end,
            dimensions=dimensions,
            currency=money,
            place=str(ctx.vars["id"]),
            parent=parent,
        )

    for field, metric in COUNTS.items():
        if figures.get(field) is not None:
            yield number(metric, int(figures[field]))
    for field, metric in FRACTIONS.items():
        if figures.get(field) is not None:
            yield number(metric, Decimal(str(figures[field])))
    if (cost := micros(figures.get("costMicros"))) is not None:
        yield number("spend", cost, currency)
    if figures.get("conversionsValue") is not None:
        yield number("conversions_value", Decimal(str(figures["conversionsValue"])), currency)


def entity(item: Raw, ctx: Context) -> ActivityRecord:
    """An account, campaign, ad group or ad. Removed ones stay readable and say so."""
    kind = str(ctx.vars["kind"])
    found = item[{"account": "customer", "campaign": "campaign", "ad_group": "adGroup", "ad": "adGroupAd"}[kind]]
    own = found.get("ad") or {} if kind == "ad" else found
    facts: Raw = {"kind": kind, "id": str(own["id"]), "status": found.get("status")}
    parent = None
    match kind:
        case "account":
            facts |= {"currency": found.get("currencyCode"), "zone": found.get("timeZone")}
        case "campaign":
            budget = micros(dig(item, "campaignBudget.amountMicros"))
            facts |= {
                "primary_status": found.get("primaryStatus"),
                "channel": found.get("advertisingChannelType"),
                "bidding": found.get("biddingStrategyType"),
                "starts": found.get("startDateTime"),
                "ends": found.get("endDateTime"),
                "daily_budget": None if budget is None else str(budget),
                "currency": ctx.vars.get("currency"),
            }
            parent = f"customers/{ctx.vars['id']}"
        case "ad_group":
            facts |= {"type": found.get("type")}
            parent = dig(item, "campaign.resourceName")
        case "ad":
            facts |= {
                "type": own.get("type"),
                "urls": own.get("finalUrls"),
                "approval": dig(found, "policySummary.approvalStatus"),
            }
            parent = dig(item, "adGroup.resourceName")
    name = own.get("descriptiveName") or own.get("name")
    return ActivityRecord(
        kind="profile",
        vendor_id=found["resourceName"],
        occurred_at=None,
        parent_id=parent,
        place=str(ctx.vars["id"]),
        author=Author(id=str(ctx.vars["id"]), name=ctx.vars.get("name")),
        direction="out",
        title=name,
        deleted=found.get("status") == "REMOVED",
        data={key: value for key, value in facts.items() if value is not None},
    )
