"""Who is calling: a JWT becomes a `Principal` (subject, org, role).

The algorithm is ours, never the token's: HS256 is checked with the shared secret only and RS256 with keys of the
JWKS only, so a public key can never pass as an HMAC secret, and `none` matches nothing.

    role       read   submit (enqueue, trigger)   operate (retry, cancel, pause)   administer (connect, purge, queues)
    viewer      x
    service     x          x
    operator    x          x                              x
    admin       x          x                              x                                x

Pausing, resuming or purging a whole queue touches every org: docs/decisions/0003 says whose token may.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sync.api import keys
from sync.api.problems import problem
from sync.base.errors import ApiError, ConfigurationError, Permanent
from sync.base.ids import SYSTEM_ORG, check_org_id
from sync.base.settings import AuthSettings

MIN_SECRET_BYTES = 32
_MAX_TOKEN_CHARS = 8192
_MAX_SUBJECT_CHARS = 200


class Role(StrEnum):
    VIEWER = "viewer"
    SERVICE = "service"
    OPERATOR = "operator"
    ADMIN = "admin"


class Right(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"
    ADMINISTER = "administer"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.SERVICE: frozenset({Right.READ, Right.SUBMIT}),
    Role.OPERATOR: frozenset({Right.READ, Right.SUBMIT, Right.OPERATE}),
    Role.ADMIN: frozenset(Right),
}


@dataclass(frozen=True)
class Principal:
    subject: str
    org_id: str
    role: Role
    platform: bool = False
    """The token says so: it may see every org's rows."""
    runs_install: bool = False
    """May act on what belongs to no single org (whole queues, counts over all), without seeing other orgs' rows."""
    expires_at: float = field(default=math.inf, compare=False)
    """Unix time from which the token is not accepted any more: what stays open has to end then."""

    def may(self, right: Right) -> bool:
        return right in RIGHTS[self.role]


class TokenVerifier:
    """Checks signature, algorithm, times, issuer and audience; reads the claims `sub`, `org`, `role`, `platform`."""

    def __init__(self, settings: AuthSettings, key_set: keys.KeySet | None = None) -> None:
        self._settings = settings
        self._secret = settings.secret.get_secret_value().encode() if settings.secret else None
        if self._secret is not None and len(self._secret) < MIN_SECRET_BYTES:
            raise ConfigurationError(f"SYNC_AUTH__SECRET must be at least {MIN_SECRET_BYTES} bytes long.")
        self._key_set = key_set or _key_set(settings)
        if self._secret is None and self._key_set is None:
            raise ConfigurationError(
                "Tokens cannot be checked: set SYNC_AUTH__SECRET, SYNC_AUTH__JWKS_URL or SYNC_AUTH__JWKS_FILE."
            )

    async def verify(self, token: str) -> Principal:
        """Errors: ApiError 401 with WWW-Authenticate; Transient when the identity provider's keys are out of reach."""
        if len(token) > _MAX_TOKEN_CHARS:
            raise invalid_token("The token is longer than 8,192 characters.")
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                key=await self._key(header),
                algorithms=[header["alg"]],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "sub", "org", "role"], "verify_aud": self._settings.audience is not None},
            )
        except jwt.PyJWTError as error:
            raise invalid_token(_reason(error)) from error
        return self._principal(claims)

    async def _key(self, header: dict[str, Any]) -> Any:
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret is not None:
            return self._secret
        if algorithm == "RS256" and self._key_set is not None:
            key = await self._key_set.find(header.get("kid"))
            if key is None:
                raise invalid_token("The token is signed with a key that the identity provider does not publish.")
            return key
        raise invalid_token("The token's algorithm is not accepted here.")

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject, org_id, role, platform = claims["sub"], claims["org"], claims["role"], claims.get("platform", False)
        try:
            check_org_id(org_id)
        except (Permanent, TypeError) as error:
            raise invalid_token("The claim `org` is not an org id.") from error
        if not 1 <= len(subject) <= _MAX_SUBJECT_CHARS or not subject.isprintable():
            raise invalid_token("The claim `sub` must have 1 to 200 printable characters.")
        if role not in list(Role):
            raise invalid_token(f"The claim `role` must be one of {', '.join(Role)}.")
        if not isinstance(platform, bool):
            raise invalid_token("The claim `platform` must be true or false.")
        runs_install = platform or (role == Role.ADMIN and not self._settings.platform_claim_required)
        if org_id == SYSTEM_ORG and not runs_install:
            raise invalid_token(f"The org {SYSTEM_ORG} needs the claim `platform: true`.")
        expires_at = int(claims["exp"]) + self._settings.leeway_s  # a text of digits passes the check, too
        return Principal(subject, org_id, Role(role), platform, runs_install, expires_at)


def _key_set(settings: AuthSettings) -> keys.KeySet | None:
    if settings.jwks_url:
        return keys.KeySet(keys.from_url(settings.jwks_url))
    if settings.jwks_file:
        return keys.KeySet(keys.from_file(settings.jwks_file))
    return None


def _reason(error: jwt.PyJWTError) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "The token has expired. Get a new one."
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The token lacks the claim `{error.claim}`."
    if isinstance(error, jwt.InvalidIssuerError):
        return "The token comes from another issuer."
    if isinstance(error, jwt.InvalidAudienceError):
        return "The token is meant for another audience."
    if isinstance(error, jwt.ImmatureSignatureError):
        return "The token is not valid yet."
    return "The token is malformed or its signature is wrong."


def invalid_token(reason: str) -> ApiError:
    challenge = f'Bearer realm="sync", error="invalid_token", error_description="{reason.replace(chr(34), chr(39))}"'
    return problem("token-invalid", reason, headers={"WWW-Authenticate": challenge})


def _token_required() -> ApiError:
    return problem("token-required", headers={"WWW-Authenticate": 'Bearer realm="sync"'})


_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    description="HS256 or RS256 with the claims `exp`, `sub`, `org` and `role` (viewer, service, operator or admin). "
    "For a local install: `syncctl token --org acme --role admin`.",
)


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    if credentials is None:
        raise _token_required()
    verifier: TokenVerifier = request.app.state.verifier
    principal = await verifier.verify(credentials.credentials)
    request.state.principal = principal
    return principal


def allowed(right: Right) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets only roles with `right` pass: `principal: Annotated[Principal, Depends(allowed(...))]`."""

    async def check(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if not principal.may(right):
            able = ", ".join(role for role in Role if right in RIGHTS[role])
            raise forbidden(f"Your role is {principal.role}; this needs one of: {able}.")
        return principal

    return check


Reader = Annotated[Principal, Depends(allowed(Right.READ))]
Submitter = Annotated[Principal, Depends(allowed(Right.SUBMIT))]
Operator = Annotated[Principal, Depends(allowed(Right.OPERATE))]
Admin = Annotated[Principal, Depends(allowed(Right.ADMINISTER))]


async def _install_admin(principal: Admin) -> Principal:
    check_runs_install(principal)
    return principal


InstallAdmin = Annotated[Principal, Depends(_install_admin)]


def check_runs_install(principal: Principal) -> None:
    """Errors: ApiError 403."""
    if not principal.runs_install:
        raise forbidden(
            "This concerns every org, so the token needs the claim `platform: true`. "
            "The operator of the install makes one with `syncctl token --platform --role admin`."
        )


def forbidden(detail: str) -> ApiError:
    """The token is good, but not for this."""
    return problem("forbidden", detail, headers={"WWW-Authenticate": 'Bearer realm="sync", error="insufficient_scope"'})
