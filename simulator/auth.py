"""Apps, consents and tokens of one vendor, in every token model the vendors have.

A grant is one consent: this app may act for this account with these scopes. Tokens belong to a grant; revoking the
grant kills them all. What a vendor does differently is in its `TokenRules`; how it says no is in its `Vendor` class.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from simulator.dice import ALNUM, letters

if TYPE_CHECKING:
    from simulator.vendor import Account


class Refresh(StrEnum):
    NONE = "none"
    """No refresh token: static, or valid until consent is renewed."""
    ROTATING = "rotating"
    """Each refresh gives a new refresh token; the old one is spent."""
    REUSABLE = "reusable"
    """The refresh token stays as it is, with its expiry."""
    EXTEND = "extend"
    """The access token itself is exchanged for one that lives longer."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    access_ttl: float | None = None
    """Seconds; None never expires."""
    refresh: Refresh = Refresh.NONE
    refresh_ttl: float | None = None
    code_ttl: float = 600
    pkce: bool = False
    """Whether a code needs a challenge."""
    reuse_revokes: bool = False
    """Whether presenting a spent refresh token kills the whole grant."""
    reuse_grace: float = 0
    """How long a spent refresh token still works."""
    refresh_kills_access: bool = False
    """Whether a refresh ends the access tokens issued before."""


@dataclass(slots=True, eq=False)
class App:
    """Our registration with the vendor. `secrets` holds what else it comes with: signing secret, verify token ..."""

    client_id: str
    client_secret: str
    id: str = ""
    redirect_uris: tuple[str, ...] = ()
    """Empty allows any."""
    secrets: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    rules: TokenRules | None = None
    """Where this app's tokens differ from the vendor's usual ones."""


@dataclass(slots=True, eq=False)
class Grant:
    app: App
    account: Account | None
    user: str
    scopes: set[str]
    created: float
    dead: str | None = None
    """Why, once it is revoked."""
    number: int = 0


@dataclass(slots=True, eq=False)
class Token:
    value: str
    kind: str
    """access, refresh, code, app, or a kind of the vendor's own."""
    grant: Grant
    issued: float
    expires_at: float | None = None
    dead: str | None = None
    spent_at: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def scopes(self) -> set[str]:
        return self.grant.scopes

    def expires_in(self, now: float) -> int | None:
        return None if self.expires_at is None else max(int(self.expires_at - now), 0)


@dataclass(frozen=True, slots=True)
class Pair:
    access: Token
    refresh: Token | None


class TokenError(Exception):
    """An access token that opens nothing. Reasons: missing, unknown, expired, revoked (then `detail` says by whom)."""

    def __init__(self, reason: str, detail: str = "", token: Token | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.token = reason, detail, token


class OAuthError(Exception):
    """A token endpoint's refusal.

    `error` as in RFC 6749 (invalid_client, invalid_grant ...); `reason`: unknown, expired, spent, revoked,
    redirect_uri, pkce, client.
    """

    def __init__(self, error: str, reason: str = "") -> None:
        super().__init__(f"{error}: {reason}")
        self.error, self.reason = error, reason


MakeToken = Callable[[str, Grant, int], str]
"""(kind, grant, running number) -> the token's text."""


class AuthServer:
    def __init__(self, seed: int, slug: str, rules: TokenRules, make: MakeToken | None = None) -> None:
        self.rules = rules
        self.apps: dict[str, App] = {}
        self.tokens: dict[str, Token] = {}
        self.grants: list[Grant] = []
        self.counters: dict[str, int] = {}
        self._seed, self._slug = seed, slug
        self._make = make or self._plain
        self._number = 0

    def _plain(self, kind: str, _grant: Grant, number: int) -> str:
        return letters(40, ALNUM, self._seed, self._slug, kind, number)

    def rules_of(self, app: App) -> TokenRules:
        return app.rules or self.rules

    def count(self, what: str) -> None:
        self.counters[what] = self.counters.get(what, 0) + 1

    # --- who asks

    def add_app(self, app: App) -> App:
        self.apps[app.client_id] = app
        return app

    def client(self, client_id: str | None, client_secret: str | None) -> App:
        app = self.apps.get(client_id or "")
        if app is None:
            raise OAuthError("invalid_client", "unknown")
        if not hmac.compare_digest(app.client_secret.encode(), (client_secret or "").encode()):
            raise OAuthError("invalid_client", "client")
        return app

    # --- giving

    def consent(self, app: App, account: Account | None, scopes: Iterable[str], now: float, user: str = "") -> Grant:
        grant = Grant(app, account, user or (account.id if account else ""), set(scopes), now)
        grant.number = len(self.grants)
        self.grants.append(grant)
        return grant

    def issue(self, kind: str, grant: Grant, now: float, ttl: float | None = None, **extra: Any) -> Token:
        self._number += 1
        token = Token(
            self._make(kind, grant, self._number), kind, grant, now, None if ttl is None else now + ttl, extra=extra
        )
        self.tokens[token.value] = token
        return token

    def pair(self, grant: Grant, now: float, **extra: Any) -> Pair:
        """An access token and, where the vendor has them, a refresh token."""
        rules = self.rules_of(grant.app)
        access = self.issue("access", grant, now, rules.access_ttl, **extra)
        refreshed = rules.refresh in (Refresh.ROTATING, Refresh.REUSABLE)
        return Pair(access, self.issue("refresh", grant, now, rules.refresh_ttl, **extra) if refreshed else None)

    def code(self, grant: Grant, now: float, redirect_uri: str = "", challenge: str = "", method: str = "S256") -> str:
        return self.issue(
            "code",
            grant,
            now,
            self.rules_of(grant.app).code_ttl,
            redirect_uri=redirect_uri,
            challenge=challenge,
            method=method,
        ).value

    # --- exchanging

    def exchange(self, app: App, code: str | None, redirect_uri: str | None, verifier: str | None, now: float) -> Pair:
        self.count("code_exchanges")
        token = self._usable("code", app, code, now)
        if token.spent_at is not None:
            self._kill_grant(token.grant, "code_reused")
            raise OAuthError("invalid_grant", "spent")
        if token.extra["redirect_uri"] and token.extra["redirect_uri"] != redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri")
        if not _proves(token.extra["challenge"], token.extra["method"], verifier, required=self.rules_of(app).pkce):
            raise OAuthError("invalid_grant", "pkce")
        token.spent_at = now
        return self.pair(token.grant, now)

    def refresh(self, app: App, refresh_token: str | None, now: float) -> Pair:
        """A new access token; with ROTATING also a new refresh token, otherwise the same one again."""
        self.count("refreshes")
        rules = self.rules_of(app)
        token = self._usable("refresh", app, refresh_token, now)
        if token.spent_at is not None and now - token.spent_at >= rules.reuse_grace:
            self.count("refresh_reused")
            if rules.reuse_revokes:
                self._kill_grant(token.grant, "refresh_reused")
            raise OAuthError("invalid_grant", "spent")
        if rules.refresh_kills_access:
            for other in self.tokens.values():
                if other.grant is token.grant and other.kind == "access" and other.dead is None:
                    other.dead = "refreshed"
        if rules.refresh is Refresh.REUSABLE:
            return Pair(self.issue("access", token.grant, now, rules.access_ttl, **token.extra), token)
        token.spent_at = token.spent_at or now
        return self.pair(token.grant, now, **token.extra)

    def extend(self, value: str | None, now: float, ttl: float | None, kind: str = "access") -> Token:
        """A longer-lived access token for a living one."""
        self.count("refreshes")
        try:
            token = self.check(value, now)
        except TokenError as error:
            raise OAuthError("invalid_grant", error.reason) from error
        return self.issue(kind, token.grant, now, ttl, **token.extra)

    def client_credentials(self, app: App, scopes: Iterable[str], now: float) -> Token:
        self.count("client_credentials")
        return self.issue("app", self.consent(app, None, scopes, now), now, self.rules.access_ttl)

    # --- checking

    def check(self, value: str | None, now: float) -> Token:
        if not value:
            raise TokenError("missing")
        token = self.tokens.get(value)
        if token is None or token.kind in ("refresh", "code"):
            raise TokenError("unknown")
        if token.grant.dead or token.dead:
            raise TokenError("revoked", token.grant.dead or token.dead or "", token)
        if token.expires_at is not None and token.expires_at <= now:
            raise TokenError("expired", token=token)
        return token

    def _usable(self, kind: str, app: App, value: str | None, now: float) -> Token:
        token = self.tokens.get(value or "")
        if token is None or token.kind != kind or token.grant.app is not app:
            raise OAuthError("invalid_grant", "unknown")
        if token.grant.dead or token.dead:
            raise OAuthError("invalid_grant", "revoked")
        if token.expires_at is not None and token.expires_at <= now:
            raise OAuthError("invalid_grant", "expired")
        return token

    # --- ending

    def revoke(self, value: str, reason: str = "app") -> bool:
        """One token; a refresh token takes its grant along."""
        token = self.tokens.get(value)
        if token is None or token.dead:
            return False
        token.dead = reason
        if token.kind == "refresh":
            self._kill_grant(token.grant, reason)
        return True

    def revoke_account(self, account: Account, reason: str = "user") -> int:
        """The person removes the app: every grant of the account dies. Returns how many."""
        living = [grant for grant in self.grants if grant.account is account and grant.dead is None]
        for grant in living:
            self._kill_grant(grant, reason)
        return len(living)

    def expire_account(self, account: Account, now: float, *, kinds: tuple[str, ...] = ("access",)) -> int:
        """Let the account's tokens of these kinds run out now."""
        hit = [t for t in self.tokens.values() if t.grant.account is account and t.kind in kinds and not t.dead]
        for token in hit:
            token.expires_at = now
        return len(hit)

    def _kill_grant(self, grant: Grant, reason: str) -> None:
        grant.dead = reason


def _proves(challenge: str, method: str, verifier: str | None, *, required: bool) -> bool:
    if not challenge:
        return not required
    if not verifier:
        return False
    if method == "plain":
        return hmac.compare_digest(challenge, verifier)
    return hmac.compare_digest(challenge, urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode())
