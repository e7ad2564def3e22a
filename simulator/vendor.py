"""What every simulated vendor has: apps, accounts, tokens, limits, webhooks - and its own way of saying no."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from urllib.parse import urlencode

from simulator.auth import App, AuthServer, Grant, Token, TokenError, TokenRules
from simulator.feed import Feed
from simulator.http import Answer, Headers, Refusal, Request, Response, Routes
from simulator.limits import Limiter, Rule, Usage
from simulator.log import redact
from simulator.webhooks import Delivery, HookRules, Hooks, Target

if TYPE_CHECKING:
    import httpx

    from simulator.faults import Fault, Kind
    from simulator.world import Scale, World

Action = Callable[..., Any]


@dataclass(eq=False, kw_only=True)
class Account:
    """What a customer connects: a workspace, a person with pages, a bot. Vendors subclass it with their data."""

    id: str
    name: str
    big: bool = False
    """The huge one for benchmarks; nothing ever happens in it by itself."""


A = TypeVar("A", bound=Account)


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything our side needs to use an account: what a customer's consent would have given us."""

    platform: str
    account_id: str
    name: str
    base_path: str
    client_id: str
    client_secret: str
    access_token: str
    refresh_token: str | None
    expires_at: float | None
    scopes: tuple[str, ...]
    secrets: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Vendor(Generic[A]):
    """Subclass, set the class attributes, write `build` and the refusals; hand the rest over to `routes`."""

    slug: ClassVar[str]
    tables: ClassVar[tuple[Routes, ...]]
    scopes: ClassVar[tuple[str, ...]] = ()
    """All that a full consent gives."""
    token_rules: ClassVar[TokenRules] = TokenRules()
    limit_rules: ClassVar[tuple[Rule, ...]] = ()
    hook_rules: ClassVar[HookRules] = HookRules()
    hooks_by_account: ClassVar[bool] = False
    """Every account has a receiver of its own, with a secret that the receiver chose: nobody else can add one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seed = world.seed
        self.random = random.Random(f"{world.seed}:{self.slug}")
        self.auth = AuthServer(world.seed, self.slug, self.token_rules, self.make_token)
        self.limits = Limiter((_copy(rule) for rule in self.limit_rules), enabled=world.limits)
        self.hooks = Hooks(self, self.hook_rules)
        self.accounts: dict[str, A] = {}
        self.actions: dict[str, Action] = {}
        """Deeds that the control API offers by name, called with the account and JSON arguments."""
        self.next_consent: dict[str, Any] = {}
        """For the next authorize request: {"account": id} or {"deny": true} or {"scopes": [...]}."""
        self.build(world.scale)

    # --- to write for each vendor

    def build(self, scale: Scale) -> None:
        """Make apps (`self.auth.add_app`) and accounts (`self.add`)."""
        raise NotImplementedError

    def grow(self, account: A) -> str:
        """Let one thing happen (a post, a reply, an edit, a reaction ...) and emit its webhook. Returns what it was."""
        raise NotImplementedError

    def feeds(self, account: A) -> dict[str, Feed]:
        """Everything a perfect pull of this account would bring, by name: the truth that tests compare with."""
        raise NotImplementedError

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        raise NotImplementedError

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        raise NotImplementedError

    def limited(self, request: Request, usage: Usage) -> Response:
        raise NotImplementedError

    def broken(self, request: Request, status: int) -> Response:
        """The vendor's own 5xx."""
        raise NotImplementedError

    def unknown(self, request: Request) -> Response:
        """No such path."""
        raise NotImplementedError

    def expired_cursor(self, request: Request) -> Response:
        raise NotImplementedError

    # --- to override where the vendor differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        """The text of a new token."""
        return sha256(f"{self.seed}:{self.slug}:{kind}:{grant.number}:{number}".encode()).hexdigest()[:40]

    def token_of(self, request: Request) -> str | None:
        """Where the access token is in a request."""
        return request.bearer()

    def authenticate(self, request: Request) -> Token:
        return self.auth.check(self.token_of(request), request.now)

    def claims(self, request: Request) -> list[tuple[str, str]]:
        """Which budgets (rule, key) a call spends; by default those its route names, shared as the rules say."""
        if request.route is None:
            return []
        return [(name, self.limit_key(request, self.limits.rules[name])) for name in request.route.limits]

    def limit_key(self, request: Request, rule: Rule) -> str:
        parts = {
            "app": request.app.client_id if request.app else "-",
            "account": request.account.id if request.account else "-",
            "token": request.token.value[-8:] if request.token else "-",
            "route": request.route.path if request.route else "-",
        }
        return ":".join(parts[part] for part in rule.per)

    def cost(self, request: Request) -> float:
        """Points a call spends on each of its budgets."""
        return 1

    def finish(self, request: Request, response: Response) -> Headers:
        """Headers of every answer: limits, request ids, versions."""
        return []

    def redact_path(self, path: str) -> str:
        return redact(path)

    def full_scopes(self, account: A) -> tuple[str, ...]:
        return self.scopes

    def connection_of(self, account: A, app: App, access: Token, refresh: Token | None) -> Connection:
        return Connection(
            platform=self.slug,
            account_id=account.id,
            name=account.name,
            base_path=f"/{self.slug}",
            client_id=app.client_id,
            client_secret=app.client_secret,
            access_token=access.value,
            refresh_token=refresh.value if refresh else None,
            expires_at=access.expires_at,
            scopes=tuple(sorted(access.grant.scopes)),
            secrets=dict(app.secrets),
        )

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        """Headers of a webhook request; sign with a wrong secret when `delivery.forged`."""
        return {}

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        return True

    def hook_answered(self, delivery: Delivery, status: int, headers: httpx.Headers) -> str:
        """delivered, retry or stopped."""
        return "delivered" if 200 <= status < 300 else "retry"

    def hook_failed(self, delivery: Delivery) -> None:
        """Every attempt failed."""

    # --- for use in handlers

    def now(self) -> float:
        """The vendor's clock, wrong by a `clock_skew` fault."""
        now = self.world.clock.now()
        for fault in self.world.faults.active:
            if fault.kind == "clock_skew" and fault.vendor in ("*", self.slug):
                now += float(fault.params.get("seconds", 600))
        return now

    def add(self, account: A) -> A:
        self.accounts[account.id] = account
        return account

    @property
    def app(self) -> App:
        """The first app; vendors with one app need no other."""
        return next(iter(self.auth.apps.values()))

    def strike(self, kind: Kind, request: Request) -> Fault | None:
        """The fault of this kind that hits this call, if any."""
        faults = self.world.faults
        if not faults.active:
            return None
        route = request.route.path if request.route else request.path
        fault = faults.strike(kind, self.slug, request.account.id if request.account else None, request.path, route)
        if fault is not None:
            request.faults.append(kind)
        return fault

    def need(self, request: Request, *scopes: str) -> None:
        """Refuse the call unless its token has all of these scopes."""
        if request.token is not None and not request.token.scopes.issuperset(scopes):
            raise Refusal(self.scope_missing(request, scopes))

    def refuse(self, status: int, body: Any, headers: Headers | None = None) -> Refusal:
        """`raise vendor.refuse(404, {...})`"""
        return Refusal(Response(body, status, headers or []))

    def consent(
        self,
        request: Request,
        *,
        separator: str = " ",
        scope_arg: str = "scope",
        client_arg: str = "client_id",
        default_scopes: Iterable[str] = (),
    ) -> Response:
        """An authorize page whose person agrees at once: redirects with code and state.

        Which account consents: `sim_account` in the query, else `next_consent`, else the first one.
        """
        args, plan = request.query, self.next_consent
        self.next_consent = {}
        app = self.auth.apps.get(args.get(client_arg, ""))
        target = args.get("redirect_uri", "")
        if app is None or not target or (app.redirect_uris and target not in app.redirect_uris):
            return Response("This app or redirect address is not registered.", 400, type="text/plain")
        state = {"state": args["state"]} if "state" in args else {}
        if plan.get("deny"):
            return _redirect(target, {"error": "access_denied", **state})
        account = self.accounts.get(args.get("sim_account") or plan.get("account") or next(iter(self.accounts)))
        asked = [scope for scope in args.get(scope_arg, "").split(separator) if scope] or list(default_scopes)
        grant = self.auth.consent(app, account, plan.get("scopes") or asked, request.now)
        code = self.auth.code(
            grant,
            request.now,
            target,
            args.get("code_challenge", ""),
            args.get("code_challenge_method", "plain" if "code_challenge" in args else "S256"),
        )
        return _redirect(target, {"code": code, **state})

    # --- for tests and the control API

    def connect(
        self, account: A | str | None = None, *, app: App | None = None, scopes: Iterable[str] | None = None
    ) -> Connection:
        """Tokens as a finished consent would have given them."""
        found = self.account(account)
        app = app or self.app
        now = self.now()
        grant = self.auth.consent(app, found, scopes if scopes is not None else self.full_scopes(found), now)
        pair = self.auth.pair(grant, now)
        return self.connection_of(found, app, pair.access, pair.refresh)

    def account(self, account: A | str | None = None) -> A:
        """By id; the first one when not said."""
        if isinstance(account, Account):
            return account
        return self.accounts[account] if account else next(iter(self.accounts.values()))

    def ordinary_accounts(self) -> list[A]:
        return [account for account in self.accounts.values() if not account.big]

    def revoke(self, account: A | str | None = None, reason: str = "user") -> int:
        """The person takes back consent; override to send what the vendor sends then."""
        return self.auth.revoke_account(self.account(account), reason)

    def truth(self, account: A | str | None = None) -> dict[str, list[Any]]:
        """All living records, by feed."""
        return {name: list(feed.records()) for name, feed in self.feeds(self.account(account)).items()}


def _redirect(target: str, args: dict[str, str]) -> Response:
    return Response(b"", 302, [("location", f"{target}{'&' if '?' in target else '?'}{urlencode(args)}")])


def _copy(rule: Rule) -> Rule:
    return Rule(rule.name, rule.max, rule.period, rule.kind, rule.per, rule.penalty, rule.retry_after)


__all__ = ["Account", "Answer", "Connection", "Vendor"]
