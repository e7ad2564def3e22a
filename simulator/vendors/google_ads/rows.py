"""Queries answered: which rows a FROM has, which fields may be asked together, and how a row is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

from simulator import numbers
from simulator.feed import Record
from simulator.http import Refusal
from simulator.vendors.google_ads import errors, figures
from simulator.vendors.google_ads.data import Customer, Login
from simulator.vendors.google_ads.gaql import BadQuery, Condition, Query, parse

_CUSTOMER = (
    "id",
    "descriptive_name",
    "currency_code",
    "time_zone",
    "status",
    "manager",
    "test_account",
    "auto_tagging_enabled",
)
_CAMPAIGN = (
    "id",
    "name",
    "status",
    "primary_status",
    "advertising_channel_type",
    "bidding_strategy_type",
    "start_date_time",
    "end_date_time",
)
_AD = ("ad.id", "ad.type", "ad.name", "ad.final_urls", "status", "policy_summary.approval_status")
_CHANGE = ("resource_name", "last_change_date_time", "resource_type", "resource_status", "campaign", "ad_group")


def _named(prefix: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{prefix}.{name}" for name in names)


_OF = {
    "customer": _named("customer", _CUSTOMER),
    "campaign": _named("campaign", _CAMPAIGN) | _named("campaign_budget", ("id", "amount_micros")),
    "ad_group": _named("ad_group", ("id", "name", "status", "type", "cpc_bid_micros")),
    "ad_group_ad": _named("ad_group_ad", _AD),
}
_SEGMENTS = _named("segments", ("date", "conversion_action", "conversion_action_name"))
FIELDS = {
    "customer": _OF["customer"],
    "campaign": _OF["customer"] | _OF["campaign"] | _SEGMENTS | figures.METRICS,
    "ad_group": _OF["customer"] | _OF["campaign"] | _OF["ad_group"] | _SEGMENTS | figures.METRICS,
    "ad_group_ad": _OF["customer"]
    | _OF["campaign"]
    | _OF["ad_group"]
    | _OF["ad_group_ad"]
    | _SEGMENTS
    | figures.METRICS,
    "customer_client": _named(
        "customer_client", ("id", "descriptive_name", "manager", "status", "level", "currency_code", "time_zone")
    ),
    "change_status": _named("change_status", (*_CHANGE, "ad_group_ad", "ad_group_criterion")),
}
_RENAMED = ("campaign.start_date", "campaign.end_date", "metrics.video_views")


def answer(text: str, login: Login, customer: Customer, now: float) -> tuple[list[Record], str]:
    """All rows of a query, and its field mask. Errors: Refusal."""
    try:
        query = parse(text)
        _check(query, customer)
    except BadQuery as error:
        raise Refusal(errors.bad_query(error.code, str(error))) from error
    rows = [
        row for row in _rows(query, login, customer, now) if all(c.holds(row.get(c.field)) for c in query.conditions)
    ]
    for name, descending in reversed(query.order):
        rows.sort(key=lambda row: (row.get(name) is not None, row.get(name)), reverse=descending)
    mask = ",".join(_camel(name) for name in query.fields)
    return [written(row, query) for row in rows[: query.limit]], mask


def _check(query: Query, customer: Customer) -> None:
    known = FIELDS.get(query.resource)
    if known is None:
        raise BadQuery("BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", f"{query.resource} is not a valid resource name.")
    used = [*query.fields, *(c.field for c in query.conditions), *(name for name, _ in query.order)]
    for name in used:
        if name not in known:
            code = "UNRECOGNIZED_FIELD" if name in _RENAMED or "." in name else "INVALID_FIELD_NAME"
            raise BadQuery(code, f"Unrecognized field in the query: '{name}'.")
    for name, _ in query.order:
        if name not in query.fields and name.split(".")[0] != query.resource:
            raise BadQuery("UNEXPECTED_FIELD_IN_ORDER_BY_CLAUSE", f"'{name}' must be selected.")
    metrics = {name for name in query.fields if name.startswith("metrics.")}
    if metrics and customer.manager:
        text = "Metrics cannot be requested for a manager account. To retrieve metrics, issue separate requests."
        raise BadQuery("REQUESTED_METRICS_FOR_MANAGER", text)
    if any(name.startswith("segments.conversion_action") for name in query.fields) and metrics - figures.CONVERSIONS:
        wrong = ", ".join(sorted(metrics - figures.CONVERSIONS))
        text = f"Cannot select the following together with segments.conversion_action: {wrong}."
        raise BadQuery("PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE", text)
    if query.resource == "change_status":
        _check_changes(query)


def _check_changes(query: Query) -> None:
    bounds = query.where("change_status.last_change_date_time")
    sides = {condition.operator[0] for condition in bounds}
    if not ({"<", ">"} <= sides or sides & {"B", "=", "D"}):
        raise Refusal(_change_error("CHANGE_DATE_RANGE_INFINITE", "The change status search request must be finite."))
    if query.limit is None:
        raise Refusal(_change_error("LIMIT_NOT_SPECIFIED", "The change status search request must specify a limit."))
    if query.limit > 10_000:
        raise Refusal(_change_error("INVALID_LIMIT_CLAUSE", "The LIMIT should be less than or equal to 10K."))


def _change_error(code: str, text: str) -> Any:
    return errors.failure(400, "changeStatusError", code, text)


# --- rows


def _rows(query: Query, login: Login, customer: Customer, now: float) -> Iterator[Record]:
    own = customer_row(customer)
    match query.resource:
        case "customer":
            yield own
        case "customer_client":
            yield from _clients(login, customer)
        case "change_status":
            yield from _changes(query, customer, now)
        case _:
            for leaves, row in _entities(query.resource, customer):
                yield from _measured(query, customer, {**own, **row}, leaves, now)


def customer_row(customer: Customer) -> Record:
    return {
        "customer.id": int(customer.id),
        "customer.descriptive_name": customer.name,
        "customer.currency_code": customer.currency,
        "customer.time_zone": customer.zone,
        "customer.status": customer.status,
        "customer.manager": customer.manager,
        "customer.test_account": False,
        "customer.auto_tagging_enabled": True,
        "_customer": customer.id,
    }


def _clients(login: Login, manager: Customer) -> Iterator[Record]:
    for client in login.customers:
        if client.under(manager.id):
            yield {
                "customer_client.id": int(client.id),
                "customer_client.descriptive_name": client.name,
                "customer_client.manager": client.manager,
                "customer_client.status": client.status,
                "customer_client.level": _level(client, manager),
                "customer_client.currency_code": client.currency,
                "customer_client.time_zone": client.zone,
                "_customer": manager.id,
            }


def _level(client: Customer, manager: Customer) -> int:
    level, above = 0, client
    while above is not manager and above.parent is not None:
        level, above = level + 1, above.parent
    return level


def _changes(query: Query, customer: Customer, now: float) -> Iterator[Record]:
    oldest = customer.local(now - 90 * numbers.DAY_S)
    for bound in query.where("change_status.last_change_date_time"):
        if bound.operator[0] == ">" and bound.values[0] < oldest[:10]:
            text = "The change status search request must not start more than 90 days ago."
            raise Refusal(_change_error("START_DATE_TOO_OLD", text))
    for change in customer.changes.values():
        if change["_at"] <= now:
            yield {**change, "_customer": customer.id}


def _entities(resource: str, customer: Customer) -> Iterator[tuple[list[str], Record]]:
    """Records with what delivers below them. Ads of a Performance Max campaign do not exist: it delivers itself."""
    campaigns = {record["campaign.id"]: record for record in customer.campaigns.records()}
    ads = list(customer.ads.records())
    if resource == "campaign":
        below: dict[int, list[str]] = {}
        for ad in ads:
            below.setdefault(ad["campaign.id"], []).append(_leaf(ad))
        for number, record in campaigns.items():
            yield below.get(number) or [str(number)], record
        return
    groups = {record["ad_group.id"]: record for record in customer.ad_groups.records()}
    if resource == "ad_group":
        for number, record in groups.items():
            leaves = [_leaf(ad) for ad in ads if ad["ad_group.id"] == number]
            yield leaves, {**campaigns[record["campaign.id"]], **record}
        return
    for ad in ads:
        yield [_leaf(ad)], {**campaigns[ad["campaign.id"]], **groups[ad["ad_group.id"]], **ad}


def _leaf(ad: Record) -> str:
    return f"{ad['ad_group.id']}~{ad['ad_group_ad.ad.id']}"


def _measured(query: Query, customer: Customer, row: Record, leaves: list[str], now: float) -> Iterator[Record]:
    """With segments: a row for each, but only where something happened. Without: one row, zeros too."""
    segmented = any(name.startswith("segments.") for name in query.fields)
    if not segmented and not any(name.startswith("metrics.") for name in query.fields):
        yield row
        return
    span = _span(query, customer, now)
    if not segmented:
        yield {**row, **figures.total(now, customer.zone, leaves, span).fields()}
        return
    by_day = "segments.date" in query.fields
    actions = figures.ACTIONS if any("conversion_action" in name for name in query.fields) else {"": 1.0}
    for days in [[day] for day in span] if by_day else [span]:
        found = figures.total(now, customer.zone, leaves, days)
        for action, share in actions.items():
            cells = found.fields(share)
            if not (cells["metrics.conversions"] if action else found.impressions):
                continue
            dated = {"segments.date": days[0].isoformat()} if by_day else {}
            yield {**row, **cells, **dated, **_action(action, customer)}


def _action(name: str, customer: Customer) -> Record:
    if not name:
        return {}
    number = 900_000_000 + list(figures.ACTIONS).index(name)
    resource = f"customers/{customer.id}/conversionActions/{number}"
    return {"segments.conversion_action": resource, "segments.conversion_action_name": name}


_DURING = {
    "TODAY": (0, 0),
    "YESTERDAY": (1, 1),
    "LAST_7_DAYS": (7, 1),
    "LAST_14_DAYS": (14, 1),
    "LAST_30_DAYS": (30, 1),
}


def _span(query: Query, customer: Customer, now: float) -> list[date]:
    """The days a query is about; thirty if it does not say."""
    today = numbers.today(now, customer.zone)
    first, last = None, None
    for condition in query.where("segments.date"):
        low, high = _bounds(condition, today)
        first = low if low is not None else first
        last = high if high is not None else last
    if "segments.date" in query.fields and (first is None or last is None):
        text = "Add a finite date range filter on segments.date to the WHERE clause."
        raise Refusal(errors.bad_query("EXPECTED_FILTERS_ON_DATE_RANGE", text))
    first = first or today - timedelta(days=30)
    if first < today - timedelta(days=37 * 31):
        text = "Daily rows are kept for 37 months."
        raise Refusal(errors.failure(400, "dateRangeError", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", text))
    last = min(last or today, today)
    return numbers.days(first, last) if first <= last else []


def _bounds(condition: Condition, today: date) -> tuple[date | None, date | None]:
    if condition.operator == "DURING":
        begin, end = _DURING.get(str(condition.values[0]).upper(), (30, 1))
        return today - timedelta(days=begin), today - timedelta(days=end)
    try:
        values = [date.fromisoformat(value) for value in condition.values]
    except ValueError as error:
        raise Refusal(errors.bad_query("BAD_VALUE", str(error))) from error
    if condition.operator in ("=", "BETWEEN"):
        return values[0], values[-1]
    one = timedelta(days=condition.operator in (">", "<"))
    return (values[0] + one, None) if condition.operator[0] == ">" else (None, values[0] - one)


# --- writing


def written(row: Record, query: Query) -> Record:
    """Nested and in camel case; int64 as text; what is not set is left out; every message with its resource name."""
    out: Record = {}
    for name in query.fields:
        value = row.get(name)
        if value is None:
            continue
        at = out
        *above, last = name.split(".")
        for depth, part in enumerate(above):
            at = at.setdefault(_camel(part), {})
            if (resource := _resource_name(".".join(above[: depth + 1]), row)) is not None:
                at.setdefault("resourceName", resource)
        at[_camel(last)] = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return out


def _resource_name(message: str, row: Record) -> str | None:
    base = f"customers/{row['_customer']}"
    match message:
        case "customer":
            return base
        case "campaign":
            return f"{base}/campaigns/{row['campaign.id']}"
        case "campaign_budget":
            return f"{base}/campaignBudgets/{row['campaign_budget.id']}"
        case "ad_group":
            return f"{base}/adGroups/{row['ad_group.id']}"
        case "ad_group_ad":
            return f"{base}/adGroupAds/{_leaf(row)}"
        case "ad_group_ad.ad":
            return f"{base}/ads/{row['ad_group_ad.ad.id']}"
        case "customer_client":
            return f"{base}/customerClients/{row['customer_client.id']}"
    return None


def _camel(name: str) -> str:
    return ".".join(
        "".join(word if place == 0 else word.capitalize() for place, word in enumerate(part.split("_")))
        for part in name.split(".")
    )
