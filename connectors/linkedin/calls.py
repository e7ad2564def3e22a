"""The requests we make of LinkedIn, as structures that Rest.li can write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from connectors.http import Context, Reply, Request, get
from connectors.http.times import milliseconds
from connectors.linkedin import parse
from connectors.linkedin.restli import urn

VERSION = "202607"
"""Served for at least a year. The installation's `api_version` (among the app's secrets) overrides it."""
TOLD = timedelta(days=60)
"""How long LinkedIn keeps notifications."""
ADS_FIELDS = ("dateRange", "pivotValues", *parse.ADS_NUMBERS, *parse.MONEY)


def headers(ctx: Context) -> Mapping[str, str]:
    version = ctx.account.installation.secrets.get("api_version") or VERSION
    return {"LinkedIn-Version": version, "X-Restli-Protocol-Version": "2.0.0"}


def rest(resource: str, rest_of_path: str = "", /, **params: Any) -> Request:
    return get(f"/rest/{resource}{rest_of_path}", endpoint=resource, **params)


def roles() -> Request:
    """Which pages the member may do something on."""
    return rest("organizationAcls", q="roleAssignee", state="APPROVED", count=100)


def posts(ctx: Context) -> Request:
    return rest("posts", q="author", author=ctx.partition.key, sortBy="LAST_MODIFIED", count=ctx.size)


def outcomes(reply: Reply) -> list[dict[str, Any]]:
    """Of a batch: what became of each id."""
    failed, found = reply.at("errors", {}), reply.at("results", {})
    if not found and len(failed) > 3:
        return []  # that many do not vanish together: the page itself is out of our sight
    return [{"urn": name, "status": int(found.get("status", 500))} for name, found in failed.items()]


def comments(ctx: Context) -> Request:
    return rest("socialActions", f"/{urn(ctx.vars['post'])}/comments", start=0, count=ctx.size)


def notices(ctx: Context, *actions: str) -> Request:
    """Newest first, up to the beginning of the pull: what comes later must not move the pages."""
    since = max(ctx.since, ctx.now - TOLD) if ctx.since else ctx.now - TOLD
    until = min(ctx.until, ctx.now) if ctx.until else ctx.now
    return rest(
        "organizationalEntityNotifications",
        q="criteria",
        actions=list(actions),
        organizationalEntity=ctx.partition.key,
        timeRange={"start": milliseconds(since), "end": milliseconds(until) + 1},
        count=ctx.size,
    )


def by_day(resource: str, finder: str) -> Callable[[Context], Request]:
    """Statistics of a page, a row a day."""

    def request(ctx: Context) -> Request:
        span = ctx.span
        assert span.starts_at is not None and span.ends_at is not None
        days = {"start": milliseconds(span.starts_at), "end": milliseconds(span.ends_at)}
        intervals = {"timeRange": days, "timeGranularityType": "DAY"}
        return rest(resource, q=finder, **{finder: ctx.partition.key}, timeIntervals=intervals)

    return request


def post_totals(ctx: Context) -> Request:
    ids = {kind: [post for post in ctx.vars["posts"] if f":{kind}:" in post] for kind in ("share", "ugcPost")}
    return rest(
        "organizationalEntityShareStatistics",
        q="organizationalEntity",
        organizationalEntity=ctx.vars["urn"],
        shares=ids["share"] or None,
        ugcPosts=ids["ugcPost"] or None,
    )


def analytics(ctx: Context) -> Request:
    assert ctx.span.first_day is not None and ctx.span.last_day is not None
    return rest(
        "adAnalytics",
        q="analytics",
        pivot="CAMPAIGN",
        timeGranularity="DAILY",
        dateRange={"start": _date(ctx.span.first_day), "end": _date(ctx.span.last_day)},
        accounts=[ctx.partition.key],
        fields=ADS_FIELDS,
    )


def _date(day: date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}
