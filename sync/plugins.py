"""Job kinds and connectors that an installation brings: importable modules named in `SYNC_PLUGINS`.

A module offers `JOB_KINDS`, a sequence of `JobKind`, `CONNECTORS`, one of `Connector`, and `SUBSCRIBERS`, one of
`sync.subscriptions.Subscriber`; any may be missing.
Every process of the installation loads the same ones, so a kind that one process accepts another can run.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sync.base.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.base import Connector
    from sync.jobs.catalogue import JobKind


def plugin_kinds(modules: Iterable[str]) -> list[JobKind]:
    """Errors: ConfigurationError for a module that cannot be imported."""
    return [kind for module in modules for kind in _offer(module, "JOB_KINDS")]


def plugin_connectors(modules: Iterable[str]) -> dict[str, Connector]:
    """By platform. Errors: ConfigurationError for a module that cannot be imported."""
    return {connector.platform: connector for module in modules for connector in _offer(module, "CONNECTORS")}


def plugin_subscribers(modules: Iterable[str]) -> list[Any]:
    """Errors: ConfigurationError for a module that cannot be imported."""
    return [subscriber for module in modules for subscriber in _offer(module, "SUBSCRIBERS")]


def _offer(module: str, attribute: str) -> Iterable[Any]:
    try:
        return getattr(import_module(module), attribute, ())
    except ImportError as error:
        raise ConfigurationError(f"SYNC_PLUGINS names {module!r}, which cannot be imported: {error}") from error
