"""Metrics: Page and Instagram days, post totals, ads insights at once or as a report run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from simulator import numbers
from simulator.dice import DIGITS, chance, letters
from simulator.feed import Record
from simulator.http import Refusal, Request
from simulator.paging import list_page
from simulator.reports import Job, JobState
from simulator.vendors.facebook import errors
from simulator.vendors.facebook.data import MICRO, AdAccount, Page
from simulator.vendors.facebook.fields import Want

if TYPE_CHECKING:
    from simulator.vendors.facebook import Facebook

PACIFIC = "America/Los_Angeles"
_PAGE = {
    "page_media_view": ("Daily Views", 900.0),
    "page_total_media_view_unique": ("Daily Viewers", 600.0),
    "page_post_engagements": ("Daily Post Engagements", 80.0),
    "page_follows": ("Follows", 0.0),
    "page_daily_follows": ("Daily Follows", 6.0),
    "page_daily_follows_unique": ("Daily Follows", 5.0),
    "page_video_views": ("Daily Video Views", 120.0),
}
_POST = {
    "post_media_view": 900.0,
    "post_total_media_view_unique": 620.0,
    "post_clicks": 60.0,
    "post_video_views": 150.0,
}
_IG = (
    "views",
    "reach",
    "accounts_engaged",
    "likes",
    "comments",
    "shares",
    "saves",
    "replies",
    "total_interactions",
    "follower_count",
    "profile_views",
    "website_clicks",
)
_MEDIA = (
    "views",
    "reach",
    "saved",
    "likes",
    "comments",
    "shares",
    "total_interactions",
    "follows",
    "profile_visits",
    "profile_activity",
    "ig_reels_avg_watch_time",
    "ig_reels_video_view_total_time",
    "navigation",
    "replies",
)
_MEAN = {"views": 1500.0, "reach": 900.0, "likes": 90.0, "comments": 9.0, "shares": 12.0}
_STATUS = {
    JobState.PENDING: "Job Not Started",
    JobState.RUNNING: "Job Running",
    JobState.DONE: "Job Completed",
    JobState.FAILED: "Job Failed",
}


def moment(value: str) -> float | None:
    """Unix seconds or a date."""
    if value.isdigit():
        return float(value)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def followers(place: Page, now: float) -> int:
    return 8_000 + numbers.growing(now, place.end / MICRO - 300 * numbers.DAY_S, 4_000, 100 * numbers.DAY_S)


def _metrics(request: Request, known: Any) -> list[str]:
    asked = [metric for metric in request.query.get("metric", "").split(",") if metric]
    if not asked or any(metric not in known for metric in asked):
        raise Refusal(errors.bad_metric())
    return asked


def _window(request: Request, zone: str, default_days: int, most: int) -> list[date]:
    """The days a query asks about, as dates of the zone."""
    until = moment(request.query.get("until", "")) or request.now
    since = moment(request.query.get("since", "")) or until - default_days * numbers.DAY_S
    if until - since > most * numbers.DAY_S + 1:
        raise Refusal(errors.bad_argument(f"There cannot be more than {most} days between since and until"))
    first = datetime.fromtimestamp(since, ZoneInfo(zone)).date()
    last = datetime.fromtimestamp(until - 1, ZoneInfo(zone)).date()
    return numbers.days(first, last) if last >= first else []


def page(facebook: Facebook, request: Request, place: Page) -> Record:
    asked = _metrics(request, _PAGE)
    period = request.query.get("period", "day")
    span = _window(request, PACIFIC, 2, 90)
    data = []
    for metric in asked:
        title, mean = _PAGE[metric]
        values = [{"value": _day(place, metric, mean, day, request.now), "end_time": _day_end(day)} for day in span]
        data.append(
            {
                "name": metric,
                "period": period,
                "values": values,
                "title": title,
                "description": f"{title} of the Page.",
                "id": f"{place.id}/insights/{metric}/{period}",
            }
        )
    return {"data": data, "paging": _windows(request, span)}


def _day(place: Page, metric: str, mean: float, day: date, now: float) -> int:
    if metric == "page_follows":
        return followers(place, min(now, datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))
    return numbers.daily(now, day, mean, place.id, metric, zone=PACIFIC, settle_days=2)


def _day_end(day: date) -> str:
    after = day + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(PACIFIC))
    return end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def _windows(request: Request, span: list[date]) -> Record:
    """Next and previous windows, without end in both directions."""
    from simulator.vendors.facebook.graph import link

    until = int(moment(request.query.get("until", "")) or request.now)
    since = int(moment(request.query.get("since", "")) or until - max(len(span), 1) * numbers.DAY_S)
    width = until - since
    return {
        "previous": link(request, since=since - width, until=since),
        "next": link(request, since=until, until=until + width),
    }


def post(facebook: Facebook, request: Request, thing: tuple[Page, int]) -> Record:
    place, key = thing
    data = []
    for metric in _metrics(request, (*_POST, "post_reactions_by_type_total")):
        if metric == "post_reactions_by_type_total":
            fans = (place.posts.get(key) or {}).get("_fans", 0)
            value: Any = {"like": fans - fans // 5, "love": fans // 5} if fans else {}
        else:
            value = numbers.growing(request.now, key / MICRO, _POST[metric] * (0.4 + chance(metric, place.id, key)))
        data.append(_lifetime(place.post_id(key), metric, value))
    return {"data": data}


def media(facebook: Facebook, request: Request, thing: tuple[Page, int]) -> Record:
    place, key = thing
    data = []
    for metric in _metrics(request, _MEDIA):
        value = numbers.growing(
            request.now, key / MICRO, _MEAN.get(metric, 10.0) * (0.4 + chance(metric, place.id, key))
        )
        data.append(_lifetime(place.post_id(key), metric, value))
    return {"data": data}


def _lifetime(node: str, metric: str, value: Any) -> Record:
    return {
        "name": metric,
        "period": "lifetime",
        "values": [{"value": value}],
        "title": metric.replace("_", " ").title(),
        "description": f"Lifetime: {metric}.",
        "id": f"{node}/insights/{metric}/lifetime",
    }


def instagram(facebook: Facebook, request: Request, place: Page) -> Record:
    span = _window(request, PACIFIC, 1, 30)
    breakdown = request.query.get("breakdown", "")
    as_total = request.query.get("metric_type") == "total_value"
    data = []
    for metric in _metrics(request, _IG):
        mean = _MEAN.get(metric, 20.0)
        days = [numbers.daily(request.now, day, mean, place.id, metric, zone=PACIFIC, settle_days=2) for day in span]
        entry: Record = {"name": metric, "period": "day", "title": metric.replace("_", " ").capitalize()}
        if as_total:
            entry["total_value"] = _total(sum(days), breakdown)
        else:
            values = zip(days, span, strict=True)
            entry["values"] = [{"value": value, "end_time": _day_end(day)} for value, day in values]
        data.append({**entry, "description": f"{metric} of the account.", "id": f"{place.id}/insights/{metric}/day"})
    return {"data": data}


def _total(value: int, breakdown: str) -> Record:
    if not breakdown:
        return {"value": value}
    part = int(value * 0.54)
    keys = breakdown.split(",")
    first = [{"media_product_type": "POST", "follow_type": "FOLLOWER"}.get(key, "A") for key in keys]
    second = [{"media_product_type": "REEL", "follow_type": "NON_FOLLOWER"}.get(key, "B") for key in keys]
    results = [{"dimension_values": first, "value": part}, {"dimension_values": second, "value": value - part}]
    return {"value": value, "breakdowns": [{"dimension_keys": keys, "results": results}]}


# --- ads


def account_json(account: AdAccount) -> Record:
    return {
        "id": f"act_{account.id}",
        "account_id": account.id,
        "name": account.name,
        "currency": account.currency,
        "timezone_name": account.zone,
        "account_status": 1,
    }


def entities(
    request: Request, records: list[Record], wants: tuple[Want, ...], pick: Callable[[Record, tuple[Want, ...]], Record]
) -> list[Record]:
    """Campaigns, ad sets or ads, filtered by status and time of change."""
    statuses = _json_arg(request, "effective_status") or ()
    since = 0.0
    for rule in _json_arg(request, "filtering") or ():
        if str(rule.get("field", "")).endswith("updated_time") and rule.get("operator") == "GREATER_THAN":
            since = float(rule["value"])
    return [
        pick(record, wants)
        for record in records
        if (not statuses or record["effective_status"] in statuses)
        and datetime.strptime(record["updated_time"], "%Y-%m-%dT%H:%M:%S%z").timestamp() > since
    ]


def _json_arg(request: Request, name: str) -> Any:
    value = request.args().get(name)
    if not value:
        return None
    try:
        return msgspec.json.decode(str(value)) if isinstance(value, str) else value
    except msgspec.DecodeError as error:
        raise Refusal(errors.bad_argument(f"{name} must be valid JSON")) from error


def ads(facebook: Facebook, request: Request, account: AdAccount) -> Record:
    return _paged(facebook, request, ads_rows(request, account))


def ads_rows(request: Request, account: AdAccount) -> list[Record]:
    """One row per entity and day with delivery; days are the ad account's, money its currency."""
    args = request.args()
    level = str(args.get("level", "account"))
    if level not in ("account", "campaign", "adset", "ad"):
        raise Refusal(errors.bad_argument("level must be one of account, campaign, adset, ad"))
    fields = [part for part in str(args.get("fields", "impressions,spend")).split(",") if part]
    span = _range(request, account)
    slots = [[day] for day in span] if str(args.get("time_increment", "all_days")) == "1" else [span]
    rows: list[Record] = []
    for entity in _leaves(account, level):
        for slot in slots:
            if (row := _row(request.now, account, entity, slot, level)) is not None:
                rows.append({name: value for name, value in row.items() if name in fields or name.startswith("date_")})
    return rows


def _range(request: Request, account: AdAccount) -> list[date]:
    asked = _json_arg(request, "time_range")
    today = numbers.today(request.now, account.zone)
    if asked:
        try:
            first, last = date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"])
        except (KeyError, ValueError) as error:
            raise Refusal(errors.bad_argument("Must be one of date format YYYY-MM-DD")) from error
        if first < today - timedelta(days=37 * 31):
            raise Refusal(
                errors.response(
                    "(#3018) The start date of the time range cannot be beyond 37 months from the current date", 3018
                )
            )
        return numbers.days(first, min(last, today)) if last >= first else []
    days = {"today": (0, 0), "yesterday": (1, 1), "last_7d": (7, 1), "last_28d": (28, 1)}
    begin, end = days.get(str(request.args().get("date_preset", "last_28d")), (30, 1))
    return numbers.days(today - timedelta(days=begin), today - timedelta(days=end))


def _leaves(account: AdAccount, level: str) -> list[tuple[Record, list[Record]]]:
    """Entities of a level with the ads below each."""
    if level == "ad":
        return [(ad, [ad]) for ad in account.ads]
    if level == "account":
        return [({"id": account.id}, account.ads)]
    parents, key = (account.campaigns, "campaign_id") if level == "campaign" else (account.adsets, "adset_id")
    return [(parent, [ad for ad in account.ads if ad[key] == parent["id"]]) for parent in parents]


def _row(
    now: float, account: AdAccount, entity: tuple[Record, list[Record]], span: list[date], level: str
) -> Record | None:
    parent, below = entity
    impressions = clicks = cents = links = 0
    for ad in below:
        for day in span:
            if chance("delivered", ad["id"], day.toordinal()) < 0.15:
                continue
            shown = numbers.daily(now, day, 4000, ad["id"], zone=account.zone, settle_days=2, late_share=0.05)
            hit = int(shown * (0.01 + 0.02 * chance("ctr", ad["id"])))
            impressions, clicks = impressions + shown, clicks + hit
            cents += hit * (20 + int(30 * chance("cpc", ad["id"])))
            links += numbers.daily(now, day, 30, "links", ad["id"], zone=account.zone, settle_days=28, late_share=0.3)
    if not impressions:
        return None
    digits = 0 if account.currency == "JPY" else 2
    reach = int(impressions * 0.84)
    row: Record = {
        "account_id": account.id,
        "account_currency": account.currency,
        "impressions": str(impressions),
        "clicks": str(clicks),
        "spend": numbers.money(cents, digits),
        "reach": str(reach),
        "frequency": f"{impressions / max(reach, 1):.6f}",
        "cpc": f"{cents / max(clicks, 1) / 10**digits:.6f}",
        "cpm": f"{cents * 1000 / impressions / 10**digits:.6f}",
        "ctr": f"{100 * clicks / impressions:.6f}",
        "actions": [
            {
                "action_type": "link_click",
                "value": str(links),
                "1d_click": str(int(links * 0.9)),
                "7d_click": str(links),
            }
        ],
        "date_start": span[0].isoformat(),
        "date_stop": span[-1].isoformat(),
    }
    if level in ("ad", "adset", "campaign"):
        names = {"ad": ("campaign_id", "adset_id"), "adset": ("campaign_id",), "campaign": ()}[level]
        row |= {name: parent[name] for name in names} | {f"{level}_id": parent["id"], f"{level}_name": parent["name"]}
    return row


def _paged(facebook: Facebook, request: Request, rows: list[Record]) -> Record:
    from simulator.vendors.facebook.graph import edge_json, limit_arg, position_arg

    return edge_json(request, list_page(facebook, request, rows, limit_arg(request), position=position_arg(request)))


def start(facebook: Facebook, request: Request, account: AdAccount) -> Record:
    ads_rows(request, account)  # a bad argument is refused now
    run_id = "602" + letters(10, DIGITS, "run", facebook.seed, len(facebook.reports.jobs))
    facebook.reports.create(request, run_id, account.owner, {"account": account}, lambda: ads_rows(request, account))
    return {"report_run_id": run_id}


def run_json(facebook: Facebook, request: Request, job: Job) -> Record:
    facebook.reports.poll(job.id, request.now)
    account: AdAccount = job.params["account"]
    shown: Record = {
        "id": job.id,
        "account_id": account.id,
        "time_ref": int(job.created),
        "async_status": _STATUS[job.state],
        "async_percent_completion": job.percent,
    }
    if job.state is JobState.DONE:
        shown["time_completed"] = int(request.now)
    if job.state is JobState.FAILED:
        shown |= {
            "error_code": 2,
            "error_subcode": 1504044,
            "error_message": "Report generation failed, please try again.",
        }
    return shown


def run_rows(facebook: Facebook, request: Request, job: Job) -> Record:
    if job.state is not JobState.DONE:
        raise Refusal(errors.response("(#2601) Error accessing adreport job.", 2601, 1815107))
    return _paged(facebook, request, job.result)
