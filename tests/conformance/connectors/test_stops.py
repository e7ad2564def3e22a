"""A worker may die anywhere: what is stored in the end, and what was told about it, is the same."""

from __future__ import annotations

from tests.conformance.connectors.conftest import Outcome
from tests.conformance.connectors.desk import Desk, assert_same

KILLS = 12
"""Per sync type; each costs a look at the list of its parts."""


async def test_an_undisturbed_pull_brings_everything_once(desk: Desk, whole: Outcome) -> None:
    assert whole["activities"] or whole["metrics"]
    assert not whole["quarantine"]
    assert {count for *_, count in whole["events"]} <= {1}
    assert {kind for kind, *_ in whole["events"]} <= {"activity.added"}
    assert len(whole["events"]) == len(whole["activities"])


async def test_a_second_pull_tells_nothing(desk: Desk, whole: Outcome) -> None:
    await desk.connect(desk.slug)
    await desk.pull_all()
    await desk.pull_all()
    assert_same(await desk.outcome(), whole)


async def test_a_death_after_every_page_loses_and_repeats_nothing(desk: Desk, whole: Outcome) -> None:
    await desk.connect(desk.slug)
    deaths = {name: await desk.killed_after_every_page(name, KILLS) for name in desk.sync_types}
    assert sum(deaths.values()) > len(deaths), "nothing was interrupted in the middle"
    assert_same(await desk.outcome(), whole)
