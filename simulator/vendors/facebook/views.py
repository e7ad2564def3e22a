"""Nodes of the Graph API as answers show them: the fields that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.feed import Record
from simulator.http import Refusal, Request
from simulator.vendors.facebook import errors, insights
from simulator.vendors.facebook.data import Conversation, Page, when
from simulator.vendors.facebook.fields import BadFields, Want, parse

if TYPE_CHECKING:
    from simulator.vendors.facebook import Facebook

from simulator.vendors.facebook.nodes import Node


def wanted(request: Request, default: str) -> tuple[Want, ...]:
    try:
        return parse(request.query.get("fields") or request.form.get("fields") or default)
    except BadFields as error:
        raise Refusal(errors.response(f"Syntax error near '{error}'", 2500)) from error


def pick(record: Record, wants: tuple[Want, ...]) -> Record:
    """Plain fields only; unknown ones are an error, absent ones are left out."""
    shown = {want.name: record[want.name] for want in wants if want.name in record}
    return {"id": record["id"], **shown} if "id" in record else shown


def show(facebook: Facebook, request: Request, node: Node, wants: tuple[Want, ...]) -> Record:
    kind, thing = node
    if kind in ("post", "media"):
        place, key = thing
        return shown_post(place, place.posts.get(key) or {}, wants)
    if kind == "comment":
        place, post, key = thing
        return shown_comment(place, post, place.comments_of(post).get(key) or {}, wants, author=sees_authors(request))
    if kind in ("page", "ig"):
        return pick(_profile(facebook, request, thing, wants), wants)
    if kind == "owner":
        return pick({"id": thing.id, "name": thing.name}, wants)
    if kind == "conversation":
        return shown_talk(thing, wants)
    if kind == "act":
        return pick(insights.account_json(thing), wants)
    if kind == "run":
        return insights.run_json(facebook, request, thing)
    return pick(thing, wants)


def _profile(facebook: Facebook, request: Request, place: Page, wants: tuple[Want, ...]) -> Record:
    names = {want.name for want in wants}
    followers = insights.followers(place, request.now)
    if place.kind == "ig":
        return {
            "id": place.id,
            "username": place.username,
            "name": place.name,
            "biography": "Things for outside.",
            "followers_count": followers,
            "follows_count": 120,
            "media_count": len(place.posts),
            "profile_picture_url": f"https://scontent.cdninstagram.com/v/{place.id}.jpg",
            "website": "https://shop.example.com/",
        }
    record: Record = {
        "id": place.id,
        "name": place.name,
        "username": place.username,
        "about": "Things for outside.",
        "category": "Outdoor equipment store",
        "fan_count": followers,
        "followers_count": followers,
        "link": f"https://www.facebook.com/{place.id}",
        "picture": {
            "data": {
                "height": 50,
                "is_silhouette": False,
                "url": f"https://scontent.xx.fbcdn.net/{place.id}",
                "width": 50,
            }
        },
        "verification_status": "not_verified",
        "tasks": ["ANALYZE", "ADVERTISE", "MESSAGING", "MODERATE", "CREATE_CONTENT", "MANAGE"],
    }
    if "access_token" in names:
        record["access_token"] = facebook.page_token(request, place)
    if place.link:
        record["instagram_business_account"] = {"id": place.link.id, "username": place.link.username}
    return record


def _summary(want: Want, total: int, **more: Any) -> Record:
    summary = {} if want.modifier("summary") is None else {"summary": {**more, "total_count": total}}
    return {"data": [], **summary}


def shown_post(place: Page, record: Record, wants: tuple[Want, ...]) -> Record:
    shown = pick(record, wants)
    for want in wants:
        if want.name == "comments_count":
            shown["comments_count"] = place.comment_count(record["_key"])
        elif want.name == "reactions":
            shown["reactions"] = _summary(want, record["_fans"])
        elif want.name == "comments":
            shown["comments"] = _nested_comments(place, record["_key"], want)
    return shown


def _nested_comments(place: Page, post: int, want: Want) -> Record:
    edge = _summary(want, place.comment_count(post), order="ranked", can_comment=True)
    limit = int(want.modifier("limit") or 25)
    if limit:
        part = place.comments_of(post).slice(limit, newest_first=False)
        fields = want.fields or parse("id,message,created_time,from")
        records = [place.comments_of(post).get(key) or {} for key in part.keys]
        edge["data"] = [shown_comment(place, post, record, fields, author=True) for record in records]
    return edge


def shown_comment(place: Page, post: int, record: Record, wants: tuple[Want, ...], *, author: bool) -> Record:
    shown = pick(record, wants)
    if not author:
        shown.pop("from", None)
    if "comment_count" in shown:
        replies = sum(other["_parent"] == record["_key"] for other in place.comments_of(post).records())
        shown["comment_count"] = replies
    for want in wants:
        if want.name == "replies" and place.kind == "ig":
            below = [other for other in place.comments_of(post).records() if other["_parent"] == record["_key"]]
            if below:
                shown["replies"] = {"data": [pick(other, want.fields or parse("id,text,timestamp")) for other in below]}
    return shown


def sees_authors(request: Request) -> bool:
    """Authors of comments show to Page tokens only."""
    return bool(request.token and request.token.extra.get("page"))


def shown_talk(talk: Conversation, wants: tuple[Want, ...]) -> Record:
    newest = talk.messages.newest() or 0
    page = talk.page
    ours = {"name": page.name, "email": f"{page.id}@facebook.com", "id": page.id}
    theirs = {**talk.person, "email": f"{talk.person['id']}@facebook.com"}
    last = talk.messages.get(newest) or {}
    return pick(
        {
            "id": talk.id,
            "updated_time": when(newest),
            "link": f"/{page.id}/inbox/{talk.id[2:]}/",
            "message_count": len(talk.messages),
            "unread_count": 1,
            "snippet": last.get("message", "")[:60],
            "participants": {"data": [theirs, ours]},
            "senders": {"data": [theirs, ours]},
            "can_reply": True,
        },
        wants,
    )
