"""Requests, responses and routes: the little that a vendor needs, and nothing that costs time per call."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec

if TYPE_CHECKING:
    from simulator.auth import App, Token
    from simulator.limits import Usage
    from simulator.vendor import Account

Headers = list[tuple[str, str]]
Handler = Callable[..., "Answer | Awaitable[Answer]"]

JSON = "application/json; charset=utf-8"


@dataclass(slots=True)
class Response:
    """`body` is sent as it is when it is bytes or text, as JSON otherwise (pre-encoded parts as `msgspec.Raw`)."""

    body: Any = b""
    status: int = 200
    headers: Headers = field(default_factory=list)
    type: str = JSON

    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


Answer = Response | dict[str, Any] | list[Any]


class Refusal(Exception):
    """A handler's way out of the depth with an answer that is not a success."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(slots=True, eq=False)
class Request:
    method: str
    path: str
    """Below the vendor's prefix, percent-encoded as it came."""
    query_string: str
    headers: dict[str, str]
    body: bytes
    base_url: str
    """Where this vendor's prefix begins, for links in answers."""
    route: Route | None = None
    params: dict[str, str] = field(default_factory=dict)
    now: float = 0.0
    """The vendor's clock, which a fault may have set wrong."""
    token: Token | None = None
    account: Account | None = None
    app: App | None = None
    usages: list[Usage] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _query: list[tuple[str, str]] | None = None
    _form: list[tuple[str, str]] | None = None
    _json: Any = None

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        if self._query is None:
            self._query = parse_qsl(self.query_string, keep_blank_values=True)
        return self._query

    @property
    def query(self) -> dict[str, str]:
        return dict(self.query_pairs)

    def query_list(self, name: str) -> list[str]:
        """Values of a repeated parameter (`id=1&id=2`)."""
        return [value for key, value in self.query_pairs if key == name]

    @property
    def form(self) -> dict[str, str]:
        if self._form is None:
            kind = self.headers.get("content-type", "")
            is_form = kind.startswith("application/x-www-form-urlencoded")
            self._form = parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True) if is_form else []
        return dict(self._form)

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        if self._json is None and self.body and "json" in self.headers.get("content-type", ""):
            try:
                self._json = msgspec.json.decode(self.body)
            except msgspec.DecodeError:
                return None
        return self._json

    def args(self) -> dict[str, Any]:
        """Query, form and JSON body as one, for vendors that do not care where an argument is."""
        body = self.json if isinstance(self.json, dict) else self.form
        return {**self.query, **body} if body else self.query

    def basic(self) -> tuple[str, str] | None:
        """Client id and secret of an HTTP Basic header."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            name, _, secret = b64decode(value).decode().partition(":")
        except ValueError:
            return None
        return unquote(name), unquote(secret)

    def bearer(self, scheme: str = "bearer") -> str | None:
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if kind.lower() == scheme and value else None


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    handler: Handler
    auth: bool
    scopes: tuple[str, ...]
    limits: tuple[str, ...]
    token: bool


class Routes:
    """Part of a vendor's API; a vendor lists one or several.

    Paths are the vendor's own. `{name}` matches within one segment and arrives percent-decoded in `request.params`.
    Handlers are called with (vendor, request), may be async, and answer a Response or what becomes its JSON body.
    """

    def __init__(self) -> None:
        self.table: list[Route] = []

    def add(
        self,
        methods: str,
        path: str,
        *,
        auth: bool = True,
        scopes: Iterable[str] = (),
        limits: Iterable[str] = (),
        token: bool = False,
    ) -> Callable[[Handler], Handler]:
        """`methods` like "GET" or "GET POST". `token` marks a token endpoint: not authenticated, counted apart."""

        def keep(handler: Handler) -> Handler:
            for method in methods.split():
                self.table.append(Route(method, path, handler, auth and not token, tuple(scopes), tuple(limits), token))
            return handler

        return keep

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.add("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.add("POST", path, **options)


class Router:
    """Literal paths by one look-up, the others in the order they were declared."""

    def __init__(self, tables: Iterable[Routes]) -> None:
        self._literal: dict[tuple[str, str], Route] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
        for table in tables:
            for route in table.table:
                if "{" in route.path:
                    self._patterns.setdefault(route.method, []).append((_pattern(route.path), route))
                else:
                    self._literal[route.method, route.path] = route

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        if (route := self._literal.get((method, path))) is not None:
            return route, {}
        for pattern, route in self._patterns.get(method, ()):
            if (match := pattern.fullmatch(path)) is not None:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        return None

    def routes(self) -> list[Route]:
        return [*self._literal.values(), *(route for table in self._patterns.values() for _, route in table)]


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
    )
