"""The part of shared budgets that lives in one process."""

from __future__ import annotations

from typing import Any

from connectors.base import Claim
from sync.pull.budgets import SharedBudgets


class Grants:
    """A database that gives every call, after whatever happens meanwhile."""

    def __init__(self) -> None:
        self.meanwhile: list[tuple[SharedBudgets, str, float]] = []

    async def fetch_one(self, _query: str, _params: Any) -> None:
        for budgets, key, seconds in self.meanwhile:
            await budgets.block(key, seconds)

    async def execute(self, _query: str, _params: Any) -> int:
        return 1


async def test_a_block_that_comes_while_one_asks_is_obeyed() -> None:
    database = Grants()
    budgets = SharedBudgets(database, lambda: 100.0)  # type: ignore[arg-type]
    database.meanwhile.append((budgets, "a", 3.0))
    delay = await budgets.take([Claim("a"), Claim("b", limit=5, window_s=1.0)])
    assert delay is not None and (delay.key, delay.seconds) == ("a", 3.0)


async def test_a_block_that_is_over_by_then_is_none() -> None:
    database = Grants()
    budgets = SharedBudgets(database, lambda: 100.0)  # type: ignore[arg-type]
    database.meanwhile.append((budgets, "a", 0.0))
    assert await budgets.take([Claim("a")]) is None
