"""Time as a collaborator, so that tests can move it. What is recorded takes the database's clock instead."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC wall clock; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; for time-outs."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
