"""Which platforms send webhooks, how a call is told to be theirs, and what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.base import Connector
from connectors.http import HttpConnector
from connectors.http.streams import Webhook
from sync.base.settings import Settings
from sync.pull.platforms import installation


@dataclass(frozen=True, slots=True)
class Hooked:
    """A platform with webhooks, as this installation has it."""

    platform: str
    webhook: Webhook
    secrets: Mapping[str, str]


class HookedPlatforms:
    def __init__(self, settings: Settings, connectors: Mapping[str, Connector]) -> None:
        self.by_name: dict[str, Hooked] = {}
        for name, connector in connectors.items():
            if isinstance(connector, HttpConnector) and connector.webhook is not None:
                app = installation(settings, name)
                secrets = {**app.secrets, "client_id": app.client_id, "client_secret": app.client_secret}
                self.by_name[name] = Hooked(name, connector.webhook, secrets)
        found = self.by_name.values()
        self._by_header = {hooked.webhook.signed_by: hooked for hooked in found if hooked.webhook.signed_by}
        self._by_challenge = {hooked.webhook.challenge: hooked for hooked in found if hooked.webhook.challenge}

    def find(self, platform: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Hooked | None:
        """By the address, or else by the header that only this vendor signs with, or by its challenge."""
        if platform:
            return self.by_name.get(platform)
        for name, hooked in self._by_header.items():
            if name in headers:
                return hooked
        for name, hooked in self._by_challenge.items():
            if name in query:
                return hooked
        return None
