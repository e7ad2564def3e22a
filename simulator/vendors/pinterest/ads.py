"""Ad accounts, campaigns, ad groups, ads; their figures at once and as reports. Days are UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.dice import DIGITS, HEX, chance, letters, pick
from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.reports import Job, JobState
from simulator.vendors.pinterest import errors
from simulator.vendors.pinterest.args import choices, dates, listed, many

if TYPE_CHECKING:
    from simulator.vendors.pinterest import Pinterest

routes = Routes()
SCOPES = ("ads:read",)
LEVELS = {"campaigns": ("campaign_ids", "CAMPAIGN_ID"), "ad_groups": ("ad_group_ids", "AD_GROUP_ID")}
LEVELS |= {"ads": ("ad_ids", "AD_ID")}
REPORT_LEVELS = {"ADVERTISER": "account", "CAMPAIGN": "campaigns", "AD_GROUP": "ad_groups", "PIN_PROMOTION": "ads"}
ID_COLUMN = {"account": "AD_ACCOUNT_ID", **{level: column for level, (_, column) in LEVELS.items()}}
FIGURES = (
    *("SPEND_IN_MICRO_DOLLAR", "SPEND_IN_DOLLAR", "PAID_IMPRESSION", "TOTAL_IMPRESSION", "IMPRESSION_1"),
    *("CLICKTHROUGH_1", "OUTBOUND_CLICK_1", "TOTAL_CLICKTHROUGH", "TOTAL_ENGAGEMENT", "REPIN_1"),
    *("TOTAL_CONVERSIONS", "TOTAL_CHECKOUT", "TOTAL_CHECKOUT_VALUE_IN_MICRO_DOLLAR", "TOTAL_VIDEO_MRC_VIEWS", "CTR"),
    *("TOTAL_SIGNUP", "TOTAL_LEAD"),
)
NAMES = ("CAMPAIGN_ID", "CAMPAIGN_NAME", "CAMPAIGN_ENTITY_STATUS", "AD_GROUP_ID", "AD_ID", "PIN_ID", "AD_ACCOUNT_ID")
STATUSES = (
    *("RUNNING", "PAUSED", "NOT_STARTED", "COMPLETED", "ADVERTISER_DISABLED", "ARCHIVED", "DRAFT", "DELETED_DRAFT"),
)
REPORT_S, LINK_S = 3600, 300


@dataclass(eq=False, kw_only=True)
class AdAccount:
    id: str
    name: str
    owner: Record
    currency: str
    created: int
    campaigns: list[Record] = field(default_factory=list)
    ad_groups: list[Record] = field(default_factory=list)
    ads: list[Record] = field(default_factory=list)

    def shown(self) -> Record:
        return {
            "id": self.id,
            "name": self.name,
            "owner": self.owner,
            "country": "US",
            "currency": self.currency,
            "permissions": ["OWNER"],
            "created_time": self.created,
            "updated_time": self.created,
        }

    def level(self, name: str) -> list[Record]:
        return {"campaigns": self.campaigns, "ad_groups": self.ad_groups, "ads": self.ads}[name]


def ad_account(key: Any, user_id: str, username: str, name: str, currency: str, now: int) -> AdAccount:
    account = AdAccount(
        id="54976" + letters(7, DIGITS, "act", *key),
        name=name,
        owner={"id": user_id, "username": username},
        currency=currency,
        created=now - 400 * 86_400,
    )

    def entity(kind: str, *place: int, **more: Any) -> Record:
        entity_id = "6267" + letters(8, DIGITS, kind, *place, *key)
        status = "ARCHIVED" if place == (2,) else "PAUSED" if chance("paused", entity_id) < 0.2 else "ACTIVE"
        stamp = now - (40 - sum(place)) * 86_400
        times = {"created_time": stamp, "updated_time": stamp, "start_time": stamp, "end_time": None}
        made = {"id": entity_id, "ad_account_id": account.id, "name": f"{kind} {'.'.join(map(str, place))}"}
        summary = "RUNNING" if status == "ACTIVE" else status
        return {**made, "status": status, "summary_status": summary, "type": kind, **times, **more}

    for c in range(3):
        objective = pick(("AWARENESS", "CONSIDERATION", "WEB_SESSIONS"), c, *key)
        caps = {"daily_spend_cap": 50_000_000, "lifetime_spend_cap": None}
        campaign = entity("campaign", c, objective_type=objective, tracking_urls=None, **caps)
        account.campaigns.append(campaign)
        for g in range(2):
            group = entity("adgroup", c, g, campaign_id=campaign["id"], budget_in_micro_currency=25_000_000)
            account.ad_groups.append(group)
            pin = "66674" + letters(13, DIGITS, "adpin", c, g, *key)
            above = {"campaign_id": campaign["id"], "ad_group_id": group["id"], "pin_id": pin}
            account.ads.append(entity("pinpromotion", c, g, 0, **above, review_status="APPROVED"))
    return account


def account_arg(pinterest: Pinterest, request: Request) -> AdAccount:
    accounts = pinterest.business(request).ad_accounts
    found = next((account for account in accounts if account.id == request.params["account"]), None)
    if found is None:
        raise Refusal(errors.no_ad_account())
    return found


# --- accounts


@routes.get("/v5/ad_accounts", scopes=SCOPES, limits=("ads_read",))
def ad_accounts(pinterest: Pinterest, request: Request) -> Record:
    return listed(pinterest, request, [account.shown() for account in pinterest.business(request).ad_accounts])


@routes.get("/v5/ad_accounts/{account}", scopes=SCOPES, limits=("ads_read",))
def one_ad_account(pinterest: Pinterest, request: Request) -> Record:
    return account_arg(pinterest, request).shown()


@routes.get("/v5/resources/metrics_ready_state", scopes=SCOPES, limits=("ads_analytics",))
def ready_state(_pinterest: Pinterest, request: Request) -> Record:
    try:
        day = date.fromisoformat(request.query.get("date", ""))
    except ValueError:
        raise errors.bad("date must be YYYY-MM-DD") from None
    age = (numbers.today(request.now) - day).days
    return {"conversion_metrics_ready": age > 30, "non_conversion_metrics_ready": age > 2}


@routes.get("/v5/resources/delivery_metrics", scopes=SCOPES, limits=("ads_read",))
def delivery_metrics(_pinterest: Pinterest, _request: Request) -> Record:
    shown = {"category": "delivery", "definition": "A figure of delivery."}
    return {"items": [{"name": name, "display_name": name.title(), **shown} for name in FIGURES]}


# --- figures


def rows(
    now: float, account: AdAccount, level: str, ids: list[str], days: list[date], args: dict[str, Any]
) -> list[Record]:
    """A row per entity and time; none where nothing was delivered, no column where there is no value."""
    columns = args["columns"]
    slots = _slots(days, str(args["granularity"]))
    out: list[Record] = []
    for entity_id in ids:
        entity = (
            {"id": account.id} if level == "account" else next(e for e in account.level(level) if e["id"] == entity_id)
        )
        for label, span in slots:
            found = _figures(now, account, level, entity_id, span)
            if not found:
                continue
            named = _named(account, level, entity) | {ID_COLUMN[level]: entity_id}
            row: Record = {ID_COLUMN[level]: entity_id} | ({"DATE": label} if label else {})
            out.append(row | {name: value for name, value in {**named, **found}.items() if name in columns and value})
    return out


def _slots(days: list[date], granularity: str) -> list[tuple[str, list[date]]]:
    if granularity == "TOTAL":
        return [("", days)]
    step = {"DAY": 1, "WEEK": 7, "MONTH": 30}[granularity]
    return [(days[n].isoformat(), days[n : n + step]) for n in range(0, len(days), step)]


def _named(account: AdAccount, level: str, entity: Record) -> Record:
    found: Record = {"AD_ACCOUNT_ID": account.id}
    if level == "account":
        return found
    campaign_id = entity["id"] if level == "campaigns" else entity["campaign_id"]
    campaign = next(c for c in account.campaigns if c["id"] == campaign_id)
    found |= {"CAMPAIGN_ID": campaign_id, "CAMPAIGN_NAME": campaign["name"]}
    found["CAMPAIGN_ENTITY_STATUS"] = campaign["status"]
    if level == "ads":
        found |= {"AD_GROUP_ID": entity["ad_group_id"], "AD_ID": entity["id"], "PIN_ID": entity["pin_id"]}
    return found


def _figures(now: float, account: AdAccount, level: str, entity_id: str, days: list[date]) -> Record:
    name = {"campaigns": "campaign_id", "ad_groups": "ad_group_id", "ads": "id"}.get(level)
    ads = [ad for ad in account.ads if name is None or ad[name] == entity_id]
    seen = clicks = spent = sold = 0
    for ad in ads:
        for day in days:
            if chance("delivered", ad["id"], day.toordinal()) < 0.2:
                continue
            shown = numbers.daily(now, day, 6000, ad["id"], settle_days=2, late_share=0.05)
            hits = int(shown * (0.01 + 0.02 * chance("ctr", ad["id"])))
            seen, clicks = seen + shown, clicks + hits
            spent += hits * (90_000 + int(60_000 * chance("cpc", ad["id"])))
            sold += numbers.daily(now, day, 6, "sold", ad["id"], settle_days=30, late_share=0.4)
    if not seen:
        return {}
    whole = spent // 1_000_000 * 1_000_000 if account.currency == "JPY" else spent // 10_000 * 10_000
    return {
        "SPEND_IN_MICRO_DOLLAR": whole,
        "SPEND_IN_DOLLAR": whole / 1_000_000,
        "PAID_IMPRESSION": seen,
        "TOTAL_IMPRESSION": int(seen * 1.1),
        "IMPRESSION_1": seen,
        "CLICKTHROUGH_1": clicks,
        "OUTBOUND_CLICK_1": clicks // 2,
        "TOTAL_CLICKTHROUGH": int(clicks * 1.1),
        "TOTAL_ENGAGEMENT": clicks * 2,
        "REPIN_1": clicks // 5,
        "TOTAL_CONVERSIONS": sold,
        "TOTAL_CHECKOUT": sold // 2,
        "TOTAL_CHECKOUT_VALUE_IN_MICRO_DOLLAR": sold // 2 * 25_000_000,
        "TOTAL_VIDEO_MRC_VIEWS": seen // 9,
        "CTR": round(clicks / seen, 6),
    }


def _columns(values: list[str]) -> list[str]:
    return choices(values, (*FIGURES, *NAMES), "columns")


def _sync(pinterest: Pinterest, request: Request, level: str) -> list[Record]:
    account, query = account_arg(pinterest, request), request.query
    days = dates(request, query, back=90, most=90)
    granularity = choices([query.get("granularity", "")], ("TOTAL", "DAY", "WEEK", "MONTH"), "granularity")[0]
    args = {"columns": _columns(many(request, "columns")), "granularity": granularity}
    if level == "account":
        return rows(request.now, account, level, [account.id], days, args)
    ids = many(request, LEVELS[level][0])
    if not 1 <= len(ids) <= 250:
        raise errors.bad(f"{LEVELS[level][0]} must hold 1 to 250 ids")
    known = {entity["id"] for entity in account.level(level)}
    return rows(request.now, account, level, [found for found in ids if found in known], days, args)


@routes.get("/v5/ad_accounts/{account}/analytics", scopes=SCOPES, limits=("ads_analytics",))
def account_analytics(pinterest: Pinterest, request: Request) -> list[Record]:
    return _sync(pinterest, request, "account")


@routes.get("/v5/ad_accounts/{account}/{level}/analytics", scopes=SCOPES, limits=("ads_analytics",))
def entity_analytics(pinterest: Pinterest, request: Request) -> list[Record] | Response:
    if request.params["level"] not in LEVELS:
        return errors.error(404, 2, "Resource not found.")
    return _sync(pinterest, request, request.params["level"])


# --- reports


@routes.post("/v5/ad_accounts/{account}/reports", scopes=SCOPES, limits=("ads_analytics",))
def create_report(pinterest: Pinterest, request: Request) -> Record:
    account, body = account_arg(pinterest, request), request.json
    if not isinstance(body, dict):
        raise errors.bad("the parameters of a report belong into its JSON body")
    days = dates(request, body, back=914, most=186)
    level = REPORT_LEVELS[choices([str(body.get("level", ""))], tuple(REPORT_LEVELS), "level")[0]]
    granularity = choices([str(body.get("granularity", ""))], ("TOTAL", "DAY", "WEEK", "MONTH"), "granularity")[0]
    args = {"columns": _columns(list(body.get("columns") or [])), "granularity": granularity}
    statuses = list(body.get("campaign_statuses") or STATUSES[:6])
    if len(choices(statuses, STATUSES, "campaign_statuses")) > 6:
        raise errors.bad("campaign_statuses must hold at most 6 values")
    ids = [account.id] if level == "account" else [entity["id"] for entity in account.level(level)]
    token = letters(40, HEX, "report", pinterest.seed, len(pinterest.reports.jobs))
    now, owner = request.now, pinterest.business(request)
    pinterest.reports.create(
        request, token, owner, {"account": account}, lambda: _file(rows(now, account, level, ids, days, args), level)
    )
    return {"report_status": "IN_PROGRESS", "token": token, "message": None}


def _file(found: list[Record], level: str) -> dict[str, list[Record]]:
    """By entity; ids inside the rows are numbers here."""
    out: dict[str, list[Record]] = {}
    for row in found:
        entity = row[ID_COLUMN[level]]
        out.setdefault(entity, []).append(
            {name: int(value) if name.endswith("_ID") else value for name, value in row.items()}
        )
    return out


@routes.get("/v5/ad_accounts/{account}/reports", scopes=SCOPES, limits=("ads_analytics",))
def poll_report(pinterest: Pinterest, request: Request) -> Record:
    account, token = account_arg(pinterest, request), request.query.get("token", "")
    job = pinterest.reports.jobs.get(token)
    if job is None or job.params["account"] is not account:
        return {"report_status": "DOES_NOT_EXIST", "url": None, "size": None}
    if request.now > job.created + REPORT_S:
        return {"report_status": "EXPIRED", "url": None, "size": None}
    pinterest.reports.poll(token, request.now)
    if job.state is JobState.FAILED:
        return {"report_status": "FAILED", "url": None, "size": None}
    if job.state is not JobState.DONE:
        return {"report_status": "IN_PROGRESS", "url": None, "size": None}
    return {"report_status": "FINISHED", "url": _link(request, job), "size": 1853}


def _link(request: Request, job: Job) -> str:
    until = int(request.now) + LINK_S
    signature = letters(40, HEX, "signature", job.id, until)
    url = f"{request.base_url}/async_reporting_v3/{job.id}.json"
    return f"{url}?X-Amz-Expires={LINK_S}&X-Amz-Date={until - LINK_S}&X-Amz-Signature={signature}"


@routes.get("/async_reporting_v3/{file}", auth=False)
def report_file(pinterest: Pinterest, request: Request) -> Response | dict[str, list[Record]]:
    """A pre-signed link: for five minutes, and without our token."""
    job = pinterest.reports.jobs.get(request.params["file"].removesuffix(".json"))
    if "authorization" in request.headers:
        return _storage_error(400, "InvalidArgument", "Only one auth mechanism allowed")
    until = int(request.query.get("X-Amz-Date", "0")) + LINK_S
    if job is None or job.result is None or request.now > until:
        return _storage_error(403, "AccessDenied", "Request has expired")
    if request.query.get("X-Amz-Signature") != letters(40, HEX, "signature", job.id, until):
        return _storage_error(403, "SignatureDoesNotMatch", "The signature does not match")
    found: dict[str, list[Record]] = job.result
    return found


def _storage_error(status: int, code: str, message: str) -> Response:
    return Response(f"<Error><Code>{code}</Code><Message>{message}</Message></Error>", status, type="application/xml")


# --- entities; after the paths that would match their pattern, too


@routes.get("/v5/ad_accounts/{account}/{level}", scopes=SCOPES, limits=("ads_read",))
def entities(pinterest: Pinterest, request: Request) -> Record | Response:
    account, level = account_arg(pinterest, request), request.params["level"]
    if level not in LEVELS:
        return errors.error(404, 2, "Resource not found.")
    given = [name for name in ("campaign_ids", "ad_group_ids", "ad_ids") if many(request, name)]
    if level == "ads" and len(given) > 1:
        raise errors.bad("only one of campaign_ids, ad_group_ids and ad_ids")
    statuses = many(request, "entity_statuses") or ["ACTIVE", "PAUSED"]
    found = [entity for entity in account.level(level) if entity["status"] in statuses]
    for name in given:
        field_name = "id" if LEVELS[level][0] == name else name[:-1]
        found = [entity for entity in found if entity.get(field_name) in many(request, name)]
    found.sort(key=lambda entity: int(entity["id"]), reverse=request.query.get("order") == "DESCENDING")
    return listed(pinterest, request, found)
