"""The collector of reference cycles, for processes through which many records pass."""

from __future__ import annotations

import gc

_ALLOCATIONS = 20_000
"""Containers that are new since the last look. By default it looks every 700, which is half a page of records."""


def collect_rarely() -> None:
    """Look for cycles less often, and never at what is loaded by now.

    Records are trees, which go by themselves when nobody holds them. Looking for cycles among them cost a pull a fifth
    of its CPU.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)
