"""Every platform there is. GET /sync/platforms, names of actors and cadences are made from this table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from connectors.base import Connector, find_sync_type
from sync.base.errors import ConfigurationError


class Registry(Mapping[str, Connector]):
    """Imports a connector when it is asked for: a process that works for one platform loads no other."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """`places`: module:name of the connector by platform."""
        self._places = places

    def __getitem__(self, platform: str) -> Connector:
        module, _, name = self._places[platform].partition(":")
        connector: Connector = getattr(import_module(module), name)
        return connector

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, platform: object) -> bool:
        return platform in self._places


PLATFORMS: Mapping[str, Connector] = Registry(
    {
        "email": "connectors.imap.connector:IMAP",
        "discord": "connectors.discord.connector:DISCORD",
        "facebook": "connectors.facebook.connector:FACEBOOK",
        "google_ads": "connectors.google_ads.connector:GOOGLE_ADS",
        "linkedin": "connectors.linkedin.connector:LINKEDIN",
        "pinterest": "connectors.pinterest.connector:PINTEREST",
        "reddit": "connectors.reddit.connector:REDDIT",
        "slack": "connectors.slack.connector:SLACK",
        "snapchat": "connectors.snapchat.connector:SNAPCHAT",
        "telegram": "connectors.telegram.connector:TELEGRAM",
        "tiktok": "connectors.tiktok.connector:TIKTOK",
        "twitch": "connectors.twitch.connector:TWITCH",
        "twitter": "connectors.twitter.connector:TWITTER",
    }
)


def find_connector(platform: str, platforms: Mapping[str, Connector] = PLATFORMS) -> Connector:
    """Errors: ConfigurationError that lists the platforms there are."""
    try:
        return platforms[platform]
    except KeyError:
        known = ", ".join(sorted(platforms))
        raise ConfigurationError(f"There is no platform {platform!r}; there are: {known}.") from None


def describe(platforms: Mapping[str, Connector] = PLATFORMS) -> list[dict[str, Any]]:
    """The table as JSON, for people and programs that connect accounts or trigger syncs."""
    return [
        {
            "platform": connector.platform,
            "title": connector.title,
            "fields": [
                {
                    "name": item.name,
                    "kind": item.kind,
                    "required": item.required,
                    "secret": item.secret,
                    "operatorOnly": item.operator_only,
                    "default": item.default,
                    "choices": list(item.choices),
                    "help": item.help,
                }
                for item in connector.fields
            ],
            "syncTypes": [
                {
                    "name": sync_type.name,
                    "title": sync_type.title,
                    "everySeconds": sync_type.every.total_seconds(),
                    "options": [{"name": o.name, "kind": o.kind, "help": o.help} for o in sync_type.options],
                    "scopes": list(sync_type.scopes),
                }
                for sync_type in connector.sync_types
            ],
        }
        for connector in platforms.values()
    ]


__all__ = ["PLATFORMS", "describe", "find_connector", "find_sync_type"]
