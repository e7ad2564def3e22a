"""The simulated vendors by slug, as it stands in their paths."""

from __future__ import annotations

from typing import Any

from simulator.vendor import Vendor
from simulator.vendors.facebook import Facebook
from simulator.vendors.slack import Slack

VENDORS: dict[str, type[Vendor[Any]]] = {
    "facebook": Facebook,
    "slack": Slack,
}
