"""How a platform lets us in: where the token goes, how it is renewed, how an account is connected by consent."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from connectors.base import Credentials, Field, Installation
from connectors.http.request import NotJsonError, Reply, Request

Placement = Callable[[Request, str], Request]
"""Puts a token into a request."""


def header(name: str, scheme: str = "") -> Placement:
    """`header("Authorization", "Bot")`, `header("Access-Token")`"""

    def place(request: Request, token: str) -> Request:
        return replace(request, headers={**request.headers, name: f"{scheme} {token}".strip()})

    return place


bearer = header("Authorization", "Bearer")


def in_path(template: str) -> Placement:
    """`in_path("/bot{token}")` goes before the request's path."""

    def place(request: Request, token: str) -> Request:
        return replace(request, path=template.format(token=token) + request.path, endpoint=request.kind)

    return place


@dataclass(frozen=True, slots=True)
class Static:
    """A token that lives until it is taken back: bot tokens, system users.

    Read from the account's credentials by the name of `field`, else from the secrets of the installation's app.
    """

    field: str = "token"
    help: str = "Token."
    place: Placement = bearer
    shared: bool = False
    """One token of our app serves all accounts: people need not enter one."""

    @property
    def fields(self) -> tuple[Field, ...]:
        return (Field(self.field, self.help, required=not self.shared, secret=True),)

    def token(self, credentials: Credentials, installation: Installation) -> str:
        return credentials.get(self.field) or installation.secrets.get(self.field, "")


class Renewal(StrEnum):
    ROTATING = "rotating"
    """Each renewal gives a new refresh token and spends the old one."""
    REUSABLE = "reusable"
    """The refresh token stays; an answer without one keeps the old."""
    EXTEND = "extend"
    """There is no refresh token: a living access token is exchanged for a longer-lived one."""


Form = Mapping[str, str]
RefreshRequest = Callable[[Credentials, Installation], Request]


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """A finished consent: what came back to our redirect address."""

    code: str
    redirect_uri: str
    verifier: str = ""
    """PKCE; empty where the platform does not use it."""


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Authorization code flow and renewal. Vendors that differ from RFC 6749 say how, or bring their own requests."""

    token_path: str
    authorize_path: str
    kind: Renewal = Renewal.ROTATING
    authorize_host: str = ""
    token_host: str = ""
    scopes: tuple[str, ...] = ()
    """Asked for besides those of the sync types."""
    separator: str = " "
    pkce: bool = False
    margin: timedelta = timedelta(minutes=5)
    """Renew this long before expiry; after a refusal in any case."""
    settle: timedelta = timedelta(0)
    """How long a renewed token may still be refused: until then a refusal is waited out, not believed."""
    client_auth: str = "form"
    """How our app identifies itself at the token endpoint: basic, form or json."""
    client_id: str = "client_id"
    client_secret: str = "client_secret"
    """What the vendor calls these."""
    authorize_params: Form = field(default_factory=dict)
    token_params: Form = field(default_factory=dict)
    """More that the authorize page or the token endpoint wants."""
    token_headers: Form = field(default_factory=dict)
    refresh: RefreshRequest | None = None
    exchange: Callable[[CodeGrant, Installation], Request] | None = None
    unwrap: str = ""
    """Where the token answer is in the body, if not at its top."""
    place: Placement = bearer
    dead: Callable[[Reply], bool] | None = None
    """Whether a refused renewal is final; by default when its error is invalid_grant."""
    misconfigured: Callable[[Reply], bool] | None = None
    """Whether a refusal is about our app and not about an account; invalid_client and its like always are."""

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("access_token", "OAuth access token.", required=True, secret=True),
            Field("refresh_token", "OAuth refresh token, if the platform gave one.", secret=True),
            Field("expires_at", "When the access token runs out, in seconds since 1970.", secret=True),
            Field("scope", "Scopes that were granted, separated by spaces.", secret=True),
        )

    def token(self, credentials: Credentials, installation: Installation) -> str:
        return credentials.get("access_token", "")

    def renewable(self, credentials: Credentials) -> bool:
        """Accounts of one platform may differ: not every consent comes with a refresh token."""
        return self.kind is Renewal.EXTEND or bool(credentials.get("refresh_token"))

    def refresh_request(self, credentials: Credentials, installation: Installation) -> Request:
        if self.refresh is not None:
            return self.refresh(credentials, installation)
        form = {"grant_type": "refresh_token", "refresh_token": credentials.get("refresh_token", "")}
        return self.token_request(form, installation)

    def code_request(self, grant: CodeGrant, installation: Installation) -> Request:
        if self.exchange is not None:
            return self.exchange(grant, installation)
        form = {"grant_type": "authorization_code", "code": grant.code, "redirect_uri": grant.redirect_uri}
        if grant.verifier:
            form["code_verifier"] = grant.verifier
        return self.token_request(form, installation)

    def token_request(self, form: Form, installation: Installation) -> Request:
        """A call to the token endpoint with our app's identity."""
        values = {**form, **self.token_params}
        headers = dict(self.token_headers)
        if self.client_auth == "basic":
            pair = f"{quote(installation.client_id, safe='')}:{quote(installation.client_secret, safe='')}"
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        else:
            values |= {self.client_id: installation.client_id, self.client_secret: installation.client_secret}
        body: dict[str, Any] = {"json": values} if self.client_auth == "json" else {"form": values}
        return Request(
            "POST", self.token_path, headers=headers, host=self.token_host, endpoint="token", signed=False, **body
        )

    def read(self, reply: Reply, now: float) -> dict[str, str]:
        """Credentials out of a token answer. Only what is there: an absent or empty value replaces nothing."""
        data = reply.at(self.unwrap) if self.unwrap else reply.data
        found = data if isinstance(data, dict) else {}
        values = {name: found.get(name) for name in ("access_token", "refresh_token")}
        scope = found.get("scope")
        if isinstance(scope, list):
            scope = " ".join(map(str, scope))
        values["scope"] = scope.replace(",", " ") if isinstance(scope, str) else None
        if (expires_in := found.get("expires_in")) is not None:
            values["expires_at"] = str(int(now + float(expires_in)))
        return {name: str(value) for name, value in values.items() if value}

    def is_dead(self, reply: Reply) -> bool:
        return token_error(reply) == "invalid_grant" or _says(self.dead, reply)

    def is_misconfigured(self, reply: Reply) -> bool:
        return token_error(reply) in {"invalid_client", "unauthorized_client"} or _says(self.misconfigured, reply)


def _says(test: Callable[[Reply], bool] | None, reply: Reply) -> bool:
    """A page of HTML says nothing."""
    try:
        return test is not None and test(reply)
    except NotJsonError:
        return False


def token_error(reply: Reply) -> str:
    """The `error` of a token endpoint's refusal, wherever the vendor puts it; empty if there is none."""
    try:
        data = reply.data
    except NotJsonError:
        return ""
    if not isinstance(data, dict):
        return ""
    found = data.get("error")
    if isinstance(found, dict):
        found = found.get("code") or found.get("type")
    return str(found) if found else ""


Auth = Static | OAuth2
