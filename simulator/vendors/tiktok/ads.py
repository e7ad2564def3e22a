"""Marketing API: advertisers, what is in them, comments under ads, and reports at once or as a task."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from simulator import numbers
from simulator.dice import DIGITS, chance, letters
from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.reports import Job, JobState
from simulator.vendors.tiktok import errors
from simulator.vendors.tiktok.args import bad, date_arg, json_arg, list_arg, number_arg, shown
from simulator.vendors.tiktok.data import Advertiser, ms_of
from simulator.vendors.tiktok.oauth import V

if TYPE_CHECKING:
    from simulator.vendors.tiktok import TikTok

routes = Routes()
ID_OF = {"AD": "ad_id", "ADGROUP": "adgroup_id", "CAMPAIGN": "campaign_id", "ADVERTISER": "advertiser_id"}
TIMES = {"stat_time_day": 30, "stat_time_hour": 1}
"""Time dimensions, and how many days one request may span with them."""
_COUNTED = {"conversion": 3.0, "video_play_actions": 2_500.0, "likes": 30.0, "comments": 4.0, "shares": 3.0}
_COUNTED |= {"follows": 2.0, "video_watched_2s": 900.0, "video_watched_6s": 300.0}
_RATES = ("ctr", "cpc", "cpm", "conversion_rate", "cost_per_conversion")
METRICS = (*("spend", "impressions", "clicks", "reach", "currency"), *_RATES, *_COUNTED)
NAMES = ("campaign_name", "adgroup_name", "ad_name", "campaign_id", "adgroup_id")
LINK_S = 3_600
_STATUS = {
    JobState.PENDING: "QUEUING",
    JobState.RUNNING: "PROCESSING",
    JobState.DONE: "SUCCESS",
    JobState.FAILED: "FAILED",
}


# --- entities


@routes.get(f"{V}/advertiser/info/")
def info(tiktok: TikTok, request: Request) -> Record:
    wanted = list_arg(request, "advertiser_ids")
    if not wanted:
        raise bad(request, "advertiser_ids: Missing data for required field.")
    fields = list_arg(request, "fields") or None
    listed = [shown(account_json(tiktok.advertiser(request, name)), fields) for name in wanted]
    return errors.fine(request, {"list": listed})


def account_json(advertiser: Advertiser) -> Record:
    return {
        "advertiser_id": advertiser.id,
        "name": advertiser.name,
        "company": advertiser.name,
        "status": "STATUS_ENABLE",
        "currency": advertiser.currency,
        "timezone": f"Etc/GMT{'-1' if 'Berlin' in advertiser.zone else '+5' if 'York' in advertiser.zone else '-9'}",
        "display_timezone": advertiser.zone,
        "country": "DE",
        "role": "ROLE_ADVERTISER",
        "create_time": 1_600_000_000,
    }


@routes.get(f"{V}/campaign/get/")
def campaigns(tiktok: TikTok, request: Request) -> Record:
    return _entities(tiktok, request, "campaigns")


@routes.get(f"{V}/adgroup/get/")
def adgroups(tiktok: TikTok, request: Request) -> Record:
    return _entities(tiktok, request, "adgroups")


@routes.get(f"{V}/ad/get/")
def ads(tiktok: TikTok, request: Request) -> Record:
    return _entities(tiktok, request, "ads")


def _entities(tiktok: TikTok, request: Request, kind: str) -> Record:
    advertiser = tiktok.advertiser(request, request.query.get("advertiser_id"))
    everything = (json_arg(request, "filtering", {}) or {}).get("primary_status") == "STATUS_ALL"
    listed = [r for r in getattr(advertiser, kind) if everything or r["operation_status"] != "DELETE"]
    fields = list_arg(request, "fields") or None
    return _numbered(request, [shown(record, fields) for record in listed], 1000)


def _numbered(request: Request, items: list[Any], most: int, name: str = "list") -> Record:
    """A page by its number: there is no token that could lead nowhere."""
    number = number_arg(request, "page", 1, 1, 100_000)
    size = number_arg(request, "page_size", 10, 1, most)
    page = items[(number - 1) * size : number * size]
    info = {"page": number, "page_size": size, "total_number": len(items), "total_page": -(-len(items) // size)}
    return errors.fine(request, {name: page, "page_info": info})


@routes.get(f"{V}/comment/list/")
def comments(tiktok: TikTok, request: Request) -> Record:
    """Comments under the ads of one ad group."""
    args = request.query
    advertiser = tiktok.advertiser(request, args.get("advertiser_id"))
    if args.get("search_field") != "ADGROUP_ID" or not args.get("search_value"):
        raise bad(request, "search_field: Must be ADGROUP_ID.")
    zone = ZoneInfo(advertiser.zone)
    first, last = (date_arg(request, args.get(name), name) for name in ("start_time", "end_time"))
    listed = [
        record
        for record in advertiser.comments.records()
        if record["adgroup_id"] == args["search_value"]
        and first <= datetime.fromtimestamp(ms_of(int(record["comment_id"])) / 1000, zone).date() <= last
    ]
    if args.get("sort_type", "DESC") == "DESC":
        listed.reverse()
    return _numbered(request, listed, 100, "comments")


# --- reports


@routes.get(f"{V}/report/integrated/get/")
def report(tiktok: TikTok, request: Request) -> Record:
    query: Record = {name: request.query.get(name) for name in ("report_type", "data_level", "start_date", "end_date")}
    query |= {name: list_arg(request, name) for name in ("dimensions", "metrics")}
    query |= {"filtering": json_arg(request, "filtering", []), "advertiser_id": request.query.get("advertiser_id")}
    return _numbered(request, rows(tiktok, request, query), 1000)


def rows(tiktok: TikTok, request: Request, query: dict[str, Any]) -> list[Record]:
    """One row per entity and time slot with delivery; days are the advertiser's, numbers are texts."""
    advertiser = tiktok.advertiser(request, query.get("advertiser_id"))
    level = str(query.get("data_level") or "").removeprefix("AUCTION_")
    dimensions, metrics = query["dimensions"] or [], query["metrics"] or ["spend", "impressions"]
    if query.get("report_type") != "BASIC" or level not in ID_OF:
        raise bad(request, "data_level: Invalid value.")
    times = [name for name in dimensions if name in TIMES]
    if [name for name in dimensions if name not in TIMES] != [ID_OF[level]] or len(times) > 1:
        raise bad(request, "dimensions: Invalid combination of dimensions.")
    if unknown := [name for name in metrics if name not in (*METRICS, *NAMES)]:
        raise bad(request, f"metrics: Invalid metric {unknown[0]}.")
    span = _span(request, advertiser, query, TIMES[times[0]] if times else 365)
    deleted = _wants_deleted(query.get("filtering") or [])
    found: list[Record] = []
    for entity, below in _leaves(advertiser, level, deleted=deleted):
        for slot, name in _slots(span, times):
            row = _row(request.now, advertiser, below, slot)
            if row is not None:
                names = {key: str(entity.get(key, "")) for key in NAMES}
                told = {**row, **names}
                at = {times[0]: name} if times else {}
                shape = {ID_OF[level]: str(entity[ID_OF[level]]), **at}
                found.append({"dimensions": shape, "metrics": {key: told[key] for key in metrics}})
    return found


def _span(request: Request, advertiser: Advertiser, query: dict[str, Any], most: int) -> list[date]:
    first = date_arg(request, query.get("start_date"), "start_date")
    last = date_arg(request, query.get("end_date"), "end_date")
    if last < first or (last - first).days + 1 > most:
        raise bad(request, f"The time range cannot be longer than {most} days.")
    return numbers.days(first, min(last, numbers.today(request.now, advertiser.zone)))


def _wants_deleted(filtering: list[Any]) -> bool:
    return any(
        str(rule.get("field_name", "")).endswith("_status") and "STATUS_ALL" in str(rule.get("filter_value"))
        for rule in filtering
        if isinstance(rule, dict)
    )


def _leaves(advertiser: Advertiser, level: str, *, deleted: bool) -> list[tuple[Record, list[Record]]]:
    ads = [ad for ad in advertiser.ads if deleted or ad["operation_status"] != "DELETE"]
    if level == "AD":
        return [(ad, [ad]) for ad in ads]
    if level == "ADVERTISER":
        return [({"advertiser_id": advertiser.id}, ads)]
    parents = advertiser.campaigns if level == "CAMPAIGN" else advertiser.adgroups
    name = ID_OF[level]
    return [(parent, [ad for ad in ads if ad[name] == parent[name]]) for parent in parents]


def _slots(span: list[date], times: list[str]) -> list[tuple[list[date], str]]:
    if not times:
        return [(span, "")]
    if times[0] == "stat_time_day":
        return [([day], f"{day} 00:00:00") for day in span]
    return [([day], f"{day} {hour:02d}:00:00") for day in span for hour in range(24)]


def _row(now: float, advertiser: Advertiser, below: list[Record], span: list[date]) -> Record | None:
    zone = advertiser.zone
    shows = clicks = cents = 0
    counts = dict.fromkeys(_COUNTED, 0)
    for ad in below:
        for day in span:
            if chance("delivered", ad["ad_id"], day.toordinal()) < 0.15:
                continue
            seen = numbers.daily(now, day, 3_000, ad["ad_id"], zone=zone, settle_days=1, late_share=0.05)
            hit = int(seen * (0.01 + 0.02 * chance("ctr", ad["ad_id"])))
            shows, clicks = shows + seen, clicks + hit
            cents += hit * (30 + int(40 * chance("cpc", ad["ad_id"])))
            for name, mean in _COUNTED.items():
                settle, late = (28, 0.4) if name == "conversion" else (1, 0.05)
                key = (name, ad["ad_id"])
                counts[name] += numbers.daily(now, day, mean, *key, zone=zone, settle_days=settle, late_share=late)
    if not shows:
        return None
    digits = 0 if advertiser.currency == "JPY" else 2
    units = 10**digits
    return {
        "spend": numbers.money(cents, digits),
        "impressions": str(shows),
        "clicks": str(clicks),
        "reach": "-" if chance("reach", cents) < 0.3 else str(int(shows * 0.8)),
        "currency": advertiser.currency,
        "ctr": f"{100 * clicks / shows:.2f}",
        "cpc": f"{cents / units / max(clicks, 1):.2f}",
        "cpm": f"{1000 * cents / units / shows:.2f}",
        "conversion_rate": f"{100 * counts['conversion'] / max(clicks, 1):.2f}",
        "cost_per_conversion": f"{cents / units / max(counts['conversion'], 1):.2f}",
        **{name: str(count) for name, count in counts.items()},
    }


# --- report tasks


@routes.post(f"{V}/report/task/create/")
def create_task(tiktok: TikTok, request: Request) -> Record:
    query = request.json if isinstance(request.json, dict) else {}
    query = {"dimensions": [], "metrics": [], **query}
    rows(tiktok, request, query)  # a bad argument is refused now
    advertiser = tiktok.advertiser(request, query.get("advertiser_id"))
    task_id = "729" + letters(16, DIGITS, "task", tiktok.seed, len(tiktok.reports.jobs))
    params = {"advertiser": advertiser, "output_format": query.get("output_format", "CSV_STRING")}
    tiktok.reports.create(request, task_id, tiktok.creator(request), params, lambda: rows(tiktok, request, query))
    return errors.fine(request, {"task_id": task_id})


def _task(tiktok: TikTok, request: Request) -> Job:
    tiktok.advertiser(request, request.query.get("advertiser_id"))
    job = tiktok.reports.jobs.get(request.query.get("task_id", ""))
    if job is None or job.account is not request.account:
        raise Refusal(errors.response(request, 40007, "The task does not exist."))
    return job


@routes.get(f"{V}/report/task/check/")
def check_task(tiktok: TikTok, request: Request) -> Record:
    job = tiktok.reports.poll(_task(tiktok, request).id, request.now)
    assert job is not None
    return errors.fine(request, {"status": _STATUS[job.state]})


@routes.get(f"{V}/report/task/download/")
def download_task(tiktok: TikTok, request: Request) -> Response | Record:
    job = _task(tiktok, request)
    if job.state is not JobState.DONE:
        return errors.response(request, 40201, "The task is not ready.")
    if job.params["output_format"] == "CSV_STRING":
        return Response(csv_text(job.result), type="text/csv")
    expires = int(request.now) + LINK_S
    url = f"{request.base_url}/report-files/{job.id}.csv?x-expires={expires}"
    told = {"download_url": url, "file_name": f"{job.id}.csv", "output_format": job.params["output_format"]}
    return errors.fine(request, told)


@routes.get("/report-files/{name}", auth=False)
def report_file(tiktok: TikTok, request: Request) -> Response:
    job = tiktok.reports.jobs.get(request.params["name"].removesuffix(".csv"))
    expires = request.query.get("x-expires", "0")
    if job is None or job.state is not JobState.DONE or not expires.isdigit() or request.now >= int(expires):
        return Response("<Error><Code>AccessDenied</Code></Error>", 403, type="application/xml")
    return Response(csv_text(job.result), type="text/csv")


def csv_text(found: Iterable[Record]) -> str:
    flat = [{**row["dimensions"], **row["metrics"]} for row in found]
    out = StringIO()
    writer = csv.DictWriter(out, list(flat[0]) if flat else [])
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()
