"""Traps that vendors set with their pages: empty ones that go on, tokens that lead nowhere, tokens that have died."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.connectors.conftest import Outcome
from tests.conformance.connectors.desk import Desk, assert_same

PLACES = (0, 1, 3, 6, 10, 15)
"""Which pages of a sync type are hit, counted by the vendor."""


@pytest.mark.parametrize("kind", ["empty_page", "expired_page", "repeat_page"])
async def test_a_trap_now_and_then_changes_nothing(desk: Desk, whole: Outcome, kind: Any) -> None:
    await desk.connect(desk.slug)
    for sync_type in desk.sync_types:
        for place in PLACES:
            desk.world.faults.add(kind, vendor=desk.slug, after=place, count=1)
        run = await desk.settle(sync_type)
        if kind == "repeat_page" and run.state == "failed":
            assert "twice" in (run.error_text or ""), run.error_text
        else:
            assert run.state == "succeeded", f"{sync_type}: {run.error_class}: {run.error_text}"
        desk.world.faults.clear(vendor=desk.slug)
        if run.state == "failed":
            await desk.pull(sync_type)
    assert_same(await desk.outcome(), whole)


@pytest.mark.parametrize("kind", ["empty_page", "repeat_page"])
async def test_pages_that_never_advance_end_the_run(desk: Desk, whole: Outcome, kind: Any) -> None:
    """They are an error after a few calls, never a loop and never a success that lost something."""
    await desk.connect(desk.slug)
    for sync_type in desk.sync_types:
        desk.world.faults.add(kind, vendor=desk.slug)
        before = desk.calls()
        run = await desk.settle(sync_type)
        assert desk.calls() - before < 500, f"{sync_type} went on and on"
        if run.state == "failed":
            assert "twice" in (run.error_text or ""), f"{sync_type}: {run.error_class}: {run.error_text}"
        desk.world.faults.clear(vendor=desk.slug)
        if run.state == "failed":
            await desk.pull(sync_type)
    assert_same(await desk.outcome(), whole)
