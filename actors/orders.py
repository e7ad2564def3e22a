"""What `actors.driver` can be told; apart from it, so that telling does not import Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sync.base.settings import Settings

Action = Literal["start", "stop"]


@dataclass(frozen=True)
class Order:
    action: Action
    address: str
    """Of the cluster's head."""
    settings: Settings
