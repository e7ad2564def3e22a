"""Calls to one platform for one account: paced, signed, judged, retried; every answer that comes out of it is good.

One call costs at most three tries here (RETRY) and one renewal of the token (REFRESH); whatever lasts longer is the
runtime's business: the error says what it is, and the run comes back later.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from connectors.base import Account, Credentials
from connectors.http.auth import OAuth2
from connectors.http.budgets import CALLS, Budget, LocalBudgets
from connectors.http.errors import GoneError, ResetError, ShrinkError, UnreadableError
from connectors.http.pagers import Pager, Single
from connectors.http.request import WHOLE, Context, Reply, Request
from connectors.http.streams import HttpConnector, Items, find_items
from connectors.http.verdicts import Judgement, Problem, Rule, Verdict, judge, retry_after
from connectors.records import ActivityKind
from sync.base.errors import (
    ConfigurationError,
    IntegrationRevoked,
    Permanent,
    RateLimited,
    ScopeMissing,
    SyncError,
    Transient,
)

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 2.0
"""A budget that is free again within this is waited for; for anything longer the run parks and frees its worker."""
THROTTLED_S = 60.0
"""When the vendor does not say how long."""
TRIES = 3
MAX_BODY = 64_000_000
REPEATS = 3
"""Empty pages in a row that may lead to themselves."""

Sleep = Callable[[float], Awaitable[None]]


class Api:
    """What async seams get, and what the session walks with."""

    def __init__(
        self,
        connector: HttpConnector,
        account: Account,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.connector = connector
        self.account = account
        self.facts: Mapping[str, Any] = account.facts
        self._client = client
        self._now = now
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._urls = connector.urls(account)
        self._budgets = account.budgets or LocalBudgets()
        self._credentials = account.credentials
        self._loaded = account.tokens is None
        self._renewed_at: datetime | None = None

    def context(self) -> Context:
        return Context(self.account, self.facts, self._now())

    async def call(self, request: Request, ctx: Context | None = None, rules: Sequence[Rule] = ()) -> Reply:
        """The answer to one request. Errors: what the verdict on any other answer means."""
        ctx = ctx or self.context()
        renewed = False
        for attempt in range(1, TRIES + 2):
            budgets = await self._pace(request, ctx)
            used = await self._credentials_now(request)
            reply, judgement = await self._try(request, ctx, used, rules)
            if reply is not None:
                await self._learn(reply, budgets, ctx)
            if judgement.verdict is Verdict.OK and reply is not None:
                return reply
            if judgement.verdict is Verdict.RETRY and attempt < TRIES and (judgement.after_s or 0) <= PATIENCE_S:
                await self._sleep(judgement.after_s or self._rng.uniform(0.1, 0.5 * 2**attempt))
                continue
            if judgement.verdict is Verdict.THROTTLED and attempt < TRIES and _short(judgement.after_s):
                await self._throttled(judgement, "", budgets, ctx)
                continue  # the block is waited for like any other: everybody else sees it, too
            if judgement.verdict is Verdict.REFRESH and self._ours(request) and (wait := self._settling()):
                text = f"{self.connector.title} does not know a renewed token yet."
                raise Transient(text, retry_after_s=wait, code="token_settling")
            if judgement.verdict is Verdict.REFRESH and not renewed and await self._renew(request, used):
                renewed = True
                continue
            raise await self._error(request, ctx, judgement, budgets, reply)
        raise Transient(f"{self.connector.title} does not answer.")

    async def walk(
        self,
        request: Request,
        items: Items = "data",
        pager: Pager | None = None,
        *,
        size: int = 100,
        ctx: Context | None = None,
        rules: Sequence[Rule] = (),
        max_pages: int = 10_000,
    ) -> AsyncIterator[Any]:
        """All items of a list, page by page: for finding partitions."""
        pager = pager or Single()
        ctx = replace(ctx or self.context(), size=size)
        token, seen, repeats = None, set[str](), 0
        for _ in range(max_pages):
            reply = await self.call(request if token is None else pager.apply(request, token), ctx, rules)
            found = find_items(items, reply)
            for item in found:
                yield item
            token = pager.next(reply, found, ctx, token)
            if token is None:
                return
            repeats += str(token) in seen
            if str(token) in seen and (found or repeats > REPEATS):
                raise Permanent(f"{self.connector.title} gave the same page token twice in {request.kind}.")
            seen.add(str(token))
        raise Permanent(f"{request.kind} of {self.connector.title} has more than {max_pages} pages.")

    async def known(self, kinds: Sequence[str], since: datetime) -> AsyncIterator[list[str]]:
        """Vendor ids of records our store holds already, newest first, 100 at a time."""
        if self.account.known is not None:
            async for ids in self.account.known.recent(kinds, since):
                yield ids

    async def living(self, kind: ActivityKind, prefix: str, data: Mapping[str, str]) -> AsyncIterator[list[str]]:
        """Vendor ids of all records of a kind that our store holds and that are not deleted."""
        if self.account.known is not None:
            async for ids in self.account.known.living(kind, prefix, data):
                yield ids

    async def identify(self) -> None:
        """Make sure that the account's facts are known."""
        if self.connector.identify is None:
            return
        asked_at = self.facts.get("asked_at", 0)
        if asked_at and self._now().timestamp() - asked_at < timedelta(days=1).total_seconds():
            return
        identity = await self.connector.identify(self)
        self.facts = {**identity.facts, "account": identity.account, "asked_at": int(self._now().timestamp())}
        if self.account.remember is not None:
            await self.account.remember(self.facts)

    # --- one try

    async def _try(
        self, request: Request, ctx: Context, used: Credentials, rules: Sequence[Rule]
    ) -> tuple[Reply | None, Judgement]:
        import httpx

        try:
            reply = await self._send(await self._dress(request, ctx, used))
        except httpx.TransportError as error:
            text = f"{type(error).__name__} {error}".strip()
            return None, Judgement(Verdict.RETRY, Problem("connection", f"The connection failed: {text}"))
        except httpx.DecodingError as error:
            return None, Judgement(Verdict.RETRY, Problem("encoding", f"The answer cannot be decoded: {error}"))
        return reply, judge(reply, self.connector.problem, (*rules, *self.connector.verdicts))

    async def _dress(self, request: Request, ctx: Context, used: Credentials) -> Request:
        """Headers and token."""
        headers = self.connector.headers
        own = headers(ctx) if callable(headers) else headers
        dressed = replace(request, headers={**own, **request.headers}, endpoint=request.kind)
        if request.signed:
            token = request.token or self.connector.auth.token(used, self.account.installation)
            dressed = self.connector.auth.place(replace(dressed, token=token), token)
        return await self.connector.before(dressed, ctx) if self.connector.before else dressed

    async def _send(self, request: Request) -> Reply:
        url = request.path
        if not url.startswith(("http://", "https://")):
            url = self._urls[request.host] + url
        elif request.signed:
            raise Permanent("Requests to addresses that an answer named are sent without a token (signed=False).")
        params = {name: value for name, value in request.params.items() if value is not None}
        if params and "?" in url:
            # A query that its author wrote out stays as it is: httpx would replace it, and encode what must not be.
            url, params = f"{url}&{urlencode(params, doseq=True)}", {}
        form = {k: v for k, v in request.form.items() if v is not None} if request.form is not None else None
        outgoing = self._client.build_request(
            request.method, url, params=params or None, json=request.json, data=form, headers=dict(request.headers)
        )
        response = await self._client.send(outgoing, stream=True)
        try:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > MAX_BODY:
                    raise Permanent(f"An answer of {self.connector.title} is larger than {MAX_BODY:,} bytes.")
                parts.append(part)
        finally:
            await response.aclose()
        return Reply(request, response.status_code, response.headers, b"".join(parts))

    # --- budgets

    async def _pace(self, request: Request, ctx: Context) -> list[tuple[Budget, str]]:
        """Claim the call; waits for a moment if need be. Errors: RateLimited."""
        platform, account = self.connector.platform, self.account
        budgets = [budget for budget in self.connector.budgets if budget.covers(request)] or [CALLS]
        part = part_of(ctx)
        claims = [budget.claim(platform, account, request, part) for budget in budgets]
        waited = 0.0
        keyed = [(budget, claim.key) for budget, claim in zip(budgets, claims, strict=True)]
        while (delay := await self._budgets.take(claims)) is not None:
            if waited + delay.seconds > PATIENCE_S:
                of_part = bool(part) and any(budget.per_part for budget, key in keyed if key == delay.key)
                raise RateLimited(
                    f"The rate budget of {self.connector.title} is used up for now.",
                    retry_after_s=delay.seconds,
                    code="budget",
                    part=of_part,
                )
            waited += delay.seconds
            await self._sleep(delay.seconds)
        return keyed

    async def _learn(self, reply: Reply, budgets: list[tuple[Budget, str]], ctx: Context) -> None:
        """Stop by ourselves when the headers say that a budget is used up."""
        for budget, key in budgets:
            for usage in budget.read(reply) if budget.read else ():
                if usage.used < budget.stop_at:
                    continue
                other = usage.part if budget.per_part else None
                hit = key if other is None else budget.key(self.connector.platform, self.account, reply.request, other)
                await self._budgets.block(hit, usage.reset_s)

    # --- tokens

    async def _credentials_now(self, request: Request) -> Credentials:
        """The credentials to call with, renewed if they are about to run out."""
        tokens, auth = self.account.tokens, self.connector.auth
        if not request.signed or request.token is not None:
            return self._credentials
        if not self._loaded and tokens is not None:
            self._credentials, self._loaded = await tokens.current(), True
        if isinstance(auth, OAuth2) and tokens is not None and auth.renewable(self._credentials):
            expires_at = float(self._credentials.get("expires_at") or "inf")
            if expires_at - self._now().timestamp() < auth.margin.total_seconds():
                self._credentials = await tokens.renew(self._credentials, self.exchange)
                self._renewed_at = self._now()
        return self._credentials

    async def _renew(self, request: Request, used: Credentials) -> bool:
        """Get another token after a refusal; False if there is no way to."""
        tokens, auth = self.account.tokens, self.connector.auth
        if not isinstance(auth, OAuth2) or tokens is None or not self._ours(request):
            return False
        if not auth.renewable(used):
            current = await tokens.current()
            changed = dict(current) != dict(used)
            self._credentials = current
            return changed
        self._credentials = await tokens.renew(used, self.exchange)
        self._renewed_at = self._now()
        return True

    @staticmethod
    def _ours(request: Request) -> bool:
        """Whether it goes out with the account's own token."""
        return request.signed and request.token is None

    def _settling(self) -> float:
        """Seconds until a token that was just renewed must work; 0 if it must by now."""
        auth = self.connector.auth
        if self._renewed_at is None or not isinstance(auth, OAuth2):
            return 0.0
        return max((self._renewed_at + auth.settle - self._now()).total_seconds(), 0.0)

    async def exchange(self, credentials: Credentials) -> Mapping[str, str]:
        """New credentials for old ones at the token endpoint. Errors: IntegrationRevoked, Transient."""
        auth = self.connector.auth
        assert isinstance(auth, OAuth2)
        return await self.token_call(auth.refresh_request(credentials, self.account.installation))

    async def token_call(self, request: Request, *, code: bool = False) -> Mapping[str, str]:
        """Call the token endpoint. What it does not return, or returns empty, is not in the result.

        `code`: a code is exchanged, nothing renewed; a refusal of it is Permanent, for no account depends on it yet.
        """
        import httpx

        auth = self.connector.auth
        assert isinstance(auth, OAuth2)
        try:
            reply = await self._send(request)
        except httpx.TransportError as error:
            raise Transient(f"The token endpoint of {self.connector.title} cannot be reached: {error}") from error
        values: dict[str, str] = {}
        if reply.status < 500 and reply.status != 429:
            try:
                values = auth.read(reply, self._now().timestamp())
            except ValueError:
                values = {}
        if values.get("access_token"):
            return values
        raise self._refused(auth, reply, code=code)

    def _refused(self, auth: OAuth2, reply: Reply, *, code: bool) -> SyncError:
        name = self.connector.title
        if reply.status >= 500 or reply.status == 429:
            text = f"{name} gives no tokens now (HTTP {reply.status})."
            return Transient(text, retry_after_s=retry_after(reply))
        if auth.is_misconfigured(reply):
            # Before anything else: no account is lost for a wrong secret of ours.
            text = f"{name} does not know our app: check its client id and secret."
            return ConfigurationError(text, code="invalid_client")
        if not code and auth.is_dead(reply):
            text = f"{name} does not renew our access any more: reconnect the account."
            return IntegrationRevoked(text, code="refresh_refused")
        if code:
            return Permanent(f"{name} did not accept the code (HTTP {reply.status}): {reply.text[:200]}")
        return Transient(f"{name} refused to renew a token (HTTP {reply.status}): {reply.text[:200]}")

    # --- errors

    async def _error(
        self,
        request: Request,
        ctx: Context,
        judgement: Judgement,
        budgets: list[tuple[Budget, str]],
        reply: Reply | None,
    ) -> SyncError:
        problem = judgement.problem
        said = judgement.reason or f"{self.connector.title}: {problem.message or problem.code}"
        match judgement.verdict:
            case Verdict.RETRY:
                return Transient(said, retry_after_s=judgement.after_s, code=problem.code or "retry")
            case Verdict.THROTTLED:
                return await self._throttled(judgement, said, budgets, ctx)
            case Verdict.SHRINK:
                return ShrinkError(said, code=problem.code)
            case Verdict.REFRESH | Verdict.AUTH_DEAD:
                return IntegrationRevoked(said, code=problem.code or "refused")
            case Verdict.SCOPE_MISSING:
                return ScopeMissing(said, code=problem.code or "scope")
            case Verdict.GONE:
                return GoneError(said, code=problem.code)
            case Verdict.RESET_CURSOR:
                return ResetError(said, code=problem.code)
            case Verdict.QUARANTINE:
                return UnreadableError(said, code=problem.code, raw=reply.text[:100_000] if reply else None)
            case Verdict.CONFIG:
                return ConfigurationError(said, code=problem.code)
        return Permanent(f"{said} ({request.method} {request.kind})", code=problem.code or "bad_request")

    async def _throttled(
        self, judgement: Judgement, said: str, budgets: list[tuple[Budget, str]], ctx: Context
    ) -> RateLimited:
        seconds = max(THROTTLED_S if judgement.after_s is None else judgement.after_s, 0.5)
        hit = [(budget, key) for budget, key in budgets if budget.name == judgement.budget]
        if not hit and budgets:
            hit = [min(budgets, key=lambda pair: pair[0].breadth)]
        for _, key in hit:
            await self._budgets.block(key, seconds)
        only_part = bool(hit) and bool(part_of(ctx)) and all(budget.per_part for budget, _ in hit)
        return RateLimited(said, retry_after_s=seconds, code=judgement.problem.code or "throttled", part=only_part)


def _short(seconds: float | None) -> bool:
    return seconds is not None and seconds <= PATIENCE_S


def part_of(ctx: Context) -> str:
    """What budgets that are per partition are counted by."""
    return str(ctx.partition.vars.get("budget_key") or ctx.partition.key) if ctx.partition is not WHOLE else ""


def utc_now() -> datetime:
    return datetime.now(UTC)
