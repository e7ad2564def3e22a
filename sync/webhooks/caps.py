"""How many calls one address may make: a bucket each, in memory of this process."""

from __future__ import annotations

from collections import OrderedDict

_SOURCES = 20_000
_BURST = 2
"""Seconds' worth of calls that may come at once."""


class SourceCaps:
    """Protects the processor from one address; it keeps no count that matters tomorrow.

    With more addresses than it can remember, those that were quiet for the longest are forgotten first: each of them
    may then begin anew, which costs little.
    """

    def __init__(self, per_second: int) -> None:
        self._rate = float(per_second)
        self._size = self._rate * _BURST
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()
        """Source -> [calls left, when that was so]; the longest quiet first."""

    def take(self, source: str, now: float) -> bool:
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= _SOURCES:
                self._buckets.popitem(last=False)
            self._buckets[source] = [self._size - 1, now]
            return True
        self._buckets.move_to_end(source)
        left = min(self._size, bucket[0] + (now - bucket[1]) * self._rate)
        bucket[1] = now
        if left < 1:
            bucket[0] = left
            return False
        bucket[0] = left - 1
        return True
