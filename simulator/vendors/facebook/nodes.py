"""Which thing an id of the Graph API stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.http import Refusal, Request
from simulator.vendors.facebook import errors
from simulator.vendors.facebook.data import Owner, Page, exact

if TYPE_CHECKING:
    from simulator.vendors.facebook.deeds import Deeds

Node = tuple[str, Any]
"""(kind, object): owner, page, ig, post, comment, conversation, message, act, entity, run"""


def find(facebook: Deeds, request: Request, node_id: str) -> Node:
    """The node of an id that this token may see; an error 100/33 otherwise."""
    found = _look(facebook, request, node_id)
    page_only = request.token.extra.get("page") if request.token else None
    if found is not None and page_only and found[0] in ("page", "owner") and found[1].id != page_only:
        found = None
    if found is None:
        raise Refusal(errors.no_node(node_id))
    return found


def _look(facebook: Deeds, request: Request, node_id: str) -> Node | None:
    owner = request.account
    if not isinstance(owner, Owner):
        return None
    if node_id == "me":
        page_id = request.token.extra.get("page") if request.token else None
        return ("page", facebook.place(owner, page_id)) if page_id else ("owner", owner)
    if node_id == owner.id:
        return "owner", owner
    if (place := facebook.place(owner, node_id)) is not None:
        return place.kind, place
    if node_id in facebook.reports.jobs:
        return "run", facebook.reports.jobs[node_id]
    for account in owner.ad_accounts:
        if node_id == f"act_{account.id}":
            return "act", account
        for entity in (*account.campaigns, *account.adsets, *account.ads):
            if entity["id"] == node_id:
                return "entity", entity
    if node_id.startswith(("t_", "m_")):
        return _talk(owner, node_id)
    return _content(owner, node_id)


def _talk(owner: Owner, node_id: str) -> Node | None:
    for page in owner.pages:
        if node_id in page.conversations:
            return "conversation", page.conversations[node_id]
        if node_id.startswith("m_"):
            for talk in page.conversations.values():
                newest = talk.messages.slice(20).keys
                for key in newest:
                    record = talk.messages.get(key)
                    if record and record["id"] == node_id:
                        return "message", record
    return None


def _content(owner: Owner, node_id: str) -> Node | None:
    """Posts and comments say in their id where they are."""
    left, _, right = node_id.partition("_")
    for place in owner.places():
        if place.kind == "page" and left == place.id and right.isdigit():
            key = int(right)
            if key in place.posts:
                return "post", (place, key)
            if key in place.tagged:
                return "tagged", place.tagged.get(key)
        elif place.kind == "page" and left.isdigit() and right.isdigit():
            post, key = int(left), int(right)
            if post in place.posts and key in place.comments_of(post):
                return "comment", (place, post, key)
        elif place.kind == "ig" and len(node_id) == 17 and node_id.isdigit() and int(node_id[-2:]) == place.number:
            return _instagram(place, node_id[:2], int(node_id[2:15]))
    return None


def _instagram(place: Page, prefix: str, stamp: int) -> Node | None:
    if prefix == "18":
        key = exact(place.posts, stamp, "ig")
        return None if key is None else ("media", (place, key))
    for post in (*place.comments, *place.posts.slice(300, below=(stamp + 1) * 1000).keys):
        if (key := exact(place.comments_of(post), stamp, "ig")) is not None:
            return "comment", (place, post, key)
    return None
