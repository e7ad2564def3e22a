"""Every HTTP platform of the registry goes through every test of this folder; a new one is included unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sync.base.logs import configure_logging
from tests.conformance.connectors.databases import Databases
from tests.conformance.connectors.desk import HTTP, Desk, desk_at
from tests.services import PostgresServer

Outcome = dict[str, Any]
OpenDesk = Callable[..., Awaitable[Desk]]
_wholes: dict[str, Outcome] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = [pytest.param(case, case.slug, id=f"{case.slug}-{case.part}") for case in metafunc.module.CASES]
        metafunc.parametrize(("case", "slug"), cases)
    elif "slug" in metafunc.fixturenames:
        only: Iterable[str] = getattr(metafunc.function, "only", None) or getattr(metafunc.module, "ONLY", HTTP)
        metafunc.parametrize("slug", sorted(set(only) & set(HTTP)))


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Deaths and refusals are meant here; rendering their stacks would take most of the time."""
    configure_logging("CRITICAL")


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Iterator[Databases]:
    with Databases.of(postgres) as found:
        yield found


@pytest.fixture
async def open_desk(slug: str, databases: Databases) -> AsyncIterator[OpenDesk]:
    """Desks of the platform, each with a world of its own and a database to itself, for as long as the test lasts."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> Desk:
            url = stack.enter_context(databases.lent())
            return await stack.enter_async_context(desk_at(slug, url, **options))

        yield open_one


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    return await open_desk()


@pytest.fixture
async def whole(slug: str, databases: Databases) -> Outcome:
    """What an undisturbed pull of everything leaves behind. The same for every test, so it is made once."""
    if slug not in _wholes:
        with databases.lent() as url:
            async with desk_at(slug, url) as undisturbed:
                await undisturbed.connect(slug)
                await undisturbed.pull_all()
                _wholes[slug] = await undisturbed.outcome()
    return _wholes[slug]
