"""Posts of a page, what people did with them, and the totals of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.dice import chance, mix
from simulator.feed import Record
from simulator.http import Refusal, Request, Routes
from simulator.vendors.linkedin import errors
from simulator.vendors.linkedin.answers import batch, finder, list_arg, paged, reads, single
from simulator.vendors.linkedin.data import ACTIVITY, Org, activity_urn, ms_of, person_urn
from simulator.vendors.linkedin.organizations import ADMIN, day_range, days_arg, silent
from simulator.vendors.linkedin.restli import params

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

routes = Routes()
READERS = ("ADMINISTRATOR", "CONTENT_ADMIN", "DIRECT_SPONSORED_CONTENT_POSTER")
POST_KINDS = ("share", "ugcPost")


# --- finding things by URN


def find_post(linkedin: LinkedIn, request: Request, urn: str) -> tuple[Org, int] | None:
    """The living post behind a share, ugcPost or activity URN, on a page that the member may read."""
    kind, _, number = urn.removeprefix("urn:li:").partition(":")
    if kind not in (*POST_KINDS, "activity") or not number.isdigit():
        return None
    key = int(number) - (ACTIVITY if kind == "activity" else 0)
    for org in linkedin.member(request).orgs:
        if key in org.posts and (kind == "activity" or org.post_urn(key) == urn):
            return (org, key) if org.role in READERS else None
    return None


def find_comment(linkedin: LinkedIn, request: Request, urn: str) -> tuple[Org, int, int] | None:
    activity, _, number = urn.removeprefix("urn:li:comment:(").removesuffix(")").rpartition(",")
    found = find_post(linkedin, request, activity)
    if found is None or not number.isdigit() or int(number) not in found[0].comments_of(found[1]):
        return None
    return *found, int(number)


# --- posts


def post_json(record: Record) -> Record:
    return {name: value for name, value in record.items() if not name.startswith("_")}


@reads(routes, "/rest/posts", "r_organization_social")
def posts(linkedin: LinkedIn, request: Request) -> Record:
    args = params(request)
    if "ids" in args:
        return batch(list_arg(args, "ids"), lambda urn: _post(linkedin, request, urn))
    finder(args, "author")
    by = str(args.get("sortBy", "LAST_MODIFIED"))
    if by not in ("LAST_MODIFIED", "CREATED"):
        raise Refusal(errors.bad_param("sortBy is invalid"))
    org = linkedin.org(request, args.get("author"), READERS, "posts.FINDER-author")
    return paged(
        linkedin,
        request,
        org.ordered(by),
        lambda key: None if key is None else org.posts.encoded(key, post_json, "post"),
    )


def _post(linkedin: LinkedIn, request: Request, urn: str) -> Any:
    found = find_post(linkedin, request, urn)
    if found is not None:
        return found[0].posts.encoded(found[1], post_json, "post")
    number = urn.rpartition(":")[2]
    unseen = number.isdigit() and any(int(number) in org.posts for org in linkedin.member(request).orgs)
    return 403 if unseen else None


@reads(routes, "/rest/posts/{urn}", "r_organization_social")
def post(linkedin: LinkedIn, request: Request) -> Record:
    found = find_post(linkedin, request, request.params["urn"])
    if found is None:
        raise Refusal(errors.not_found())
    return post_json(found[0].posts.get(found[1]) or {})


# --- comments and reactions


@reads(routes, "/rest/socialActions/{urn}/comments", "r_organization_social_feed")
def comments(linkedin: LinkedIn, request: Request) -> Record:
    """Those of a post, or the replies to one of them; in no order that anybody promised."""
    urn = request.params["urn"]
    parent: int | None = None
    if urn.startswith("urn:li:comment:"):
        place = find_comment(linkedin, request, urn)
        found = None if place is None else place[:2]
        parent = None if place is None else place[2]
    else:
        found = find_post(linkedin, request, urn)
    if found is None:
        raise Refusal(errors.not_found())
    org, key = found
    feed = org.comments_of(key)
    listed = [record for record in feed.records() if record["_parent"] == parent]
    listed.sort(key=lambda record: mix(record["id"]))
    return paged(linkedin, request, listed, lambda record: comment_json(org, key, record))


def comment_json(org: Org, post_key: int, record: Record) -> Record:
    shown = post_json(record)
    likes, replies = record["_likes"], 0
    if record["_parent"] is None:
        replies = sum(other["_parent"] == int(record["id"]) for other in org.comments_of(post_key).records())
    shown["likesSummary"] = {
        "totalLikes": likes,
        "aggregatedTotalLikes": likes,
        "likedByCurrentUser": False,
        "selectedLikes": [],
    }
    shown["commentsSummary"] = {
        "totalFirstLevelComments": replies,
        "aggregatedTotalComments": replies,
        "selectedComments": [],
    }
    return shown


@reads(routes, "/rest/socialActions/{urn}/comments/{id}", "r_organization_social_feed")
def comment(linkedin: LinkedIn, request: Request) -> Record:
    found = find_post(linkedin, request, request.params["urn"])
    number = request.params["id"]
    record = found[0].comments_of(found[1]).get(int(number)) if found and number.isdigit() else None
    if found is None or record is None:
        raise Refusal(errors.not_found())
    return comment_json(*found, record)


@reads(routes, "/rest/reactions/{entity}", "r_organization_social_feed")
def reactions(linkedin: LinkedIn, request: Request) -> Record:
    args = params(request)
    finder(args, "entity")
    urn = request.params["entity"].removeprefix("(entity:").removesuffix(")")
    found = find_post(linkedin, request, urn)
    if found is None:
        raise Refusal(errors.not_found())
    org, key = found
    count = (org.posts.get(key) or {})["_fans"]
    return paged(linkedin, request, range(count - 1, -1, -1), lambda number: _reaction(org, key, number))


def _reaction(org: Org, key: int, number: int) -> Record:
    who = person_urn("fan", org.id, key, number)
    stamp = {"actor": who, "time": ms_of(key) + number * 60_000}
    return {
        "id": f"urn:li:reaction:({who},{activity_urn(key)})",
        "reactionType": reaction_type(key, number),
        "root": activity_urn(key),
        "created": stamp,
        "lastModified": stamp,
    }


def reaction_type(key: int, number: int) -> str:
    return ("LIKE", "LIKE", "LIKE", "PRAISE", "EMPATHY")[mix("reaction", key, number) % 5]


# --- totals


@reads(routes, "/rest/socialMetadata", "r_organization_social_feed")
def social_metadata_batch(linkedin: LinkedIn, request: Request) -> Record:
    return batch(list_arg(params(request), "ids"), lambda urn: _metadata(linkedin, request, urn))


@reads(routes, "/rest/socialMetadata/{urn}", "r_organization_social_feed")
def social_metadata(linkedin: LinkedIn, request: Request) -> Record:
    found = _metadata(linkedin, request, request.params["urn"])
    if found is None:
        raise Refusal(errors.not_found())
    return found


def _metadata(linkedin: LinkedIn, request: Request, urn: str) -> Record | None:
    found = find_post(linkedin, request, urn)
    if found is None:
        return None
    org, key = found
    feed = org.comments_of(key)
    top = sum(record["_parent"] is None for record in feed.records())
    kinds: dict[str, int] = {}
    for number in range((org.posts.get(key) or {})["_fans"]):
        kind = reaction_type(key, number)
        kinds[kind] = kinds.get(kind, 0) + 1
    return {
        "entity": urn,
        "commentsState": "OPEN",
        "commentSummary": {"count": len(feed), "topLevelCount": top},
        "reactionSummaries": {kind: {"reactionType": kind, "count": count} for kind, count in kinds.items()},
    }


@reads(routes, "/rest/organizationalEntityShareStatistics", "rw_organization_admin")
def share_statistics(linkedin: LinkedIn, request: Request) -> Record:
    """Of posts by id, of days, or in total. Posts and days with nothing to tell are left out."""
    args = params(request)
    finder(args, "organizationalEntity")
    where = "organizationalEntityShareStatistics.FINDER-organizationalEntity"
    org = linkedin.org(request, args.get("organizationalEntity"), ADMIN, where)
    if "shares" in args or "ugcPosts" in args:
        found: list[Record] = []
        for name, kind in (("shares", "share"), ("ugcPosts", "ugcPost")):
            for urn in list_arg(args, name) if name in args else ():
                if not urn.startswith(f"urn:li:{kind}:"):
                    raise Refusal(errors.bad_param(f"{urn} is no {kind}"))
                totals = _post_totals(linkedin, request, org, urn)
                if totals is not None:
                    found.append({"organizationalEntity": org.urn, kind: urn, "totalShareStatistics": totals})
        return single(found)
    span = days_arg(args, request.now)
    if span is None:
        return single([{"organizationalEntity": org.urn, "totalShareStatistics": _statistics(9_000, org.id)}])
    elements: list[Record] = []
    for day in span:
        if not silent(org, day):
            seen = numbers.daily(request.now, day, 3_000, "impressions", org.id, settle_days=2)
            totals = _statistics(seen, mix(org.id, day.toordinal())) | {"shareMentionsCount": 0}
            elements.append(
                {"organizationalEntity": org.urn, "timeRange": day_range(day), "totalShareStatistics": totals}
            )
    return single(elements)


def _post_totals(linkedin: LinkedIn, request: Request, org: Org, urn: str) -> Record | None:
    found = find_post(linkedin, request, urn)
    if found is None or found[0] is not org:
        return None
    key = found[1]
    seen = numbers.growing(request.now, ms_of(key) / 1000, 400 + 4_000 * chance("seen", key))
    if not seen or chance("unseen", key) < 0.08:
        return None
    likes, replies = (org.posts.get(key) or {})["_fans"], len(org.comments_of(key))
    return {**_statistics(seen, key), "likeCount": likes, "commentCount": replies}


def _statistics(impressions: int, *key: int) -> Record:
    clicks = int(impressions * (0.01 + 0.03 * chance("clicks", *key)))
    likes = int(impressions * 0.007)
    return {
        "uniqueImpressionsCount": int(impressions * 0.82),
        "shareCount": int(impressions * 0.0006),
        "engagement": round((clicks + likes) / max(impressions, 1), 16),
        "clickCount": clicks,
        "likeCount": likes,
        "impressionCount": impressions,
        "commentCount": int(impressions * 0.002),
        "commentMentionsCount": 0,
        "shareMentionsCount": 0,
    }
