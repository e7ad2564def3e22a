"""The whole module at a glance: every job kind, with its handler and its limits.

    kind                 queue        what it does
    http.call            one-off      calls an HTTP endpoint: signed, guarded, retried
    inbox.reply          one-off      sends a reply to the platform it belongs to, at most once
    maintenance.purge    maintenance  removes what is older than the settings keep it
    webhook.apply        one-off      applies what vendors' webhooks brought
    webhook.register     maintenance  tells vendors where to send webhooks

Kinds of an installation's plugins come on top. Below: the code that follows the event log.
"""

from __future__ import annotations

from sync.base.settings import Settings
from sync.consumers.one_off import HttpCaller, one_off_kinds
from sync.inbox.handlers import inbox_kinds
from sync.inbox.projector import InboxProjector
from sync.jobs.catalogue import JobKind
from sync.plugins import plugin_kinds, plugin_subscribers
from sync.retention.handlers import retention_kinds
from sync.signals import Signals
from sync.store.engine import Database
from sync.subscriptions.model import Subscriber
from sync.webhooks.handlers import webhook_kinds


def build_catalogue(settings: Settings, database: Database, signals: Signals, caller: HttpCaller) -> list[JobKind]:
    """All kinds, bound to the collaborators of this process."""
    return [
        *one_off_kinds(caller),
        *retention_kinds(database, settings),
        *webhook_kinds(database, signals, settings),
        *inbox_kinds(database, settings),
        *plugin_kinds(settings.plugins),
    ]


def build_subscribers(settings: Settings) -> list[Subscriber]:
    """Everything of the code that follows the event log. Runs in the pool `consumer.datatype`."""
    return [InboxProjector(), *plugin_subscribers(settings.plugins)]
