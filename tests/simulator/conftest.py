"""A simulated world per test, on a stopped clock, over real sockets in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from simulator import World, running

NOW = 1_764_000_000.0
"""2025-11-24T16:00:00Z"""


@pytest.fixture
def vendors() -> list[str] | None:
    """Override it in a vendor's own module; None stands for all."""
    return None


@pytest.fixture
def world(vendors: list[str] | None) -> World:
    return World(seed=7, at=NOW, vendors=vendors)


@pytest.fixture
async def base_url(world: World) -> AsyncIterator[str]:
    async with running(world) as url:
        yield url


@pytest.fixture
async def http(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the simulator as its base address; redirects are not followed."""
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
        yield client
