"""Calls as vendors send them: signed with secrets that are ours to know, by code that is not ours to check with."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from connectors.telegram.webhook import secret_of
from sync.base.settings import AppSettings, ConnectorSettings

NOW = 1_764_000_000.0
SECRET = "a-secret-that-only-tests-know"
BOT = "123456789"
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_APP = AppSettings(client_id="client", client_secret=SecretStr(SECRET))


def _app(**secrets: str) -> AppSettings:
    return _APP.model_copy(update={"secrets": {name: SecretStr(value) for name, value in secrets.items()}})


CONNECTORS = ConnectorSettings(
    apps={
        "discord": _app(public_key=_KEY.public_key().public_bytes_raw().hex()),
        "facebook": _app(verify_token="v"),
        "linkedin": _APP,
        "slack": _app(signing_secret=SECRET),
        "telegram": _app(webhook_secret=SECRET),
        "tiktok": _APP,
        "twitch": _app(eventsub_secret=SECRET),
        "twitter": _app(consumer_secret=SECRET),
    }
)
"""The apps of an installation that vendors send webhooks to."""


@dataclass(frozen=True)
class Sent:
    """One call, ready to be sent."""

    platform: str
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def request(self) -> dict[str, Any]:
        """Arguments for an httpx client."""
        headers = {name: value.encode("latin-1") for name, value in self.headers.items()}
        return {"content": self.body, "headers": headers, "params": dict(self.query)}

    def path(self, prefix: str = "/social-activity/webhook") -> str:
        return f"{prefix}/{self.platform}"

    def with_header(self, name: str, value: str) -> Sent:
        return replace(self, headers={**self.headers, name: value})


def _hex(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, sha256).hexdigest()


def discord(body: bytes, at: float, **_: Any) -> dict[str, str]:
    stamp = str(int(at))
    return {"x-signature-timestamp": stamp, "x-signature-ed25519": _KEY.sign(stamp.encode() + body).hex()}


def facebook(body: bytes, _at: float, **_: Any) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={_hex(body)}"}


def linkedin(body: bytes, _at: float, **_: Any) -> dict[str, str]:
    return {"x-li-signature": _hex(b"hmacsha256=" + body)}


def slack(body: bytes, at: float, **_: Any) -> dict[str, str]:
    stamp = str(int(at))
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={_hex(f'v0:{stamp}:'.encode() + body)}"}


def telegram(_body: bytes, _at: float, *, account: str = BOT, **_: Any) -> dict[str, str]:
    return {"x-telegram-bot-api-secret-token": secret_of(SECRET, account)}


def tiktok(body: bytes, at: float, **_: Any) -> dict[str, str]:
    stamp = str(int(at))
    return {"tiktok-signature": f"t={stamp},s={_hex(f'{stamp}.'.encode() + body)}"}


def twitch(body: bytes, at: float, *, number: str = "", kind: str = "notification", **_: Any) -> dict[str, str]:
    from datetime import UTC, datetime

    number = number or sha256(body).hexdigest()[:32]
    stamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    prefix = "twitch-eventsub-message-"
    return {
        f"{prefix}id": number,
        f"{prefix}timestamp": stamp,
        f"{prefix}type": kind,
        f"{prefix}signature": f"sha256={_hex(number.encode() + stamp.encode() + body)}",
    }


def twitter(body: bytes, _at: float, **_: Any) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), body, sha256).digest()
    return {"x-twitter-webhooks-signature": f"sha256={b64encode(digest).decode()}"}


SIGNERS: dict[str, Callable[..., dict[str, str]]] = {
    "discord": discord,
    "facebook": facebook,
    "linkedin": linkedin,
    "slack": slack,
    "telegram": telegram,
    "tiktok": tiktok,
    "twitch": twitch,
    "twitter": twitter,
}
TIMED = ("discord", "slack", "tiktok", "twitch")
"""Those whose signature covers the time of sending."""


def send(platform: str, payload: Any, at: float = NOW, **options: Any) -> Sent:
    """A call of this vendor's with this payload."""
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    query = {"account": options.get("account", BOT), "username": "shopbot"} if platform == "telegram" else {}
    return Sent(platform, body, SIGNERS[platform](body, at, **options), query)


def harmless(platform: str, number: int = 0) -> Any:
    """A payload that is a delivery of this vendor's, about an account that nobody has."""
    return {
        "discord": {"type": 1, "event": {"type": "ENTITLEMENT_CREATE", "timestamp": str(number), "data": {}}},
        "facebook": {"object": "page", "entry": [{"id": "1", "time": number, "changes": [{"field": "feed"}]}]},
        "linkedin": {"notifications": [{"notificationId": number, "action": "COMMENT", "organizationalEntity": "u"}]},
        "slack": {"type": "event_callback", "team_id": "T0", "event_id": f"Ev{number}", "event": {"type": "message"}},
        "telegram": {"update_id": number, "something_new": {}},
        "tiktok": {"event": "post.publish.complete", "user_openid": "u", "content": f'{{"publish_id":"{number}"}}'},
        "twitch": {"subscription": {"type": "stream.online", "condition": {"broadcaster_user_id": str(number)}}},
        "twitter": {"for_user_id": "1", "follow_events": [{"id": str(number)}]},
    }[platform]
