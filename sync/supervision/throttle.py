"""Keeps a sync actor that dies at birth from being born again every second."""

from __future__ import annotations

from sync.supervision.model import Pair

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
FORGET_AFTER_S = 180.0


class StartThrottle:
    """After every start of a pair its next one waits, twice as long each time, until it was quiet for a while."""

    def __init__(self) -> None:
        self._starts: dict[Pair, tuple[float, float]] = {}  # pair -> (time of the last start, pause after it)

    def allows(self, pair: Pair, now: float) -> bool:
        started_at, pause_s = self._starts.get(pair, (0.0, 0.0))
        return pair not in self._starts or now - started_at >= pause_s

    def started(self, pair: Pair, now: float) -> None:
        self._forget(now)
        _, pause_s = self._starts.get(pair, (0.0, FIRST_PAUSE_S / 2))
        self._starts[pair] = (now, min(pause_s * 2, MAX_PAUSE_S))

    def _forget(self, now: float) -> None:
        self._starts = {pair: start for pair, start in self._starts.items() if now - start[0] < FORGET_AFTER_S}
