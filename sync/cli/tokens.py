"""Tokens of this installation, for operators and for `syncctl` itself."""

from __future__ import annotations

import os
import time

import jwt

from sync.base.errors import ConfigurationError, Permanent
from sync.base.ids import check_org_id
from sync.base.settings import Settings, load_settings
from sync.cli.home import Home, local_settings

ROLES = ("viewer", "service", "operator", "admin")


def sign(
    org: str,
    role: str,
    subject: str = "",
    hours: float = 24.0,
    *,
    platform: bool = False,
    settings: Settings | None = None,
) -> str:
    """Errors: ConfigurationError when an argument is wrong, or when an identity provider issues the tokens."""
    if role not in ROLES:
        raise ConfigurationError(f"--role must be one of {', '.join(ROLES)}.")
    if hours <= 0:
        raise ConfigurationError("--hours must be above 0.")
    try:
        check_org_id(org)
    except Permanent as error:
        raise ConfigurationError(f"--org: {error}") from error
    if settings is None:
        loaded = load_settings()
        home = Home(loaded.home)
        home.prepare()
        settings = local_settings(loaded, home)
    auth = settings.auth
    if auth.secret is None:
        raise ConfigurationError("Tokens come from the identity provider of SYNC_AUTH__JWKS_*: ask it for one.")
    now = int(time.time())
    claims: dict[str, object] = {
        "sub": subject or f"syncctl:{os.environ.get('USER') or os.getuid()}",
        "org": org,
        "role": role,
        "iat": now,
        "exp": now + int(hours * 3600),
    }
    if platform:
        claims["platform"] = True
    if auth.issuer:
        claims["iss"] = auth.issuer
    if auth.audience:
        claims["aud"] = auth.audience
    return jwt.encode(claims, auth.secret.get_secret_value(), algorithm="HS256")
