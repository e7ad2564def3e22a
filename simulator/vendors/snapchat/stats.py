"""Stats: totals, days and hours, of one entity or broken down by what is below it, at once or as a file."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from simulator import numbers
from simulator.dice import chance
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.reports import JobState
from simulator.vendors.snapchat import errors
from simulator.vendors.snapchat.data import AdAccount
from simulator.vendors.snapchat.routes import ADS, LIMITS, SINGULAR, ad_account, envelope, find, person_of, wrapped

if TYPE_CHECKING:
    from simulator.vendors.snapchat import Snapchat

routes = Routes()
_MEANS = {
    "video_views": 900.0,
    "landing_page_views": 60.0,
    "conversion_add_cart": 12.0,
    "conversion_purchases": 5.0,
    "conversion_view_content": 40.0,
    "conversion_sign_ups": 4.0,
    "total_installs": 3.0,
}
FIELDS = {"impressions", "swipes", "spend", "conversion_purchases_value", "uniques", "frequency", *_MEANS}
_ONLY_TOTAL = {"uniques", "frequency"}
_DAYS = {"DAY": 31, "HOUR": 7}


@routes.get("/v1/adaccounts/{id}/stats", scopes=ADS, limits=LIMITS)
def account_stats(snapchat: Snapchat, request: Request) -> Record:
    account = ad_account(request)
    asked = _Asked(request, account)
    if asked.breakdown == "" and set(asked.fields) - {"spend"}:
        raise errors.bad("E1004", "Unsupported Stats Query: ad account stats support only the field spend")
    if request.query.get("async") == "true":
        return _submit(snapchat, request, account, asked)
    return _answer(snapchat, request, asked, account.id, "AD_ACCOUNT", _leaves(account, "adaccount", account.id))


@routes.get("/v1/adaccounts/{id}/stats_report", scopes=ADS, limits=LIMITS)
def report(snapchat: Snapchat, request: Request) -> Record:
    ad_account(request)
    job = snapchat.reports.poll(request.query.get("report_run_id", ""), request.now)
    if job is None:
        raise errors.not_found()
    state = {JobState.PENDING: "STARTED", JobState.RUNNING: "RUNNING", JobState.DONE: "COMPLETED"}.get(
        job.state, "FAILED"
    )
    found = {"report_run_id": job.id, "async_status": state}
    if job.state is JobState.DONE:
        found["result"] = f"{request.base_url}/files/{snapchat.file_name(job.id)}.csv?X-Goog-Signature=1"
    return envelope(snapchat, async_stats_reports=wrapped("async_stats_report", [found]))


@routes.get("/files/{name}", auth=False)
def download(snapchat: Snapchat, request: Request) -> Response:
    """Storage with a signed address: whoever sends a token is refused."""
    job = next((j for j in snapchat.reports.jobs.values() if f"{snapchat.file_name(j.id)}.csv" in request.path), None)
    if job is None or job.state is not JobState.DONE or request.bearer():
        return Response("<Error><Code>AccessDenied</Code></Error>", 403, type="application/xml")
    return Response(job.result, type="text/csv")


@routes.get("/v1/{entities}/{id}/stats", scopes=ADS, limits=LIMITS)
def entity_stats(snapchat: Snapchat, request: Request) -> Record:
    plural, key = request.params["entities"], request.params["id"]
    if plural not in SINGULAR:
        raise errors.not_found()
    account, _ = find(request, SINGULAR[plural], key)
    leaves = _leaves(account, SINGULAR[plural], key)
    return _answer(snapchat, request, _Asked(request, account), key, SINGULAR[plural].upper(), leaves)


class _Asked:
    """The parameters, checked as Snap checks them."""

    def __init__(self, request: Request, account: AdAccount) -> None:
        args = request.query
        self.now, self.account = request.now, account
        self.zone = ZoneInfo(account.zone)
        self.granularity = args.get("granularity", "TOTAL")
        self.fields = [name for name in args.get("fields", "impressions,spend").split(",") if name]
        self.breakdown = args.get("breakdown", "")
        self.omit_empty = args.get("omit_empty") == "true"
        self.windows = args.get("swipe_up_attribution_window", "28_DAY"), args.get("view_attribution_window", "1_DAY")
        if self.granularity not in ("TOTAL", "DAY", "HOUR", "LIFETIME"):
            raise errors.bad("E1004", "Unsupported Stats Query: unknown granularity")
        if self.breakdown not in ("", "campaign", "adsquad", "ad"):
            raise errors.bad("E1004", f"Unsupported Stats Query: unsupported breakdown {self.breakdown}")
        if unknown := set(self.fields) - FIELDS:
            raise errors.bad("E1004", f"Unsupported Stats Query: unknown fields {', '.join(sorted(unknown))}")
        if self.granularity in ("DAY", "HOUR") and set(self.fields) & _ONLY_TOTAL:
            raise errors.bad("E1004", "Unsupported Stats Query: unique metrics need granularity TOTAL")
        self.start, self.end = self._bounds(args)

    def _bounds(self, args: dict[str, str]) -> tuple[datetime, datetime]:
        if self.granularity == "LIFETIME":
            return datetime(2020, 1, 1, tzinfo=self.zone), datetime.fromtimestamp(self.now, self.zone)
        try:
            start, end = (
                datetime.fromisoformat(args[name]).astimezone(self.zone) for name in ("start_time", "end_time")
            )
        except (KeyError, ValueError) as error:
            raise errors.bad("E1008", "Unsupported Stats Query: start_time and end_time must be ISO 8601") from error
        if any(at.minute or at.second for at in (start, end)) or end <= start:
            raise errors.bad("E1008", "Unsupported Stats Query: times must be on the hour")
        if self.granularity == "DAY" and (start.hour or end.hour):
            text = "Timeseries queries with DAY granularity must have a start time that is the start of day (00:00:00)"
            raise errors.bad(
                "E1008", f"Unsupported Stats Query: {text} for the account's timezone: {self.account.zone}"
            )
        most = timedelta(days=_DAYS.get(self.granularity, 100_000))
        if end.astimezone(UTC) - start.astimezone(UTC) > most:
            raise errors.bad("E1008", f"Unsupported Stats Query: at most {most.days} days at a time")
        return start, end

    def slots(self) -> list[tuple[datetime, datetime]]:
        if self.granularity not in ("DAY", "HOUR"):
            return [(self.start, self.end)]
        found, at = [], self.start
        while at < self.end:
            if self.granularity == "DAY":
                following = datetime.combine(at.date() + timedelta(days=1), at.time(), tzinfo=self.zone)
            else:
                following = (at.astimezone(UTC) + timedelta(hours=1)).astimezone(self.zone)
            found.append((at, following))
            at = following
        return found


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _leaves(account: AdAccount, kind: str, key: str) -> list[Record]:
    column = {"campaign": "_campaign", "adsquad": "ad_squad_id", "ad": "id"}.get(kind)
    return [ad for ad in account.ads.records() if column is None or ad[column] == key]


def _answer(snapchat: Snapchat, request: Request, asked: _Asked, key: str, kind: str, leaves: list[Record]) -> Record:
    series = asked.granularity in ("DAY", "HOUR")
    plural, singular = ("timeseries_stats", "timeseries_stat") if series else ("total_stats", "total_stat")
    if asked.granularity == "LIFETIME":
        plural, singular = "lifetime_stats", "lifetime_stat"
    stat: Record = {
        "id": key,
        "type": kind,
        "granularity": asked.granularity,
        "swipe_up_attribution_window": asked.windows[0],
        "view_attribution_window": asked.windows[1],
        "start_time": _stamp(asked.start),
        "end_time": _stamp(asked.end),
        **_finality(asked),
    }
    if asked.breakdown:
        parts = [part for part in _parts(asked.account, asked.breakdown, leaves) if part[1] or not asked.omit_empty]
        found = [_figures(asked, name, asked.breakdown.upper(), below) for name, below in parts]
        if asked.omit_empty:
            found = [part for part in found if part.get("timeseries") or any((part.get("stats") or {}).values())]
        stat["breakdown_stats"] = {asked.breakdown: found}
    else:
        own = _figures(asked, key, kind, leaves)
        stat |= {name: own[name] for name in ("timeseries", "stats") if name in own}
    return envelope(snapchat, **{plural: wrapped(singular, [stat])})


def _finality(asked: _Asked) -> Record:
    """Delivery is final two days and a half after; conversions are processed a day later than they happen."""
    final = datetime.fromtimestamp(asked.now - 2.5 * numbers.DAY_S, asked.zone).replace(
        minute=0, second=0, microsecond=0
    )
    converted = datetime.fromtimestamp(asked.now - numbers.DAY_S, asked.zone).replace(second=0, microsecond=0)
    return {
        "finalized_data_end_time": _stamp(max(min(final, asked.end), asked.start)),
        "conversion_data_processed_end_time": _stamp(max(min(converted, asked.end), asked.start)),
    }


def _parts(account: AdAccount, breakdown: str, leaves: list[Record]) -> list[tuple[str, list[Record]]]:
    """Everything at that level, with the ads of it; deleted ones keep their past."""
    column = {"campaign": "_campaign", "adsquad": "ad_squad_id", "ad": "id"}[breakdown]
    return [
        (record["id"], [ad for ad in leaves if ad[column] == record["id"]])
        for record in account.feeds()[breakdown].records()
    ]


def _figures(asked: _Asked, key: str, kind: str, leaves: list[Record]) -> Record:
    common: Record = {"id": key, "type": kind, "granularity": asked.granularity}
    if asked.granularity not in ("DAY", "HOUR"):
        return common | {"stats": _stats(asked, leaves, asked.start, asked.end)}
    rows = []
    for start, end in asked.slots():
        stats = _stats(asked, leaves, start, end)
        if not asked.omit_empty or any(stats.values()):
            rows.append({"start_time": _stamp(start), "end_time": _stamp(end), "stats": stats})
    return common | {"timeseries": rows}


def _stats(asked: _Asked, leaves: list[Record], start: datetime, end: datetime) -> Record:
    totals: dict[str, Any] = dict.fromkeys(asked.fields, 0)
    hours = (end.astimezone(UTC) - start.astimezone(UTC)) / timedelta(hours=1)
    share = 1.0 if hours >= 23 else hours / 24
    for day in numbers.days(start.date(), (end - timedelta(seconds=1)).date()):
        for leaf in leaves:
            if chance("delivered", leaf["id"], day.toordinal()) >= 0.15:
                found = _day(asked, leaf["id"], day)
                for name in asked.fields:
                    totals[name] += int(found[name] * share)
    return totals


def _day(asked: _Asked, leaf: str, day: date) -> dict[str, int]:
    def figure(name: str, mean: float) -> int:
        settle = 28.0 if name.startswith(("conversion", "total_installs")) else 2.5
        late = 0.3 if settle > 3 else 0.05
        return numbers.daily(
            asked.now, day, mean, leaf, name, zone=asked.account.zone, settle_days=settle, late_share=late
        )

    shown = figure("impressions", 4_000)
    swipes = int(shown * (0.01 + 0.01 * chance("rate", leaf)))
    found = {name: figure(name, mean) for name, mean in _MEANS.items()}
    found |= {"impressions": shown, "swipes": swipes, "uniques": int(shown * 0.8), "frequency": 1}
    found["spend"] = swipes * (100_000 + int(100_000 * chance("price", leaf)))
    found["conversion_purchases_value"] = found["conversion_purchases"] * 49_990_000
    return found


# --- as a file


def _submit(snapchat: Snapchat, request: Request, account: AdAccount, asked: _Asked) -> Record:
    if request.query.get("async_format", "csv") != "csv":
        raise errors.bad("E1004", "Unsupported Stats Query: async_format must be csv")
    key = f"ASYNC_STATS:{account.id}:{int(request.now)}{len(snapchat.reports.jobs)}"
    leaves = _leaves(account, "adaccount", account.id)

    def table() -> str:
        lines = [",".join(["start_time", "end_time", "id", *asked.fields])]
        for name, below in _parts(account, asked.breakdown or "campaign", leaves):
            for start, end in asked.slots():
                stats = _stats(asked, below, start, end)
                lines.append(",".join([_stamp(start), _stamp(end), name, *(str(stats[f]) for f in asked.fields)]))
        return "\n".join(lines) + "\n"

    snapchat.reports.create(request, key, person_of(request), {"account": account}, table)
    found = {"report_run_id": key, "async_status": "STARTED"}
    return envelope(snapchat, async_stats_reports=wrapped("async_stats_report", [found]))
