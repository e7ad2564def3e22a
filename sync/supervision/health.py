"""Who holds a name but no longer lives."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sync.supervision.model import Pulse, Who


class Suspicions:
    """Counts missed pings in a row; the verdict falls at `limit`.

    Only who is known to have lived is judged: an actor that still waits for a place in the cluster cannot answer
    either, and killing it would only start the wait anew. An answer whose event loop has stood still for
    `max_loop_age_s` counts as missed: the process's own watchdog should have ended it long before.
    """

    def __init__(self, *, limit: int, max_loop_age_s: float) -> None:
        self._limit = limit
        self._max_loop_age_s = max_loop_age_s
        self._missed: dict[Who, int] = {}
        self._lived: set[Who] = set()

    def judge(
        self, pulses: Mapping[Who, Pulse | None], *, lived: Collection[Who], overdue: Collection[Who]
    ) -> list[Who]:
        """Note one round of pings; who must be killed.

        lived: proofs of life from the database. overdue: those whose lease ran out; one missed ping is enough for them,
        because their work waits and they may no longer write anyway.
        """
        self._lived = {who for who in pulses if who in self._lived or who in lived or pulses[who] is not None}
        self._missed = {who: self._missed.get(who, 0) + 1 for who, pulse in pulses.items() if not self._well(pulse)}
        dead = [who for who in self._missed if who in self._lived and self._missed[who] >= self._patience(who, overdue)]
        for who in dead:
            del self._missed[who]
            self._lived.discard(who)  # its successor starts with a clean slate
        return dead

    def _patience(self, who: Who, overdue: Collection[Who]) -> int:
        return 1 if who in overdue else self._limit

    def _well(self, pulse: Pulse | None) -> bool:
        return pulse is not None and pulse.loop_age_s <= self._max_loop_age_s
