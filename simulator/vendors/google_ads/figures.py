"""What campaigns and ads did on a day: impressions settle in three days, conversions within thirty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from simulator import numbers
from simulator.dice import chance

ACTIONS = {"Purchase": 0.6, "Lead": 0.4}
"""Conversion actions with their share."""
CONVERSIONS = frozenset(
    {
        "metrics.conversions",
        "metrics.conversions_value",
        "metrics.all_conversions",
        "metrics.all_conversions_value",
        "metrics.view_through_conversions",
    }
)
METRICS = CONVERSIONS | {
    "metrics.impressions",
    "metrics.clicks",
    "metrics.cost_micros",
    "metrics.ctr",
    "metrics.average_cpc",
    "metrics.interactions",
}


@dataclass(slots=True)
class Sum:
    impressions: int = 0
    clicks: int = 0
    cost: int = 0
    tenths: int = 0
    """Conversions are fractional: a tenth is the unit here."""

    def fields(self, share: float = 1.0) -> dict[str, Any]:
        tenths = int(self.tenths * share)
        found: dict[str, Any] = {
            "metrics.impressions": self.impressions,
            "metrics.clicks": self.clicks,
            "metrics.interactions": self.clicks,
            "metrics.cost_micros": self.cost,
            "metrics.ctr": round(self.clicks / self.impressions, 9) if self.impressions else 0.0,
            "metrics.conversions": tenths / 10,
            "metrics.conversions_value": tenths * 720 / 100,
            "metrics.all_conversions": (tenths + tenths // 5) / 10,
            "metrics.all_conversions_value": (tenths + tenths // 5) * 720 / 100,
            "metrics.view_through_conversions": tenths // 9,
        }
        if self.clicks:
            found["metrics.average_cpc"] = self.cost / self.clicks
        return found


def total(now: float, zone: str, leaves: Iterable[str], days: Iterable[date]) -> Sum:
    """`leaves` name what delivers: ads, or campaigns without any."""
    span = list(days)
    found = Sum()
    for leaf in leaves:
        for day in span:
            if chance("delivered", leaf, day.toordinal()) < 0.15:
                continue
            shown = numbers.daily(now, day, 3_000, leaf, zone=zone, settle_days=3, late_share=0.05)
            clicks = int(shown * (0.01 + 0.02 * chance("ctr", leaf)))
            found.impressions += shown
            found.clicks += clicks
            found.cost += clicks * (310_000 + int(400_000 * chance("cpc", leaf)))
            found.tenths += numbers.daily(now, day, 25, "conversions", leaf, zone=zone, settle_days=30, late_share=0.3)
    return found
