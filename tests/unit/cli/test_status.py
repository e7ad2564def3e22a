"""When `syncctl status` is not content with the pools."""

from __future__ import annotations

import pytest

from sync.base.settings import PoolSettings, Settings
from sync.cli.status import without_workers

ROWS = [
    {"name": "consumer.one-off", "workers": 0},
    {"name": "consumer.schedule", "workers": 1},
    {"name": "processor.billing", "workers": 0},
]


@pytest.mark.parametrize(
    ("serving", "settings", "missing"),
    [
        ({"consumer.one-off", "consumer.schedule"}, Settings(), ["consumer.one-off"]),
        ({"consumer.one-off", "processor.billing"}, Settings(), ["consumer.one-off", "processor.billing"]),
        ({"consumer.schedule"}, Settings(), []),
        ({"consumer.one-off"}, Settings(pools={"one-off": PoolSettings(min=0)}), []),
    ],
    ids=["one", "two", "nothing to serve", "none wanted"],
)
def test_pools_that_lack_workers(serving: set[str], settings: Settings, missing: list[str]) -> None:
    assert without_workers(ROWS, serving, settings) == missing
