"""Who the member is, their pages, followers, page views, and the notifications of a page."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.dice import ALNUM, chance, letters, mix
from simulator.feed import Record
from simulator.http import Refusal, Request, Routes
from simulator.vendors.linkedin import errors
from simulator.vendors.linkedin.answers import batch, finder, list_arg, paged, reads, single
from simulator.vendors.linkedin.data import Org
from simulator.vendors.linkedin.restli import params

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

routes = Routes()
ADMIN = ("ADMINISTRATOR",)
DAY_MS = 86_400_000


@routes.get("/v2/userinfo", scopes=("openid", "profile"))
def userinfo(linkedin: LinkedIn, request: Request) -> Record:
    who = linkedin.member(request)
    return {
        "sub": who.id,
        "name": who.name,
        "given_name": who.first,
        "family_name": who.last,
        "locale": {"country": "US", "language": "en"},
        "picture": f"https://media.licdn.com/dms/image/{who.id}",
    }


@reads(routes, "/rest/organizationAcls", "rw_organization_admin")
def acls(linkedin: LinkedIn, request: Request) -> Record:
    args, who = params(request), linkedin.member(request)
    finder(args, "roleAssignee")
    entries = [
        {"organization": org.urn, "role": org.role, "roleAssignee": who.urn, "state": "APPROVED"}
        for org in who.orgs
        if org.role and args.get("role", org.role) == org.role and args.get("state", "APPROVED") == "APPROVED"
    ]
    return paged(linkedin, request, entries, lambda entry: entry)


# --- profiles and followers


def org_json(org: Org) -> Record:
    logo = f"urn:li:digitalmediaAsset:C{letters(16, ALNUM, 'logo', org.id)}"
    return {
        "id": org.id,
        "$URN": org.urn,
        "localizedName": org.name,
        "name": {"localized": {"en_US": org.name}, "preferredLocale": {"country": "US", "language": "en"}},
        "vanityName": org.vanity,
        "localizedWebsite": f"https://www.{org.vanity}.example.com",
        "logoV2": {"original": logo, "cropped": logo},
        "organizationType": "PRIVATELY_HELD",
        "primaryOrganizationType": "NONE",
        "staffCountRange": "SIZE_11_TO_50",
        "locations": [],
        "versionTag": str(mix(org.id) % 10**9),
    }


@reads(routes, "/rest/organizations/{id}", "rw_organization_admin")
def organization(linkedin: LinkedIn, request: Request) -> Record:
    org = linkedin.org(request, f"urn:li:organization:{request.params['id']}", ADMIN, "organizations.GET")
    return org_json(org)


@reads(routes, "/rest/organizations", "rw_organization_admin")
def organizations(linkedin: LinkedIn, request: Request) -> Record:
    args, who = params(request), linkedin.member(request)
    mine = {str(org.id): org for org in who.orgs if org.role == "ADMINISTRATOR"}
    return batch(list_arg(args, "ids"), lambda name: org_json(mine[name]) if name in mine else None)


@reads(routes, "/rest/organizationsLookup", "r_organization_social")
def organizations_lookup(linkedin: LinkedIn, request: Request) -> Record:
    everyone = {str(org.id): org for member in linkedin.accounts.values() for org in member.orgs}
    return batch(list_arg(params(request), "ids"), lambda name: org_json(everyone[name]) if name in everyone else None)


def followers(org: Org, now: float) -> int:
    start = (org.end >> 22) / 1000 - 300 * numbers.DAY_S
    return 3_000 + numbers.growing(now, start, 2_000, 100 * numbers.DAY_S)


@reads(routes, "/rest/networkSizes/{urn}", "r_organization_social")
def network_sizes(linkedin: LinkedIn, request: Request) -> Record:
    if params(request).get("edgeType") != "COMPANY_FOLLOWED_BY_MEMBER":
        raise Refusal(errors.bad_param("edgeType is invalid"))
    org = linkedin.org(request, request.params["urn"], (), "networkSizes.GET")
    return {"firstDegreeSize": followers(org, request.now)}


def days_arg(args: dict[str, Any], now: float) -> list[date] | None:
    """The days of `timeIntervals`; None when not asked for. Only twelve months are kept."""
    asked = args.get("timeIntervals")
    if asked is None:
        return None
    try:
        start, end = int(asked["timeRange"]["start"]), int(asked["timeRange"]["end"])
        granularity = asked["timeGranularityType"]
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(errors.bad_param("timeIntervals is invalid")) from error
    if granularity != "DAY" or start >= end:
        raise Refusal(errors.bad_param("timeIntervals is invalid"))
    if start < (now - 366 * numbers.DAY_S) * 1000:
        raise Refusal(errors.bad_param("timeIntervals reaches back more than twelve months"))
    first = datetime.fromtimestamp(start / 1000, UTC).date()
    last = min(datetime.fromtimestamp((end - 1) / 1000, UTC).date(), numbers.today(now - numbers.DAY_S))
    return numbers.days(first, last)


def day_range(day: date) -> Record:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return {"start": start, "end": start + DAY_MS}


@reads(routes, "/rest/organizationalEntityFollowerStatistics", "rw_organization_admin")
def follower_statistics(linkedin: LinkedIn, request: Request) -> Record:
    args = params(request)
    finder(args, "organizationalEntity")
    where = "organizationalEntityFollowerStatistics.FINDER-organizationalEntity"
    org = linkedin.org(request, args.get("organizationalEntity"), ADMIN, where)
    span = days_arg(args, request.now)
    if span is None:
        by_country = {"geo": "urn:li:geo:103644278", "followerCounts": {"organicFollowerCount": 900}}
        return single([{"organizationalEntity": org.urn, "followerCountsByGeoCountry": [by_country]}])
    return single(
        [
            {
                "organizationalEntity": org.urn,
                "timeRange": day_range(day),
                "followerGains": {
                    "organicFollowerGain": numbers.daily(request.now, day, 14, "followers", org.id, settle_days=2),
                    "paidFollowerGain": 0,
                },
            }
            for day in span
            if not silent(org, day)
        ]
    )


def silent(org: Org, day: date) -> bool:
    """Days without anything are left out of statistics."""
    return chance("silent", org.id, day.toordinal()) < 0.05


@reads(routes, "/rest/organizationPageStatistics", "rw_organization_admin")
def page_statistics(linkedin: LinkedIn, request: Request) -> Record:
    args = params(request)
    finder(args, "organization")
    org = linkedin.org(request, args.get("organization"), ADMIN, "organizationPageStatistics.FINDER-organization")
    span = days_arg(args, request.now)
    if span is None:
        views = _views(sum(numbers.settled(day, 60, "views", org.id) for day in numbers.days(*_year(request.now))))
        return single([{"organization": org.urn, "totalPageStatistics": views}])
    return single(
        [
            {
                "organization": org.urn,
                "timeRange": day_range(day),
                "totalPageStatistics": _views(numbers.daily(request.now, day, 60, "views", org.id, settle_days=2)),
            }
            for day in span
            if not silent(org, day)
        ]
    )


def _year(now: float) -> tuple[date, date]:
    return numbers.today(now - 365 * numbers.DAY_S), numbers.today(now - numbers.DAY_S)


def _views(count: int) -> Record:
    def entry(share: float) -> Record:
        views = int(count * share)
        return {"pageViews": views, "uniquePageViews": int(views * 0.8)}

    return {
        "views": {
            "allPageViews": entry(1.0),
            "overviewPageViews": entry(0.6),
            "careersPageViews": entry(0.1),
            "allDesktopPageViews": entry(0.55),
            "allMobilePageViews": entry(0.45),
        },
        "clicks": {"desktopCustomButtonClickCounts": [], "mobileCustomButtonClickCounts": []},
    }


# --- notifications


@reads(routes, "/rest/organizationalEntityNotifications", "rw_organization_admin")
def notifications(linkedin: LinkedIn, request: Request) -> Record:
    """Newest first, of the last 60 days."""
    args = params(request)
    finder(args, "criteria")
    org = linkedin.org(
        request, args.get("organizationalEntity"), ADMIN, "organizationalEntityNotifications.FINDER-criteria"
    )
    actions = list_arg(args, "actions")
    span = args.get("timeRange", {})
    if not isinstance(span, dict):
        raise Refusal(errors.bad_query("timeRange"))
    oldest = max(int(span.get("start", 0)), int((request.now - 60 * numbers.DAY_S) * 1000))
    until = int(span.get("end", request.now * 1000 + 1))
    found = [
        record
        for record in org.notices.records()
        if record["action"] in actions and oldest <= record["lastModifiedAt"] < until
    ]
    return paged(linkedin, request, found[::-1], lambda record: record)
