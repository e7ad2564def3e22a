"""What routes work with, built once per process from the runtime and handed to them as a dependency."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import Depends, Request

from sync.api.backpressure import BackPressure
from sync.api.control import Control, Nudger
from sync.api.units import Units
from sync.base.settings import Settings
from sync.jobs.catalogue import Catalogue
from sync.jobs.queue import Queue
from sync.signals import Signals
from sync.store.engine import Database


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
    def queue(self) -> Queue: ...


class Services:
    def __init__(self, runtime: ApiRuntime, control: Control) -> None:
        self.settings = runtime.settings
        self.database = runtime.database
        self.catalogue = runtime.catalogue
        self.queue = runtime.queue
        self.backpressure = BackPressure(runtime.database, runtime.settings.queue.max_waiting)
        self.units = Units(runtime.database)
        self.nudger = Nudger(control, self.units)

    async def close(self) -> None:
        await self.units.close()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Use = Annotated[Services, Depends(_services)]
"""`services: Use` in the signature of a route."""
