"""Connecting an account by consent: the address of the vendor's page, and what a code that came back is good for."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import urlencode

from connectors.base import Account, Credentials, find_sync_type
from connectors.http.auth import CodeGrant, OAuth2, Renewal
from connectors.http.session import open_session
from connectors.http.streams import HttpConnector, Identity
from sync.base.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Consented:
    """What a consent brought."""

    identity: Identity
    credentials: dict[str, str]


def oauth_of(connector: object) -> OAuth2 | None:
    """How a platform is connected by consent; None where it is not."""
    auth = connector.auth if isinstance(connector, HttpConnector) else None
    return auth if isinstance(auth, OAuth2) else None


def scopes_of(connector: HttpConnector, auth: OAuth2, sync_types: Collection[str] | None = None) -> tuple[str, ...]:
    """Everything that its sync types and replies need; of some sync types what these need, and no replies.

    Errors: ConfigurationError for a sync type that there is not.
    """
    wanted = connector.sync_types if sync_types is None else [find_sync_type(connector, name) for name in sync_types]
    needed = [scope for sync_type in wanted for scope in sync_type.scopes]
    answering = connector.replies.scopes if connector.replies is not None and sync_types is None else ()
    return tuple(dict.fromkeys([*auth.scopes, *needed, *answering]))


def authorize_url(
    connector: HttpConnector,
    auth: OAuth2,
    account: Account,
    *,
    redirect_uri: str,
    state: str,
    verifier: str,
    sync_types: Collection[str] | None = None,
) -> str:
    """Where a person agrees. Errors: ConfigurationError when our app at the platform is not configured."""
    client_id = account.installation.client_id
    if not client_id:
        raise ConfigurationError(
            f"No app is registered for {connector.title}: set SYNC_CONNECTORS__APPS__{connector.platform.upper()}"
            "__CLIENT_ID and __CLIENT_SECRET."
        )
    params = {
        auth.client_id: client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": auth.separator.join(scopes_of(connector, auth, sync_types)),
        "state": state,
    }
    if auth.pkce:
        params |= {"code_challenge": _challenge(verifier), "code_challenge_method": "S256"}
    base = connector.urls(account)[auth.authorize_host] + auth.authorize_path
    return f"{base}{'&' if '?' in base else '?'}{urlencode({**params, **auth.authorize_params})}"


async def redeem(connector: HttpConnector, auth: OAuth2, account: Account, grant: CodeGrant) -> Consented:
    """Exchange a code for credentials (long-lived ones where there are two sorts), and ask whose they are.

    Errors: Permanent when the code is not accepted, ConfigurationError when our app is not, Transient.
    """
    sent = grant if auth.pkce else replace(grant, verifier="")
    async with open_session(connector, account) as session:
        request = auth.code_request(sent, account.installation)
        credentials = dict(await session.api.token_call(request, code=True))
        if auth.kind is Renewal.EXTEND:
            credentials |= await session.api.exchange(Credentials(credentials))
    return Consented(await whose(connector, replace(account, credentials=Credentials(credentials))), credentials)


async def whose(connector: HttpConnector, account: Account) -> Identity:
    """Whose credentials these are, as the vendor says. Errors: those of any call; ConfigurationError."""
    if connector.identify is None:
        raise ConfigurationError(f"{connector.title} does not say whose credentials these are: name the account.")
    async with open_session(connector, account) as session:
        return await connector.identify(session.api)


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
