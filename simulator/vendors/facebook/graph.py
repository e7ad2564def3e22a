"""Edges of the Graph API: lists of Pages, posts, comments, conversations; batches; subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from simulator.feed import Feed, Record, View
from simulator.http import Refusal, Request, Response, Routes
from simulator.paging import Page as PageOf
from simulator.paging import feed_page, list_page, seal, unseal
from simulator.vendors.facebook import errors, insights
from simulator.vendors.facebook.data import MICRO, Conversation, Owner, Page
from simulator.vendors.facebook.fields import Want, parse

if TYPE_CHECKING:
    from simulator.vendors.facebook import Facebook
from simulator.vendors.facebook.nodes import Node, find
from simulator.vendors.facebook.views import pick, sees_authors, show, shown_comment, shown_post, shown_talk, wanted

routes = Routes()


# --- edges


@routes.get("/{version}/{node}")
def node(facebook: Facebook, request: Request) -> Record:
    return show(facebook, request, _scoped(facebook, request, None), wanted(request, "id,name"))


@routes.get("/{version}/{node}/{edge}")
def edge(facebook: Facebook, request: Request) -> Record:
    name = request.params["edge"]
    kind, thing = _scoped(facebook, request, name)
    handler = _EDGES.get((kind, name))
    if handler is None:
        raise Refusal(errors.no_edge(name))
    return handler(facebook, request, thing)


def _scoped(facebook: Facebook, request: Request, name: str | None) -> Node:
    found = find(facebook, request, request.params["node"])
    if (scope := facebook.scope_of(found[0], name, request)) is not None:
        facebook.need(request, scope)
    return found


def limit_arg(request: Request, default: int = 25) -> int:
    value = request.query.get("limit", str(default))
    if not value.isdigit():
        raise Refusal(errors.bad_argument("limit must be an integer"))
    return max(min(int(value), 100), 1)


def position_arg(request: Request, name: str = "after") -> int | None:
    value = request.query.get(name)
    if not value:
        return None
    found = unseal(value)
    if found is None:
        raise Refusal(errors.response("Invalid cursors values", 100))
    return int(found[0])


def link(request: Request, **changes: Any) -> str:
    """The address of this edge with other paging arguments."""
    dropped = ("after", "before", "__paging_token", "until", "since", "__previous")
    args = [(name, value) for name, value in request.query_pairs if name not in dropped or name not in changes]
    kept = [(name, value) for name, value in args if name not in changes]
    if request.token and not any(name == "access_token" for name, _ in kept):
        kept.insert(0, ("access_token", request.token.value))
    return f"{request.base_url}{request.path}?{urlencode([*kept, *changes.items()])}"


def edge_json(request: Request, page: PageOf, *, by_time: bool = False) -> Record:
    answer: Record = {"data": page.items}
    if not page.items and page.next is None:
        return answer
    first = page.keys[0] if page.keys else 0
    last = page.keys[-1] if page.keys else (page.next or 0)
    if by_time:
        paging: Record = {"previous": link(request, since=first // MICRO, __paging_token=seal(first), __previous=1)}
        if page.next is not None:
            paging["next"] = link(request, until=page.next // MICRO + 1, __paging_token=seal(page.next))
    else:
        paging = {"cursors": {"before": seal(first), "after": seal(page.next if page.next is not None else last)}}
        if page.next is not None:
            paging["next"] = link(request, after=seal(page.next))
    return {**answer, "paging": paging}


def _bound(request: Request, name: str) -> int | None:
    value = request.query.get(name)
    if not value:
        return None
    at = insights.moment(value)
    if at is None:
        raise Refusal(errors.bad_argument(f"{name} is not a valid time"))
    return int(at * MICRO)


def _walk(
    facebook: Facebook,
    request: Request,
    feed: Feed,
    default: str,
    view: Callable[[tuple[Want, ...]], View],
    *,
    by_time: bool = False,
    newest_first: bool = True,
    bounded: bool = True,
) -> Record:
    wants = wanted(request, default)
    page = feed_page(
        facebook,
        request,
        feed,
        limit_arg(request),
        position=position_arg(request, "__paging_token" if by_time else "after"),
        above=_bound(request, "since") if bounded else None,
        below=_bound(request, "until") if bounded else None,
        newest_first=newest_first,
        view=view(wants),
        view_name=f"{request.query.get('fields', default)}|{sees_authors(request)}|{request.query.get('filter', '')}",
    )
    return edge_json(request, page, by_time=by_time)


def posts(facebook: Facebook, request: Request, place: Page) -> Record:
    by_time = request.params["edge"] in ("feed", "posts")
    default = "id,message,created_time,story" if place.kind == "page" else "id"
    return _walk(
        facebook,
        request,
        place.posts,
        default,
        lambda wants: lambda record: shown_post(place, record, wants),
        by_time=by_time,
    )


def tagged(facebook: Facebook, request: Request, place: Page) -> Record:
    return _walk(
        facebook, request, place.tagged, "id,message,created_time", lambda wants: lambda record: pick(record, wants)
    )


def comments(facebook: Facebook, request: Request, thing: tuple[Page, int]) -> Record:
    place, post = thing
    everything = request.query.get("filter") == "stream"
    author = sees_authors(request) or place.kind == "ig"

    def view(wants: tuple[Want, ...]) -> View:
        def shown(record: Record) -> Record | None:
            if record["_parent"] is not None and not everything:
                return None
            return shown_comment(place, post, record, wants, author=author)

        return shown

    default = "id,created_time,from,message" if place.kind == "page" else "id,text,timestamp"
    newest_first = place.kind == "ig" or request.query.get("order") == "reverse_chronological"
    answer = _walk(facebook, request, place.comments_of(post), default, view, newest_first=newest_first, bounded=False)
    if request.query.get("summary") in ("true", "1", "total_count"):
        order = request.query.get("order", "chronological")
        answer["summary"] = {"order": order, "total_count": place.comment_count(post)}
    return answer


def replies(facebook: Facebook, request: Request, thing: tuple[Page, int, int]) -> Record:
    place, post, key = thing
    wants = wanted(request, "id,text,timestamp" if place.kind == "ig" else "id,message,created_time,from")
    author = sees_authors(request) or place.kind == "ig"
    found = [r for r in place.comments_of(post).records() if r["_parent"] == key]
    page = list_page(facebook, request, found, limit_arg(request), position=position_arg(request))
    return edge_json(
        request, PageOf([shown_comment(place, post, r, wants, author=author) for r in page.items], page.next)
    )


def _listed(facebook: Facebook, request: Request, records: list[Record]) -> Record:
    page = list_page(facebook, request, records, limit_arg(request), position=position_arg(request))
    return edge_json(request, page)


def accounts(facebook: Facebook, request: Request, owner: Owner) -> Record:
    wants = wanted(request, "id,name,access_token,category,tasks")
    return _listed(facebook, request, [show(facebook, request, ("page", page), wants) for page in owner.pages])


def ad_accounts(facebook: Facebook, request: Request, owner: Owner) -> Record:
    wants = wanted(request, "id,account_id")
    return _listed(facebook, request, [pick(insights.account_json(account), wants) for account in owner.ad_accounts])


def conversations(facebook: Facebook, request: Request, page: Page) -> Record:
    platform = request.query.get("platform", "messenger")
    talks = [talk for talk in page.conversations.values() if talk.platform == platform]
    talks.sort(key=lambda talk: talk.messages.newest() or 0, reverse=True)
    wants = wanted(request, "id,link,updated_time")
    return _listed(facebook, request, [shown_talk(talk, wants) for talk in talks])


def messages(facebook: Facebook, request: Request, talk: Conversation) -> Record:
    """Only the 20 newest can be read in full; older ones look deleted."""
    newest = set(talk.messages.slice(20).keys)

    def view(wants: tuple[Want, ...]) -> View:
        old = parse("id,created_time")
        return lambda record: pick(record, wants if record["_key"] in newest else old)

    return _walk(facebook, request, talk.messages, "id,created_time", view, bounded=False)


def subscribed_apps(facebook: Facebook, request: Request, page: Page) -> Record:
    app = request.app or facebook.app
    entry = {"id": app.client_id, "name": "Sync", "subscribed_fields": sorted(page.subscribed)}
    return {"data": [entry] if page.subscribed else []}


_EDGES: dict[tuple[str, str], Callable[..., Record]] = {
    ("owner", "accounts"): accounts,
    ("owner", "adaccounts"): ad_accounts,
    ("page", "published_posts"): posts,
    ("page", "posts"): posts,
    ("page", "feed"): posts,
    ("page", "tagged"): tagged,
    ("page", "conversations"): conversations,
    ("page", "subscribed_apps"): subscribed_apps,
    ("page", "insights"): insights.page,
    ("ig", "media"): posts,
    ("ig", "stories"): lambda *_: {"data": []},
    ("ig", "tags"): tagged,
    ("ig", "insights"): insights.instagram,
    ("post", "comments"): comments,
    ("post", "insights"): insights.post,
    ("media", "comments"): comments,
    ("media", "insights"): insights.media,
    ("comment", "comments"): replies,
    ("comment", "replies"): replies,
    ("conversation", "messages"): messages,
    ("act", "insights"): insights.ads,
    ("act", "campaigns"): lambda f, r, a: _listed(f, r, insights.entities(r, a.campaigns, wanted(r, "id"), pick)),
    ("act", "adsets"): lambda f, r, a: _listed(f, r, insights.entities(r, a.adsets, wanted(r, "id"), pick)),
    ("act", "ads"): lambda f, r, a: _listed(f, r, insights.entities(r, a.ads, wanted(r, "id"), pick)),
    ("run", "insights"): insights.run_rows,
}


# --- several calls in one, and what is written


@routes.get("/{version}/")
@routes.get("/")
def many(facebook: Facebook, request: Request) -> Record:
    ids = [part for part in request.query.get("ids", "").split(",") if part]
    if not ids:
        raise Refusal(errors.response("Unsupported get request.", 100))
    wants = wanted(request, "id,name")
    return {node_id: show(facebook, request, find(facebook, request, node_id), wants) for node_id in ids}


@routes.post("/{version}/", auth=False)
@routes.post("/", auth=False)
async def batch(facebook: Facebook, request: Request) -> Response | list[Any]:
    try:
        calls = msgspec.json.decode(str(request.args().get("batch", "[]")))
    except msgspec.DecodeError:
        return errors.bad_argument("batch must be a valid JSON array")
    if len(calls) > 50:
        return errors.response("Too many requests in batch message. Maximum batch size is 50", 1)
    return [await _inner(facebook, request, call) for call in calls]


async def _inner(facebook: Facebook, request: Request, call: dict[str, str]) -> Record:
    parts = urlsplit("/" + call["relative_url"].lstrip("/"))
    version = request.params.get("version", "v25.0")
    path = parts.path if parts.path.startswith("/v") else f"/{version}{parts.path}"
    args = dict(parse_qsl(parts.query))
    args.setdefault("access_token", facebook.token_of(request) or "")
    inner = Request(call.get("method", "GET").upper(), path, urlencode(args), {}, b"", request.base_url)
    assert facebook.world.call is not None
    answer = await facebook.world.call(facebook, inner)
    headers = [{"name": name, "value": value} for name, value in facebook.finish(inner, answer)]
    return {"code": answer.status, "headers": headers, "body": answer.payload().decode()}


@routes.post("/{version}/{node}/subscribed_apps", scopes=("pages_manage_metadata",))
def subscribe_page(facebook: Facebook, request: Request) -> Record:
    _, page = find(facebook, request, request.params["node"])
    page.subscribed = {part for part in str(request.args().get("subscribed_fields", "")).split(",") if part}
    return {"success": True}


@routes.add("DELETE", "/{version}/{node}/subscribed_apps", scopes=("pages_manage_metadata",))
def unsubscribe_page(facebook: Facebook, request: Request) -> Record:
    _, page = find(facebook, request, request.params["node"])
    page.subscribed = set()
    return {"success": True}


@routes.post("/{version}/{node}/insights", scopes=("ads_read",))
def start_report(facebook: Facebook, request: Request) -> Record:
    kind, account = find(facebook, request, request.params["node"])
    if kind != "act":
        raise Refusal(errors.no_edge("insights"))
    return insights.start(facebook, request, account)
