"""Every platform there is. GET /sync/platforms, names of actors and cadences are made from this table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.base import Connector, find_sync_type
from connectors.discord.connector import DISCORD
from connectors.facebook.connector import FACEBOOK
from connectors.google_ads.connector import GOOGLE_ADS
from connectors.imap.connector import ImapConnector
from connectors.linkedin.connector import LINKEDIN
from connectors.pinterest.connector import PINTEREST
from connectors.reddit.connector import REDDIT
from connectors.slack.connector import SLACK
from connectors.snapchat.connector import SNAPCHAT
from connectors.telegram.connector import TELEGRAM
from connectors.tiktok.connector import TIKTOK
from connectors.twitch.connector import TWITCH
from connectors.twitter.connector import TWITTER
from sync.base.errors import ConfigurationError

PLATFORMS: Mapping[str, Connector] = {
    connector.platform: connector
    for connector in (
        ImapConnector(),
        DISCORD,
        FACEBOOK,
        GOOGLE_ADS,
        LINKEDIN,
        PINTEREST,
        REDDIT,
        SLACK,
        SNAPCHAT,
        TELEGRAM,
        TIKTOK,
        TWITCH,
        TWITTER,
    )
}


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
