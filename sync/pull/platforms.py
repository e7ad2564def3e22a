"""The platforms of an installation: those of the registry and those that its plugins bring."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.base import Connector
from connectors.registry import PLATFORMS
from sync.base.settings import Settings
from sync.plugins import plugin_connectors


def platforms(settings: Settings) -> Mapping[str, Connector]:
    """By slug; a plugin may replace one of ours. Errors: ConfigurationError for a plugin that cannot be imported."""
    return {**PLATFORMS, **plugin_connectors(settings.plugins)}
