"""The platforms of an installation: those of the registry and those that its plugins bring, and our apps there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from connectors.base import Connector, Installation
from connectors.registry import PLATFORMS
from sync.base.settings import AppSettings, Settings
from sync.plugins import plugin_connectors

V = TypeVar("V")


def platforms(settings: Settings) -> Mapping[str, Connector]:
    """By slug; a plugin may replace one of ours. Errors: ConfigurationError for a plugin that cannot be imported."""
    brought = plugin_connectors(settings.plugins)
    return {**PLATFORMS, **brought} if brought else PLATFORMS


def installation(settings: Settings, platform: str) -> Installation:
    """Our app at a platform and where the platform is, as the settings say."""
    app = settings.connectors.apps.get(platform, AppSettings())
    return Installation(
        client_id=app.client_id,
        client_secret=app.client_secret.get_secret_value(),
        secrets={name: value.get_secret_value() for name, value in app.secrets.items()},
        urls=_of(platform, settings.connectors.base_urls),
        limits=_of(platform, settings.connectors.limits),
    )


def _of(platform: str, values: Mapping[str, V]) -> dict[str, V]:
    """What is named `platform` (under '') or `platform.name`."""
    found = {}
    for key, value in values.items():
        name, _, part = key.partition(".")
        if name == platform:
            found[part] = value
    return found
