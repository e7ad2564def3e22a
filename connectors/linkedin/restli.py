"""Rest.li 2.0 in addresses: punctuation of lists and objects stays bare, everything inside it is percent-encoded.

Source: learn.microsoft.com/linkedin/shared/api-guide/concepts/{protocol-version,pagination}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from connectors.http import Context, Reply, Request
from connectors.http.pagers import Token, put


def encode(value: Any) -> str:
    """A parameter: lists become `List(a,b)`, dicts `(key:value)`, tuples a plain `a,b` (names of fields)."""
    if isinstance(value, tuple):
        return ",".join(map(urn, value))
    if isinstance(value, list):
        return f"List({','.join(map(encode, value))})"
    if isinstance(value, dict):
        return f"({','.join(f'{name}:{encode(item)}' for name, item in value.items())})"
    return urn(value)


def urn(value: object) -> str:
    """A URN as a part of a path."""
    return quote(str(value), safe="")


async def address(request: Request, _ctx: Context) -> Request:
    """The request with its parameters written into the address, where no library encodes them again."""
    given = {name: value for name, value in request.params.items() if value is not None}
    if not given:
        return request
    query = "&".join(f"{name}={encode(value)}" for name, value in given.items())
    return replace(request, path=f"{request.path}?{query}", params={})


@dataclass(frozen=True, slots=True)
class StartPager:
    """Pages by `start` and `count`. The link to the next one decides; without it, the total where there is one."""

    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        for link in reply.at("paging.links", ()):
            if link.get("rel") == "next" and (start := parse_qs(urlsplit(link["href"]).query).get("start")):
                return int(start[0])
        following = int(token or 0) + ctx.size if not isinstance(token, dict) else 0
        total = reply.at("paging.total")
        more = following < int(total) if total is not None else len(items) >= ctx.size
        return following if more and items else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", {"start": token})


@dataclass(frozen=True, slots=True)
class ThreadPager:
    """The comments of a post page by page, then the replies to each of them that has any.

    A token is {start, queue}: `queue` holds the comments whose replies are still to come, the first one's from `start`
    on once `inside` is set.
    """

    page: StartPager = StartPager()
    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        at = token if isinstance(token, dict) else {}
        queue, inside = list(at.get("queue", ())), bool(at.get("inside"))
        if not inside:
            queue += [found for item in items if _replies(item) and (found := item["commentUrn"]) not in queue]
        following = self.page.next(reply, items, ctx, at.get("start", 0))
        if following is not None:
            return {"start": following, "queue": queue, "inside": inside}
        queue = queue[1:] if inside else queue
        return {"start": 0, "queue": queue, "inside": True} if queue else None

    def apply(self, request: Request, token: Token) -> Request:
        assert isinstance(token, dict)
        moved = self.page.apply(request, token["start"])
        return (
            replace(moved, path=f"/rest/socialActions/{urn(token['queue'][0])}/comments") if token["inside"] else moved
        )


def _replies(item: Any) -> bool:
    summary = item.get("commentsSummary") or {}
    return bool(summary.get("aggregatedTotalComments") or summary.get("totalFirstLevelComments"))
