"""Subscribes to what EventSub tells about a channel. Asked with the app's own token; Twitch looks up what was granted.

A type whose scope the account has not granted is left out (403); one that is subscribed already stays (409).
Source: dev.twitch.tv/docs/eventsub/manage-subscriptions, eventsub-subscription-types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http import OK, Request, on
from sync.base.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.http.api import Api

TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "stream.online": ("1", ("broadcaster_user_id",)),
    "stream.offline": ("1", ("broadcaster_user_id",)),
    "channel.update": ("2", ("broadcaster_user_id",)),
    "channel.follow": ("2", ("broadcaster_user_id", "moderator_user_id")),
    "channel.chat.message": ("1", ("broadcaster_user_id", "user_id")),
    "channel.chat.message_delete": ("1", ("broadcaster_user_id", "user_id")),
    "channel.subscribe": ("1", ("broadcaster_user_id",)),
    "channel.cheer": ("1", ("broadcaster_user_id",)),
    "channel.raid": ("1", ("to_broadcaster_user_id",)),
    "user.whisper.message": ("1", ("user_id",)),
    "user.update": ("1", ("user_id",)),
    "user.authorization.revoke": ("1", ("client_id",)),
}
"""Type -> version and what its condition names."""
TAKEN = (on(status=409, then=OK), on(status=403, then=OK))


async def register(api: Api, address: str) -> None:
    app = api.account.installation
    secret = app.secrets.get("eventsub_secret", "")
    if not 10 <= len(secret) <= 100 or not secret.isascii():
        raise ConfigurationError("Twitch needs an eventsub_secret of 10 to 100 ASCII characters to sign with.")
    grant = {"client_id": app.client_id, "client_secret": app.client_secret, "grant_type": "client_credentials"}
    asked = Request("POST", "/oauth2/token", form=grant, host="id", endpoint="app_token", signed=False)
    token = (await api.call(asked)).at("access_token")
    values = {"client_id": app.client_id}
    for kind, (version, names) in TYPES.items():
        body = {
            "type": kind,
            "version": version,
            "condition": {name: values.get(name, api.facts["user_id"]) for name in names},
            "transport": {"method": "webhook", "callback": address, "secret": secret},
        }
        path = "/helix/eventsub/subscriptions"
        await api.call(Request("POST", path, json=body, endpoint="eventsub", token=token), rules=TAKEN)
