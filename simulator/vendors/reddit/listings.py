"""Listings: anchored by fullnames, about a thousand things deep, newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from simulator.feed import Feed, Record
from simulator.http import Request
from simulator.paging import feed_page
from simulator.vendors.reddit.things import id36, key_of

if TYPE_CHECKING:
    from simulator.vendors.reddit import Reddit
    from simulator.vendors.reddit.data import Subreddit

DEPTH = 1_000


def is_raw(request: Request) -> bool:
    return request.query.get("raw_json") == "1"


def limit_arg(request: Request, default: int = 25, most: int = 100) -> int:
    value = request.query.get("limit", "")
    return min(max(int(value), 1), most) if value.isdigit() else default


def anchor_arg(request: Request, name: str) -> int | None:
    """The key of `after` or `before`; a fullname that makes no sense is taken for none, as Reddit does."""
    _, _, value = request.query.get(name, "").partition("_")
    return key_of(value) if value else None


def envelope(children: Iterable[Any], after: str | None, before: str | None, dist: int | None) -> Record:
    data = {"after": after, "dist": dist, "modhash": None, "geo_filter": "", "children": list(children)}
    return {"kind": "Listing", "data": {**data, "before": before}}


def listing(
    reddit: Reddit,
    request: Request,
    feed: Feed,
    kind: str,
    view: Callable[[Record], Record],
    *,
    view_name: str = "",
    deep: bool = False,
    limit: int | None = None,
) -> Record:
    """One page of a feed. `deep` lifts the ceiling of a thousand, for the account of benchmarks."""
    limit = limit or limit_arg(request)
    before = anchor_arg(request, "before")
    name = f"{view_name}|{is_raw(request)}"

    def child(record: Record) -> Record:
        return {"kind": kind, "data": view(record)}

    if before is not None and "after" not in request.query:
        # What lies next to the anchor comes, not the newest; beside an anchor that is gone there is nothing.
        keys = feed.slice(limit, above=before, newest_first=False, view=child, view_name=name).keys[::-1]
        if before not in feed:
            keys = []
        items = [raw for key in keys if (raw := feed.encoded(key, child, name)) is not None]
        first = f"{kind}_{_id(feed, keys[0])}" if keys else None
        last = f"{kind}_{_id(feed, keys[-1])}" if keys else None
        return envelope(items, last, first, len(items))
    position = anchor_arg(request, "after")
    above = None
    if not deep and len(feed) > DEPTH:
        above = feed.slice(DEPTH, view=lambda _record: None).last - 1
    page = feed_page(reddit, request, feed, limit, position=position, above=above, view=child, view_name=name)
    after = None if page.next is None else f"{kind}_{_id(feed, page.next)}"
    newest = f"{kind}_{_id(feed, page.keys[0])}" if position is not None and page.keys else None
    return envelope(page.items, after, newest, len(page.items))


def _id(feed: Feed, key: int) -> str:
    record = feed.get(key)
    return str(record["id"]) if record else id36(key)


def gathered(records: Iterable[Record]) -> Feed:
    """A feed of records from several places, by id."""
    found = {int(record["id"], 36): record for record in records}
    feed = Feed()
    for key in sorted(found):
        feed.append(key, found[key])
    return feed


def tree(sub: Subreddit, link: Record, now: float, *, raw: bool, limit: int, sort: str, root: str = "") -> list[Record]:
    """The comments of a post as a tree; those beyond the limit as `more` stubs."""
    below: dict[str, list[Record]] = {}
    for record in sub.comments_of(link["name"]):
        below.setdefault(record["parent_id"], []).append(record)
    for siblings in below.values():
        siblings.sort(key=lambda record: int(record["id"], 36), reverse=sort == "new")
    room = [limit]

    def nest(parent: str, depth: int) -> list[Record]:
        children: list[Record] = []
        siblings = below.get(parent, [])
        for place, record in enumerate(siblings):
            if room[0] <= 0:
                children.append(_more(siblings[place:], parent, depth, below))
                break
            room[0] -= 1
            shown = sub.shown_comment(record, now, raw=raw) | {"depth": depth}
            replies = nest(record["name"], depth + 1)
            shown["replies"] = envelope(replies, None, None, None) if replies else ""
            children.append({"kind": "t1", "data": shown})
        return children

    if root:
        found = sub.comment(int(root, 36))
        below["focus"] = [found] if found else []
        return nest("focus", 0)
    return nest(link["name"], 0)


def _more(left: list[Record], parent: str, depth: int, below: dict[str, list[Record]]) -> Record:
    def size(record: Record) -> int:
        return 1 + sum(size(child) for child in below.get(record["name"], ()))

    first, ids = left[0]["id"], [record["id"] for record in left]
    count = sum(size(record) for record in left)
    data = {"count": count, "name": f"t1_{first}", "id": first, "parent_id": parent, "depth": depth, "children": ids}
    return {"kind": "more", "data": data}
