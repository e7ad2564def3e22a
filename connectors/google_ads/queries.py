"""The queries. Field names are those of v23 and later; an unknown field fails a whole query."""

from __future__ import annotations

from datetime import date, timedelta

CLIENTS = (
    "SELECT customer_client.id, customer_client.descriptive_name, customer_client.currency_code, "
    "customer_client.time_zone FROM customer_client "
    "WHERE customer_client.manager = FALSE AND customer_client.status = 'ENABLED' ORDER BY customer_client.id"
)
"""Accounts below a manager at any depth; an account that is no manager lists itself."""
CHANGE_DAYS = 89
"""How far back change_status may be asked, with a day to spare for time zones."""
CAMPAIGN = "campaign.id, campaign.name"
FIGURES = (
    "metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, metrics.conversions_value, "
    "metrics.all_conversions, metrics.view_through_conversions"
)
CONVERSIONS = "metrics.conversions, metrics.conversions_value, metrics.all_conversions"
_AD = "ad_group_ad.ad.id, ad_group.id"
DAILY = {
    "campaign": ("campaign", f"{CAMPAIGN}, {FIGURES}", "campaign.id"),
    "ad": ("ad_group_ad", f"{_AD}, campaign.id, {FIGURES}", "ad_group.id, ad_group_ad.ad.id"),
    "conversion": (
        "campaign",
        f"{CAMPAIGN}, segments.conversion_action, {CONVERSIONS}",
        "campaign.id, segments.conversion_action",
    ),
}
"""FROM, what is selected besides the day, and the order after it. Only conversions can be split by action."""
ENTITIES = {
    "account": "SELECT customer.id, customer.descriptive_name, customer.currency_code, customer.time_zone, "
    "customer.status, customer.test_account, customer.auto_tagging_enabled FROM customer",
    "campaign": f"SELECT {CAMPAIGN}, campaign.status, campaign.primary_status, campaign.advertising_channel_type, "
    "campaign.bidding_strategy_type, campaign.start_date_time, campaign.end_date_time, campaign_budget.amount_micros "
    "FROM campaign ORDER BY campaign.id",
    "ad_group": "SELECT ad_group.id, ad_group.name, ad_group.status, ad_group.type, ad_group.cpc_bid_micros, "
    "campaign.id FROM ad_group ORDER BY ad_group.id",
    "ad": "SELECT ad_group_ad.ad.id, ad_group_ad.ad.type, ad_group_ad.ad.name, ad_group_ad.ad.final_urls, "
    "ad_group_ad.status, ad_group_ad.policy_summary.approval_status, ad_group.id, campaign.id FROM ad_group_ad "
    "ORDER BY ad_group.id, ad_group_ad.ad.id",
}


def daily(kind: str, first: date, last: date) -> str:
    resource, fields, order = DAILY[kind]
    return (
        f"SELECT segments.date, {fields}, customer.currency_code FROM {resource} "
        f"WHERE segments.date BETWEEN '{first}' AND '{last}' ORDER BY segments.date, {order}"
    )


def newest_change(today: date) -> str:
    """The last thing that changed in an account. The range has to be finite; its end lies behind every time zone."""
    first, last = today - timedelta(days=CHANGE_DAYS), today + timedelta(days=2)
    field = "change_status.last_change_date_time"
    return (
        f"SELECT change_status.resource_name, {field} FROM change_status "
        f"WHERE {field} >= '{first}' AND {field} <= '{last}' ORDER BY {field} DESC LIMIT 1"
    )
