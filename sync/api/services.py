"""What routes work with, built once per process from the runtime and handed to them as a dependency."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from connectors.base import Connector
from connectors.registry import PLATFORMS, describe
from schedules.platforms import fastest
from sync.api.backpressure import BackPressure
from sync.api.control import Control, Nudger
from sync.api.problems import problem
from sync.api.queries import Queries
from sync.api.units import Units
from sync.base.errors import Permanent
from sync.base.sealing import Sealer
from sync.base.settings import Settings
from sync.consumers.secrets import OrgSecrets
from sync.inbox.conversations import Conversations
from sync.inbox.replies import ReplyDesk
from sync.jobs.catalogue import Catalogue
from sync.jobs.operations import QueueOperations
from sync.jobs.queue import Queue
from sync.mail.reading import MailReader
from sync.plugins import plugin_connectors
from sync.pull.integrations import Integrations
from sync.pull.oauth import Consents
from sync.pull.runs import SyncRuns
from sync.realtime import Hub
from sync.scheduling import Schedules
from sync.signals import Signals
from sync.social.analytics import Analytics
from sync.social.reading import SocialReader
from sync.store.engine import Database
from sync.subscriptions.rows import Subscriptions
from sync.subscriptions.sending import Postman
from sync.subscriptions.targets import Effects
from sync.webhooks.accounts import NamedAccounts
from sync.webhooks.intake import Intake
from sync.webhooks.operations import Deliveries
from sync.webhooks.platforms import HookedPlatforms
from sync.webhooks.writer import GroupWriter


class ApiRuntime(Protocol):
    """The part of `sync.wiring.Runtime` that the API uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def signals(self) -> Signals: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def sealer(self) -> Sealer: ...
    @property
    def queue(self) -> Queue: ...


class Services:
    def __init__(self, runtime: ApiRuntime, control: Control) -> None:
        self.settings = runtime.settings
        self.database = runtime.database
        self.catalogue = runtime.catalogue
        self.queue = runtime.queue
        self.schedules = Schedules(runtime.database, runtime.signals, runtime.catalogue, runtime.queue)
        self.secrets = OrgSecrets(runtime.database, runtime.sealer)
        self.operations = QueueOperations(runtime.database, runtime.signals)
        self.queries = Queries(runtime.database, runtime.settings.queue.worker_timeout_s)
        self.platforms = {**PLATFORMS, **plugin_connectors(runtime.settings.plugins)}
        self.integrations = Integrations(runtime.database, runtime.sealer, self.platforms)
        self.consents = Consents(runtime.database, runtime.sealer, runtime.settings, self.platforms)
        self.runs = SyncRuns(runtime.database, runtime.signals, self.platforms)
        self.social = SocialReader(runtime.database)
        self.mail = MailReader(runtime.database)
        self.inbox = Conversations(runtime.database)
        self.replies = ReplyDesk(runtime.database, runtime.queue, self.platforms)
        self.analytics = Analytics(runtime.database)
        self.webhooks = _intake(runtime, self.platforms)
        self.deliveries = Deliveries(runtime.database, runtime.queue)
        self.effects = Effects(runtime.queue, runtime.catalogue, self.runs)
        self.subscriptions = Subscriptions(runtime.database, runtime.sealer, self.effects)
        self.postman = Postman(runtime.database, runtime.sealer, runtime.settings.outbound)
        self.backpressure = BackPressure(runtime.database, runtime.settings.queue.max_waiting)
        self.realtime = Hub(runtime.database, runtime.signals, runtime.settings.realtime)
        self.units = Units(runtime.database)
        self.nudger = Nudger(control, self.units)

    def describe_platforms(self) -> list[dict[str, Any]]:
        """The connectors' declarations, with how often an account may ask to be pulled."""
        found = describe(self.platforms)
        for platform in found:
            for sync_type in platform["syncTypes"]:
                declared = timedelta(seconds=sync_type["everySeconds"])
                floor = fastest(platform["platform"], sync_type["name"], declared)
                sync_type["fastestSeconds"] = floor.total_seconds()
        return found

    def refused_url(self, url: str) -> str | None:
        """Why this address is not called, as far as its text says; None: it may be."""
        from sync.base.outbound_http import check_url

        try:
            check_url(url, self.settings.outbound)
        except Permanent as error:
            return str(error)
        return None

    async def close(self) -> None:
        await self.postman.close()
        await self.webhooks.close()
        await self.units.close()
        await self.realtime.close()


def _intake(runtime: ApiRuntime, platforms: Mapping[str, Connector]) -> Intake:
    writer = GroupWriter(runtime.database, runtime.queue, runtime.settings.webhooks.patience_s)
    return Intake(HookedPlatforms(runtime.settings, platforms), NamedAccounts(runtime.database), writer)


def _services(request: Request) -> Services:
    services: Services | None = getattr(request.app.state, "services", None)
    if services is None:
        raise problem("unavailable", "PostgreSQL has not answered since this process started. It is tried again.")
    return services


Use = Annotated[Services, Depends(_services)]
"""`services: Use` in the signature of a route."""
