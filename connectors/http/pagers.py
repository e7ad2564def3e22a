"""How vendors page. A pager finds the token of the next page in an answer, and puts a token into a request.

Tokens go into stored cursors, so they are JSON and never hold a secret. A pager only reads; that a walk ends, that a
token does not come twice and that an empty page with a next token goes on is the session's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

from connectors.http.request import Context, Reply, Request

Token = str | int | dict[str, Any]
Place = Literal["params", "json", "form"]


class Pager(Protocol):
    @property
    def resizable(self) -> bool:
        """Whether the page size may change in the middle of a walk."""
        ...

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        """The token of the following page; None at the end. `token` led to this page."""
        ...

    def apply(self, request: Request, token: Token) -> Request: ...


@dataclass(frozen=True, slots=True)
class Single:
    """Everything comes at once."""

    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        return None

    def apply(self, request: Request, token: Token) -> Request:
        return request


@dataclass(frozen=True, slots=True)
class CursorPager:
    """An opaque token at `path` of the body; missing, null or empty at the end, or when `more` (a path) is false."""

    path: str
    param: str
    where: Place = "params"
    more: str = ""
    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        if self.more and not reply.at(self.more, False):
            return None
        found = reply.at(self.path)
        return found if found not in ("", None) else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, self.where, {self.param: token})


@dataclass(frozen=True, slots=True)
class OffsetPager:
    """Counts items. Ends at `total` (a path), when `more` (a path) is false, or else with a page that is not full."""

    param: str
    where: Place = "params"
    total: str = ""
    more: str = ""
    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        at = int(token or 0) if not isinstance(token, dict) else 0
        following = at + ctx.size
        total = reply.at(self.total) if self.total else None
        if total is not None:
            return following if following < int(total) else None
        if self.more:
            return following if reply.at(self.more, False) else None
        return following if len(items) >= ctx.size else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, self.where, {self.param: token})


@dataclass(frozen=True, slots=True)
class PagePager:
    """Numbers pages. Ends at `pages` (a path: how many there are), or else with a page that is not full."""

    param: str = "page"
    pages: str = ""
    first: int = 1
    where: Place = "params"
    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        number = self.first if token is None or isinstance(token, dict) else int(token)
        if self.pages:
            last = self.first + int(reply.at(self.pages, 0)) - 1
            return number + 1 if number < last else None
        return number + 1 if len(items) >= ctx.size else None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, self.where, {self.param: token})


@dataclass(frozen=True, slots=True)
class NextUrlPager:
    """A complete address at `path` of the body. Its parameters are kept without `drop`; its host is never followed."""

    path: str
    drop: tuple[str, ...] = ("access_token", "appsecret_proof")
    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        return _query(reply.at(self.path), self.drop)

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", token if isinstance(token, dict) else {})


@dataclass(frozen=True, slots=True)
class LinkPager:
    """The Link header (RFC 8288) with this relation."""

    rel: str = "next"
    drop: tuple[str, ...] = ("access_token",)
    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        for part in reply.header("link").split(","):
            if (found := re.search(r"<([^>]*)>(.*)", part)) and re.search(
                rf'rel="?[^"]*\b{re.escape(self.rel)}\b', found[2]
            ):
                return _query(found[1], self.drop)
        return None

    def apply(self, request: Request, token: Token) -> Request:
        return put(request, "params", token if isinstance(token, dict) else {})


@dataclass(frozen=True, slots=True)
class SinceIdPager:
    """Asks for what follows the last id of the page: `of` reads an item's id. Ends with a page that is not full.

    newest=True walks towards newer ids (the highest one goes into `param`), False towards older ones.
    """

    param: str
    of: Callable[[Any], Any]
    newest: bool = True
    drop: tuple[str, ...] = ()
    """Parameters of the first request that later ones must not have."""
    resizable: bool = True

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        if len(items) < ctx.size:
            return None
        ids = [self.of(item) for item in items]
        found: Token = max(ids, key=int) if self.newest else min(ids, key=int)
        return found

    def apply(self, request: Request, token: Token) -> Request:
        kept = {name: value for name, value in request.params.items() if name not in self.drop}
        return replace(request, params={**kept, self.param: token})


def put(request: Request, where: Place, values: Mapping[str, Any]) -> Request:
    """The request with these arguments in its query, JSON body or form."""
    if where == "json":
        return replace(request, json={**(request.json or {}), **values})
    if where == "form":
        return replace(request, form={**(request.form or {}), **values})
    return replace(request, params={**request.params, **values})


def _query(url: Any, drop: tuple[str, ...]) -> Token | None:
    if not isinstance(url, str) or not url:
        return None
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    return {name: value[0] if len(value) == 1 else value for name, value in found.items() if name not in drop}
