"""Connecting an account by consent at the vendor (OAuth 2 authorization code flow with state, and PKCE where declared).

begin    remember org, subject and what was asked for under a random state; give the address of the vendor's page
  │      (the person agrees there, or not, in any browser)
finish   take the remembered row by its state, once and within ten minutes; exchange the code; ask the vendor whose
         account it is; connect it, or reconnect it if it was connected before

The state is all that a callback is trusted for: 256 random bits, stored as a hash, bound to the org and subject that
began. A code from elsewhere, a second use and a late one change nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from connectors.base import Account, Connector, Credentials, check_fields
from connectors.http.auth import CodeGrant, OAuth2
from connectors.http.consent import Consented, authorize_url, oauth_of, redeem
from connectors.http.streams import HttpConnector
from connectors.registry import PLATFORMS, find_connector
from sync.base.errors import ApiError, ConfigurationError, SyncError, Transient
from sync.base.ids import check_org_id, check_platform
from sync.base.logs import get_logger
from sync.base.sealing import Sealer
from sync.base.settings import Settings
from sync.pull.accounts import Accounts
from sync.pull.integrations import Integrations, credentials_context
from sync.pull.model import Integration
from sync.store.engine import Database

log = get_logger(__name__)

CALLBACK = "/sync/connect/callback"
LIFE = timedelta(minutes=10)
_INSERT = """
INSERT INTO oauth_state
  (state_hash, org_id, subject, platform, redirect_uri, label, config, operator, sealed, expires_at)
VALUES (%(hash)s, %(org)s, %(subject)s, %(platform)s, %(redirect)s, %(label)s, %(config)s, %(operator)s, %(sealed)s,
        now() + %(life)s)
RETURNING expires_at"""
_TAKE = """
UPDATE oauth_state SET used_at = now() WHERE state_hash = %s AND used_at IS NULL AND expires_at > now()
RETURNING org_id, subject, platform, redirect_uri, label, config, operator, sealed"""
_WHY_NOT = "SELECT used_at IS NOT NULL AS used, platform FROM oauth_state WHERE state_hash = %s"
_CONNECTED = """
SELECT id, credentials FROM integration
WHERE org_id = %s AND platform = %s AND account = %s AND state <> 'deleted'"""


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent that was asked for."""

    platform: str
    authorize_url: str
    redirect_uri: str
    expires_at: datetime


class _Sealed(msgspec.Struct, frozen=True):
    verifier: str
    credentials: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Pending:
    """A row that was taken."""

    org_id: str
    subject: str
    platform: str
    redirect_uri: str
    label: str | None
    config: dict[str, Any]
    operator: bool
    sealed: bytes

    @property
    def context(self) -> str:
        return _context(self.org_id, self.subject, self.platform)


class Consents:
    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        settings: Settings,
        registry: Mapping[str, Connector] = PLATFORMS,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._registry = registry
        self._integrations = Integrations(database, sealer, registry)
        self._accounts = Accounts(database, sealer, settings)
        self.redirect_uri = settings.connectors.callback_url or settings.http.address + CALLBACK

    async def begin(
        self,
        org_id: str,
        platform: str,
        *,
        by: str,
        label: str | None = None,
        config: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        sync_types: Collection[str] | None = None,
        operator: bool = False,
    ) -> Consent:
        """Prepare a consent. `credentials` are secret fields of the platform that its consent does not bring.

        `sync_types`: ask for what these need alone; the others will be blocked for want of a permission.
        Errors: ConfigurationError when the platform has no consent, our app is unknown, or a field is wrong.
        """
        connector, auth = self._find(platform)
        account = self._account(connector, auth, check_org_id(org_id), config or {}, credentials or {}, operator)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        url = authorize_url(
            connector,
            auth,
            account,
            redirect_uri=self.redirect_uri,
            state=state,
            verifier=verifier,
            sync_types=sync_types,
        )
        sealed = msgspec.json.encode(_Sealed(verifier, dict(account.credentials)))
        expires_at = await self._database.fetch_value(
            _INSERT,
            {
                "hash": _hash(state),
                "org": org_id,
                "subject": by,
                "platform": platform,
                "redirect": self.redirect_uri,
                "label": label,
                "config": Jsonb(dict(config or {})),  # without defaults: a reconnect changes what was said only
                "operator": operator,
                "sealed": self._sealer.seal(sealed, _context(org_id, by, platform)),
                "life": LIFE,
            },
        )
        return Consent(platform, url, self.redirect_uri, expires_at)

    async def finish(self, state: str, code: str | None, error: str | None = None) -> Integration:
        """Connect the account of the person who came back. Errors: ApiError that says what to do."""
        pending = await self._take(state)
        connector, auth = self._find(pending.platform)
        again = f"Connect {connector.title} again."
        if error or not code:
            said = f"{connector.title} answered {error!r}" if error else f"{connector.title} sent no code"
            raise ApiError(400, "The consent was not given", f"{said}. Nothing was connected. {again}")
        sealed = msgspec.json.decode(self._sealer.open(pending.sealed, pending.context), type=_Sealed)
        grant = CodeGrant(code, pending.redirect_uri, sealed.verifier)
        try:
            account = self._account(
                connector, auth, pending.org_id, pending.config, sealed.credentials, pending.operator
            )
            consented = await redeem(connector, auth, account, grant)
            return await self._connect(pending, auth, consented, sealed.credentials)
        except SyncError as failure:
            log.warning("oauth.failed", platform=pending.platform, org_id=pending.org_id, error=failure.message)
            status = 503 if isinstance(failure, Transient) else 400
            raise ApiError(status, "The account was not connected", f"{failure.message} {again}") from failure

    def _account(
        self,
        connector: HttpConnector,
        auth: OAuth2,
        org_id: str,
        config: Mapping[str, Any],
        credentials: Mapping[str, Any],
        operator: bool,
    ) -> Account:
        """The account without its tokens. Errors: ConfigurationError for wrong or missing fields."""
        tokens = {item.name: "-" for item in auth.fields if item.required}
        given = check_fields(connector, config, {**credentials, **tokens}, operator=operator)
        own = {name: value for name, value in given.credentials.items() if name not in tokens}
        return self._accounts.unsaved(org_id, connector.platform, "", given.config, Credentials(own))

    async def _take(self, state: str) -> _Pending:
        row = await self._database.fetch_one(_TAKE, (_hash(state),))
        if row is not None:
            return _Pending(**row)
        known = await self._database.fetch_one(_WHY_NOT, (_hash(state),))
        if known is None:
            why = "This address was not made by us, or too long ago."
        else:
            why = "This consent was used already." if known["used"] else "This consent took longer than ten minutes."
        raise ApiError(400, "The consent is not valid", f"{why} Begin again where you connect accounts.")

    async def _connect(
        self, pending: _Pending, auth: OAuth2, consented: Consented, own: Mapping[str, str]
    ) -> Integration:
        org_id, platform, account = pending.org_id, pending.platform, consented.identity.account
        old = await self._database.fetch_one(_CONNECTED, (org_id, platform, account))
        if old is None:
            return await self._integrations.connect(
                org_id,
                platform,
                account,
                pending.config,
                {**own, **consented.credentials},
                by=pending.subject,
                label=pending.label or consented.identity.label or None,
                operator=pending.operator,
            )
        kept = self._kept(old["credentials"], credentials_context(org_id, platform, account), auth)
        return await self._integrations.reconnect(
            org_id,
            old["id"],
            {**kept, **own, **consented.credentials},
            by=pending.subject,
            config=pending.config,
            operator=pending.operator,
        )

    def _kept(self, sealed: bytes | None, context: str, auth: OAuth2) -> dict[str, str]:
        """Secret fields of an account that a new consent does not replace."""
        if sealed is None:
            return {}
        replaced = {item.name for item in auth.fields}
        found = msgspec.json.decode(self._sealer.open(sealed, context), type=dict[str, str])
        return {name: value for name, value in found.items() if name not in replaced}

    def _find(self, platform: str) -> tuple[HttpConnector, OAuth2]:
        connector = find_connector(check_platform(platform), self._registry)
        auth = oauth_of(connector)
        if auth is None or not isinstance(connector, HttpConnector):
            raise ConfigurationError(
                f"{connector.title} has no consent page: connect it with its fields (POST /sync/integrations, or "
                f"`syncctl connect {platform}`)."
            )
        return connector, auth


def _hash(state: str) -> bytes:
    return sha256(state.encode()).digest()


def _context(org_id: str, subject: str, platform: str) -> str:
    return f"oauth/{org_id}/{subject}/{platform}"
