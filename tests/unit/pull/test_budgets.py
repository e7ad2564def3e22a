"""The part of shared budgets that lives in one process."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.base import Claim, Delay
from sync.pull.budgets import BELIEVED_S, SharedBudgets
from sync.pull.redis_budgets import Uses


class Grants:
    """Gives every call, after whatever happens meanwhile."""

    def __init__(self) -> None:
        self.meanwhile: list[tuple[SharedBudgets, str, float]] = []
        self.asked: list[int] = []
        self.room = 1_000_000

    async def take(self, claims: Sequence[Claim]) -> Delay | None:
        for budgets, key, seconds in self.meanwhile:
            await budgets.block(key, seconds)
        cost = sum(claim.cost for claim in claims)
        self.asked.append(cost)
        if cost > self.room:
            return Delay(1.0, claims[0].key)
        self.room -= cost
        return None

    async def block(self, key: str, seconds: float) -> None:
        pass


async def test_a_block_that_comes_while_one_asks_is_obeyed() -> None:
    shared = Grants()
    budgets = SharedBudgets(shared, lambda: 100.0)
    shared.meanwhile.append((budgets, "a", 3.0))
    delay = await budgets.take([Claim("a"), Claim("b", limit=5, window_s=1.0)])
    assert delay is not None and (delay.key, delay.seconds) == ("a", 3.0)


async def test_a_block_that_is_over_by_then_is_none() -> None:
    shared = Grants()
    budgets = SharedBudgets(shared, lambda: 100.0)
    shared.meanwhile.append((budgets, "a", 0.0))
    assert await budgets.take([Claim("a")]) is None


FAST = Claim("fast", limit=400, window_s=1.0)


async def test_a_slice_grows_while_it_is_used_up() -> None:
    shared = Grants()
    budgets = SharedBudgets(shared, lambda: 100.0)
    for _ in range(100):
        assert await budgets.take([FAST]) is None
    most = int(FAST.limit * BELIEVED_S)
    assert shared.asked[:6] == [1, 2, 4, 8, 16, most]
    assert set(shared.asked[6:]) == {most}


async def test_a_slice_shrinks_to_what_was_used_of_it() -> None:
    shared, now = Grants(), [100.0]
    budgets = SharedBudgets(shared, lambda: now[0])
    for _ in range(1 + 2 + 4 + 8 + 3):
        await budgets.take([FAST])
    assert shared.asked == [1, 2, 4, 8, 16]
    now[0] += 2 * BELIEVED_S
    await budgets.take([FAST])
    assert shared.asked[-1] == 3


async def test_the_last_calls_of_a_limit_are_given_too() -> None:
    shared = Grants()
    shared.room = 9
    budgets = SharedBudgets(shared, lambda: 100.0)
    given = 0
    while await budgets.take([FAST]) is None:
        given += 1
    assert given == 9


def test_calls_of_a_steady_stream_are_forgotten_after_a_window() -> None:
    uses, claim = Uses("era"), Claim("steady", limit=1000, window_s=100.0)
    for tenth in range(5000):
        uses.add(tenth / 10, claim)
    assert 1000 <= sum(cost for _, cost in uses.calls) <= 1050
