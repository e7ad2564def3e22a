"""What holds for every vendor in the table; a new one is included unasked."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from simulator import World, running
from simulator.vendor import Vendor
from simulator.vendors import VENDORS
from tests.simulator.conftest import NOW

pytestmark = pytest.mark.parametrize("slug", sorted(VENDORS))


def _vendor(slug: str) -> Vendor[Any]:
    return World(seed=7, at=NOW, vendors=[slug])[slug]


def test_the_same_seed_makes_the_same_data_and_credentials(slug: str) -> None:
    one, two = _vendor(slug), _vendor(slug)
    assert [one.grow(one.account()) for _ in range(60)] == [two.grow(two.account()) for _ in range(60)]
    assert one.truth() == two.truth()
    assert one.connect() == two.connect()


def test_there_is_an_ordinary_account_and_a_huge_one(slug: str) -> None:
    vendor = _vendor(slug)
    assert len(vendor.ordinary_accounts()) == 2
    assert any(vendor.truth().values())
    (big,) = [account for account in vendor.accounts.values() if account.big]
    assert max(len(feed) for feed in vendor.feeds(big).values()) == 100_000


def _refuses(answer: httpx.Response) -> bool:
    """By status, or in the body of a 200: an error, or a code that is not 0."""
    body = answer.content.lower()
    return answer.status_code >= 400 or b"error" in body or b'"code":4' in body


async def test_no_route_answers_a_stranger(slug: str) -> None:
    vendor = _vendor(slug)
    async with (
        running(vendor.world) as base_url,
        httpx.AsyncClient(base_url=f"{base_url}/{slug}", trust_env=False) as http,
    ):
        for route in [route for table in vendor.tables for route in table.table if route.auth]:
            answer = await http.request(route.method, route.path.replace("{", "").replace("}", ""))
            assert _refuses(answer), route.path
        await http.get("/no/such/path/at/all")
        assert "simulator_bugs" not in vendor.auth.counters


async def test_every_trouble_has_an_answer_in_the_vendors_words(slug: str) -> None:
    vendor = _vendor(slug)
    faults = vendor.world.faults
    access = vendor.connect().access_token
    token = {"authorization": f"Bearer {access}", "access-token": access}
    routes = [r for table in vendor.tables for r in table.table if r.auth and r.method == "GET"]
    path = min(routes, key=lambda route: "{" in route.path).path.replace("{", "").replace("}", "")
    async with (
        running(vendor.world) as base_url,
        httpx.AsyncClient(base_url=f"{base_url}/{slug}", trust_env=False) as http,
    ):
        faults.add("error", count=1, status=503)
        assert (await http.get(path, headers=token)).status_code >= 500
        for kind in ("limited", "revoked_token", "expired_token", "missing_scope"):
            fault: Any = kind
            faults.add(fault, count=1)
            answer = await http.get(path, headers=token)
            assert _refuses(answer), kind
        assert "simulator_bugs" not in vendor.auth.counters
