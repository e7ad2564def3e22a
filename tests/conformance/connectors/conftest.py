"""Every HTTP platform of the registry goes through every test of this folder; a new one is included unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sync.base.logs import configure_logging
from tests.conformance.connectors.desk import HTTP, Desk, desk_at
from tests.services import PostgresServer

Outcome = dict[str, Any]
OpenDesk = Callable[..., Awaitable[Desk]]
_wholes: dict[str, Outcome] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "slug" in metafunc.fixturenames:
        only = getattr(metafunc.module, "ONLY", HTTP)
        metafunc.parametrize("slug", sorted(set(only) & set(HTTP)))


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Deaths and refusals are meant here; rendering their stacks would take most of the time."""
    configure_logging("CRITICAL")


@pytest.fixture
async def open_desk(slug: str, postgres: PostgresServer) -> AsyncIterator[OpenDesk]:
    """Desks of the platform, each with a world and a database of its own, which go with the test."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> Desk:
            url = postgres.create()
            stack.callback(postgres.drop, url)
            return await stack.enter_async_context(desk_at(slug, url, **options))

        yield open_one


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    return await open_desk()


@pytest.fixture
async def whole(slug: str, postgres: PostgresServer) -> Outcome:
    """What an undisturbed pull of everything leaves behind. The same for every test, so it is made once."""
    if slug not in _wholes:
        url = postgres.create()
        try:
            async with desk_at(slug, url) as undisturbed:
                await undisturbed.connect(slug)
                await undisturbed.pull_all()
                _wholes[slug] = await undisturbed.outcome()
        finally:
            postgres.drop(url)
    return _wholes[slug]
