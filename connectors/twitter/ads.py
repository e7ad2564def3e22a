"""The X Ads API v12: figures of campaigns and line items by day, of promoted posts by report.

At most 20 entities in a call and one placement, so entities go in batches in the order of their creation: a batch,
once full, stays the same. Days are the ad account's, spend is an estimate for three days and moves for fourteen.
Source: docs.x.com/x-ads-api (v12): analytics, campaign management.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.http import (
    Context,
    CursorPager,
    DateWindow,
    Partition,
    Reply,
    Report,
    Request,
    Stream,
    chunks,
)
from connectors.http.times import day_span, zulu
from connectors.records import MetricRecord

if TYPE_CHECKING:
    from connectors.http.api import Api

V = "/12"
PAGER = CursorPager("next_cursor", "cursor")
PATHS = {"CAMPAIGN": "campaigns", "LINE_ITEM": "line_items", "PROMOTED_TWEET": "promoted_tweets"}
KINDS = {"CAMPAIGN": "campaign", "LINE_ITEM": "ad_group", "PROMOTED_TWEET": "ad"}
PARENTS = ("line_item_id", "campaign_id")
PLACEMENTS = ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")
GROUPS = "ENGAGEMENT,BILLING,VIDEO"
BATCH = 20
SETTLE = timedelta(days=14)
REPORTS_EVERY_S = 6 * 3600


def ads(path: str, endpoint: str, **params: Any) -> Request:
    """Without the account's token: `sign_ads` of the connector signs with keys of their own."""
    return Request("GET", f"{V}/{path}", params, host="ads", endpoint=endpoint, signed=False)


# --- parts


async def accounts(api: Api) -> list[list[str]]:
    """Ids and time zones. They may be asked for five times in 15 minutes, so they are kept among the facts."""
    listing = ads("accounts", "ads_accounts", count=200, with_deleted="true")
    return [[found["id"], found.get("timezone") or "UTC"] async for found in api.walk(listing, pager=PAGER)]


async def _batches(api: Api, kinds: tuple[str, ...]) -> AsyncIterator[Partition]:
    """Entities of each ad account, twenty at a time, once for each placement."""
    found_accounts = api.facts.get("ad_accounts")
    for account_id, zone in found_accounts if found_accounts is not None else await accounts(api):
        currency: str | None = None
        for kind in ("CAMPAIGN", *kinds):
            found = await _entities(api, account_id, kind)
            currency = currency or next((entity["currency"] for entity in found if entity.get("currency")), None)
            if kind not in kinds:
                continue
            for number, batch in enumerate(chunks(found, BATCH)):
                parents = {e["id"]: next((e[name] for name in PARENTS if e.get(name)), None) for e in batch}
                names = {"account": account_id, "kind": kind, "currency": currency, "parents": parents}
                for placement in PLACEMENTS:
                    details = {**names, "placement": placement, "budget_key": account_id}
                    yield Partition(f"{account_id}:{kind}:{number}:{placement}", details, zone=zone)


async def _entities(api: Api, account_id: str, kind: str) -> list[dict[str, Any]]:
    """In the order in which they were made, deleted ones too, for their money was spent."""
    request = ads(f"accounts/{account_id}/{PATHS[kind]}", "ads_entities", count=1000, with_deleted="true")
    ctx = api.context().at(Partition(account_id, {"budget_key": account_id}))
    found = [entity async for entity in api.walk(request, pager=PAGER, size=1000, ctx=ctx)]
    return sorted(found, key=lambda entity: (str(entity.get("created_at")), str(entity["id"])))


async def delivering(api: Api, _ctx: Context) -> AsyncIterator[Partition]:
    async for partition in _batches(api, ("CAMPAIGN", "LINE_ITEM")):
        yield partition


async def promoted(api: Api, ctx: Context) -> AsyncIterator[Partition]:
    """Passed over until the next quarter of the day: reports are slow."""
    mark = int(ctx.now.timestamp() // REPORTS_EVERY_S)
    async for partition in _batches(api, ("PROMOTED_TWEET",)):
        yield Partition(partition.key, partition.vars, mark=mark, zone=partition.zone)


# --- requests


def _asked(ctx: Context) -> dict[str, Any]:
    span = ctx.span
    assert span.starts_at is not None and span.ends_at is not None
    return {
        "entity": ctx.vars["kind"],
        "entity_ids": ",".join(ctx.vars["parents"]),
        "start_time": zulu(span.starts_at),
        "end_time": zulu(span.ends_at),
        "granularity": "DAY",
        "placement": ctx.vars["placement"],
        "metric_groups": GROUPS,
    }


def stats(ctx: Context) -> Request:
    return ads(f"stats/accounts/{ctx.vars['account']}", "ads_stats", **_asked(ctx))


def create_job(ctx: Context) -> Request:
    return replace(ads(f"stats/jobs/accounts/{ctx.vars['account']}", "ads_jobs", **_asked(ctx)), method="POST")


def poll_job(ctx: Context, job_id: str) -> Request:
    return ads(f"stats/jobs/accounts/{ctx.vars['account']}", "ads_jobs", job_ids=job_id)


def job_ready(reply: Reply) -> bool | None:
    status = reply.at("data.0.status", "")
    if status == "SUCCESS":
        return True
    return None if status in ("QUEUED", "UPLOADING", "PROCESSING") else False


def job_file(_ctx: Context, _job_id: str, reply: Reply) -> Request:
    """The address is signed in itself and lives for two days."""
    return Request("GET", str(reply.at("data.0.url")), endpoint="ads_file", signed=False, raw=True)


def file_rows(reply: Reply) -> list[Any]:
    """A file of gzip, which the transport may have unpacked on its way."""
    body = gzip.decompress(reply.body) if reply.body[:2] == b"\x1f\x8b" else reply.body
    found: list[Any] = msgspec.json.decode(body)["data"]
    return found


# --- rows


def entity_days(item: dict[str, Any], ctx: Context) -> Iterator[MetricRecord]:
    """An entity's figures: for each metric a list with a value for each day, or null where nothing was served."""
    first = ctx.span.first_day
    assert first is not None
    for part in item.get("id_data") or ():
        for metric, values in (part.get("metrics") or {}).items():
            for place, value in enumerate(values if isinstance(values, list) else ()):
                if not isinstance(value, int | float):
                    continue
                start, end = day_span(first + timedelta(days=place), ctx.partition.zone)
                yield _record(item["id"], metric, value, ctx, start=start, end=end)


def _record(entity: str, metric: str, value: Any, ctx: Context, **window: Any) -> MetricRecord:
    money = metric == "billed_charge_local_micro"
    exact = Decimal(str(value))
    return MetricRecord(
        entity=entity,
        entity_kind=KINDS[ctx.vars["kind"]],
        metric="spend" if money else metric,
        value=exact / 1_000_000 if money else exact,
        currency=ctx.vars["currency"] if money else None,
        dimensions={"placement": ctx.vars["placement"]},
        place=ctx.vars["account"],
        parent=ctx.vars["parents"].get(entity),
        **window,
    )


STREAMS = (
    Stream(
        "ads-metrics",
        "Results of campaigns and line items by day",
        every=timedelta(minutes=60),
        part="days",
        partitions=delivering,
        request=stats,
        cursor=DateWindow(step=7, lookback=14, recent=3, settle=SETTLE, first=30, reach=730),
        map=entity_days,
    ),
    Stream(
        "ads-metrics",
        "Results of promoted posts by day",
        every=timedelta(minutes=60),
        part="ads",
        partitions=promoted,
        report=Report(
            create=create_job, job_id="data.id_str", poll=poll_job, ready=job_ready, download=job_file, poll_s=15.0
        ),
        items=file_rows,
        cursor=DateWindow(step=45, lookback=14, recent=3, settle=SETTLE, first=30, reach=730),
        map=entity_days,
    ),
)
