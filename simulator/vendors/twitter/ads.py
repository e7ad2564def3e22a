"""The X Ads API v12: accounts, entities, stats at once and as jobs. OAuth 1.0a only; days are the account's."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from simulator import numbers
from simulator.dice import DIGITS, LOWER, chance, letters, pick
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.paging import list_page, seal, unseal
from simulator.reports import Job, JobState

if TYPE_CHECKING:
    from simulator.vendors.twitter import Twitter

routes = Routes()
PLACEMENTS = ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")
KINDS = {"CAMPAIGN": "campaigns", "LINE_ITEM": "line_items", "PROMOTED_TWEET": "promoted_tweets"}
GROUPS = {
    "ENGAGEMENT": ("impressions", "engagements", "clicks", "url_clicks", "likes", "retweets", "replies", "follows"),
    "BILLING": ("billed_engagements", "billed_charge_local_micro"),
    "VIDEO": ("video_total_views", "video_views_25", "video_views_50", "video_views_75", "video_views_100"),
}
_STATES = {JobState.PENDING: "QUEUED", JobState.RUNNING: "PROCESSING", JobState.DONE: "SUCCESS"}
_SETTLE_DAYS = 14


@dataclass(eq=False, kw_only=True)
class AdAccount:
    id: str
    name: str
    currency: str
    zone: str
    created_at: str
    entities: dict[str, list[Record]] = field(default_factory=dict)

    def shown(self) -> Record:
        return {
            "id": self.id,
            "name": self.name,
            "business_name": None,
            "timezone": self.zone,
            "timezone_switch_at": "2020-01-01T00:00:00Z",
            "country_code": "DE",
            "business_id": None,
            "approval_status": "ACCEPTED",
            "industry_type": "RETAIL",
            "created_at": self.created_at,
            "updated_at": self.created_at,
            "deleted": False,
        }


def ad_account(key: tuple[int | str, ...], name: str, currency: str, zone: str, now: float) -> AdAccount:
    stamp = numbers.iso(now - 40 * 86_400)
    account = AdAccount(
        id="18ce5" + letters(6, LOWER, "act", *key),
        name=f"{name} Ads",
        currency=currency,
        zone=zone,
        created_at=numbers.iso(now - 300 * 86_400),
        entities={kind: [] for kind in KINDS},
    )

    def entity(kind: str, index: int, **more: Any) -> Record:
        entity_id = letters(5, LOWER, kind, index, *key)
        paused = chance("paused", entity_id) < 0.2
        made = {"id": entity_id, "created_at": stamp, "updated_at": stamp, "deleted": False}
        status = {"entity_status": "PAUSED" if paused else "ACTIVE"}
        account.entities[kind].append({**made, **status, **more})
        return account.entities[kind][-1]

    for c in range(3):
        campaign = entity(
            "CAMPAIGN",
            c,
            name=f"Campaign {c}",
            currency=currency,
            daily_budget_amount_local_micro=50_000_000,
            total_budget_amount_local_micro=None,
            servable=True,
            effective_status="RUNNING",
        )
        for part in range(2):
            index = c * 2 + part
            line = entity(
                "LINE_ITEM",
                index,
                name=f"Set {index}",
                campaign_id=campaign["id"],
                currency=currency,
                objective=pick(("ENGAGEMENTS", "WEBSITE_CLICKS"), index, *key),
                placements=[PLACEMENTS[0]],
            )
            post = "19" + letters(17, DIGITS, "ad", index, *key)
            entity("PROMOTED_TWEET", index, line_item_id=line["id"], tweet_id=post, approval_status="ACCEPTED")
    return account


# --- arguments and refusals


def fail(twitter: Twitter, status: int, code: str, message: str, **more: Any) -> Exception:
    return twitter.refuse(status, {"errors": [{"code": code, "message": message, **more}], "request": {"params": {}}})


def account_arg(twitter: Twitter, request: Request) -> AdAccount:
    owner = twitter.profile(request)
    found = next((a for a in owner.ad_accounts if a.id == request.params["account"]), None)
    if found is None:
        raise fail(twitter, 404, "ACCOUNT_NOT_FOUND", f"Account ({request.params['account']}) was not found")
    return found


def _needed(twitter: Twitter, args: dict[str, Any], name: str) -> str:
    if not args.get(name):
        raise fail(twitter, 400, "MISSING_PARAMETER", f'"{name}" is a required parameter', parameter=name)
    return str(args[name])


def _hour(twitter: Twitter, args: dict[str, Any], name: str) -> datetime:
    value = _needed(twitter, args, name)
    try:
        found = datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        found = None
    if found is None or found.minute or found.second:
        text = f'Expected time, got "{value}" for {name}'
        raise fail(
            twitter, 400, "INVALID_PARAMETER", text, parameter=name, details="invalid date", value=value
        ) from None
    return found


def _answer(request: Request, **parts: Any) -> Record:
    return {"request": {"params": dict(request.query)}, **parts}


# --- entities


@routes.get("/12/accounts", limits=("ads_accounts",))
def accounts(twitter: Twitter, request: Request) -> Record:
    found = [account.shown() for account in twitter.profile(request).ad_accounts]
    return _answer(request, data=found, next_cursor=None, total_count=len(found))


@routes.get("/12/accounts/{account}", limits=("ads_reads",))
def one_account(twitter: Twitter, request: Request) -> Record:
    return _answer(request, data=account_arg(twitter, request).shown())


@routes.get("/12/accounts/{account}/{entities}", limits=("ads_core",))
def entities(twitter: Twitter, request: Request) -> Record:
    account, args = account_arg(twitter, request), request.query
    kind = next((kind for kind, path in KINDS.items() if path == request.params["entities"]), None)
    if kind is None:
        raise fail(twitter, 404, "ROUTE_NOT_FOUND", f"The requested resource could not be found: {request.path}")
    count = args.get("count", "200")
    if not count.isdigit() or not 1 <= int(count) <= 1000:
        raise fail(twitter, 400, "INVALID_PARAMETER", f'Expected Integer in [1,1000], got "{count}" for count')
    found = list(account.entities[kind])
    if args.get("with_deleted") != "true":
        found = [entity for entity in found if not entity["deleted"]]
    order = args.get("sort_by", "created_at-asc").partition("-")
    found.sort(key=lambda entity: (str(entity.get(order[0], "")), entity["id"]), reverse=order[2] == "desc")
    page = list_page(twitter, request, found, int(count), position=_position(twitter, args))
    return _answer(request, data=list(page.items), next_cursor=None if page.next is None else seal(page.next))


def _position(twitter: Twitter, args: dict[str, str]) -> int | None:
    if not args.get("cursor"):
        return None
    found = unseal(args["cursor"])
    if found is None:
        raise fail(twitter, 400, "INVALID_PARAMETER", "Invalid cursor", parameter="cursor", value=args["cursor"])
    return int(found[0])


# --- stats


@dataclass(frozen=True, slots=True)
class Asked:
    account: AdAccount
    kind: str
    ids: list[str]
    start: datetime
    end: datetime
    granularity: str
    placement: str
    groups: list[str]

    def params(self) -> Record:
        return {
            "start_time": _zulu(self.start),
            "end_time": _zulu(self.end),
            "granularity": self.granularity,
            "placement": self.placement,
            "metric_groups": self.groups,
        }


def _zulu(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _asked(twitter: Twitter, request: Request, days: int, most: int) -> Asked:
    args, account = request.args(), account_arg(twitter, request)
    kind, granularity = _needed(twitter, args, "entity"), _needed(twitter, args, "granularity")
    placement = _needed(twitter, args, "placement")
    ids = _needed(twitter, args, "entity_ids").split(",")
    groups = _needed(twitter, args, "metric_groups").split(",")
    start, end = _hour(twitter, args, "start_time"), _hour(twitter, args, "end_time")
    known = {entity["id"] for entity in account.entities.get(kind, ())}
    for name, value, good in (
        ("entity", kind, kind in KINDS),
        ("granularity", granularity, granularity in ("DAY", "HOUR", "TOTAL")),
        ("placement", placement, placement in PLACEMENTS),
        ("metric_groups", args["metric_groups"], set(groups) <= GROUPS.keys()),
        ("entity_ids", args["entity_ids"], len(ids) <= most and known.issuperset(ids)),
    ):
        if not good:
            text = f'Expected a valid {name}, got "{value}"'
            raise fail(twitter, 400, "INVALID_PARAMETER", text, parameter=name, value=value)
    if end <= start or end - start > timedelta(days=days, hours=1):
        raise fail(twitter, 400, "INVALID_TIME_WINDOW", f"The time window must be at most {days} days long")
    zone = ZoneInfo(account.zone)
    if granularity == "DAY" and any(at.astimezone(zone).hour for at in (start, end)):
        text = "start_time and end_time must be midnight in the account's timezone"
        raise fail(twitter, 400, "INVALID_TIME_WINDOW", text)
    return Asked(account, kind, ids, start, end, granularity, placement, groups)


def figures(asked: Asked, now: float) -> list[Record]:
    return [
        {"id": entity, "id_data": [{"segment": None, "metrics": _metrics(asked, entity, now)}]} for entity in asked.ids
    ]


def _metrics(asked: Asked, entity: str, now: float) -> Record:
    buckets = _buckets(asked)
    columns = [_bucket(asked, entity, days, share, now) for days, share in buckets]
    names = [name for group in asked.groups for name in GROUPS[group]]
    found = {name: [column.get(name) for column in columns] for name in names}
    return {name: None if all(value is None for value in values) else values for name, values in found.items()}


def _buckets(asked: Asked) -> list[tuple[list[Any], float]]:
    """Days of the account behind each bucket, and the share of a day that it is."""
    zone = ZoneInfo(asked.account.zone)
    first, last = asked.start.astimezone(zone).date(), (asked.end - timedelta(seconds=1)).astimezone(zone).date()
    days = numbers.days(first, last)
    if asked.granularity == "DAY":
        return [([day], 1.0) for day in days]
    if asked.granularity == "TOTAL":
        return [(days, 1.0)]
    hours = int((asked.end - asked.start) / timedelta(hours=1))
    return [([(asked.start + timedelta(hours=n)).astimezone(zone).date()], 1 / 24) for n in range(hours)]


def _bucket(asked: Asked, entity: str, days: list[Any], share: float, now: float) -> dict[str, int]:
    leaves = _leaves(asked.account, asked.kind, entity)
    scale = {"ALL_ON_TWITTER": 1.0, "SPOTLIGHT": 0.04, "TREND": 0.0}[asked.placement]
    total: dict[str, int] = {}
    for leaf in leaves:
        for day in days:
            if scale == 0 or chance("delivered", leaf, day.toordinal()) < 0.15:
                continue
            mean = 3000 * scale * share
            shown = numbers.daily(now, day, mean, leaf, zone=asked.account.zone, settle_days=1, late_share=0.05)
            if shown == 0:
                continue
            clicks = int(shown * (0.01 + 0.02 * chance("ctr", leaf)))
            charge = clicks * (200_000 + int(300_000 * chance("cpc", leaf)))
            if not numbers.is_final(now, day, zone=asked.account.zone, settle_days=_SETTLE_DAYS):
                charge += charge // 50  # an estimate, which goes down when it is settled
            views = shown // 6
            for name, value in {
                "impressions": shown,
                "engagements": clicks * 2,
                "clicks": clicks,
                "url_clicks": clicks // 2,
                "likes": clicks // 3,
                "retweets": clicks // 9,
                "replies": clicks // 12,
                "follows": clicks // 20,
                "billed_engagements": clicks,
                "billed_charge_local_micro": charge,
                "video_total_views": views,
                **{f"video_views_{n}": views * (110 - n) // 100 for n in (25, 50, 75, 100)},
            }.items():
                total[name] = total.get(name, 0) + value
    return total


def _leaves(account: AdAccount, kind: str, entity: str) -> list[str]:
    """The line items whose delivery an entity's figures are made of."""
    if kind == "LINE_ITEM":
        return [entity]
    if kind == "PROMOTED_TWEET":
        return [e["line_item_id"] for e in account.entities["PROMOTED_TWEET"] if e["id"] == entity]
    return [e["id"] for e in account.entities["LINE_ITEM"] if e["campaign_id"] == entity]


@routes.get("/12/stats/accounts/{account}", limits=("ads_stats",))
def stats(twitter: Twitter, request: Request) -> Record:
    asked = _asked(twitter, request, 7, 20)
    data = figures(asked, request.now)
    return {"data_type": "stats", "time_series_length": len(_buckets(asked)), "data": data} | {
        "request": {"params": asked.params()}
    }


@routes.get("/12/stats/accounts/{account}/active_entities", limits=("ads_reads",))
def active_entities(twitter: Twitter, request: Request) -> Record:
    account, args = account_arg(twitter, request), request.query
    kind = _needed(twitter, args, "entity")
    start, end = _hour(twitter, args, "start_time"), _hour(twitter, args, "end_time")
    if end - start > timedelta(days=90):
        raise fail(twitter, 400, "INVALID_TIME_WINDOW", "The time window must be at most 90 days long")
    activity = {"activity_start_time": _zulu(start), "activity_end_time": _zulu(end), "placements": [PLACEMENTS[0]]}
    data = [{"entity_id": entity["id"], **activity} for entity in account.entities.get(kind, ())]
    return _answer(request, data=data)


# --- jobs


@routes.post("/12/stats/jobs/accounts/{account}", limits=("ads_writes",))
def create_job(twitter: Twitter, request: Request) -> Record:
    asked = _asked(twitter, request, 90, 20)
    owner = twitter.profile(request)
    if twitter.reports.running(owner) >= 100:
        raise fail(twitter, 429, "TOO_MANY_REQUESTS", "Too many concurrent jobs for this account")
    job_id = "11208" + letters(14, DIGITS, "job", twitter.seed, len(twitter.reports.jobs))
    now = request.now
    job = twitter.reports.create(request, job_id, owner, {"asked": asked}, lambda: figures(asked, now))
    return _answer(request, data=_shown(request, job))


@routes.get("/12/stats/jobs/accounts/{account}", limits=("ads_reads",))
def jobs(twitter: Twitter, request: Request) -> Record:
    account = account_arg(twitter, request)
    ids = [job_id for job_id in request.query.get("job_ids", "").split(",") if job_id]
    if len(ids) > 200:
        raise fail(twitter, 400, "INVALID_PARAMETER", "At most 200 job_ids", parameter="job_ids")
    found = [job for job_id in ids or twitter.reports.jobs if (job := twitter.reports.poll(job_id, request.now))]
    data = [_shown(request, job) for job in found if job.params["asked"].account is account]
    return _answer(request, data=data, next_cursor=None)


def _shown(request: Request, job: Job) -> Record:
    asked: Asked = job.params["asked"]
    done = job.state is JobState.DONE
    url = f"{request.base_url}/advertiser-api-async-analytics/stats_job_{job.id}.json.gz"
    return {
        "id_str": job.id,
        "id": int(job.id),
        "status": _STATES.get(job.state, "FAILED"),
        "url": url if done else None,
        "account_id": asked.account.id,
        "entity": asked.kind,
        "entity_ids": asked.ids,
        "country": None,
        "platform": None,
        "segmentation_type": None,
        **asked.params(),
        "created_at": numbers.iso(job.created),
        "updated_at": numbers.iso(request.now),
        "expires_at": numbers.iso(job.created + 48 * 3600) if done else None,
    }


@routes.get("/advertiser-api-async-analytics/{file}", auth=False)
def file(twitter: Twitter, request: Request) -> Response:
    """The rows of a job: a file of gzip, not an answer with a gzip encoding."""
    job = twitter.reports.jobs.get(request.params["file"].removeprefix("stats_job_").removesuffix(".json.gz"))
    if job is None or job.state is not JobState.DONE or request.now > job.created + 48 * 3600:
        return Response("<html>404</html>", 404, type="text/html")
    asked: Asked = job.params["asked"]
    body = {"data_type": "stats", "time_series_length": len(_buckets(asked)), "data": job.result}
    whole = msgspec.json.encode({**body, "request": {"params": asked.params()}})
    return Response(gzip.compress(whole, mtime=0), type="application/gzip")
